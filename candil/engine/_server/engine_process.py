"""
One start of ``llama-server``, from its command line until nothing of it is left.

States go one way::

    NEW ──► STARTED ──► EXITED ──► REAPED
     └───────────────────────────────▲      it never came to a process
"""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING, final

import trio

from candil.engine._config.command import argv, environment, too_long
from candil.engine._guard.os_process import OsProcess

if TYPE_CHECKING:
    from pathlib import Path

    from candil.engine._config.engine import Engine
    from candil.engine._config.exit_status import ExitStatus
    from candil.engine._config.model import Model
    from candil.engine._server.restart_state import RestartState


@final
class ProcessState(enum.Enum):
    """What there is of an engine's operating-system process."""

    NEW = "new"
    """No program runs yet."""
    STARTED = "started"
    """The program runs, and will go on running as far as the kernel knows."""
    EXITED = "exited"
    """The program has exited, or is about to: it answers no more. Something of it may be left."""
    REAPED = "reaped"
    """Nothing of its process group is left, and all its output was read."""


@final
class EngineProcess:
    """
    One start of the program.

    Each wait has one method: ``wait_started``, ``wait_reaped``, and the event of ``next_output``.

    Attributes:
        nonce: A word by which our own server is recognised on the port.

        argv: The command line.

        log_path: The file for what it writes.

        overdue: Whether it was killed because it was not ready in time.
    """

    def __init__(
        self, engine: Engine, model: Model, restart_state: RestartState, log_path: Path | None
    ) -> None:
        self.nonce = os.urandom(8).hex()
        self.argv = argv(
            engine,
            model,
            port=restart_state.lease.acquire(),
            nonce=self.nonce,
            without=restart_state.unsupported_flags,
        )
        self.overdue = False
        self._os_process = OsProcess(
            self.argv,
            env=environment(os.environ),
            log_path=log_path,
            folder=restart_state.working_directory,
        )
        self.log_path = log_path
        self._restart_state = restart_state
        self._has_owner = False
        self._reaped = trio.Event()

    @property
    def state(self) -> ProcessState:
        """The state now. The kernel is asked: it knows of an exit before the guard reports it."""
        if self._reaped.is_set() or self._os_process.is_reaped:
            return ProcessState.REAPED
        if self._os_process.pid is None:
            return ProcessState.NEW
        return ProcessState.STARTED if self._os_process.is_alive else ProcessState.EXITED

    @property
    def pid(self) -> int | None:
        """Its process id while there is a process."""
        if self._reaped.is_set() or self._os_process.is_reaped:
            return None
        return self._os_process.pid

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines that it wrote."""
        return self._os_process.tail.lines()

    async def run(self) -> ExitStatus:
        """
        Run the program under the guard, once no earlier process of this engine is left.

        Returns:
            How it ended.

        Raises:
            OSError: No process could be started.

            EngineUnkillable: Something of it outlived SIGKILL.

        Cancellation:
            The program is killed, and its end awaited.
        """
        async with self._restart_state.process_lock:
            return await self._restart_state.guard.run(self._os_process)

    @property
    def unchecked_log(self) -> Path | None:
        """Its log file, if no start has been able to write it yet."""
        return None if self._restart_state.log_is_checked else self.log_path

    def note_log_checked(self) -> None:
        """Note that the log file can be written."""
        self._restart_state.log_is_checked = True

    def take(self) -> None:
        """Note that a task owns the process; it calls ``note_reaped`` whatever happens."""
        self._has_owner = True

    def note_reaped(self) -> None:
        """Note that nothing of the process is left, or that it never came to one."""
        self._reaped.set()

    async def wait_started(self) -> None:
        """Wait until it has a process id. Cancellation: safe."""
        await self._os_process.started.wait()

    async def wait_reaped(self) -> None:
        """Wait until nothing of it is left. One that no task has taken has nothing."""
        if self._has_owner:
            await self._reaped.wait()

    def too_long(self) -> str:
        """Return which argument or variable is too long for the system."""
        return too_long(self.argv, self._os_process.env)

    def next_output(self) -> trio.Event:
        """Return an event that is set when the program writes again."""
        event = self._os_process.output_seen = trio.Event()
        return event

    def kill(self) -> None:
        """Send SIGKILL to the process group, if there is one."""
        self._os_process.kill()

    async def stop(self, grace: float) -> None:
        """
        End the process: SIGTERM, *grace* seconds, SIGKILL; return when nothing of it is left.

        Raises:
            EngineUnkillable: Something of it outlived SIGKILL.
        """
        if self._os_process.is_running:
            await self._os_process.stop(grace)
