"""
A guard that is kept from one restart of its engine to the next.

A guard is an interpreter, and starting one takes as long as starting a small engine. So the guard
of an engine that has died waits for the next engine. No second guard is kept ready, and none costs
memory while the engine runs.

The guard belongs to a process of its own (`ReusableGuard._own_guard`). The engine's server and its
workers cannot own it, because they end with each crash. The state that outlives them cannot own it
either, because it has no end. The owner belongs to the node, and no process is linked to it. It
ends, and its guard with it,

1. when it is closed, as by a deliberate stop of the engine;
2. when the guard dies;
3. when no engine has come for some seconds: the supervisor has given up, or backs off;
4. when the tree closes. The owner gets its exit signal at the same moment as the engine's server.
   While the guard has an engine the owner waits, so that the server can stop the engine in order.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, final

import trio

import candil
from candil.engine._config.errors import EngineError, GuardUnavailable
from candil.engine._guard.guard import Guard, open_guard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from candil.engine._config.exit_status import ExitStatus
    from candil.engine._guard.os_process import OsProcess

IDLE_SECONDS: Final = 5.0
_CHANGED: Final = "the guard has changed"


@final
class ReusableGuard:
    """At most one guard, which one engine uses at a time."""

    def __init__(self) -> None:
        self._guard: Guard | None = None
        self._owner: candil.Pid[Any] | None = None
        self._ended: trio.Event | None = None

    async def run(self, process: OsProcess) -> ExitStatus:
        """
        Run *process* under the guard that waits, or under a new one. Call it from a process.

        A guard that died while it waited is replaced, and *process* is started by the new one.

        Returns:
            How the process ended, when nothing of it is left.

        Raises:
            OSError: No guard could be started, or the guard could not start the process: there
                are too many processes, too many open files, or too little memory.

            GuardUnavailable: There is no interpreter for a guard.

            EngineUnkillable: The process group outlived SIGKILL.

        Cancellation:
            The process is killed, and its death awaited; the guard stays.
        """
        while True:
            guard = await self._idle_guard(process.argv[0], process.env)
            # No checkpoint in between: another task could close the idle guard there.
            async with process.running(guard):
                status = await process.wait()
            if guard.runs == 1 or not process.never_started:
                return status

    def close_nowait(self) -> None:
        """End the guard as soon as it has no engine, without waiting for that."""
        self._guard = None  # the owner learns of it later; until then no engine may take the guard
        if self._owner is not None:
            candil.exit(self._owner, candil.Shutdown())

    async def close(self) -> None:
        """
        End the guard. Its engine has ended already.

        Returns:
            When nothing of it is left.
        """
        self.close_nowait()
        if self._ended is not None:
            await self._ended.wait()

    async def _idle_guard(self, name: str, env: Mapping[str, str]) -> Guard:
        """Return a guard without an engine; a new one runs in *env* and shows *name* in ``ps``."""
        if self._guard is not None and self._guard.is_free:
            return self._guard
        await self.close()
        return await self._start(name, env)

    async def _start(self, name: str, env: Mapping[str, str]) -> Guard:
        owner, ref = candil.spawn_monitor(self._own_guard, candil.self(), name, env)
        self._owner = owner
        try:
            answer = await candil.receive(
                lambda message: (
                    isinstance(message, Guard | OSError | EngineError)
                    or (isinstance(message, candil.Down) and message.ref == ref)
                )
            )
        finally:
            candil.demonitor(ref, flush=True)
        if isinstance(answer, Guard):
            return answer
        if isinstance(answer, OSError | EngineError):
            raise answer
        raise RuntimeError(f"the process that owns the guard has ended: {answer.reason}")

    async def _own_guard(self, user: candil.Pid[Any], name: str, env: Mapping[str, str]) -> None:
        """Run as the process that owns a guard."""
        candil.trap_exit(True)
        me = candil.self()
        ended = self._ended = trio.Event()
        try:
            async with open_guard(name, env, lambda: candil.send(me, _CHANGED)) as guard:
                self._guard = guard
                candil.send(user, guard)
                await _serve(guard)
        except (OSError, GuardUnavailable) as error:
            candil.send(user, error)
        finally:
            self._guard = None
            ended.set()


async def _serve(guard: Guard) -> None:
    """Keep *guard* until it is closed or dead, or has been idle for too long."""
    closed = False
    while not guard.closing:
        if guard.current is None and closed:
            return
        try:
            idle = IDLE_SECONDS if guard.current is None else inf
            message = await candil.receive(timeout=idle)
        except candil.ReceiveTimeout:
            closed = closed or guard.current is None
        else:
            closed = closed or isinstance(message, candil.ExitSignal)
