"""
Starting and stopping engines, and asking after them by their model's alias.

An engine that is started on demand has a supervisor of its own, below the engines' supervisor,
below the root of the open tree: never under its caller, and never with another's restart limit.

::

    the root ── candil.engine.supervisor ┬─ supervisor of "smollm2" ── EngineServer "smollm2"
                                         └─ supervisor of "qwen"    ── EngineServer "qwen"
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

import candil
from candil._otp.processes.runtime import get_runtime
from candil.engine._config.errors import (
    AliasTaken,
    AlreadyRunning,
    EngineError,
    EngineStartError,
    NotRunning,
    ReadyTimeout,
)
from candil.engine._config.log_path import absolute_log_path
from candil.engine._config.os_errors import described
from candil.engine._config.states import EngineState
from candil.engine._config.timing import Timing
from candil.engine._server.registry import entries, entry_of
from candil.engine._server.restart_state import RestartState
from candil.engine._server.server import EngineServer
from candil.engine._server.specs import (
    SUPERVISOR,
    check_types,
    engines_spec,
    spec_of,
    with_supervisor,
)
from candil.engine._server.workers import run_preflight
from candil.engine._system.ports import PortLease

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable

    from candil.engine._config.engine import Engine
    from candil.engine._config.model import Model
    from candil.engine._server.registry import EngineEntry

# A supervisor that has ended may be restarted itself, and its engine with it.
_RESTART_GAP: Final = 0.1
# A supervisor that starts or stops children does not answer meanwhile.
_SUPERVISOR_SECONDS: Final = 1.0


async def start(
    engine: Engine,
    model: Model,
    *,
    timing: Timing | None = None,
    log_path: str | os.PathLike[str] | None = None,
) -> candil.Pid[EngineServer]:
    """
    Start an engine that serves *model*, under the engines' supervisor.

    The caller is not linked to it, and may end. The model is not loaded yet when this returns. An
    engine of the same alias that has failed is replaced.

    Args:
        engine: The program, and where it listens.

        model: The model.

        timing: How long things may take.

        log_path: A file for everything the engine writes, ``~`` expanded; it rotates at 10 MiB.

    Returns:
        The pid of its ``EngineServer``; after a restart the alias finds the next one.

    Raises:
        BinaryNotFound: There is no ``llama-server``.

        BinaryUnusable: It cannot run on this machine.

        ModelError: The model is missing, cut short, or no model: nothing was started.

        GuardUnavailable: There is no Python for the guard: nothing was started.

        LogFileUnwritable: The log file cannot be written: nothing was started.

        AlreadyRunning: The alias has an engine.

        AliasTaken: Another process is registered under the alias.

        PortUnavailable: No port of the range is free.

        EngineStartError: There are too many open files, or the like.

        NotRunning: It was ended before it had begun, or the tree was closed; or another one had
            the alias, and has ended meanwhile.

        RuntimeError: No tree is open.

    Cancellation:
        Either nothing was started, or the engine runs as if ``start`` had returned.
    """
    get_runtime()  # outside of trio it says how to run
    check_types(engine, model, timing)
    log = absolute_log_path(log_path)
    restart_state = RestartState(model.alias, PortLease(engine.host, engine.port))
    entry = entry_of(model.alias)
    try:
        await run_preflight(engine, model, log)
        async with entry.start_lock:
            await _make_room(entry)
            restart_state.lease.acquire()
            spec = spec_of(engine, model, restart_state, timing or Timing(), log, {})
            await _start_below(spec, entry, restart_state)
    except OSError as error:
        raise EngineStartError(model.alias, f"{described(error)}.") from error
    pid = await entry.wait_server(_RESTART_GAP)
    if pid is None or not entry.belongs_to(restart_state):  # another one has the alias by now
        raise NotRunning(model.alias)
    return pid


async def _start_below(
    spec: candil.ChildSpec[EngineServer], entry: EngineEntry, restart_state: RestartState
) -> None:
    """Start an engine below the engines' supervisor; say in words of engines why it failed."""
    alias = entry.alias
    try:
        supervisor = await _engines_supervisor()
        limits = await candil.Supervisor.do_get_limits.within(math.inf)(supervisor)
        await candil.start_child(supervisor, with_supervisor(spec, limits))
    except candil.StartError as error:
        restart_state.lease.release()
        if isinstance(error, candil.AlreadyStarted) or entry.has_server:
            raise AlreadyRunning(alias) from error
        _refuse_stranger(alias)
        raise NotRunning(alias) from error
    except (candil.NoProc, candil.ServerExited):  # the tree closes
        restart_state.lease.release()
        raise NotRunning(alias) from None


