"""
The one place where a trace is written.

1. Everything here is synchronous, so the order of the lines is the order of the facts.
2. A death is written when candil publishes it, which is before any link or monitor can react to it.
3. An incarnation counts the starts of one id; pids never reach a trace.
"""

from __future__ import annotations

import collections
from typing import Any, final

import attrs

import candil

from .terms import written

Line = list[Any]


@final
@attrs.define
class Collector:
    """Writes the lines of one trace and knows which processes of the scenario are alive."""

    lines: list[Line] = attrs.field(factory=list)
    _alive: dict[candil.Pid[Any], tuple[str, int]] = attrs.field(factory=dict)
    _latest: dict[str, candil.Pid[Any]] = attrs.field(factory=dict)
    _starts: collections.Counter[str] = attrs.field(factory=collections.Counter)
    _scripts: dict[str, list[Any]] = attrs.field(factory=dict)

    def write(self, *line: object) -> None:
        """Add one line."""
        self.lines.append(list(line))

    def started(self, id: str, pid: candil.Pid[Any]) -> int:
        """Write that *pid* runs as *id* from now on, and tell which incarnation it is."""
        self._starts[id] += 1
        incarnation = self._starts[id]
        self._alive[pid] = (id, incarnation)
        self._latest[id] = pid
        self.write("start", id, incarnation)
        return incarnation

    def observe(self, event: object) -> None:
        """Write the death of a process of the scenario; every other event is no concern of it."""
        if isinstance(event, candil.ProcessExited):
            known = self._alive.pop(event.pid, None)
            if known is not None:
                self.write("exit_of", *known, written(event.reason))

    def is_alive(self, pid: candil.Pid[Any]) -> bool:
        """Whether *pid* has been started and its death has not been written."""
        return pid in self._alive

    def latest(self, id: str) -> candil.Pid[Any] | None:
        """The newest incarnation of *id*, alive or dead."""
        return self._latest.get(id)

    def living(self, id: str) -> candil.Pid[Any] | None:
        """The newest incarnation of *id* if it is alive."""
        pid = self._latest.get(id)
        return pid if pid is not None and self.is_alive(pid) else None

    def population(self) -> int:
        """How many processes of the scenario are alive."""
        return len(self._alive)

    def rewrite_script(self, id: str, script: list[Any]) -> None:
        """Let the next starts of *id* follow *script*."""
        self._scripts[id] = script

    def next_start(self, id: str, script: list[Any]) -> Any:
        """Take what the next start of *id* has to do; *script* is what its specification says."""
        left = self._scripts.get(id, script)
        if not left:
            return "ok"
        self._scripts[id] = left[1:]
        return left[0]
