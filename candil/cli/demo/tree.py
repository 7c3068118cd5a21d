"""
What a small supervision tree looks like, as its events tell it. No clock, no terminal, no trio.

Not here: how it is drawn (`layout`).
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final, final

import attrs

import candil
from candil import engine

if TYPE_CHECKING:
    from collections.abc import Hashable

RUNNING: Final = "running"
STOPPED: Final = "stopped"
CRASHED: Final = "crashed"


@final
@attrs.define
class Program:
    """
    An operating-system process below a child.

    Attributes:
        pid: Its process id.

        ended: How it ended, in a word or two; ``None`` while it runs.
    """

    pid: int
    ended: str | None = None


@final
@attrs.define
class Child:
    """
    A child of the root.

    Attributes:
        id: Its id.

        pid: Its present incarnation, or the last one.

        state: What it is doing, in a word.

        since: Since when, in seconds.

        starts: How many times it has been started.

        programs: What it ran and runs, oldest first.
    """

    id: Hashable
    pid: candil.Pid[Any]
    state: str
    since: float
    starts: int = 1
    programs: list[Program] = attrs.field(factory=list[Program])

    def enter(self, state: str, now: float) -> None:
        """Be in *state* from *now* on."""
        if state != self.state:
            self.state, self.since = state, now

    def exited(self, state: str, now: float) -> None:
        """Be no more, and nor is what it ran."""
        self.enter(state, now)
        for program in self.programs:
            program.ended = program.ended or STOPPED


@final
@attrs.define
class Tree:
    """
    A root and its children.

    Attributes:
        root: The root's name.

        rule: The root's strategy and limits, in words.

        notes: What else there is to say about a child, by its id.
    """

    root: str
    rule: str
    children: dict[Hashable, Child] = attrs.field(factory=dict["Hashable", Child])
    notes: dict[Hashable, str] = attrs.field(factory=dict["Hashable", str])

    def hear(self, event: object, now: float) -> None:
        """Change with *event*; most events change nothing."""
        match event:
            case candil.ChildStarted(supervisor=self.root, child_id=child_id, pid=pid):
                self._started(child_id, pid, now)
            case engine.EngineStateChanged() if event.alias in self.children:
                self._engine_changed(self.children[event.alias], event, now)
            case candil.ProcessExited(pid=pid, reason=reason):
                for child in self.children.values():
                    if child.pid is pid:
                        child.exited(CRASHED if candil.is_abnormal(reason) else STOPPED, now)
            case _:
                pass

    def _started(self, child_id: Any, pid: candil.Pid[Any], now: float) -> None:
        child = self.children.get(child_id)
        state = engine.EngineState.STARTING if pid.label == "EngineServer" else RUNNING
        if child is None:
            self.children[child_id] = Child(child_id, pid, state, now)
        else:
            child.pid = pid
            child.starts += 1
            child.enter(state, now)

    def _engine_changed(self, child: Child, event: engine.EngineStateChanged, now: float) -> None:
        running = next((one for one in child.programs if one.ended is None), None)
        if event.pid is not None and running is None:
            child.programs.append(Program(event.pid))
        elif event.pid is None and running is not None and (event.new or event.error):
            running.ended = how_it_ended(event.error)
        if event.new is not None:  # else its server ends as well, and says how
            child.enter(event.new, now)


def how_it_ended(error: BaseException | None) -> str:
    """Say in a word or two how a ``llama-server`` ended: the signal's name, or the status."""
    if not isinstance(error, engine.EngineExited) or error.status.returncode is None:
        return "ended"
    code = error.status.returncode
    return f"status {code}" if code >= 0 else _signal_name(-code)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