async def stop(alias: str) -> None:
    """
    Stop the engine of *alias*, for good: let running answers finish, then end its process.

    Its supervisor, whichever it is, does not start it again, whatever ``restart`` says, also when
    it is just waiting to do so. It keeps a static child as a stopped one.

    Returns:
        When nothing of the engine is left.

    Raises:
        NotRunning: It has none.

    Cancellation:
        An engine that has begun to stop goes on stopping.
    """
    get_runtime()
    entry = entry_of(alias)
    found = False
    while entry.stopping is not None:  # another call stops it: this one waits for the same end
        found = True
        await entry.stopping.wait()
    over = entry.stopping = trio.Event()
    try:
        found = await _stop(entry) or found
    finally:
        entry.stopping = None
        over.set()
    if not found:
        raise NotRunning(alias)


async def _stop(entry: EngineEntry) -> bool:
    """Stop the engine, if there is one. Return whether there was."""
    server = entry.server
    try:
        asked = await _ask_to_stop(entry)
    except (candil.NoProc, candil.ServerExited, candil.ChildNotFound):  # it has ended meanwhile
        asked = False
    if asked:
        await entry.release(server)
    return asked


async def _ask_to_stop(entry: EngineEntry) -> bool:
    """Have the supervisor end the engine; without one that answers, have its server end."""
    if await _is_ours(entry):
        entry.note_stopped()
        await candil.terminate_child(SUPERVISOR, entry.alias)
    elif (child_id := await _known_child(entry)) is not None:
        entry.note_stopped()
        await candil.terminate_child(entry.supervisor, child_id)
    elif (server := entry.current_server()) is not None:
        entry.note_stopped()
        await candil.stop(server)
    else:
        return False
    return True


async def healthy(alias: str) -> bool:
    """
    Return whether the engine of *alias* is ready, as far as is known now.

    Returns:
        ``False`` for an engine that does not run, still loads, or is sick; it never raises because
        of one.
    """
    get_runtime()
    await trio.lowlevel.checkpoint()
    return entry_of(alias).is_ready


async def base_url(alias: str) -> str | None:
    """
    Return where the engine of *alias* listens, such as ``http://127.0.0.1:8080``.

    Returns:
        The address, the same over restarts, also while the model still loads, and between a crash
        and the restart; ``None`` when the engine is not running.
    """
    get_runtime()
    await trio.lowlevel.checkpoint()
    entry = entry_of(alias)
    if entry.has_server:
        return None if entry.state is EngineState.FAILED else entry.address
    is_coming = entry.is_open and not entry.stopped and await _known_child(entry) is not None
    return entry.address if is_coming else None


