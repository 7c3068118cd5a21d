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
    from candil.engine._server.restart_state import Lineage

_SUPERVISOR: Final = "Supervisor"  # the label of their pids: no other process may be asked

_turns: trio.lowlevel.RunVar[weakref.WeakValueDictionary[str, trio.Lock]] = trio.lowlevel.RunVar(
    "candil.engine.turns"
)
_known: trio.lowlevel.RunVar[dict[str, Holder]] = trio.lowlevel.RunVar("candil.engine.holders")


@final
@attrs.define(eq=False)
class Holder:
    """
    The engine that has an alias.

    Attributes:
        server: Its server, the last one.

        supervisor: Who starts the next one; ``None`` if nobody does.

        node: Where it runs. A weak reference, as the next: the node's root has the spec.

        lineage: What outlives each server. A weak reference: when the supervisor is gone, and with
            it the spec, the port must be free again.

        arrived: Set when the next server has taken the alias.

        trouble: Why the last server ended by itself, or the last start failed; ``None`` once it is
            ready, or was stopped.

        stopped: Whether `stop` was told to end it for good.

        ending: Whether the last server ends or has ended: it answers nobody any more.
    """

    server: candil.Pid[Any]
    supervisor: candil.Pid[candil.Supervisor] | None
    node: weakref.ref[Node]
    lineage: weakref.ref[Lineage]
    arrived: trio.Event = attrs.field(factory=trio.Event)
    trouble: EngineError | None = None
    stopped: bool = False
    ending: bool = False

    @property
    def closing(self) -> bool:
        """Whether its node closes, or is closed."""
        node = self.node()
        return node is None or node.closing

    def address(self) -> str | None:
        """Tell which port is kept for the next server's engine; ``None`` if none is."""
        lineage = self.lineage()
        if lineage is None or lineage.lease.port is None:
            return None
        return url(lineage.lease.host, lineage.lease.port)

    async def child_id(self) -> Hashable | None:
        """
        Ask the supervisor by which id it has this engine, running or to be started again.

        Returns:
            The id, or for a child of a template the pid; ``None`` when it has no such child.
        """
        lineage = self.lineage()
        if lineage is None or self.supervisor is None:
            return None
        try:
            for info in await candil.which_children(self.supervisor):
                if info.child is None:
                    continue
                key: Hashable = self.server if info.id is None else info.id
                spec = await candil.get_childspec(self.supervisor, key)
                if any(argument is lineage for argument in spec.args):
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
        lineage = self.lineage()
        if lineage is not None and not self._has_successor():
            await lineage.post.close()
            if not self._has_successor():
                lineage.lease.release()

    def _has_successor(self) -> bool:
        return self.arrived.is_set()


def note_arrival(alias: str, lineage: Lineage) -> Holder:
    """Have the alias held by the process that calls, the server of *lineage*."""
    info = candil.process_info(candil.self())
    parent = None if info is None else info.parent
    holders = _all()
    before = holders.get(alias)
    now = holders[alias] = Holder(
        candil.self(),
        parent if parent is not None and parent.label == _SUPERVISOR else None,
        weakref.ref(current_node()),
        weakref.ref(lineage),
    )
    if before is not None:
        now.trouble = before.trouble if before.lineage() is lineage else None
        before.arrived.set()
    return now


def turn_of(alias: str) -> trio.Lock:
    """
    Give the lock that whoever starts an engine under *alias* holds.

    Else one that replaces an engine that failed could stop what another has just started.
    """
    try:
        turns = _turns.get()
    except LookupError:
        _turns.set(turns := weakref.WeakValueDictionary())
    return turns.setdefault(alias, trio.Lock())


def holder_of(alias: str) -> Holder | None:
    """Find who holds *alias*, or held it last in a tree that is still open."""
    holder = _all().get(alias)
    node = None if holder is None else holder.node()
    return None if node is None or node.closed else holder


def _all() -> dict[str, Holder]:
    try:
        return _known.get()
    except LookupError:
        holders: dict[str, Holder] = {}
        _known.set(holders)
        return holders
