"""
Where a program is played: who is who, what is left to do, and the one place where its trace is
written.
"""

from __future__ import annotations

from typing import Any, final

import attrs
import trio

import candil
from tests.conformance.terms import written as written_term

Line = list[Any]
Script = dict[str, Any]

LONG = 60.0  # never comes
SERVER_SOON = 0.008  # each another time, so that what comes soon has an order
START_SOON = 0.014
CALL_SOON = 0.020
SLEEP = 0.045

NAME = "the server"
NOBODY = "a name that nobody has"


@final
@attrs.define
class Recorder:
    """
    What all players of one program share.

    Attributes:
        server: The program's server, as its JSON describes it.

        callers: Who can answer a call, by the call's tag: its ``Call``, or the ``Deferred`` that a
            handler returned.

        asked_by: Whose call it was, by its tag.

        busy: Clients that have not done yet what they were told.

        gate: What the server waits for in the middle of a callback.
    """

    server: dict[str, Any]
    lines: list[Line] = attrs.field(factory=list)
    callers: dict[str, Any] = attrs.field(factory=dict)
    asked_by: dict[str, str] = attrs.field(factory=dict)
    busy: set[str] = attrs.field(factory=set)
    gate: trio.Event | None = None
    _roles: dict[candil.Pid[Any], str] = attrs.field(factory=dict)
    _latest: dict[str, candil.Pid[Any]] = attrs.field(factory=dict)

    def write(self, *line: object) -> None:
        """Add one line."""
        self.lines.append(list(line))

    def enter(self, role: str, pid: candil.Pid[Any]) -> None:
        """Let *pid* be *role* from now on."""
        self._roles[pid] = role
        self._latest[role] = pid

    def observe(self, event: object) -> None:
        """Write the end of whoever has a role; every other event is no concern of it."""
        if isinstance(event, candil.ProcessExited) and event.pid in self._roles:
            self.write(self._roles[event.pid], "exited", written(event.reason))

    def role(self, pid: object) -> str:
        """Who *pid* is."""
        return self._roles.get(pid, "?") if isinstance(pid, candil.Pid) else "?"

    def latest(self, role: str) -> candil.Pid[Any] | None:
        """The newest process of this *role*, alive or dead."""
        return self._latest.get(role)

    def target(self, word: str) -> Any:
        """What a program calls by this *word*."""
        match word:
            case "name":
                return NAME
            case "unknown":
                return NOBODY
            case "none":
                return None
            case "server":
                return self._latest.get("server") or self._latest["dead"]
            case _:
                return self._latest[word]

    def reply(self, tag: str, value: object) -> None:
        """Answer the call of this *tag*, if the server has seen it."""
        if tag in self.callers:
            self.callers[tag].reply(value)

    async def wait_at_gate(self) -> None:
        """Wait until the program opens the gate."""
        self.gate = trio.Event()
        await self.gate.wait()

    def open_gate(self) -> None:
        """Let the server go on."""
        gate, self.gate = self.gate, None
        if gate is not None:
            gate.set()

    def message(self, message: object) -> object:
        """*message* as a trace writes it."""
        match message:
            case {"tag": tag}:
                return tag
            case ("word", word):
                return ["word", word]
            case candil.Timeout():
                return "timeout"
            case candil.ExitSignal(pid=pid, reason=reason):
                return ["EXIT", self.role(pid), written(reason)]
            case candil.Down(pid=pid, reason=reason):
                return ["DOWN", self.role(pid), written(reason)]
            case _:
                return repr(message)


def written(reason: candil.ExitReason) -> object:
    """*reason* as a trace writes it."""
    match reason:
        case candil.Crashed(exception=candil.BadReturnValue(value=value)):
            return ["bad_return_value", value]
        case candil.Crashed(exception=candil.CallingSelf()):
            return ["call", "calling_self"]
        case candil.Crashed(exception=candil.NoProc()):
            return ["call", "noproc"]
        case candil.Crashed(exception=candil.UndefinedCallback()):
            return ["raised", "undef"]
        case _:
            return written_term(reason)
