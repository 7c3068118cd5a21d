"""
Specs: what a supervisor shall run, as data. They are checked when they are built, never when they
are restarted.

OTP: the maps that ``supervisor:init/1`` returns. Specs nest: a supervisor spec is a child like any
other.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, final, overload

import attrs

from candil.otp._backoff import Backoff
from candil.otp._errors import SpecError, brief
from candil.otp._gen_server import GenServer
from candil.otp._names import Name, Server, Via, typed_key
from candil.otp._start import Startable
from candil.otp._strategy import AUTO_SHUTDOWNS, STRATEGIES, AutoShutdown, Strategy

if TYPE_CHECKING:
    import builtins

    from candil.otp._supervisor import Supervisor

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)

Restart = Literal["permanent", "transient", "temporary"]
"""When a child is started again: always, after an abnormal end, never."""

ShutdownBudget = float | Literal["brutal_kill"]
"""Seconds that a child gets to end; ``math.inf`` waits for ever, ``"brutal_kill"`` does "
"not even ask."""

ChildType = Literal["worker", "supervisor"]
"""Only counted apart; a supervisor also gets an infinite shutdown by default."""

RESTARTS: tuple[Restart, ...] = ("permanent", "transient", "temporary")
CHILD_TYPES: tuple[ChildType, ...] = ("worker", "supervisor")

WORKER_SHUTDOWN = 5.0


@final
@attrs.frozen
class StartFunction:
    """
    A start function of your own, as OTP's ``{Module, Function, Args}``: it runs in the supervisor,
    and must start and link a process.

    Args:
        function: An async function. It returns the pid that ``candil.start_link`` gave, or ``(pid,
            anything)``, or ``IGNORE``. What it raises is a failed start.
    """

    function: Callable[..., Awaitable[Any]]


@final
@attrs.frozen(repr=False)
class ChildSpec(Generic[S_co]):
    """
    One child. Made by ``child_spec``; change one with ``attrs.evolve``, which checks again.

    Attributes:
        id: Names it in its supervisor; any hashable value.

        target: What runs: a ``GenServer`` subclass, an async function, a ``SupervisorSpec`` or a
            ``StartFunction``.

        args: Its positional arguments, the same at each restart.

        kwargs: Its keyword arguments.

        name: Registered at each start.

        restart: When it is started again.

        shutdown: How it is ended.

        significant: Whether its end can end its supervisor.

        type: Worker or supervisor.

        backoff: How long its restarts are put off.
    """

    id: Hashable
    target: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    name: Server[Any] | None = None
    restart: Restart = "permanent"
    shutdown: ShutdownBudget = WORKER_SHUTDOWN
    significant: bool = False
    type: ChildType = "worker"
    backoff: Backoff | None = None

    def __attrs_post_init__(self) -> None:
        mistakes = [f"child {brief(self.id)}: {mistake}" for mistake in _child_mistakes(self)]
        if mistakes:
            raise SpecError(mistakes)

    def __repr__(self) -> str:
        return f"<ChildSpec {brief(self.id)} {self.restart} {self.type}: {_label(self.target)}>"


def _listed(children: Any) -> Any:
    """
    Give the child specs of a list of children. What cannot be one is left as it is, or as the error
    that says why: the checks tell it together with all other mistakes.
    """
    given: Any = children
    if isinstance(given, str | ChildSpec | SupervisorSpec) or not isinstance(given, Iterable):
        return SpecError([f"children: a list of child specs is needed, got {brief(children)}"])
    return tuple(_child_or_mistakes(child) for child in children)


def _child_or_mistakes(child: Any) -> Any:
    try:
        return as_child_spec(child)
    except SpecError as error:
        return error


@final
@attrs.frozen(repr=False, eq=False)
class SupervisorSpec(Startable["Supervisor"]):
    """
    One supervisor and all below it. Made by ``supervisor_spec``.

    Attributes:
        children: In start order.

        strategy: Which children are restarted when one crashes.

        max_restarts: How many restarts are allowed within ``max_seconds``; one more, and it gives
            up.

        max_seconds: Length of that window.

        auto_shutdown: Whether it ends with its significant children.

        id: Names it in the supervisor above.

        name: Registered at its start.
    """

    children: tuple[ChildSpec[Any], ...] = attrs.field(converter=_listed)
    strategy: Strategy = "one_for_one"
    max_restarts: int = 3
    max_seconds: float = 5.0
    auto_shutdown: AutoShutdown = "never"
    id: Hashable = None
    name: Server[Any] | None = None

    def __attrs_post_init__(self) -> None:
        mistakes = [
            *_flag_mistakes(self),
            *children_mistakes(self.children, self.strategy, self.auto_shutdown),
        ]
        if mistakes:
            raise SpecError(mistakes)

    def __repr__(self) -> str:
        label = self.name or self.id
        who = "" if label is None else f"{brief(label)} "
        return f"<SupervisorSpec {who}{self.strategy}, {len(self.children)} children>"


