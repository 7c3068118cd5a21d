"""
Who holds an alias: an engine, from its first start until no supervisor means to start it again.

Between two incarnations, which a back-off can make long, there is no server that could be asked.
What is known then is known here.

Not here: what is done with it (`lifecycle`).
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final, final

import attrs
import trio

import candil
from candil._otp.processes.node import current_node
from candil.engine._config.addresses import url

if TYPE_CHECKING:
    from collections.abc import Hashable

    from candil._otp.processes.node import Node
    from candil.engine._config.errors import EngineError
    from candil.engine._server.restart_state import RestartState

_SUPERVISOR: Final = "Supervisor"  # the label of their pids: no other process may be asked

_turns: trio.lowlevel.RunVar[weakref.WeakValueDictionary[str, trio.Lock]] = trio.lowlevel.RunVar(
    "candil.engine.turns"
)
_known: trio.lowlevel.RunVar[dict[str, EngineEntry]] = trio.lowlevel.RunVar("candil.engine.entries")


@final
@attrs.define(eq=False)
class EngineEntry:
    """
    The engine that has an alias.

    Attributes:
        server: Its server, the last one.

        supervisor: Who starts the next one; ``None`` if nobody does.

        node: Where it runs. A weak reference, as the next: the node's root has the spec.

        restart_state: What outlives each server. A weak reference: when the supervisor and
            its spec are gone, the port must be free again.

        arrived: Set when the next server has taken the alias.

        last_error: Why the last server ended by itself, or the last start failed; ``None`` once
            it is ready, or was stopped.

        stopped: Whether `stop` was told to end it for good.

        ending: Whether the last server ends or has ended: it answers nobody any more.
    """

    server: candil.Pid[Any]
    supervisor: candil.Pid[candil.Supervisor] | None
    node: weakref.ref[Node]
    restart_state: weakref.ref[RestartState]
    arrived: trio.Event = attrs.field(factory=trio.Event)
    last_error: EngineError | None = None
    stopped: bool = False
    ending: bool = False

    @property
    def closing(self) -> bool:
        """Whether its node closes, or is closed."""
        node = self.node()
        return node is None or node.closing

    def address(self) -> str | None:
        """Tell which port is kept for the next server's engine; ``None`` if none is."""
        restart_state = self.restart_state()
        if restart_state is None or restart_state.lease.port is None:
            return None
        return url(restart_state.lease.host, restart_state.lease.port)

    async def child_id(self) -> Hashable | None:
        """
        Ask the supervisor by which id it has this engine, running or to be started again.

        Returns:
            The id, or for a child of a template the pid; ``None`` when it has no such child.
        """
        restart_state = self.restart_state()
        if restart_state is None or self.supervisor is None:
            return None
        try:
            for info in await candil.which_children(self.supervisor):
                if info.child is None:
                    continue
                key: Hashable = self.server if info.id is None else info.id
                spec = await candil.get_childspec(self.supervisor, key)
                if any(argument is restart_state for argument in spec.args):
                    return key
        except (candil.CallError, candil.SupervisorError):
            pass  # it has ended, or the child has, while it was asked
        return None

    async def release(self) -> None:
        """
        Give up what waits for the next start: the guard and the port.

        If the supervisor has been told meanwhile to start the engine again, they are the next
        server's, which may already use them.
        """
        restart_state = self.restart_state()
        if restart_state is not None and not self._has_successor():
            await restart_state.guard.dismiss()
            if not self._has_successor():
                restart_state.lease.release()

    def _has_successor(self) -> bool:
        return self.arrived.is_set()


def register(alias: str, restart_state: RestartState) -> EngineEntry:
    """Have the alias held by the process that calls, the server of *restart_state*."""
    info = candil.process_info(candil.self())
    parent = None if info is None else info.parent
    entries = _all()
    before = entries.get(alias)
    now = entries[alias] = EngineEntry(
        candil.self(),
        parent if parent is not None and parent.label == _SUPERVISOR else None,
        weakref.ref(current_node()),
        weakref.ref(restart_state),
    )
    if before is not None:
        now.last_error = before.last_error if before.restart_state() is restart_state else None
        before.arrived.set()
    return now


def start_lock(alias: str) -> trio.Lock:
    """
    Give the lock that whoever starts an engine under *alias* holds.

    Else one that replaces an engine that failed could stop what another has just started.
    """
    try:
        turns = _turns.get()
    except LookupError:
        _turns.set(turns := weakref.WeakValueDictionary())
    return turns.setdefault(alias, trio.Lock())


def entry_of(alias: str) -> EngineEntry | None:
    """Find who holds *alias*, or held it last in a tree that is still open."""
    entry = _all().get(alias)
    node = None if entry is None else entry.node()
    return None if node is None or node.closed else entry


def _all() -> dict[str, EngineEntry]:
    try:
        return _known.get()
    except LookupError:
        entries: dict[str, EngineEntry] = {}
        _known.set(entries)
        return entries
