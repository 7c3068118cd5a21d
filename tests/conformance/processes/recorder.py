"""Who is who: processes, monitors and timers by what the program calls them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, final

import attrs

import candil
from tests.conformance.terms import written

Key = tuple[str, str]


@final
@attrs.frozen
class Message:
    """What one process sends to another."""

    sender: str
    tag: object


@final
@attrs.frozen
class Monitor:
    """One monitor of the program: its key there, whose it is, and what it was asked to watch."""

    key: str
    owner: str
    target: str
    ref: candil.Ref


@final
class Unknown(Exception):
    """An operation names what the program never got to make."""


@final
@attrs.frozen
class StepMark:
    """How far a mailbox reached at the end of a step."""


@final
@attrs.define
class Recorder:
    """Who is who, and what the processes have told."""

    pids: dict[str, candil.Pid[Any]] = attrs.field(factory=dict)
    monitors: dict[candil.Ref, Monitor] = attrs.field(factory=dict)
    timers: dict[str, candil.TimerRef] = attrs.field(factory=dict)
    notes: list[list[Any]] = attrs.field(factory=list)
    _ids: dict[candil.Pid[Any], str] = attrs.field(factory=dict)

    def enter(self, id: str, pid: candil.Pid[Any]) -> None:
        """From now on *pid* is the process *id*."""
        self.pids[id] = pid
        self._ids[pid] = id

    def id(self, pid: object) -> str | None:
        """Which process *pid* is; None if it is none, as the player."""
        return self._ids.get(pid)  # type: ignore[call-overload]

    def ids(self, pids: tuple[candil.Pid[Any], ...]) -> list[str]:
        """The processes among *pids*."""
        return sorted(self._ids[pid] for pid in pids if pid in self._ids)

    def pid(self, id: str) -> candil.Pid[Any]:
        """The process *id*, alive or dead."""
        try:
            return self.pids[id]
        except KeyError:
            raise Unknown from None

    def target(self, target: str) -> candil.Server[Any]:
        """A process, or, behind an ``@``, a name."""
        return target[1:] if target.startswith("@") else self.pid(target)

    def monitor(self, owner: str, key: str) -> Monitor:
        """The monitor that *owner* made as *key*."""
        for monitor in self.monitors.values():
            if (monitor.owner, monitor.key) == (owner, key):
                return monitor
        raise Unknown

    def living(self) -> list[str]:
        """All processes that are alive, in the order of their ids."""
        return sorted(id for id, pid in self.pids.items() if candil.is_alive(pid))

    def sender(self, message: object) -> str:
        """Whose message it is; a ``Down`` is of what was asked to be watched."""
        match message:
            case Message(sender=sender):
                return sender
            case candil.ExitSignal(pid=pid):
                return str(self.id(pid))
            case candil.Down(ref=ref):
                return self.monitors[ref].target
        raise TypeError(message)

    def written(self, message: object) -> list[Any]:
        """*message* as a trace writes it."""
        match message:
            case Message(sender=sender, tag=tag):
                return ["message", sender, tag]
            case candil.ExitSignal(pid=pid, reason=reason):
                return ["exit", self.id(pid), written(reason)]
            case candil.Down(ref=ref, pid=pid, reason=reason):
                monitor = self.monitors[ref]
                shown = "by name" if monitor.target.startswith("@") else self.id(pid)
                return ["down", monitor.key, shown, written(reason)]
        raise TypeError(message)

    def key_of(self, message: object) -> Key:
        """What ``receive`` and ``want`` look for."""
        match message:
            case Message(sender=sender):
                return ("message", sender)
            case candil.ExitSignal(pid=pid):
                return ("exit", str(self.id(pid)))
            case candil.Down(ref=ref):
                return ("down", self.monitors[ref].key)
        return ("other", "")


def in_one_order(messages: Iterable[object], recorder: Recorder) -> Iterator[object]:
    """*messages* without step_marks; between two of them only the order of each sender is fixed."""
    for is_step_mark, run in itertools.groupby(
        messages, lambda message: isinstance(message, StepMark)
    ):
        if not is_step_mark:
            yield from sorted(run, key=recorder.sender)
