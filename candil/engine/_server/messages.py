"""What an ``EngineServer`` is sent: by the two processes beside it, and by itself for later."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import attrs

if TYPE_CHECKING:
    from candil.engine._config.errors import EngineError
    from candil.engine._config.exit_status import ExitStatus
    from candil.engine._http.probe import ProbeResult
    from candil.engine._server.engine_process import EngineProcess


@final
@attrs.frozen
class PreflightFailed:
    """Cast: the preflight found that the start cannot work."""

    process: EngineProcess
    error: EngineError


@final
@attrs.frozen
class SpawnFailed:
    """Cast: the system has no process, file or memory left to start it with."""

    process: EngineProcess
    error: OSError


@final
@attrs.frozen
class EngineEnded:
    """Cast: nothing of the process is left."""

    process: EngineProcess
    status: ExitStatus
    log_tail: tuple[str, ...] = attrs.field(repr=False)  # the error quotes what tells


@final
@attrs.frozen
class Probed:
    """Cast: what a probe of the engine's port showed."""

    process: EngineProcess
    result: ProbeResult


@final
@attrs.frozen
class Overdue:
    """Sent to itself: the process should have been ready by now."""

    process: EngineProcess


@final
@attrs.frozen
class TryAgain:
    """Sent to itself: the pause before the next start is over."""
