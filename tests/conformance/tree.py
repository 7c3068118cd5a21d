"""
The tree of a scenario, built as candil's own specifications.

Every child is started by a start function, OTP's start MFA, so that a scenario's script can decide
anew at each incarnation what its start does: succeed, be refused, raise, or be ignored.
"""

from __future__ import annotations

import math
from typing import Any, final

import attrs
import trio

import candil

from .collector import Collector
from .terms import Raised, reason_of, term_of, written

Node = dict[str, Any]

_OTP_SHUTDOWN_MS = 5000


@final
class Worker(candil.GenServer):
    """A child that does what the timeline tells it, and writes down what happens to it."""

    def __init__(self, id: str, node: Node, collector: Collector) -> None:
        self.id = id
        self.node = node
        self.collector = collector
        self.incarnation = 0

    def init(self) -> None:
        candil.trap_exit(self.node.get("trap", False))
        self.incarnation = self.collector.started(self.id, candil.self())

    def handle_call(self, request: object, caller: object) -> str:
        if request != "sync":
            raise Raised("function_clause")
        return "ok"

    def handle_cast(self, message: Any) -> None:
        what, value = message
        if what == "raise":
            raise Raised(term_of(value))
        candil.stop_self(reason_of(value))

    def handle_info(self, message: object) -> None:
        if isinstance(message, candil.ExitSignal):
            self._write("info_exit", message.reason)

    async def terminate(self, reason: candil.ExitReason) -> None:
        self._write("terminate", reason)
        if "term_hang_ms" in self.node:
            await trio.sleep(self.node["term_hang_ms"] / 1000)
        elif "term_exit" in self.node:
            raise candil.ProcessExit(reason_of(self.node["term_exit"]))

    def _write(self, what: str, reason: candil.ExitReason) -> None:
        self.collector.write(what, self.id, self.incarnation, written(reason))


@final
class Refusing(candil.GenServer):
    """A server whose ``init`` stops."""

    def __init__(self, id: str, reason: object, collector: Collector) -> None:
        self.id = id
        self.reason = reason
        self.collector = collector

    def init(self) -> None:
        reason = reason_of(self.reason)
        self.collector.write("init_stop", self.id, written(reason))
        candil.stop_self(reason)


@final
@attrs.frozen
class Starter:
    """The start function of one child specification."""

    node: Node
    parent: str
    collector: Collector

    async def start(self, id: str | None = None) -> Any:
        """Start the next incarnation; *id* is the argument of a dynamic child."""
        # This runs in the supervisor, whose own start is written before that of its first child.
        note_supervisor(self.collector, self.parent, candil.self())
        id = self.node["id"] if id is None else id
        match self.collector.next_start(id, self.node.get("start", [])):
            case ["error", reason]:
                self.collector.write("start_error", id, reason)
                raise candil.StartError(reason_of(reason))
            case ["raise", reason]:
                self.collector.write("start_raise", id, reason)
                raise Raised(term_of(reason))
            case ["init_stop", reason]:
                return await candil.start_link(Refusing, id, reason, self.collector)
            case "ignore":
                self.collector.write("ignore", id)
                return candil.IGNORE
            case _:
                return await start_node(self.node, id, self.collector)


async def start_node(node: Node, id: str, collector: Collector) -> candil.Pid[Any]:
    """Start the process that *node* describes, linked to the caller."""
    if "sup" not in node:
        return await candil.start_link(Worker, id, node, collector)
    pid = await candil.start_link(supervisor_spec(node["sup"], id, collector))
    note_supervisor(collector, id, pid)
    return pid


def note_supervisor(collector: Collector, id: str, pid: candil.Pid[Any]) -> None:
    """Write a supervisor's start, once: its first child does, or its starter if it has none."""
    if not collector.is_alive(pid):
        collector.started(id, pid)


def supervisor_spec(sup: Node, id: str, collector: Collector) -> candil.SupervisorSpec:
    """The supervisor that the scenario's *sup* describes, with OTP's defaults."""
    return candil.supervisor_spec(
        [child_spec(child, id, collector) for child in sup.get("children", [])],
        id=id,
        strategy=sup.get("strategy", "one_for_one"),
        max_restarts=sup.get("intensity", 1),
        max_seconds=sup.get("period", 5),
        auto_shutdown=sup.get("auto_shutdown", "never"),
    )


def child_spec(node: Node, parent: str, collector: Collector) -> candil.ChildSpec:
    """The child that the scenario's *node* describes, with OTP's defaults."""
    kind = node.get("type", "worker")
    return candil.child_spec(
        candil.StartFunction(Starter(node, parent, collector).start),
        id=node["id"],
        restart=node.get("restart", "permanent"),
        shutdown=_shutdown(
            node.get("shutdown", "infinity" if kind == "supervisor" else _OTP_SHUTDOWN_MS)
        ),
        significant=node.get("significant", False),
        type=kind,
    )


def _shutdown(value: Any) -> Any:
    if value == "infinity":
        return math.inf
    return value if value == "brutal_kill" else value / 1000
