"""How an engine is doing, and the event that tells of each change."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, final

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
    with an error when the engine ended by itself, without one when it was stopped. Only a server
    that is killed cannot tell its end. One that goes to ``failed`` stands in the log as well, and
    so does one from ``starting`` to ``starting``: a start that was put off for lack of files,
    memory or processes.

    Attributes:
        alias: Whose engine.

        old: The state before; ``None``: there was no engine.

        new: The state now; ``None``: there is no engine any more.

        pid: The operating-system process id, if one runs.

        error: Why, where something went wrong.
    """

    alias: str
    old: EngineState | None
    new: EngineState | None
    pid: int | None
    error: EngineError | None = None

    def report(self) -> str | None:
        """Say what the log must hold: nobody else tells of a server that lives on, failed."""
        if self.new is EngineState.FAILED:
            return (
                f"engine {self.alias!r} has failed, and is not tried again by itself: {self.error}"
            )
        return str(self.error) if self.new is self.old else None
