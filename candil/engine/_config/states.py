"""How an engine is doing, and the event that tells of each change."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Literal, final

import attrs

from candil import Reportable

if TYPE_CHECKING:
    from candil.engine._config.errors import EngineError


@final
class EngineState(enum.StrEnum):
    """How an engine is doing."""

    STARTING = "starting"
    """The program is being started."""
    LOADING = "loading"
    """It runs and loads the model."""
    READY = "ready"
    """It answers requests."""
    UNHEALTHY = "unhealthy"
    """It runs, was ready, and has missed several looks."""
    STOPPING = "stopping"
    """It was asked to end."""
    FAILED = "failed"
    """It cannot start, and will not be tried again by itself."""


@final
@attrs.frozen
class EngineStateChanged(Reportable):
    """
    Event: an engine went from one state to another.

    The first of each start goes from ``None`` to ``starting``, the last of each end to ``None``:
    The first of each start goes from ``None`` to ``starting``, the last of each end to ``None``:
    with an error when the engine ended by itself, without one when it was stopped. Only a server
    that is killed does not report its end. Each is a line in the log: an ERROR for ``failed`` and
    for a start that is delayed for lack of files, memory or processes (from ``starting`` to
    ``starting``), a WARNING for ``unhealthy``, else INFO.

    Attributes:
        alias: The alias of its model.

        old: The state before; ``None``: there was no engine.

        new: The state now; ``None``: there is no engine any more.

        pid: The operating-system process id, if one runs.

        error: Why, where something went wrong.

        base_url: Where it listens, once it is ready.

        seconds: When it becomes ready: how long the start took.
    """

    alias: str
    old: EngineState | None
    new: EngineState | None
    pid: int | None
    error: EngineError | None = None
    base_url: str | None = None
    seconds: float | None = None

    @property
    def level(self) -> Literal["INFO", "WARNING", "ERROR"]:
        """The level of its line in the log."""
        if self.new is EngineState.FAILED or self.new is self.old:
            return "ERROR"
        return "WARNING" if self.new is EngineState.UNHEALTHY else "INFO"

    def report(self) -> str:
        """Return its line in the log."""
        if self.new is self.old:
            return str(self.error)
        return f"engine {self.alias!r} {self._what_it_does()}"

    def _what_it_does(self) -> str:
        pid = "" if self.pid is None else f" (pid {self.pid})"
        took = "" if self.seconds is None else f" after {self.seconds:.1f} s"
        by_itself = "" if self.error is None else " by itself"
        return {
            None: f"has ended{by_itself}",
            EngineState.STARTING: "is starting",
            EngineState.LOADING: f"loads its model{pid}",
            EngineState.READY: f"is ready at {self.base_url}{pid}{took}",
            EngineState.UNHEALTHY: f"is unhealthy: it does not answer its health probes{pid}",
            EngineState.STOPPING: f"is stopping{pid}",
            EngineState.FAILED: f"has failed, and is not tried again by itself: {self.error}",
        }[self.new]
