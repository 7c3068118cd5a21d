"""
candil's end of a guard (`program`): one process that runs one program after another.

Invariants:
1. The guard is started in the thread of the event loop (`command`), and without a checkpoint
   between the start and the ``finally`` that ends it.
2. What a program writes is read by the guard, whatever candil does: a pipe that is full wedges
   ``llama-server``, while its ``/health`` goes on saying that all is well. candil gets it from the
   guard, and may be slow.
3. A `Run` is reaped when nothing of its process group is alive and all it wrote was read.
4. The block of `open_guard` is left, also by cancellation and by errors, only when the guard is
   reaped, and its program dead; or `EngineUnkillable` says that the kernel would not do it.
5. A forked copy of candil has none of the pipes, or they would not end with candil.

stdout and stderr share one pipe: builds differ in which one they write to, and one pipe keeps
the order of the lines.
"""

from __future__ import annotations

import errno
import json
import os
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, final

import trio

from candil.engine._config.errors import EngineUnkillable
from candil.engine._config.exit_status import ExitStatus
from candil.engine._config.os_errors import is_shortage
from candil.engine._guard.command import start_guard
from candil.engine._system.forks import close_in_forked_child
from candil.engine._system.processes import group_is_alive, kill_group

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from candil.engine._guard.guarded_run import Run

# How long the guard may take to carry out a kill before candil kills the group itself, and how
# long the kernel then may take. Freeing the memory of a large model takes a while.
GUARD_SECONDS: Final = 1.0
KERNEL_SECONDS: Final = 10.0
_LAST_OUTPUT_SECONDS = 1.0
_LONGEST_END = 2 * (GUARD_SECONDS + KERNEL_SECONDS)  # never reached: `end` gives up before
_POLL_SECONDS = 0.002
_CHUNK = 64 << 10
_MOST_LAST_CHUNKS = 64  # a bound for whatever writes into the pipe at this moment


