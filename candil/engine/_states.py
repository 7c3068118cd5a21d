"""How an engine is doing, and the event that tells of each change."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, final

import attrs

if TYPE_CHECKING:
    from candil.engine._errors import EngineError


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
class EngineStateChanged:
    """
    Event: an engine went from one state to another.

    Attributes:
        alias: Whose engine.

        old: The state before.

        new: The state now.

        pid: The operating-system process id, if one runs.

        error: Why, where something went wrong.
    """

    alias: str
    old: EngineState
    new: EngineState
    pid: int | None
    error: EngineError | None = None