async def wait_ready(alias: str, timeout: float = 600.0) -> str:  # noqa: ASYNC109 - as in OTP
    """
    Wait until the engine of *alias* answers requests.

    It answers then and there: a process that has just died is not taken for ready. A crash is
    waited through, and so is a back-off, when the supervisor starts the engine again. So a client
    whose connection broke waits here, and asks again.

    Args:
        alias: The model's alias.

        timeout: Seconds; ``math.inf`` waits for ever.

    Returns:
        Its address.

    Raises:
        EngineStartError: It cannot start: with the exit status of ``llama-server`` and its last
            lines.

        EngineExited: It had been ready, ended, and is not started again.

        EngineError: It cannot start; the error of ``start`` says why.

        ReadyTimeout: It still loads, or waits to be restarted.

        NotRunning: The alias has no engine, or it was stopped meanwhile.

    Cancellation:
        Safe; the engine goes on loading.
    """
    get_runtime()
    entry = entry_of(alias)
    until = trio.current_time() + timeout
    while True:
        left = max(0.0, until - trio.current_time())
        server = await _next_server(entry, left)
        if server is None:
            raise _out_of_time(entry, timeout)
        try:
            answer = await EngineServer.ready.within(left)(server)
        except candil.CallTimeout:
            raise _out_of_time(entry, timeout) from None
        except (candil.NoProc, candil.ServerExited):
            continue  # its supervisor decides whether another one is to come
        if isinstance(answer, EngineError):
            raise answer.with_traceback(None)  # else it grows with each that waits
        return answer


async def _engines_supervisor() -> candil.Pid[candil.Supervisor]:
    """Find the engines' supervisor; start it below the root if there is none yet."""
    while (found := candil.whereis(SUPERVISOR)) is None:
        root = candil.root()
        if root is None:
            message = (
                "engine.start() puts engines under the root of the open tree, and this block has "
                "none: open it with candil.open_supervisor()"
            )
            raise RuntimeError(message)
        try:
            await candil.start_child(root, engines_spec())
        except candil.AlreadyStarted:  # another start was quicker
            await trio.lowlevel.checkpoint()
        except candil.ChildAlreadyPresent:  # it was terminated by hand, and all engines with it
            with suppress(candil.SupervisorError):
                await candil.restart_child(root, SUPERVISOR.name)
    return found


async def _is_ours(entry: EngineEntry) -> bool:
    """Return whether the engines' supervisor has a child for the alias, running or restarting."""
    try:
        spec = await candil.get_childspec(SUPERVISOR, entry.alias)
    except (candil.CallError, candil.SupervisorError):
        return False
    return isinstance(spec.metadata, RestartState)


async def _make_room(entry: EngineEntry) -> None:
    """
    Stop an engine of this alias that has failed; it would never be of use again.

    Raises:
        AlreadyRunning: There is one of use, or its supervisor is about to start it.

        AliasTaken: The alias is another process's name.
    """
    if not entry.has_server:
        _refuse_stranger(entry.alias)
        if entry.is_open and not entry.stopped and await _known_child(entry) is not None:
            raise AlreadyRunning(entry.alias)
    elif entry.state is EngineState.FAILED:
        with suppress(NotRunning):  # it has ended meanwhile
            await stop(entry.alias)


def _refuse_stranger(alias: str) -> None:
    stranger = candil.whereis(alias)
    if stranger is not None and not entries().is_engine(stranger):
        raise AliasTaken(alias, stranger)


async def _next_server(entry: EngineEntry, seconds: float) -> candil.Pid[EngineServer] | None:
    """
    Return the engine's server; between two incarnations wait for the next, *seconds* at most.

    Raises:
        EngineError: None is to come: the last one's error, or ``NotRunning``.
    """
    with trio.move_on_after(seconds):
        server = await entry.wait_server(_RESTART_GAP)
        if server is not None:
            return server
        if entry.is_open and not entry.stopped and entry.last_error is not None:
            raise entry.last_error.with_traceback(None)
        raise NotRunning(entry.alias)
    return entry.current_server()


async def _known_child(entry: EngineEntry) -> Hashable | None:
    """
    Ask a supervisor for its child's id; ``None`` also if it has no time to answer.

    It has none while it starts or stops children, of which the caller may be one.
    """
    if entry.is_open and not entry.is_closing:
        with trio.move_on_after(_SUPERVISOR_SECONDS):
            return await entry.child_id()
    return None


def _out_of_time(entry: EngineEntry, timeout: float) -> EngineError:  # noqa: ASYNC109 - of the caller
    if not entry.is_open or (entry.stopped and not entry.has_server):
        return NotRunning(entry.alias)
    return ReadyTimeout(entry.alias, timeout, entry.last_error)
