"""
What belongs to one ``trio.run``: the table of names, the pids it has given out, who listens to its
events.

Nothing here outlives the run, and nothing is shared between runs.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, final

import attrs
import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled

from candil._otp.processes.log import EventLog, RateLimiter, log_failure
from candil._otp.values.names import name_key
from candil._otp.values.pids import Pid, Ref

if TYPE_CHECKING:
    from types import CodeType

    from candil._otp.processes.node import Node
    from candil._otp.processes.oneshot import OneShot
    from candil._otp.processes.process import Process
    from candil._otp.processes.watchdog import Watchdog

Subscriber = Callable[[object], None]

MAX_INLINE_CALLS = 100
MAX_INLINE_SECONDS = 0.001

current_process: ContextVar[Process | None] = ContextVar("candil.current_process", default=None)
_runtime: trio.lowlevel.RunVar[Runtime] = trio.lowlevel.RunVar("candil.runtime")


@final
@attrs.define(eq=False)
class Runtime:
    """The tables of one ``trio.run``."""

    incarnation: int
    names: dict[object, Process] = attrs.field(factory=dict[object, "Process"])
    name_waiters: dict[object, dict[OneShot[bool], None]] = attrs.field(
        factory=dict[object, "dict[OneShot[bool], None]"]
    )
    nodes: dict[Node, None] = attrs.field(factory=dict["Node", None])
    subscribers: dict[object, Subscriber] = attrs.field(factory=dict[object, Subscriber])
    log: EventLog | None = None
    logged: int = 0
    inline_calls: int = 0
    inline_seconds: float = 0.0
    inline_depth: int = 0  # so many frames were between the last call in place and the runner's,
    runner_code: CodeType | None = None  # which runs this code
    received: int = 0  # in this turn, which ends at the latest at turn_ends
    turn_ends: float = 0.0
    watch: Watchdog | None = None
    watched: int = 0
    while_blocked: Callable[[float], None] | None = None  # called in the watch's thread
    hinted: set[object] = attrs.field(factory=set[object])
    cancelled_starts: deque[Callable[[], None]] = attrs.field(factory=deque["Callable[[], None]"])
    _failures: RateLimiter = attrs.field(factory=RateLimiter)
    _serial: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    def new_pid(self, node: str, label: str) -> Pid[object]:
        return Pid(node, self.incarnation, next(self._serial), label)

    def name_registered(self, key: object) -> None:
        """Wake those that wait for a process under *key*."""
        for waiter in self.name_waiters.pop(key, ()):
            waiter.put(True)

    def new_ref(self) -> Ref:
        return Ref(next(self._serial))

    @property
    def reports(self) -> bool:
        """Whether anybody reads what goes wrong."""
        return self.log is not None or bool(self.subscribers)

    @property
    def reports_crashes(self) -> bool:
        """Whether the report of a crash would be read: in a flood, most are only counted."""
        return bool(self.subscribers) or (self.log is not None and self.log.has_room_for_crash())

    def emit(self, event: object) -> None:
        if self.log is not None:
            self.log(event)
        self.notify_subscribers(event)

    def notify_subscribers(self, event: object) -> None:
        for subscriber in list(self.subscribers.values()):  # one may subscribe, or leave
            try:
                subscriber(event)
            except (Exception, SystemExit):  # noqa: BLE001  # a broken listener must not end the process that caused the event
                if self._failures.take(time.monotonic()):
                    log_failure(f"subscriber {subscriber!r} failed on a {type(event).__name__}")

    async def checkpoint_if_due(self) -> None:
        """Be the checkpoint of what is done in place: others run when it is their turn."""
        if self.inline_calls < MAX_INLINE_CALLS and self.inline_seconds < MAX_INLINE_SECONDS:
            await checkpoint_if_cancelled()
        else:
            self.inline_calls = 0
            self.inline_seconds = 0.0
            await checkpoint()

    async def checkpoint_between_messages(self) -> None:
        """Be the checkpoint of a ``receive`` that need not wait, as for what is done in place."""
        self.received += 1
        if self.received < MAX_INLINE_CALLS and time.perf_counter() < self.turn_ends:
            await checkpoint_if_cancelled()
        else:
            await checkpoint()
            self.begin_turn()

    def begin_turn(self) -> None:
        """Note that other tasks have just had their turn."""
        self.received = 0
        self.turn_ends = time.perf_counter() + MAX_INLINE_SECONDS


def get_runtime() -> Runtime:
    """Return the tables of the current ``trio.run``, made at the first use."""
    try:
        return _runtime.get()
    except LookupError:
        runtime = Runtime(time.time_ns())
        _runtime.set(runtime)
        return runtime
    except RuntimeError:
        raise outside_of_trio() from None


def outside_of_trio() -> RuntimeError:
    """Return the error for code that runs in no ``trio.run``: another loop, or another thread."""
    return RuntimeError(
        "candil works within trio.run, and this code runs outside of it. Run the program with "
        "trio.run(main), not with asyncio.run; another thread goes through trio.from_thread.run, "
        "or trio.from_thread.run_sync for what is not async"
    )


def resolve(target: object) -> Process | None:
    """Return the living process that a pid or a name stands for."""
    if type(target) is str:  # first, since every call by name comes this way
        return get_runtime().names.get(target)
    if type(target) is Pid:
        return target.process
    if target is None:  # what whereis gives for a name without a holder
        return None
    return get_runtime().names.get(name_key(target))