@final
class Guard:
    """
    A guard that lives; made by `open_guard` only.

    Attributes:
        pid: Its process id.
        run: The program that runs now.
        runs: How many programs it was told to start so far.
        closing: Whether it ends or has ended: no program can be started with it any more.
    """

    def __init__(self, name: str, env: Mapping[str, str], changed: Callable[[], None]) -> None:
        self.current: Run | None = None
        self.runs = 0
        self.closing = False
        self._changed = changed
        self._process, self._control, self._events, self._output = start_guard(name, env)
        self.pid = self._process.pid
        self._failure: OSError | None = None
        self._unsent = b""
        self._backlog = trio.Event()
        self._drained = trio.Event()
        self._reaped = trio.Event()
        self._scope = trio.CancelScope(shield=True)
        close_in_forked_child(self)

    @property
    def is_free(self) -> bool:
        """Whether it lives, as far as is known, and no program runs."""
        return self.current is None and not self.closing and self._process.poll() is None

    def launch(self, run: Run) -> None:
        """Start a program. If the guard proves to be dead, the run ends and never started."""
        assert self.current is None, "a guard runs one program at a time"
        if self.closing:
            run.reaped.set()
            return
        self.current = run
        self.runs += 1
        self._wake()
        self.write(run.as_command())

    def write(self, data: bytes) -> None:
        """Write to the guard, without waiting: what the pipe has no room for follows later."""
        self._unsent += data
        self._flush()

    def force(self) -> None:
        """Kill the program's group, and the guard, which does not do it."""
        run = self.current
        if run is not None and run.pid is not None and run.status is None:
            # Not buried by the guard yet, as far as is known: the number is still this group's.
            kill_group(run.pid, signal.SIGKILL)
        self._process.kill()

    def abandon(self) -> None:
        """End the run, and the use of this guard, though the kernel does not end its processes."""
        self.closing = True
        self._end_run()

    def close_in_child(self) -> None:
        """Close what a forked copy of candil has inherited; candil's own stays as it is."""
        for fd in (self._control, self._events, self._output):
            if fd >= 0:
                os.close(fd)
        self._control = self._events = self._output = -1

    # --- the inside: called by `open_guard` only

    async def run(self) -> None:
        """Read what guard and program write, until both are dead."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._drain)
                nursery.start_soon(self._write_backlog)
                await self._read_events()
                self.closing = True
                self._changed()
                await self._reap()
                nursery.cancel_scope.cancel()

    async def end(self) -> None:
        """End the guard, and the program with it; return when nothing is left."""
        self.closing = True
        self._wake()
        # The end of the file means the same, but does not come while some other process has
        # inherited the pipe; and a command does not come while the pipe is full.
        self.write(b"Q")
        self._close_control()
        try:
            with trio.move_on_after(GUARD_SECONDS):
                await self._reaped.wait()
                return
            self.force()
            with trio.move_on_after(KERNEL_SECONDS):
                await self._reaped.wait()
                return
            pid = None if self.current is None else self.current.pid
            raise EngineUnkillable(pid or self.pid, KERNEL_SECONDS)
        finally:
            self._scope.cancel()

    def close(self) -> None:
        """Close what is still open, and end the run, so that no task waits for it any more."""
        self._close_control()
        self.close_in_child()
        self._end_run()

    def _wake(self) -> None:
        """Continue it, if it was stopped; otherwise the signal means nothing to it."""
        self._process.send_signal(signal.SIGCONT)

    # --- writing to it

    def _flush(self) -> None:
        try:
            while self._unsent and self._control >= 0:
                self._unsent = self._unsent[os.write(self._control, self._unsent) :]
        except BlockingIOError:
            self._backlog.set()
        except OSError:  # the guard is gone, and so is the engine
            self._unsent = b""

    async def _write_backlog(self) -> None:
        """Write what the pipe had no room for: an environment may be large."""
        while True:
            await self._backlog.wait()
            self._backlog = trio.Event()
            if self._control >= 0:
                with suppress(trio.ClosedResourceError):
                    await trio.lowlevel.wait_writable(self._control)
                    self._flush()

    def _close_control(self) -> None:
        control, self._control = self._control, -1
        self._unsent = b""
        if control >= 0:
            trio.lowlevel.notify_closing(control)
            os.close(control)

    # --- reading from it

    async def _drain(self) -> None:
        """Read what the guard writes on until no process is left that could write."""
        while True:
            await trio.lowlevel.wait_readable(self._output)
            if self._read_output() == b"":
                break
        self._drained.set()

    def _read_output(self) -> bytes | None:
        """Take what is in the pipe: ``b""`` at its end, ``None`` if it is empty."""
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return None
        if self.current is not None:
            self.current.sink(data)
        return data

    async def _read_events(self) -> None:
        unfinished = b""
        while True:
            await trio.lowlevel.wait_readable(self._events)
            data = os.read(self._events, _CHUNK)
            if not data:
                return
            *lines, unfinished = (unfinished + data).split(b"\n")
            for line in lines:
                self._handle_event(json.loads(line))

    def _handle_event(self, event: dict[str, Any]) -> None:
        match event:
            case {"event": "failed", "errno": int(number)}:
                self._failure = _error(number)
            case _ if self.current is not None:
                self._handle_event_of(self.current, event)
            case _:
                assert self.closing, f"the guard reported {event!r} of no program"

    def _handle_event_of(self, run: Run, event: dict[str, Any]) -> None:
        match event:
            case {"event": "started", "pid": int(pid)}:
                run.pid = pid
                run.started.set()
            case {"event": "start_failed", "errno": int(number)}:
                self._note_failed_start(run, _error(number))
            case {"event": "exited", "status": int(raw)}:
                run.status = ExitStatus(os.waitstatus_to_exitcode(raw))
            case {"event": "log_failed", "errno": int(number)}:
                run.log_failed(_error(number))
            case {"event": "reaped"}:
                self._read_last_output()
                self._end_run()
            case _:
                raise AssertionError(f"the guard reported {event!r}")

    def _note_failed_start(self, run: Run, error: OSError) -> None:
        run.status = ExitStatus(None, exec_error=error.strerror)
        run.shortage = error if is_shortage(error) else None

    def _early_end(self) -> OSError:
        """
        Return why a new guard ended before it could report anything.

        This interpreter has run before, and so it lacked memory: it could not load its libraries,
        or the kernel killed it. A guard that has served is replaced instead.
        """
        ended = ExitStatus(self._process.returncode).describe()
        return OSError(errno.EAGAIN, f"the guard ended before it started the engine: {ended}")

    def _end_run(self) -> None:
        run, self.current = self.current, None
        if run is not None:
            run.reaped.set()
            self._changed()

    def _read_last_output(self) -> None:
        for _ in range(_MOST_LAST_CHUNKS):
            if not self._read_output():
                return

    async def _reap(self) -> None:
        """Await the end of guard and program: the guard has closed its pipes by dying."""
        while self._process.poll() is None:  # noqa: ASYNC110 - a matter of microseconds
            await trio.sleep(_POLL_SECONDS)
        run = self.current
        if run is not None:
            await self._ensure_dead(run)
            with trio.move_on_after(_LAST_OUTPUT_SECONDS):
                await self._drained.wait()
            if run.pid is None and run.status is None and self.runs == 1:
                self._note_failed_start(run, self._failure or self._early_end())
            self._end_run()
        self._reaped.set()

    async def _ensure_dead(self, run: Run) -> None:
        """Kill the group where the guard cannot have done so, and await its death."""
        if run.pid is None or self._process.returncode == 0:
            return
        kill_group(run.pid, signal.SIGKILL)
        while self.current is run and group_is_alive(run.pid):  # noqa: ASYNC110 - not our children
            await trio.sleep(_POLL_SECONDS)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@asynccontextmanager
async def open_guard(
    name: str, env: Mapping[str, str], changed: Callable[[], None] = lambda: None
) -> AsyncGenerator[Guard]:
    """
    Have a guard while the block lasts.

    Args:
        name: What it guards, for those who look at the list of processes.

        env: The guard's own environment.

        changed: Called when a run has ended, and when the guard has.

    Raises:
        GuardUnavailable: There is no interpreter for it.

        OSError: No process could be started: too many, or too many open files.

        EngineUnkillable: Guard or program outlived SIGKILL.

    Cancellation:
        Ends the guard and its program, and awaits their death.
    """
    guard = Guard(name, env, changed)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard.run)
            try:
                yield guard
            finally:
                with trio.move_on_after(_LONGEST_END, shield=True):
                    await guard.end()
    finally:
        guard.close()
