"""
What a start that ended before it was ready means.

Not here: the words of the program (``failure``), and what is done about it (``server``).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import attrs

from candil.engine._config.errors import EngineStartError
from candil.engine._config.os_errors import described
from candil.engine._server.failure import Cause, Failure, classify

if TYPE_CHECKING:
    from candil.engine._config.timing import Timing
    from candil.engine._server.engine_process import EngineProcess
    from candil.engine._server.messages import EngineEnded
    from candil.engine._system.ports import PortLease


def failure_of(ended: EngineEnded, timing: Timing, lease: PortLease) -> Failure:
    """Return why the start failed: as the program says, or as candil knows better."""
    if ended.process.overdue:
        sentence = (
            f"it was not ready within {timing.startup_timeout:g} s and was killed; give it more "
            "with Timing(startup_timeout=...)"
        )
        return Failure(Cause.UNKNOWN, sentence)
    failure = classify(ended.status, ended.log_tail)
    if failure.cause is Cause.TOO_LONG:
        return attrs.evolve(failure, sentence=f"{ended.process.too_long()}.")
    if failure.cause is Cause.UNKNOWN and lease.is_stolen():
        # The program's logger loses its last lines when it exits at once.
        return Failure(Cause.PORT, "another program listens on the reserved port")
    return failure


def spawn_error(alias: str, error: OSError, process: EngineProcess | None) -> EngineStartError:
    """Return the error for a start that the system refuses, and will refuse again."""
    if error.errno == errno.E2BIG and process is not None:
        return EngineStartError(alias, f"{process.too_long()}.")
    return EngineStartError(alias, f"the system refuses it: {described(error)}.")


def start_error(alias: str, ended: EngineEnded, failure: Failure) -> EngineStartError:
    """Return the error for a start that failed so."""
    return EngineStartError(
        alias,
        failure.sentence,
        argv=ended.process.argv,
        returncode=ended.status.returncode,
        log_tail=ended.log_tail,
    )
