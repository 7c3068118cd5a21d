"""
One operating-system process under a guard, for as long as an ``async with`` block lasts.

Invariants:
1. The guard is started by a plain `subprocess.Popen` in the thread of the event loop, never by
   trio, and without a checkpoint between the start and the ``finally`` that ends it (`_guard`
   says why).
2. What the process writes is read from the first moment until after its death: a pipe that is
   full wedges ``llama-server``, while its ``/health`` goes on saying that all is well.
3. The block is left, also by cancellation and by errors, only when nothing of the process group
   is alive and the guard is buried; or `EngineUnkillable` says that the kernel would not do it.

stdout and stderr share one pipe: builds differ in which one they write to, and one pipe keeps
the order of the lines.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, final

import attrs
import trio

from candil.engine._errors import EngineUnkillable
from candil.engine._groups import group_is_alive, kill_group
from candil.engine._log_tail import LogTail

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from candil.engine._log_file import LogFile

GRACE: Final = 1.5
_GUARD: Final = Path(__file__).with_name("_guard.py")
# How long the guard may take to carry out a kill before candil kills the group itself, and how
# long the kernel then may take. Freeing the memory of a large model takes a while.
_GUARD_SECONDS = 1.0
_KERNEL_SECONDS = 10.0
_LAST_WORDS_SECONDS = 1.0
_LONGEST_END = 2 * (_GUARD_SECONDS + _KERNEL_SECONDS)  # never reached: `stop` gives up before
_LOOK_SECONDS = 0.002
_CHUNK = 64 << 10


@final
@attrs.frozen
class ExitStatus:
    """
    How a process ended.

    Attributes:
        returncode: The exit code; negative, the signal; ``None``: not known, because the guard
            ended first, or because the program never ran.
        exec_error: Why the program could not be executed, if it could not.
    """

    returncode: int | None
    exec_error: str | None = None

    @property
    def killed(self) -> bool:
        """Whether a signal ended it, as far as is known."""
        return self.returncode is not None and self.returncode < 0

    def describe(self) -> str:
        """Say it in words."""
        if self.exec_error is not None:
            return f"it could not be executed: {self.exec_error}"
        if self.returncode is None:
            return "its guard process was killed, and it with its guard"
        if self.returncode >= 0:
            return f"it exited with status {self.returncode}"
        name = _signal_name(-self.returncode)
        hint = " (if nobody sent it: probably out of memory)" if name == "SIGKILL" else ""
        return f"it was killed by {name}{hint}"


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"  # a real-time signal has no name


@final
class OsProcess:
    """
    A process in its own session, with a guard beside it.

    It runs while the block of `running` lasts::

        async with OsProcess(argv, env=env).running() as process:
            status = await process.wait()

    Attributes:
        argv: The program, as a path, and its arguments.
        pid: Its process id, which is its group's too; ``None`` until it runs.
        tail: What it wrote last.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        tail: LogTail | None = None,
        log: LogFile | None = None,
    ) -> None:
        self.argv = tuple(argv)
        self.pid: int | None = None
        self.tail = LogTail() if tail is None else tail
        self._env = dict(env)
        self._log = log
        self._status: ExitStatus | None = None
        self._gone = trio.Event()
        self._drained = trio.Event()
        self._scopes = [trio.CancelScope(shield=True), trio.CancelScope(shield=True)]
        self._guard: subprocess.Popen[bytes]
        self._control = -1
        self._facts: trio.lowlevel.FdStream
        self._output: trio.lowlevel.FdStream

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        """
        Run the process, once; leaving the block kills what is left of it.

        Raises:
            OSError: No process could be started at all: too many, or too many open files. A
                program that cannot be executed is no error here but the `ExitStatus` of `wait`.
            EngineUnkillable: The process group outlived SIGKILL.

        Cancellation:
            The group is killed, without grace, and its death awaited.
        """
        self._launch()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._drain)
                nursery.start_soon(self._attend)
                try:
                    yield self
                finally:
                    with trio.move_on_after(_LONGEST_END, shield=True):
                        await self._finish()
        finally:
            self._close()

    @property
    def guard_pid(self) -> int:
        """The process id of the guard."""
        return self._guard.pid

    @property
    def is_running(self) -> bool:
        """Whether it has been started and something of it, or its guard, may be alive."""
        return self._control >= 0 and not self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether process, group and guard are dead, and all it wrote is in the tail."""
        return self._gone.is_set()

    async def wait(self) -> ExitStatus:
        """
        Wait until nothing of the process is left, and return how it ended.

        Cancellation:
            Safe; the process goes on.
        """
        await self._gone.wait()
        return self._status or ExitStatus(None)

    def terminate(self) -> None:
        """Send SIGTERM to the process group. A process that is gone is left in peace."""
        self._order(b"T")

    def kill(self) -> None:
        """Send SIGKILL to the process group. A process that is gone is left in peace."""
        self._order(b"K")

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
            if grace > 0 and not self.is_gone:
                self.terminate()
                with trio.move_on_after(grace):
                    await self._gone.wait()
        finally:
            if not self.is_gone:
                with trio.CancelScope(shield=True):
                    await self._force()
        return await self.wait()

    async def _force(self) -> None:
        """Kill the group through the guard; without it, if the guard does not react."""
        self.kill()
        with trio.move_on_after(_GUARD_SECONDS):
            await self._gone.wait()
            return
        if self.pid is not None and self._status is None:
            # Not buried by the guard yet, as far as is known: the number is still this group's.
            kill_group(self.pid, signal.SIGKILL)
        self._guard.kill()
        with trio.move_on_after(_KERNEL_SECONDS):
            await self._gone.wait()
            return
        raise EngineUnkillable(self.pid or self._guard.pid, _KERNEL_SECONDS)

    # --- the inside: from launch to close, called by `running` only

    def _launch(self) -> None:
        ours: list[int] = []
        theirs: list[int] = []
        try:
            for mine, other in ((1, 0), (0, 1), (0, 1)):  # orders go out; facts and output come in
                ends = os.pipe()
                ours.append(ends[mine])
                theirs.append(ends[other])
            self._guard = _start_guard(self.argv, self._env, *theirs)
        except BaseException:
            for fd in ours:
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        self._control, facts, output = ours
        os.set_blocking(self._control, False)
        self._facts = trio.lowlevel.FdStream(facts)
        self._output = trio.lowlevel.FdStream(output)

    def _order(self, letter: bytes) -> None:
        with suppress(OSError):  # the guard is gone, and so is the engine
            os.write(self._control, letter)

    async def _drain(self) -> None:
        """Read what the process writes until nobody is left to write."""
        with self._scopes[0]:
            while data := await self._output.receive_some(_CHUNK):
                self.tail.feed(data)
                if self._log is not None:
                    self._log.write(data)
        self._drained.set()

    async def _attend(self) -> None:
        """Follow the guard's reports to their end, which is the guard's; then make sure."""
        with self._scopes[1]:
            await self._read_facts()
            # It has closed its ends of the pipes by dying: a matter of microseconds.
            while self._guard.poll() is None:  # noqa: ASYNC110 - nothing announces it
                await trio.sleep(_LOOK_SECONDS)
            await self._see_group_dead()
            with trio.move_on_after(_LAST_WORDS_SECONDS):
                await self._drained.wait()
            self._gone.set()

    async def _read_facts(self) -> None:
        unfinished = b""
        while data := await self._facts.receive_some():
            *lines, unfinished = (unfinished + data).split(b"\n")
            for line in lines:
                self._note(json.loads(line))

    def _note(self, fact: dict[str, Any]) -> None:
        match fact:
            case {"event": "started", "pid": int(pid)}:
                self.pid = pid
            case {"event": "exec_failed", "errno": int(number)}:
                self._status = ExitStatus(None, exec_error=os.strerror(number))
            case {"event": "exited", "status": int(raw)}:
                self._status = ExitStatus(os.waitstatus_to_exitcode(raw))
            case _:
                raise AssertionError(f"the guard said {fact!r}")

    async def _see_group_dead(self) -> None:
        """Make sure of the group's death where the guard cannot have done so."""
        if self.pid is None or self._guard.returncode == 0:
            return
        kill_group(self.pid, signal.SIGKILL)
        while group_is_alive(self.pid):  # noqa: ASYNC110 - they are not our children
            await trio.sleep(_LOOK_SECONDS)

    async def _finish(self) -> None:
        """Kill what is left, and end the two tasks, also when the kill failed."""
        try:
            await self.stop(grace=0)
        finally:
            for scope in self._scopes:
                scope.cancel()

    def _close(self) -> None:
        os.close(self._control)  # to a guard that still lives, this too is the order to kill
        self._facts.close()
        self._output.close()
        if self._log is not None:
            self._log.close()


def _start_guard(
    argv: Sequence[str], env: Mapping[str, str], control: int, status: int, output: int
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", str(_GUARD)]
    return subprocess.Popen(  # noqa: S603 - our own file, and no shell
        [*command, str(control), str(status), str(os.getpid()), *argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(control, status),
        env=dict(env),
        # A Ctrl-C at the terminal is for candil, which stops its engines in order.
        start_new_session=True,
    )