@overload
def child_spec(
    target: builtins.type[S],
    /,
    *args: Any,
    id: Hashable = ...,
    name: Server[Any] | None = ...,
    restart: Restart = ...,
    shutdown: ShutdownBudget | None = ...,
    significant: bool = ...,
    type: ChildType | None = ...,
    backoff: Backoff | None = ...,
    **kwargs: Any,
) -> ChildSpec[S]: ...
@overload
def child_spec(
    target: SupervisorSpec,
    /,
    *args: Any,
    id: Hashable = ...,
    name: Server[Any] | None = ...,
    restart: Restart = ...,
    shutdown: ShutdownBudget | None = ...,
    significant: bool = ...,
    type: ChildType | None = ...,
    backoff: Backoff | None = ...,
    **kwargs: Any,
) -> ChildSpec[Supervisor]: ...
@overload
def child_spec(
    target: StartFunction | Callable[..., Awaitable[object]],
    /,
    *args: Any,
    id: Hashable = ...,
    name: Server[Any] | None = ...,
    restart: Restart = ...,
    shutdown: ShutdownBudget | None = ...,
    significant: bool = ...,
    type: ChildType | None = ...,
    backoff: Backoff | None = ...,
    **kwargs: Any,
) -> ChildSpec[Any]: ...
def child_spec(  # OTP's keys
    target: Any,
    /,
    *args: Any,
    id: Hashable = None,  # OTP's key
    name: Server[Any] | None = None,
    restart: Restart = "permanent",
    shutdown: ShutdownBudget | None = None,
    significant: bool = False,
    type: ChildType | None = None,  # OTP's key
    backoff: Backoff | None = None,
    **kwargs: Any,
) -> ChildSpec[Any]:
    """
    Describe one child of a supervisor.

    Args:
        target: A ``GenServer`` subclass; an async function, which then is the process; a
            ``SupervisorSpec``; or a ``StartFunction``.

        args: Its positional arguments. Each restart gets the same objects: let them be immutable,
            or handles that are safe to share.

        id: Names it in its supervisor; by default the id of *target* if that is a
            ``SupervisorSpec`` with one, else its *name*, else the name of *target*.

        name: Registered at each start, so that callers find the next incarnation.

        restart: ``"permanent"``: always started again; ``"transient"``: after an abnormal end;
            ``"temporary"``: never.

        shutdown: Seconds that it gets to end before it is killed, 5 by default; ``math.inf``, the
            default for supervisors, waits for ever; ``"brutal_kill"`` kills at once.

        significant: Whether its own end can end its supervisor, see *auto_shutdown* of
            ``supervisor_spec``.

        type: ``"worker"`` or ``"supervisor"``; found out by default.

        backoff: Puts its restarts off; without it they come at once, as in OTP.

        kwargs: Further keyword arguments for *target*.

    Returns:
        The spec, checked.

    Raises:
        SpecError: With every mistake in it, arguments that *target* does not take included. Those
            that are missing are told by ``supervisor_spec``, since a template may lack some.
    """
    is_supervisor = isinstance(target, SupervisorSpec)
    kind: ChildType = type or ("supervisor" if is_supervisor else "worker")
    if name is None and is_supervisor:
        name = target.name
    return ChildSpec(
        id=id if id is not None else _default_id(target, name),
        target=target,
        args=args,
        kwargs=kwargs,
        name=name,
        restart=restart,
        shutdown=(math.inf if kind == "supervisor" else WORKER_SHUTDOWN)
        if shutdown is None
        else shutdown,
        significant=significant,
        type=kind,
        backoff=backoff,
    )


