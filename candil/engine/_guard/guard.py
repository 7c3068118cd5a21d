"""
candil's end of a guard (`program`): one process that runs one program after another.

Invariants:
1. The guard is started in the thread of the event loop (`command`), and without a checkpoint
   between the start and the ``finally`` that ends it.
2. What a program writes is read from the first moment until after its death: a pipe that is full
   wedges ``llama-server``, while its ``/health`` goes on saying that all is well.
3. A `Run` is over when nothing of its process group is alive and all it wrote was read.
4. The block of `open_guard` is left, also by cancellation and by errors, only when the guard is
   buried, and what it guarded dead; or `EngineUnkillable` says that the kernel would not do it.

stdout and stderr share one pipe: builds differ in which one they write to, and one pipe keeps
the order of the lines. The guard holds it open between two programs, so its end does not mark
the end of a program's words; but once the guard has buried the program nobody is left to write,
and what the pipe holds then is all.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, final

import trio

from candil.engine._config.errors import EngineUnkillable
from candil.engine._config.exit_status import ExitStatus
from candil.engine._guard.command import start_guard
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
_MOST_LAST_CHUNKS = 64  # without a subreaper somebody may be left who writes for ever


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
        self._process, self._control, events, self._output = start_guard(name, env)
        self.pid = self._process.pid
        self._events = trio.lowlevel.FdStream(events)
        self._unsent = b""
        self._backlog = trio.Event()
        self._drained = trio.Event()
        self._reaped = trio.Event()
        self._scope = trio.CancelScope(shield=True)

    @property
    def is_free(self) -> bool:
        """Whether it lives, as far as is known, and no program runs."""
        return self.current is None and not self.closing and self._process.poll() is None

    def launch(self, run: Run) -> None:
        """Start a program. If the guard proves to be dead, the run is over and never began."""
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

    def give_up(self) -> None:
        """Let the run be over though the kernel does not end its processes."""
        run, self.current = self.current, None
        if run is not None:
            run.reaped.set()
            self._changed()

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
        self._close_control()  # the order to kill, and to end
        self._process.terminate()  # the same, should a forked copy of candil hold the pipe open
        self._wake()
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
        """Close what is still open, and let nobody wait any more."""
        self._close_control()
        self._events.close()
        os.close(self._output)
        self.give_up()

    def _wake(self) -> None:
        """Let it go on if somebody has stopped it; it takes this signal as nothing else."""
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
        """Read what the program writes until nobody is left who could."""
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
        while data := await self._events.receive_some():
            *lines, unfinished = (unfinished + data).split(b"\n")
            for line in lines:
                self._handle_event(json.loads(line))

    def _handle_event(self, event: dict[str, Any]) -> None:
        run = self.current
        assert run is not None, f"the guard said {event!r} of nothing"
        match event:
            case {"event": "started", "pid": int(pid)}:
                run.pid = pid
                run.started.set()
            case {"event": "exec_failed", "errno": int(number)}:
                run.status = ExitStatus(None, exec_error=os.strerror(number))
            case {"event": "exited", "status": int(raw)}:
                run.status = ExitStatus(os.waitstatus_to_exitcode(raw))
            case {"event": "reaped"}:
                self._read_last_output()
                self.give_up()
            case _:
                raise AssertionError(f"the guard said {event!r}")

    def _read_last_output(self) -> None:
        for _ in range(_MOST_LAST_CHUNKS):
            if not self._read_output():
                return

    async def _reap(self) -> None:
        """See to the end of guard and program: the guard has closed its pipes by dying."""
        while self._process.poll() is None:  # noqa: ASYNC110 - a matter of microseconds
            await trio.sleep(_POLL_SECONDS)
        if self.current is not None:
            await self._ensure_dead(self.current)
            with trio.move_on_after(_LAST_OUTPUT_SECONDS):
                await self._drained.wait()
            self.give_up()
        self._reaped.set()

    async def _ensure_dead(self, run: Run) -> None:
        """Make sure of the group's death where the guard cannot have done so."""
        if run.pid is None or self._process.returncode == 0:
            return
        kill_group(run.pid, signal.SIGKILL)
        while self.current is run and group_is_alive(run.pid):  # noqa: ASYNC110 - not our children
            await trio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def open_guard(
    name: str, env: Mapping[str, str], changed: Callable[[], None] = lambda: None
) -> AsyncGenerator[Guard]:
    """
    Have a guard while the block lasts.

    Args:
        name: What it guards, for those who look at the list of processes.

        env: The guard's own environment.

        changed: Called when a run is over, and when the guard is lost.

    Raises:
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
