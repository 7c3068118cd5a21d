"""
Processes: a mailbox, an exit reason, and the signals between them.

1. A process is asked to end at most once: ``exit_requested`` is set, its scope is cancelled, and
   that reason stands, whatever its cleanup raises. It has ended when ``exit_reason`` is set; its
   task may take some checkpoints from the one to the other.
2. Signals never recurse: a signal only cancels or posts, so ten thousand linked processes die in
   ten thousand short steps.
3. Code that resumes a parked process clears ``parked`` first.

Not here: how a process is made (``spawn.py``), its task and its end (``task.py``), the loop of a
server (``loop.py``).
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, final

import attrs
import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from candil._otp.processes.oneshot import RESUMED, OneShot
from candil._otp.processes.runtime import outside_of_trio
from candil._otp.values.events import MailboxHigh
from candil._otp.values.exit_reasons import KILLED, ExitReason, Normal, is_kill
from candil._otp.values.messages import ExitSignal

if TYPE_CHECKING:
    from candil._otp.processes.call_deadlines import DeadlineTimer
    from candil._otp.processes.message_timers import TimerRef
    from candil._otp.processes.node import Node
    from candil._otp.processes.requests import Request
    from candil._otp.processes.runtime import Runtime
    from candil._otp.processes.timers import Timer
    from candil._otp.values.events import CrashReport
    from candil._otp.values.names import Server, ServerName
    from candil._otp.values.pids import Pid, Ref

HIGH_WATER = 1024


# Functions, since a call of ``dict[Process, None]`` takes five times as long as one of ``dict``.
def _new_mailbox() -> deque[object]:
    return deque()


def _new_links() -> dict[Process, None]:
    return {}


class Behaviour(Protocol):
    """
    The loop of a server, as its process and its node call it. The rest lies a layer higher.

    Attributes:
        initialised: Whether ``init`` is done.

        suspended: Whether it handles system requests only.
    """

    initialised: bool
    suspended: bool

    def end(self, reason: ExitReason) -> None:
        """Stop next, before anything in the mailbox; ``terminate`` runs."""
        ...

    def attach_current(self) -> None:
        """Have the current request fail if the process ends now, for any reason."""
        ...

    def let_go(self) -> None:
        """Refer to the process no more, which has ended."""
        ...


@final
@attrs.define(eq=False, repr=False)
class Process:
    """The record of one process; lives as long as the process does."""

    pid: Pid[Any]
    node: Node
    runtime: Runtime
    parent: Pid[object] | None  # not its record, which would keep that of its parent, and so on
    scope: trio.CancelScope | None = None  # entered when there is something to cancel
    task: Task | None = None
    mailbox: deque[object] = attrs.field(factory=_new_mailbox)
    parked: Task | None = None
    taken: int = 0  # messages that its server took from the front
    removals: int = 0  # grows with each message taken by choice: who counts the seen looks anew
    idle: bool = False  # a server's, between two messages: a plain-def handler may run at once
    trap_exit: bool = False
    exit_requested: ExitReason | None = None
    ended_by: Pid[object] | None = None  # whose signal told it to end, if it was a process's
    own_reason: ExitReason | None = (
        None  # why its code says it ends, where it says so without raising
    )
    exit_reason: ExitReason | None = None
    links: dict[Process, None] = attrs.field(factory=_new_links)
    # Most processes never need the next five, so each is made at its first use.
    monitors: dict[Ref, Process] | None = None
    monitored_by: dict[Ref, tuple[Process, Server[object]]] | None = None
    pending: dict[Request[Any], None] | None = None
    exit_waiters: dict[OneShot[bool], None] | None = None
    names: dict[object, ServerName[object]] | None = None  # by their keys in the run's table
    registered: str | None = None
    current_request: Request[Any] | None = None  # what the server has taken and not settled yet
    deadline_timer: DeadlineTimer | None = (
        None  # for those who wait for it until then, see call_deadlines.py
    )
    next_deadline: float = math.inf
    message_timers: set[TimerRef] | None = None  # which end with the process
    high_water: int = HIGH_WATER
    behaviour: Behaviour | None = None
    crash: CrashReport | None = None  # what its server said of itself

    def __repr__(self) -> str:
        return f"<Process of {self.pid}>"

    @property
    def alive(self) -> bool:
        """Whether it runs and was not told to end."""
        return self.exit_reason is None and self.exit_requested is None

    @property
    def name(self) -> object:
        """What it is registered as, or the first of its ``Via``; ``None`` if it has no name."""
        return self.registered or next(iter((self.names or {}).values()), None)

    def drop(self, request: Request[Any]) -> None:
        """Owe no answer to a request that is done."""
        if self.pending is not None:
            self.pending.pop(request, None)

    def abort_park(self, _raise_cancel: object) -> Abort:
        """Let a cancellation end ``park``."""
        self.parked = None
        self.idle = False
        return Abort.SUCCEEDED


# --- mailbox --------------------------------------------------------------------------


def post(process: Process, message: object) -> None:
    """Put *message* into the mailbox and wake the process if it waits for one."""
    task = process.parked
    if task is not None:
        try:
            reschedule(
                task, RESUMED
            )  # first: in a foreign thread it raises, and nothing has changed
        except RuntimeError:
            raise outside_of_trio() from None
        process.parked = None
        process.idle = False
        process.mailbox.append(message)
        return
    process.mailbox.append(message)
    if len(process.mailbox) > process.high_water:
        process.high_water *= 2
        process.runtime.emit(MailboxHigh(process.pid, len(process.mailbox)))


async def park(process: Process) -> None:
    """
    Wait until something is posted. The mailbox must have been looked at since the last checkpoint.
    """
    if process.parked is not None:
        message = f"another task already waits for messages of {process.pid}"
        raise trio.BusyResourceError(message)
    process.parked = current_task()
    await wait_task_rescheduled(process.abort_park)


def unpark(process: Process) -> None:
    """Resume the process from ``park`` without a message."""
    task = process.parked
    if task is not None:
        reschedule(task, RESUMED)  # first: in a foreign thread it raises, and nothing has changed
        process.parked = None
        process.idle = False


# --- signals --------------------------------------------------------------------------


def send_exit(process: Process, sender: Pid[object] | None, reason: ExitReason) -> None:
    """Do what OTP's ``exit/2`` does to the receiver."""
    if is_kill(reason):
        kill(process, sender)
    elif not process.alive:
        return
    elif process.trap_exit:
        post(process, ExitSignal(sender, reason))
    elif not isinstance(reason, Normal) or sender is process.pid:
        request_exit(process, reason, sender)