def supervisor_spec(  # OTP's flags
    children: Iterable[ChildSpec[Any] | SupervisorSpec | type[GenServer]] = (),
    *,
    strategy: Strategy = "one_for_one",
    max_restarts: int = 3,
    max_seconds: float = 5.0,
    auto_shutdown: AutoShutdown = "never",
    id: Hashable = None,  # OTP's key
    name: Server[Any] | None = None,
) -> SupervisorSpec:
    """
    Describe a supervisor: which children, and what happens when one of them ends.

    Args:
        children: Started in this order, each fully up before the next, and stopped in reverse. A
            ``SupervisorSpec`` or a ``GenServer`` subclass stands for its own ``child_spec``.

        strategy: ``"one_for_one"`` restarts the one that crashed; ``"one_for_all"`` all;
            ``"rest_for_one"`` it and those started after it; ``"simple_one_for_one"`` has one child
            spec as a template, and starts instances of it on demand.

        max_restarts: How many restarts are allowed within *max_seconds*; with one more it stops all
            children and gives up. Elixir's default; OTP's is 1.

        max_seconds: Length of that window, in seconds. It is exact; OTP's counts whole seconds.

        auto_shutdown: ``"any_significant"`` ends the supervisor when one significant child has
            ended by itself, ``"all_significant"`` when the last has.

        id: Names it in the supervisor above; by default its *name*.

        name: Registered at its start.

    Returns:
        The spec, checked.

    Raises:
        SpecError: With every mistake in it.
    """
    return SupervisorSpec(
        children=_listed(children),
        strategy=strategy,
        max_restarts=max_restarts,
        max_seconds=max_seconds,
        auto_shutdown=auto_shutdown,
        id=id,
        name=name,
    )


def check_childspecs(
    children: Iterable[ChildSpec[Any] | SupervisorSpec | type[GenServer]],
    *,
    auto_shutdown: AutoShutdown = "never",
) -> None:
    """
    Raise ``SpecError`` unless the children could stand together in one supervisor. OTP:
    ``supervisor:check_childspecs``.

    Args:
        children: As for ``supervisor_spec``.

        auto_shutdown: The supervisor's.

    Raises:
        SpecError: With every mistake.
    """
    mistakes = children_mistakes(_listed(children), "one_for_one", auto_shutdown)
    if mistakes:
        raise SpecError(mistakes)


def as_child_spec(child: Any) -> Any:
    """
    Give the child spec that *child* stands for, or *child* itself for the checks to complain of.
    """
    if isinstance(child, SupervisorSpec) or (
        isinstance(child, type) and issubclass(child, GenServer)
    ):
        return child_spec(child)
    return cast("Any", child)


def children_mistakes(
    children: tuple[Any, ...] | SpecError, strategy: object, auto_shutdown: object
) -> list[str]:
    """Say what is wrong with *children* as those of one supervisor."""
    if isinstance(children, SpecError):
        return list(children.mistakes)
    mistakes: list[str] = []
    seen: set[object] = set()
    for index, child in enumerate(children):
        where = f"children[{index}]"
        if isinstance(child, SpecError):
            mistakes.extend(f"{where}: {mistake}" for mistake in child.mistakes)
            continue
        if not isinstance(child, ChildSpec):
            mistakes.append(
                f"{where}: a child spec is needed (make one with child_spec), got {brief(child)}"
            )
            continue
        key = typed_key(child.id)
        if key in seen:
            mistakes.append(
                f"{where}: the id {brief(child.id)} is used twice; give one of them another id="
            )
        seen.add(key)
        if strategy != "simple_one_for_one":  # a template gets the rest of its arguments later
            name = f"{where}: child {brief(child.id)}"
            mistakes.extend(
                f"{name}: {mistake}" for mistake in instance_mistakes(cast("Any", child))
            )
        if child.significant and auto_shutdown == "never":
            mistakes.append(
                f"{where}: significant children need auto_shutdown='any_significant' or "
                "'all_significant'"
            )
    if strategy == "simple_one_for_one" and len(children) != 1:
        mistakes.append(
            "children: simple_one_for_one needs exactly one child spec, its template; got "
            f"{len(children)}"
        )
    return mistakes


def instance_mistakes(spec: ChildSpec[Any], extra: tuple[Any, ...] = ()) -> list[str]:
    """Say what is wrong with the arguments of *spec*, followed by *extra*, as those of a start."""
    return _argument_mistakes(spec, (*spec.args, *extra), inspect.Signature.bind)


def _flag_mistakes(spec: SupervisorSpec) -> list[str]:
    mistakes: list[str] = []
    if spec.strategy not in STRATEGIES:
        mistakes.append(_one_of("strategy", STRATEGIES, spec.strategy))
    if spec.auto_shutdown not in AUTO_SHUTDOWNS:
        mistakes.append(_one_of("auto_shutdown", AUTO_SHUTDOWNS, spec.auto_shutdown))
    count: Any = spec.max_restarts
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        mistakes.append(f"max_restarts: a whole number from 0 on is needed, got {brief(count)}")
    if not _is_number(spec.max_seconds) or not spec.max_seconds > 0:
        mistakes.append(
            f"max_seconds: more than 0 seconds are needed, got {brief(spec.max_seconds)}"
        )
    mistakes.extend(_key_mistakes("id", spec.id))
    mistakes.extend(_name_mistakes(spec.name))
    return mistakes


