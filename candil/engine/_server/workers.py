"""
The two processes beside an engine's server.

One owns the operating-system process, the other probes its health. Both are linked to the server
and report to it by casts. So the server itself never waits: it answers from its state, also while
the disk is slow, the model loads or the engine hangs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

import candil
from candil._otp.processes.node import current_node
from candil.engine._config.errors import EngineError
from candil.engine._config.model import Model, check_file, file_path
from candil.engine._config.os_errors import as_shortage, is_shortage
from candil.engine._guard.command import command_line
from candil.engine._http.drain import begin_of_end, drain
from candil.engine._http.probe import Probe, ProbeResult
from candil.engine._server.messages import EngineEnded, PreflightFailed, Probed, SpawnFailed
from candil.engine._server.smoke_run import check_binary, require_binary
from candil.engine._system.log_file import check_log_file

if TYPE_CHECKING:
    from pathlib import Path

    from candil.engine._config.engine import Engine
    from candil.engine._config.timing import Timing
    from candil.engine._server.engine_process import EngineProcess

_FIRST_PAUSE: Final = 0.005
_PAUSES_GROW: Final = 1.25
_LONGEST_PAUSE: Final = 0.1
_MOST_PROMPTED: Final = 200  # an engine that writes more is probed by the clock alone


def preflight(engine: Engine, model: Model, log_path: Path | None) -> None:
    """
    Refuse what cannot start. Blocks on the disk: call it from a worker thread.

    Raises:
        BinaryNotFound: No executable program.

        BinaryUnusable: It lies where nothing may be executed.

        ModelError: The file is missing, cut short, or no model.

        GuardUnavailable: There is no Python for the guard.

        LogFileUnwritable: The log file cannot be written.

        OSError: Not the file's fault: there are too many open ones, or the like.
    """
    require_binary(engine)
    check_file(file_path(model))
    command_line()
    if log_path is not None:
        check_log_file(log_path)


async def run_preflight(engine: Engine, model: Model, log_path: Path | None) -> None:
    """
    Run ``preflight`` in a thread of its own, then see that the program runs on this machine.

    Threads of trio's own number may all be taken by clients that wait for this very engine. One
    that hangs, on a dead network disk, takes no place from another engine's.
    """
    limiter = trio.CapacityLimiter(1)
    await trio.to_thread.run_sync(
        preflight, engine, model, log_path, abandon_on_cancel=True, limiter=limiter
    )
    await check_binary(engine)


async def run_engine(
    server: candil.Pid[Any], process: EngineProcess, engine: Engine, model: Model
) -> None:
    """
    Be the process that owns an engine: start it, await its end, report it to *server*.

    Cancellation, which is how the server's own death arrives here, kills the engine.
    """
    process.take()
    try:
        await run_preflight(engine, model, process.unchecked_log)
        process.note_log_checked()
        status = await process.run()
    except EngineError as error:
        candil.cast(server, PreflightFailed(process, error))
    except (OSError, MemoryError, RuntimeError) as error:
        if not (isinstance(error, OSError) or is_shortage(error)):
            raise
        candil.cast(server, SpawnFailed(process, as_shortage(error)))
    else:
        candil.cast(server, EngineEnded(process, status, process.tail))
    finally:
        process.note_reaped()


async def monitor_health(
    server: candil.Pid[Any], process: EngineProcess, base_url: str, timing: Timing
) -> None:
    """
    Be the process that probes an engine: often until it is ready, then every ``probe_interval``.
    """
    probe = Probe(base_url, process.nonce, timing.probe_timeout)
    await process.wait_started()
    await _until_ready(server, process, probe)
    while True:
        await trio.sleep(timing.probe_interval)
        candil.cast(server, Probed(process, await probe.look()))


async def _until_ready(server: candil.Pid[Any], process: EngineProcess, probe: Probe) -> None:
    """
    Probe until the engine is ready: after growing pauses, and whenever it has written.

    Its last lines before it is ready say so, and those before that it has loaded the model. But its
    arguments decide whether it writes at all, and how much.
    """
    last, pause, prompted = None, _FIRST_PAUSE, 0
    while True:
        output = process.next_output()
        result = await probe.look()
        if result is not last:
            candil.cast(server, Probed(process, result))
            last = result
        if result is ProbeResult.READY:
            return
        with trio.move_on_after(pause):
            if prompted == _MOST_PROMPTED:
                await trio.sleep_forever()
            await output.wait()
            prompted += 1
            continue
        pause = min(pause * _PAUSES_GROW, _LONGEST_PAUSE)


async def end_engine(
    process: EngineProcess, runner: candil.Pid[Any] | None, base_url: str | None, timing: Timing
) -> None:
    """
    Let running answers finish, then end *process* and the *runner* that owns it.

    Args:
        process: The process; nothing of it is left when this returns.

        runner: The process of ``run_engine``.

        base_url: Where it serves; ``None`` if it serves no client yet.

        timing: How long the answers and the process may take.
    """
    if process.pid is not None:
        # An engine that still answers ignores SIGTERM: it gets no grace.
        idle = base_url is None or await _is_drained(process, base_url, timing)
        await process.stop(timing.grace_period if idle else 0)
    if runner is not None:
        candil.exit(runner, candil.Shutdown())
    await process.wait_reaped()


async def _is_drained(process: EngineProcess, base_url: str, timing: Timing) -> bool:
    until = begin_of_end(current_node()) + timing.drain_timeout
    return await drain(base_url, process.argv, until, lambda: process.pid is not None)
