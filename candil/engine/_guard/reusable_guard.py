"""
The post of an engine's guard, which it keeps from one restart of the engine to the next.

A guard is an interpreter, and starting one takes as long as starting a small engine. So the guard
of an engine that has died waits for the next: no second one is kept ready, and none costs memory
while the engine runs.

It is owned by a process of its own (`GuardPost._host`): not by the engine's server or its keeper,
which end with each crash, and not by the lineage, which has no end. The host belongs to the node,
and nobody is linked to it. It ends, and its guard with it,

1. when it is dismissed, as by a deliberate stop of the engine;
2. when the guard dies;
3. when no engine has come for some seconds: the supervisor has given up, or backs off;
4. when the tree closes. Whoever runs an engine ends before: it is told to end as well, and a host
   whose guard is at work waits for that, so that a server can still stop its engine in order.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, final

import trio

import candil
from candil.engine._guard.guard import Guard, open_guard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from candil.engine._config.exit_status import ExitStatus
    from candil.engine._guard.os_process import OsProcess

IDLE_SECONDS: Final = 5.0
_CHANGED: Final = "the guard has changed"


@final
class GuardPost:
    """Has at most one guard. One engine uses it at a time."""

    def __init__(self) -> None:
        self._guard: Guard | None = None
        self._host: candil.Pid[Any] | None = None
        self._left: trio.Event | None = None

    async def run(self, process: OsProcess) -> ExitStatus:
        """
        Run *process* under the guard that waits, or under a new one. Call it from a process.

        A guard that dies while it waits is replaced: the process does not notice.

        Returns:
            How the process ended, when nothing of it is left.

        Raises:
            OSError: No guard could be started.

            EngineUnkillable: The process group outlived SIGKILL.

        Cancellation:
            The process is killed, and its death awaited; the guard stays.
        """
        while True:
            guard = await self._take(process.argv[0], process.env)
            # No checkpoint between: a guard that is free may be dismissed at any.
            async with process.running(guard):
                status = await process.wait()
            if guard.runs == 1 or not process.never_began:
                return status

    def dismiss_nowait(self) -> None:
        """Have the guard end as soon as it guards nothing."""
        self._guard = None  # the host hears of it later, and meanwhile nobody may take the guard
        if self._host is not None:
            candil.exit_nowait(self._host, candil.Shutdown())

    async def dismiss(self) -> None:
        """
        End the guard. Its engine has ended already.

        Returns:
            When nothing of it is left.
        """
        self.dismiss_nowait()
        if self._left is not None:
            await self._left.wait()

    async def _take(self, name: str, env: Mapping[str, str]) -> Guard:
        """Give a guard that is free; a new one has *env* itself, and the *name* of its charge."""
        if self._guard is not None and self._guard.is_free:
            return self._guard
        await self.dismiss()
        return await self._appoint(name, env)

    async def _appoint(self, name: str, env: Mapping[str, str]) -> Guard:
        host, ref = candil.spawn_monitor(self._be_host, candil.self(), name, env)
        self._host = host
        try:
            answer = await candil.receive(
                lambda message: (
                    isinstance(message, Guard | OSError)
                    or (isinstance(message, candil.Down) and message.ref == ref)
                )
            )
        finally:
            candil.demonitor(ref, flush=True)
        if isinstance(answer, Guard):
            return answer
        if isinstance(answer, OSError):
            raise answer
        raise RuntimeError(f"the process that was to have the guard has ended: {answer.reason}")

    async def _be_host(self, keeper: candil.Pid[Any], name: str, env: Mapping[str, str]) -> None:
        """Be the process that owns a guard."""
        candil.trap_exit(True)
        me = candil.self()
        left = self._left = trio.Event()
        try:
            async with open_guard(name, env, lambda: candil.send(me, _CHANGED)) as guard:
                self._guard = guard
                candil.send(keeper, guard)
                await _stay(guard)
        except OSError as error:
            candil.send(keeper, error)
        finally:
            self._guard = None
            left.set()


async def _stay(guard: Guard) -> None:
    """Return when the guard is of no more use."""
    dismissed = False
    while not guard.is_lost:
        if guard.run is None and dismissed:
            return
        try:
            idle = IDLE_SECONDS if guard.run is None else inf
            message = await candil.receive(timeout=idle)
        except candil.ReceiveTimeout:
            dismissed = dismissed or guard.run is None
        else:
            dismissed = dismissed or isinstance(message, candil.ExitSignal)
