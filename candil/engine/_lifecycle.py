"""
Starting and stopping engines, and asking after them by their model's alias.

An engine that is started on demand has a supervisor of its own, below the engines' supervisor,
below the root of the open tree: never under its caller, and never with another's restart limit.

::

    the root ── candil.engine.supervisor ┬─ supervisor of "smollm2" ── EngineServer "smollm2"
                                         └─ supervisor of "qwen"    ── EngineServer "qwen"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack

import attrs
import trio

import candil
from candil.engine._engine import Engine
from candil.engine._errors import (
    AlreadyRunning,
    ConfigError,
    EngineError,
    NotRunning,
    ReadyTimeout,
)
from candil.engine._lineage import Lineage
from candil.engine._log_file import LogFile
from candil.engine._model import Model
from candil.engine._ports import PortLease
from candil.engine._server import FAMILY, EngineServer, EngineState, Timing
from candil.engine._tenders import look_before

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Iterable

SUPERVISOR: Final = candil.Name[candil.Supervisor]("candil.engine.supervisor")

# An engine that is killed again and again comes back twenty times in ten seconds; one that cannot
# even start gives up by itself long before.
MAX_RESTARTS: Final = 20
MAX_SECONDS: Final = 10.0
# More than a stop may take: the drain, the grace, and what the kernel needs to free the memory.
_SHUTDOWN_MARGIN: Final = 15.0
_RESTART_GAP: Final = 0.1
_LOOK_SECONDS: Final = 0.01


class ChildOptions(TypedDict, total=False):
    """What `child_spec` hands on to `candil.child_spec`, where each key is explained."""

    id: Hashable
    name: candil.ServerName[EngineServer]
    restart: Literal["permanent", "transient", "temporary"]
    shutdown: float | Literal["brutal_kill"]
    significant: bool
    backoff: candil.Backoff


def child_spec(
    engine: Engine,
    model: Model,
    *,
    timing: Timing | None = None,
    log_path: str | os.PathLike[str] | None = None,
    **options: Unpack[ChildOptions],
) -> candil.ChildSpec[EngineServer]:
    """
    Describe an engine as a child of a supervisor.

    Its start returns at once, before the model is loaded; `await_ready` waits for that. It is
    restarted when it crashes, not when it was stopped (``restart="transient"``), and has time for
    an orderly stop.

    Args:
        engine: The program, and where it listens.

        model: The model; its alias becomes the child's id and its registered name.

        timing: How long things may take.

        log_path: A file for everything the engine writes; it rotates at 10 MiB.

        options: For `candil.child_spec`: ``id``, ``restart``, ``shutdown``, ``backoff`` ...

    Returns:
        The spec. It holds the engine's port over all restarts: make one for each child.

    Raises:
        ConfigError: Not an `Engine` and a `Model`.

        SpecError: The options are wrong.
    """
    _check_types(engine, model)
    lineage = Lineage(PortLease(engine.host, engine.port))
    return _spec(engine, model, lineage, timing or Timing(), log_path, options)


def engines_spec(
    children: Iterable[candil.ChildSpec[EngineServer]] = (),
    *,
    max_restarts: int = MAX_RESTARTS,
    max_seconds: float = MAX_SECONDS,
) -> candil.SupervisorSpec:
    """
    Describe the engines' supervisor, to place it in a static tree by yourself.

    Without it, the first `start` places it below the root. Each engine gets a supervisor of its
    own below it: one that gives up takes none of the others along.

    Args:
        children: Engines to begin with, made by `child_spec`.

        max_restarts: How many restarts each engine may need within *max_seconds*.

        max_seconds: Length of that window.

    Returns:
        The spec, under the name that `start` looks for.
    """
    return candil.supervisor_spec(
        [_with_supervisor(child, max_restarts, max_seconds) for child in children], name=SUPERVISOR
    )


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

        log_path: A file for everything the engine writes; it rotates at 10 MiB.

    Returns:
        The pid of its `EngineServer`; after a restart the alias finds the next one.

    Raises:
        BinaryNotFound: There is no ``llama-server``.

        ModelError: The model is missing, cut short, or no model: nothing was started.

        AlreadyRunning: The alias has an engine.

        PortUnavailable: No port of the range is free.

        RuntimeError: No tree is open.

    Cancellation:
        Either nothing was started, or the engine runs as if `start` had returned.
    """
    _check_types(engine, model)
    await trio.to_thread.run_sync(look_before, engine, model, abandon_on_cancel=True)
    await _make_room(model.alias)
    lineage = Lineage(PortLease(engine.host, engine.port))
    lineage.lease.acquire()
    spec = _spec(engine, model, lineage, timing or Timing(), log_path, {})
    try:
        await candil.start_child(
            await _engines_supervisor(), _with_supervisor(spec, MAX_RESTARTS, MAX_SECONDS)
        )
    except candil.StartError as error:
        lineage.lease.release()
        if isinstance(error, candil.AlreadyStarted) or _find(model.alias) is not None:
            raise AlreadyRunning(model.alias) from error
        raise
    pid = await _appears(model.alias, _RESTART_GAP)
    if pid is None:
        raise NotRunning(model.alias)
    return pid


async def stop(alias: str) -> None:
    """
    Stop the engine of *alias*, for good: let running answers finish, then end its process.

    Returns:
        When nothing of the engine is left.

    Raises:
        NotRunning: It has none.

    Cancellation:
        The engine goes on stopping.
    """
    try:
        if await _is_ours(alias):
            await candil.terminate_child(SUPERVISOR, alias)
        elif (pid := _find(alias)) is not None:
            await candil.stop(pid)
        else:
            raise NotRunning(alias)
    except (candil.NoProc, candil.ChildNotFound):  # it has ended meanwhile
        raise NotRunning(alias) from None


