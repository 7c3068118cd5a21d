"""
One operating-system process under a guard, for as long as an ``async with`` block lasts.

The block is left, also by cancellation and by errors, only when nothing of the process group is
alive; or `EngineUnkillable` says that the kernel would not do it. How: `guard`.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, Self, final

import trio

import candil
from candil.engine._config.errors import EngineUnkillable
from candil.engine._config.exit_status import ExitStatus
from candil.engine._config.log_path import LogFileFailed
from candil.engine._guard.guard import GUARD_SECONDS, KERNEL_SECONDS, Guard, open_guard
from candil.engine._guard.guarded_run import Run, present_folder
from candil.engine._system.log_tail import LogTail
from candil.engine._system.processes import is_dying

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

GRACE: Final = 1.5


@final
class OsProcess:
    """
    A process in a group of its own, in the session of its guard.

    It runs while the block of `running` lasts::

        async with OsProcess(argv, env=env).running() as process:
            status = await process.wait()

    Attributes:
        argv: The program, as a path, and its arguments.
        env: Its environment.
        tail: What it wrote last, as far as candil has read it.
        started: Set when it has a process id.
        output_seen: Set when it writes; to wait for the next time, put a new one in its place.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        tail: LogTail | None = None,
        log_path: Path | None = None,
        folder: str | None = None,
    ) -> None:
        self.argv = tuple(argv)
        self.tail = LogTail() if tail is None else tail
        self.started = trio.Event()
        self.output_seen = trio.Event()
        self.env = dict(env)
        self._log_path = log_path
        self._folder = folder
        self._run: Run | None = None
        self._guard: Guard | None = None

    @asynccontextmanager
    async def running(self, guard: Guard | None = None) -> AsyncGenerator[Self]:
        """
        Run the process; leaving the block kills what is left of it.

        Args:
            guard: The guard that starts it, and lives on afterwards; ``None`` starts one for it.

        Raises:
            OSError: No guard could be started: too many processes, or too many open files.
            EngineUnkillable: The process group outlived SIGKILL.

        Cancellation:
            The group is killed, without grace, and its death awaited.
        """
        async with AsyncExitStack() as stack:
            if guard is None:
                guard = await stack.enter_async_context(open_guard(self.argv[0], self.env))
            self._guard = guard
            self._run = Run(
                self.argv,
                self.env,
                self._take_output,
                present_folder() if self._folder is None else self._folder,
                self._log_path,
                self._report_log_failure,
                started=self.started,
            )
            guard.launch(self._run)
            try:
                yield self
            finally:
                with trio.CancelScope(shield=True):
                    await self.stop(grace=0)

    @property
    def pid(self) -> int | None:
        """Its process id, which is its group's too; ``None`` until it runs."""
        return None if self._run is None else self._run.pid

    @property
    def guard_pid(self) -> int:
        """The process id of the guard."""
        assert self._guard is not None, "it has not been started"
        return self._guard.pid

    @property
    def is_running(self) -> bool:
        """Whether it has been started and something of it may be alive."""
        return self._run is not None and not self._run.reaped.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether it runs and will still answer: neither it nor its guard is dying."""
        if self.pid is None or not self.is_running:
            return False
        return not is_dying(self.pid) and not is_dying(self.guard_pid)

    @property
    def is_reaped(self) -> bool:
        """Whether process and group are dead, and all it wrote is in the tail."""
        return self._run is not None and self._run.reaped.is_set()

    @property
    def never_started(self) -> bool:
        """Whether the guard ended before it reported anything about the process."""
        return self._run is not None and self._run.never_started

    async def wait(self) -> ExitStatus:
        """
        Wait until nothing of the process is left, and return how it ended.

        A program that cannot be executed is no error here but an `ExitStatus` that says so.

        Raises:
            OSError: The system had too few processes, files or memory to start it.

        Cancellation:
            Safe; the process goes on.
        """
        status = await self._wait_reaped()
        if self._run is not None and self._run.shortage is not None:
            raise self._run.shortage
        return status

    def terminate(self) -> None:
        """Send SIGTERM to the process group. It means nothing to one that has ended."""
        self._command(b"T")

    def kill(self) -> None:
        """Send SIGKILL to the process group. It means nothing to one that has ended."""
        self._command(b"K")

    async def stop(self, grace: float = GRACE) -> ExitStatus:
        """
        End the process: SIGTERM, *grace* seconds, SIGKILL; return when nothing of it is left.

        Args:
            grace: Seconds between the two signals; 0 goes straight to the second.

        Raises:
            EngineUnkillable: Something of the group outlived SIGKILL.

        Cancellation:
            Cuts the grace short; the kill itself is carried through, bounded in time.
        """
        try:
            if grace > 0 and not self.is_reaped:
                self.terminate()
                with trio.move_on_after(grace):
                    await self._wait_reaped()
        finally:
            if not self.is_reaped:
                with trio.CancelScope(shield=True):
                    await self._force()
        return await self._wait_reaped()

    async def _wait_reaped(self) -> ExitStatus:
        assert self._run is not None, "it has not been started"
        await self._run.reaped.wait()
        return self._run.status or ExitStatus(None)

    async def _force(self) -> None:
        """Kill the group through the guard; without it, if the guard does not react."""
        assert self._guard is not None, "it has not been started"
        self.kill()
        with trio.move_on_after(GUARD_SECONDS):
            await self._wait_reaped()
            return
        self._guard.force()
        with trio.move_on_after(KERNEL_SECONDS):
            await self._wait_reaped()
            return
        self._guard.abandon()
        raise EngineUnkillable(self.pid or self._guard.pid, KERNEL_SECONDS)

    def _command(self, letter: bytes) -> None:
        if self._guard is not None and self.is_running:  # else it would reach the next program
            self._guard.write(letter)

    def _take_output(self, data: bytes) -> None:
        self.output_seen.set()
        self.tail.feed(data)

    def _report_log_failure(self, error: OSError) -> None:
        assert self._log_path is not None, "it has no log file"
        candil.emit(LogFileFailed(self._log_path, error.strerror or str(error)))
