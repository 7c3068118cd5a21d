"""
Engines as children of supervisors: what is declared, before anything runs.

An engine of the engines' supervisor has a supervisor of its own between, so that one that gives up
takes none of the others along.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack

import attrs

import candil
from candil.engine._config import engine as engine_module, model as model_module
from candil.engine._config.engine import Engine
from candil.engine._config.errors import ConfigError
from candil.engine._config.log_path import absolute_log_path
from candil.engine._config.model import Model
from candil.engine._config.timing import Timing
from candil.engine._server.restart_state import RestartState
from candil.engine._server.server import EngineServer
from candil.engine._system.ports import PortLease

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable
    from pathlib import Path

SUPERVISOR: Final = candil.Name[candil.Supervisor]("candil.engine.supervisor")

# An engine that is killed again and again comes back twenty times in ten seconds; one that cannot
# even start gives up by itself long before.
MAX_RESTARTS: Final = 20
MAX_SECONDS: Final = 10.0
# More than a stop may take: the drain, the grace, and what the kernel needs to free the memory.
_SHUTDOWN_MARGIN: Final = 15.0


class ChildOptions(TypedDict, total=False):
    """What ``child_spec`` hands on to ``candil.child_spec``, where each key is explained."""

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

    Its start returns at once, before the model is loaded; ``wait_ready`` waits for that. It is
    restarted when it crashes, not when it was stopped (``restart="transient"``), and has time for
    an orderly stop.

    Args:
        engine: The program, and where it listens.

        model: The model; its alias becomes the child's id and its registered name.

        timing: How long things may take.

        log_path: A file for everything the engine writes, ``~`` expanded; it rotates at 10 MiB.

        options: For ``candil.child_spec``: ``id``, ``restart``, ``shutdown``, ``backoff`` ...

    Returns:
        The spec. It holds the engine's port over all restarts: make one for each child.

    Raises:
        ConfigError: Not an ``Engine``, a ``Model`` and a ``Timing``.

        SpecError: The options are wrong.
    """
    check_types(engine, model, timing)
    restart_state = RestartState(model.alias, PortLease(engine.host, engine.port))
    return spec_of(
        engine, model, restart_state, timing or Timing(), absolute_log_path(log_path), options
    )


def engines_spec(
    children: Iterable[candil.ChildSpec[EngineServer]] = (),
    *,
    max_restarts: int = MAX_RESTARTS,
    max_seconds: float = MAX_SECONDS,
) -> candil.SupervisorSpec:
    """
    Describe the engines' supervisor, to place it in a static tree by yourself.

    Without it, the first ``start`` places it below the root. Each engine, also one that ``start``
    adds, gets a supervisor of its own below it with these limits: one that gives up takes none of
    the others along.

    Args:
        children: Engines to begin with, made by ``child_spec``.

        max_restarts: How many restarts each engine may need within *max_seconds*.

        max_seconds: Length of that window.

    Returns:
        The spec, under the name that ``start`` looks for.

    Raises:
        ConfigError: A child is not an engine's.

        SpecError: The limits are wrong, or an alias comes twice.
    """
    given = _listed(children)
    limits = candil.supervisor_spec([], max_restarts=max_restarts, max_seconds=max_seconds)
    return attrs.evolve(
        limits, children=[with_supervisor(child, limits) for child in given], name=SUPERVISOR
    )


def _listed(children: object) -> list[candil.ChildSpec[EngineServer]]:
    if not isinstance(children, Iterable):
        raise ConfigError("engines_spec", [f"children must be a list, got: {children!r}"])
    given: list[Any] = list(children)  # pyright: ignore[reportUnknownArgumentType]
    mistakes = [
        f"children[{index}] must be made by engine.child_spec(), got: {child!r}"
        for index, child in enumerate(given)
        if not _is_engine(child)
    ]
    if mistakes:
        raise ConfigError("engines_spec", mistakes)
    return given


def _is_engine(child: Any) -> bool:
    return isinstance(child, candil.ChildSpec) and isinstance(child.metadata, RestartState)


def check_types(engine: object, model: object, timing: object) -> None:
    """Raise ``ConfigError`` unless they are an ``Engine``, a ``Model`` and maybe a ``Timing``."""
    mistakes = [
        f"{what} must be {article} {kind.__name__}, got: {value!r}"
        for what, article, kind, value in (
            ("engine", "an", Engine, engine),
            ("model", "a", Model, model),
            ("timing", "a", Timing, Timing() if timing is None else timing),
        )
        if not isinstance(value, kind)
    ]
    if mistakes:
        raise ConfigError("the engine's child spec", mistakes)


def spec_of(
    engine: Engine,
    model: Model,
    restart_state: RestartState,
    timing: Timing,
    log_path: Path | None,
    options: ChildOptions,
) -> candil.ChildSpec[EngineServer]:
    """Describe the engine of *restart_state*."""
    defaults: ChildOptions = {
        "name": model.alias,
        "restart": "transient",
        "shutdown": timing.drain_timeout + timing.grace_period + _SHUTDOWN_MARGIN,
    }
    given = defaults | options
    # A restart must find the same files after the program has changed its folder.
    engine, model = engine_module.with_absolute_path(engine), model_module.with_absolute_path(model)
    spec = candil.child_spec(EngineServer, engine, model, timing, log_path, restart_state, **given)
    return attrs.evolve(spec, metadata=restart_state)


def with_supervisor(
    spec: candil.ChildSpec[EngineServer], limits: candil.SupervisorSpec
) -> candil.ChildSpec[Any]:
    """Return the spec of a supervisor for one engine, with *limits*, that ends with it."""
    # A permanent one never ends for good by itself, and so must not be significant.
    own = candil.supervisor_spec(
        [attrs.evolve(spec, significant=spec.restart != "permanent")],
        max_restarts=limits.max_restarts,
        max_seconds=limits.max_seconds,
        auto_shutdown="any_significant",
    )
    # By the alias, under which ``stop`` looks for it, whatever id its own child has.
    assert isinstance(spec.metadata, RestartState)
    outer = candil.child_spec(own, id=spec.metadata.alias, restart="temporary")
    return attrs.evolve(outer, metadata=spec.metadata)