def signal_link(process: Process, dead: Pid[object], reason: ExitReason) -> None:
    """
    Do what the death of a linked process does. A link's ``kill`` is an ordinary reason, unlike
    ``exit/2``'s.
    """
    if not process.alive:
        return
    if process.trap_exit:
        post(process, ExitSignal(dead, reason))
    elif not isinstance(reason, Normal):
        request_exit(process, reason, dead)


def request_exit(process: Process, reason: ExitReason, sender: Pid[object] | None = None) -> None:
    """Have the process end with *reason* at its next checkpoint; its cleanup runs."""
    if not _end_idle_server(process, reason, sender):
        process.node.watch_ending(process)
        _cancel(process)


def kill(process: Process, sender: Pid[object] | None = None) -> None:
    """
    End the process whatever it traps. If it will not even be cancelled, the others stop waiting for
    it.
    """
    if process.exit_reason is not None:
        return
    if process.exit_requested != KILLED and not _end_idle_server(process, KILLED, sender):
        process.node.watch_killed(process)
        _cancel(process)


def _end_idle_server(process: Process, reason: ExitReason, sender: Pid[object] | None) -> bool:
    """
    Note why the process must end. An idle server runs no user code that had to be cancelled: it is
    woken instead, its loop returns, and that costs a fourth.
    """
    process.exit_requested = reason
    process.ended_by = sender
    if not process.idle:
        return False
    unpark(process)
    return True


def _cancel(process: Process) -> None:
    """Cancel the code of the process. One that has not run yet looks before its first step."""
    if process.scope is not None:
        process.scope.cancel()


# --- links and monitors ---------------------------------------------------------------


def link_processes(one: Process, other: Process) -> None:
    """Link two living processes; a second time changes nothing."""
    one.links[other] = None
    other.links[one] = None


def unlink_processes(one: Process, other: Process) -> None:
    """Undo ``link_processes``; an exit message that came already stays."""
    one.links.pop(other, None)
    other.links.pop(one, None)


def add_monitor(watcher: Process, target: Process, shown: Server[object]) -> Ref:
    """Have *watcher* get a ``Down`` that shows *shown* when *target* ends."""
    ref = watcher.runtime.new_ref()
    if watcher.monitors is None:
        watcher.monitors = {}
    if target.monitored_by is None:
        target.monitored_by = {}
    watcher.monitors[ref] = target
    target.monitored_by[ref] = (watcher, shown)
    return ref


def remove_monitor(watcher: Process, ref: Ref) -> None:
    """Undo ``add_monitor``; a ``Down`` that came already stays."""
    target = watcher.monitors.pop(ref, None) if watcher.monitors else None
    if target is not None and target.monitored_by is not None:
        target.monitored_by.pop(ref, None)


async def join(process: Process, timeout: float) -> bool:
    """Wait until the process has ended. Gives ``False`` if it has not within *timeout* seconds."""
    slot = OneShot[bool]()
    timer: Timer | None = None
    waiters = process.exit_waiters
    if waiters is None:
        waiters = process.exit_waiters = {}
    if process.exit_reason is not None:
        slot.put(True)
    else:
        waiters[slot] = None
        if timeout != math.inf:
            timer = process.node.timers.call_later(timeout, lambda: slot.put(False))
    try:
        return await slot.wait()
    finally:
        waiters.pop(slot, None)
        if timer is not None:
            timer.cancel()
