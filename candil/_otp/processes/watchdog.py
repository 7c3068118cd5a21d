"""
A thread that notices when the event loop stands still, and says whose code it is in.

1. It looks at the loop's innermost frame ten times a second. In trio's own wait there is nothing to
   do, so an idle program is never woken, and a virtual clock never disturbed.
2. Otherwise it asks the loop for a sign of life. If none comes in time the loop is blocked, and the
   stack is taken then and there.
3. As long as it lasts, ``Runtime.while_blocked`` may do what the loop itself cannot.
4. The log hears of it from a thread at once, since the loop cannot run; other subscribers when it
   runs again. A log that cannot be written holds up that thread, and not the watch.
5. In guest mode trio waits in a thread of its own, which is looked for instead: the host's loop is
   in its own wait then, and is not to be woken.
6. A debugger that waits at its prompt keeps the loop from running for as long as it is wanted. That
   is no fault, so it is not reported, and its time does not count.
"""

from __future__ import annotations

import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, final

import attrs
import trio

from candil._otp.processes.trio_internals import is_idle_wait, running_process
from candil._otp.values.events import LoopBlocked

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

    from candil._otp.processes.runtime import Runtime

PERIOD = 0.1
BLOCKED_AFTER = 0.25
# bdb is under pdb, ipdb and pudb; the others are under the debuggers of editors.
DEBUGGERS = frozenset(
    {
        "bdb",
        "pdb",
        "debugpy",
        "pydevd",
        "_pydevd_bundle",
        "_pydevd_frame_eval",
        "_pydevd_sys_monitoring",
    }
)


@final
@attrs.define(eq=False)
class Watchdog:
    """Watches the loop of the thread that it was made in."""

    runtime: Runtime
    token: trio.lowlevel.TrioToken
    thread_id: int
    io_manager: object = None  # trio's, in guest mode
    _stopped: threading.Event = attrs.field(factory=threading.Event)
    _alive: threading.Event = attrs.field(factory=threading.Event)

    def run(self) -> None:
        """Watch until stopped; the thread's body."""
        while not self._stopped.wait(PERIOD):
            if self._loop_waits():
                continue
            self._alive.clear()
            try:
                self.token.run_sync_soon(self._alive.set, idempotent=True)
            except trio.RunFinishedError:
                return
            if not self._alive.wait(BLOCKED_AFTER):
                debugged = self._is_debugged()
                if not debugged:
                    self._report()
                self._wait_until_alive(debugged=debugged)

    def stop(self) -> None:
        """End the thread soon."""
        self._stopped.set()
        self._alive.set()

    def _loop_waits(self) -> bool:
        if self.io_manager is not None:
            return any(map(self._is_guests_wait, _current_frames().values()))
        frame = _frame_of(self.thread_id)
        return frame is None or is_idle_wait(frame)

    def _is_guests_wait(self, frame: FrameType) -> bool:
        code = frame.f_code
        return code.co_name == "get_events" and frame.f_locals.get("self") is self.io_manager

    def _is_debugged(self) -> bool:
        frame = _frame_of(self.thread_id)
        while frame is not None and not _is_debuggers(frame):
            frame = frame.f_back
        return frame is not None

    def _wait_until_alive(self, *, debugged: bool = False) -> None:
        seconds = PERIOD + BLOCKED_AFTER  # by counting: a program that was stopped is not blocked
        while not self._stopped.is_set() and not self._alive.wait(PERIOD):
            debugged = debugged or self._is_debugged()  # and then until the loop runs again
            if not debugged:
                seconds += PERIOD
            if self.runtime.while_blocked is not None:
                self.runtime.while_blocked(seconds)

    def _report(self) -> None:
        frame = _frame_of(self.thread_id)
        if frame is None or self._stopped.is_set():
            return
        process, depth = running_process(frame)
        stack = "".join(traceback.format_stack(frame)[-depth:])
        event = LoopBlocked(process.pid if process else None, PERIOD + BLOCKED_AFTER, stack)
        if self.runtime.log is not None:
            with suppress(RuntimeError):  # no thread can be had, as while the interpreter ends
                threading.Thread(target=self.runtime.log, args=[event], daemon=True).start()
        with suppress(trio.RunFinishedError):
            self.token.run_sync_soon(self.runtime.notify_subscribers, event)


def _current_frames() -> dict[int, FrameType]:
    return sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # documented, and the only way


def _frame_of(thread_id: int) -> FrameType | None:
    # Not in a local variable: the frame of this function is among them, and a cycle of the two
    # would keep the locals of every frame until the collector comes.
    return _current_frames().get(thread_id)


def _is_debuggers(frame: FrameType) -> bool:
    module: str = frame.f_globals.get("__name__", "")
    if module == "code":
        return frame.f_code.co_name == "interact"  # a console, in its loop
    return module.partition(".")[0] in DEBUGGERS


def _guests_io_manager() -> Any:
    """Return what trio waits with if it is a guest in another loop; else ``None``."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # documented
    while frame is not None and frame.f_code.co_name != "guest_tick":
        frame = frame.f_back
    return None if frame is None else frame.f_locals["self"].runner.io_manager


@contextmanager
def open_watchdog(runtime: Runtime) -> Generator[None]:
    """Watch the current loop while the block lasts: one thread, however many blocks are open."""
    if runtime.watch is None:
        token, here = trio.lowlevel.current_trio_token(), threading.get_ident()
        watch = runtime.watch = Watchdog(runtime, token, here, _guests_io_manager())
        threading.Thread(target=watch.run, name="candil loop watch", daemon=True).start()
    runtime.watched += 1
    try:
        yield
    finally:
        runtime.watched -= 1
        if runtime.watched == 0:
            runtime.watch.stop()
            runtime.watch = None
