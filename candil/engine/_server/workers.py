"""
The two processes beside an engine's server.

One lives with the operating-system process, the other looks at its health. Both are linked to the
server and tell it what they see by casts. The server itself so never waits: it answers from its
state, also while the disk is slow, the model loads or the engine hangs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, final

import attrs
import trio

import candil
from candil.engine._config.command import argv, environment
from candil.engine._config.engine import Engine, binary_exists, binary_path
from candil.engine._config.errors import BinaryNotFound, EngineError
from candil.engine._config.model import Model, check_file, file_path
from candil.engine._guard.os_process import OsProcess
from candil.engine._http.probe import Probe, ProbeResult

if TYPE_CHECKING:
    from candil.engine._config.exit_status import ExitStatus
    from candil.engine._server.restart_state import RestartState
    from candil.engine._system.log_file import LogFile

_FIRST_PAUSE: Final = 0.005
_PAUSES_GROW: Final = 1.25
_LONGEST_PAUSE: Final = 0.1
_MOST_PROMPTED: Final = 200  # an engine that says more is looked at by the clock alone


@final
@attrs.frozen
class PreflightFailed:
    """Cast: the look before the start found that it cannot work."""

    launch: Launch
    error: EngineError


@final
@attrs.frozen
class SpawnFailed:
    """Cast: the system has no process, file or memory left to start it with."""

    launch: Launch
    error: OSError


@final
@attrs.frozen
class EngineEnded:
    """Cast: the process is gone, and everything of it."""

    launch: Launch
    status: ExitStatus
    log_tail: tuple[str, ...]


@final
@attrs.frozen
class Probed:
    """Cast: what a look at the engine's port showed."""

    launch: Launch
    result: ProbeResult


@final
class Launch:
    """
    One start of the program, from its command line to its death.

    Attributes:
        nonce: By which our own server is recognised on the port.

        process: The operating-system process.

        over: Set when nothing of it is left, or when it never came to a process.

        overdue: Whether it was killed because it was not ready in time.
    """

    def __init__(
        self, engine: Engine, model: Model, restart_state: RestartState, log: LogFile | None
    ) -> None:
        self.nonce = os.urandom(8).hex()
        words = argv(
            engine,
            model,
            port=restart_state.lease.acquire(),
            nonce=self.nonce,
            without=restart_state.unsupported_flags,
        )
        self.process = OsProcess(words, env=environment(os.environ), log=log)
        self.over = trio.Event()
        self.overdue = False
        self.begun = False


def preflight(engine: Engine, model: Model) -> None:
    """
    Refuse what cannot start. Blocks on the disk: call it from a worker thread.

    Raises:
        BinaryNotFound: No executable program.

        ModelError: The file is missing, cut short, or no model.

        OSError: Not the file's fault: there are too many open ones, or the like.
    """
    if not binary_exists(engine):
        raise BinaryNotFound(binary_path(engine))
    check_file(file_path(model))


async def run_engine(
    server: candil.Pid[Any],
    launch: Launch,
    engine: Engine,
    model: Model,
    restart_state: RestartState,
) -> None:
    """
    Be the process that owns an engine: start it, await its end, report it to *server*.

    Cancellation, which is how the server's own death arrives here, kills the engine.
    """
    launch.begun = True
    try:
        await trio.to_thread.run_sync(preflight, engine, model, abandon_on_cancel=True)
        async with restart_state.process_lock:
            status = await restart_state.guard.run(launch.process)
    except EngineError as error:
        candil.cast(server, PreflightFailed(launch, error))
    except OSError as error:
        candil.cast(server, SpawnFailed(launch, error))
    else:
        candil.cast(server, EngineEnded(launch, status, launch.process.tail.lines()))
    finally:
        launch.over.set()


async def monitor_health(
    server: candil.Pid[Any], launch: Launch, base_url: str, period: float, patience: float
) -> None:
    """Be the process that looks at an engine: often until it is ready, then every *period* s."""
    async with Probe(base_url, launch.nonce, patience) as probe:
        await launch.process.begun.wait()
        await _until_ready(server, launch, probe)
        while True:
            await trio.sleep(period)
            candil.cast(server, Probed(launch, await probe.look()))


async def _until_ready(server: candil.Pid[Any], launch: Launch, probe: Probe) -> None:
    """
    Look until the engine is ready: by a clock that slows down, and whenever it has written.

    Its last words before it is ready say so, and those before that it has loaded the model. But
    whether it writes at all, and how much, is a matter of its arguments.
    """
    last, pause, prompted = None, _FIRST_PAUSE, 0
    while True:
        words = launch.process.spoke = trio.Event()
        result = await probe.look()
        if result is not last:
            candil.cast(server, Probed(launch, result))
            last = result
        if result is ProbeResult.READY:
            return
        with trio.move_on_after(pause):
            if prompted == _MOST_PROMPTED:
                await trio.sleep_forever()
            await words.wait()
            prompted += 1
            continue
        pause = min(pause * _PAUSES_GROW, _LONGEST_PAUSE)