async def healthy(alias: str) -> bool:
    """
    Tell whether the engine of *alias* is ready, as far as is known now.

    Returns:
        ``False`` for an engine that does not run, still loads, or is sick; it never raises because
        of one.
    """
    try:
        return await EngineServer.health(_name(alias)) is EngineState.READY
    except candil.CallError:
        return False


async def base_url(alias: str) -> str | None:
    """
    Tell where the engine of *alias* listens, such as ``http://127.0.0.1:8080``.

    Returns:
        The address, the same over restarts, also while the model still loads; ``None`` when the
        engine is not running.
    """
    try:
        return await EngineServer.base_url(_name(alias))
    except candil.CallError:
        return None


async def await_ready(alias: str, timeout: float = 600.0) -> str:  # noqa: ASYNC109 - as in OTP
    """
    Wait until the engine of *alias* answers requests.

    Args:
        alias: The model's alias.

        timeout: Seconds; ``math.inf`` waits for ever.

    Returns:
        Its address.

    Raises:
        EngineStartError: ``llama-server`` ended before it was ready: at once, with its exit status
            and its last lines.

        EngineExited: It had been ready, and ended while this waited.

        EngineError: It cannot start; the error of `start` says why.

        ReadyTimeout: It still loads.

        NotRunning: The alias has no engine, or it was stopped meanwhile.

    Cancellation:
        Safe; the engine goes on loading.
    """
    until = trio.current_time() + timeout
    while True:
        left = max(0.0, until - trio.current_time())
        pid = await _appears(alias, left if await _is_ours(alias) else min(left, _RESTART_GAP))
        if pid is None:
            raise NotRunning(alias)
        try:
            answer = await EngineServer.ready.within(left)(pid)
        except candil.CallTimeout:
            raise ReadyTimeout(alias, timeout) from None
        except candil.ServerExited as ended:
            _raise_if_final(ended.reason, alias)
        except candil.NoProc:
            pass  # it ended between the look and the call; the next look tells more
        else:
            if isinstance(answer, EngineError):
                raise answer.with_traceback(None)  # else it grows with each that waits
            return answer


def _check_types(engine: object, model: object) -> None:
    mistakes = [
        f"{what} must be {article} {kind.__name__}, got: {value!r}"
        for what, article, kind, value in (
            ("engine", "an", Engine, engine),
            ("model", "a", Model, model),
        )
        if not isinstance(value, kind)
    ]
    if mistakes:
        raise ConfigError("the engine's child spec", mistakes)


def _spec(
    engine: Engine,
    model: Model,
    lineage: Lineage,
    timing: Timing,
    log_path: str | os.PathLike[str] | None,
    options: ChildOptions,
) -> candil.ChildSpec[EngineServer]:
    defaults: ChildOptions = {
        "name": model.alias,
        "restart": "transient",
        "shutdown": timing.drain + timing.grace + _SHUTDOWN_MARGIN,
    }
    log = None if log_path is None else LogFile(log_path)
    given = defaults | options
    return candil.child_spec(EngineServer, engine, model, lineage, timing, log, **given)


def _with_supervisor(
    spec: candil.ChildSpec[EngineServer], max_restarts: int, max_seconds: float
) -> candil.ChildSpec[Any]:
    """Give an engine its own supervisor, which ends with it and is never restarted."""
    own = candil.supervisor_spec(
        [attrs.evolve(spec, significant=True)],
        max_restarts=max_restarts,
        max_seconds=max_seconds,
        auto_shutdown="any_significant",
    )
    return candil.child_spec(own, id=spec.id, restart="temporary")


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
        except candil.AlreadyStarted:  # somebody else was quicker
            await trio.lowlevel.checkpoint()
    return found


async def _is_ours(alias: str) -> bool:
    """Tell whether the engines' supervisor has a child for *alias*, running or restarting."""
    try:
        await candil.get_childspec(SUPERVISOR, alias)
    except (candil.CallError, candil.SupervisorError):
        return False
    return True


async def _make_room(alias: str) -> None:
    """Stop an engine of this alias that has failed; it would never be of use again."""
    pid = _find(alias)
    if pid is None:
        return
    try:
        if await EngineServer.health(pid) is EngineState.FAILED:
            await stop(alias)
    except (candil.CallError, NotRunning):
        return  # it has ended meanwhile


def _name(alias: str) -> candil.Via[EngineServer]:
    """Name the engine of *alias*: not by the alias itself, which another process may have."""
    return candil.Via[EngineServer](FAMILY, alias)


def _find(alias: str) -> candil.Pid[EngineServer] | None:
    return candil.whereis(_name(alias))


async def _appears(alias: str, seconds: float) -> candil.Pid[EngineServer] | None:
    """Find the engine's server; between two incarnations there is none for a moment."""
    with trio.move_on_after(seconds):
        while (pid := _find(alias)) is None:  # noqa: ASYNC110 - names announce nothing
            await trio.sleep(_LOOK_SECONDS)
        return pid
    return _find(alias)


def _raise_if_final(reason: candil.ExitReason, alias: str) -> None:
    """Raise what the end of a server means to those who wait, unless only the server was hit."""
    if isinstance(reason, candil.Crashed) and isinstance(reason.exception, EngineError):
        raise reason.exception
    if not candil.is_abnormal(reason):
        raise NotRunning(alias)