def _child_mistakes(spec: ChildSpec[Any]) -> list[str]:
    mistakes = [*_id_mistakes(spec.id), *_name_mistakes(spec.name), *_target_mistakes(spec)]
    if spec.restart not in RESTARTS:
        mistakes.append(_one_of("restart", RESTARTS, spec.restart))
    if spec.type not in CHILD_TYPES:
        mistakes.append(_one_of("type", CHILD_TYPES, spec.type))
    if spec.shutdown != "brutal_kill" and not (
        _is_number(spec.shutdown) and float(spec.shutdown) >= 0
    ):
        mistakes.append(
            "shutdown: seconds from 0 on, math.inf or 'brutal_kill' are needed, got "
            f"{brief(spec.shutdown)}"
        )
    significant: Any = spec.significant
    if not isinstance(significant, bool):
        mistakes.append(f"significant: True or False is needed, got {brief(significant)}")
    elif significant and spec.restart == "permanent":
        mistakes.append(
            "significant: a permanent child never ends for good; use restart='transient' "
            "or 'temporary'"
        )
    backoff: Any = spec.backoff
    if backoff is not None and not isinstance(backoff, Backoff):
        mistakes.append(f"backoff: a candil.Backoff is needed, got {brief(backoff)}")
    return mistakes


def _id_mistakes(child_id: object) -> list[str]:
    if child_id is None:
        return ["id: give it one; it has neither a name nor a target to be called after"]
    return _key_mistakes("id", child_id)


def _key_mistakes(what: str, key: object) -> list[str]:
    try:
        hash(key)
    except TypeError:
        return [f"{what}: a hashable value is needed, got {brief(key)}"]
    return []


def _name_mistakes(name: Any) -> list[str]:
    bare: Any = name.name if isinstance(name, Name) else name
    if name is None or (isinstance(bare, str) and bare != ""):
        return []
    if isinstance(name, Via):
        return _key_mistakes("name", cast("object", name))
    return [f"name: a non-empty str, a Name or a Via is needed, got {brief(cast('object', name))}"]


def _target_mistakes(spec: ChildSpec[Any]) -> list[str]:
    target = spec.target
    function = target.function if isinstance(target, StartFunction) else target
    if not isinstance(target, SupervisorSpec) and not _is_runnable(function):
        forms = "a GenServer subclass, an async function, a SupervisorSpec or a StartFunction"
        return [f"target: {forms} is needed, got {brief(target)}"]
    # it may be a template, whose other arguments come with each start
    return _argument_mistakes(spec, spec.args, inspect.Signature.bind_partial)


def _argument_mistakes(
    spec: ChildSpec[Any], args: tuple[Any, ...], bind: Callable[..., object]
) -> list[str]:
    target = spec.target
    if isinstance(target, SupervisorSpec):
        return ["target: a supervisor spec takes no arguments"] if args or spec.kwargs else []
    function = target.function if isinstance(target, StartFunction) else target
    try:
        bind(inspect.signature(function), *args, **spec.kwargs)
    except TypeError as error:
        return [f"target: {_label(target)} does not take these arguments: {error}"]
    except ValueError:  # a callable without a signature can only be tried
        return []
    return []


def _is_runnable(target: Any) -> bool:
    if isinstance(target, type):
        return issubclass(target, GenServer)
    if inspect.iscoroutinefunction(target):
        return True
    inner = getattr(target, "func", None) or getattr(target, "__call__", None)  # noqa: B004  # partials, callable objects
    return inspect.iscoroutinefunction(inner)


def _default_id(target: Any, name: object) -> Hashable:
    if isinstance(target, SupervisorSpec) and target.id is not None:
        return target.id
    if isinstance(name, Name):
        return name.name
    if name is not None:
        return name
    if isinstance(target, SupervisorSpec):
        return "supervisor"
    function = target.function if isinstance(target, StartFunction) else target
    return getattr(function, "__name__", None)


def _label(target: Any) -> str:
    function = target.function if isinstance(target, StartFunction) else target
    return getattr(function, "__qualname__", None) or brief(function)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _one_of(what: str, forms: tuple[str, ...], got: object) -> str:
    return f"{what}: one of {', '.join(map(repr, forms))} is needed, got {brief(got)}"
