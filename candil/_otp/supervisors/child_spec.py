"""
One child of a supervisor, as data, checked when it is built, never when it is restarted.

OTP: the child maps that ``supervisor:init/1`` returns.
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, final, overload

import attrs

from candil._otp.behaviours.gen_server import GenServer
from candil._otp.behaviours.proc_lib import Startable, server_class
from candil._otp.supervisors.backoff import Backoff
from candil._otp.supervisors.errors import SpecError
from candil._otp.supervisors.spec_checks import (
    choice_mistakes,
    is_number,
    key_mistakes,
    name_mistakes,
)
from candil._otp.values.errors import short_repr
from candil._otp.values.names import Name, ServerName

if TYPE_CHECKING:
    import builtins
    from collections.abc import Awaitable, Callable, Hashable, Mapping

    from candil._otp.supervisors.supervisor import Supervisor
    from candil._otp.supervisors.supervisor_spec import SupervisorSpec

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

        metadata: Anything that tells others what kind of child this is. The supervisor keeps it
            and does not read it; ``get_childspec`` gives it back.
    """

    id: Hashable
    target: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    name: ServerName[Any] | None = None
    restart: Restart = "permanent"
    shutdown: ShutdownBudget = WORKER_SHUTDOWN
    significant: bool = False
    type: ChildType = "worker"
    backoff: Backoff | None = None
    metadata: object = attrs.field(default=None, eq=False)

    def __attrs_post_init__(self) -> None:
        mistakes = [f"child {short_repr(self.id)}: {mistake}" for mistake in _child_mistakes(self)]
        if mistakes:
            raise SpecError(mistakes)

    def __repr__(self) -> str:
        return (
            f"<ChildSpec {short_repr(self.id)} {self.restart} {self.type}: {_label(self.target)}>"
        )


@overload
def child_spec(
    target: builtins.type[S],
    /,
    *args: Any,
    id: Hashable = ...,
    name: ServerName[Any] | None = ...,
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
    name: ServerName[Any] | None = ...,
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
    name: ServerName[Any] | None = ...,
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
    name: ServerName[Any] | None = None,
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
    target = server_class(target)
    is_supervisor = isinstance(target, Startable)
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


def instance_mistakes(spec: ChildSpec[Any], extra: tuple[Any, ...] = ()) -> list[str]:
    """Say what is wrong with the arguments of *spec*, followed by *extra*, as those of a start."""
    return _argument_mistakes(spec, (*spec.args, *extra), inspect.Signature.bind)


def _child_mistakes(spec: ChildSpec[Any]) -> list[str]:
    mistakes = [
        *_id_mistakes(spec.id),
        *name_mistakes(spec.name),
        *_target_mistakes(spec),
        *choice_mistakes("restart", RESTARTS, spec.restart),
        *choice_mistakes("type", CHILD_TYPES, spec.type),
    ]
    if spec.shutdown != "brutal_kill" and not (
        is_number(spec.shutdown) and float(spec.shutdown) >= 0
    ):
        mistakes.append(
            "shutdown: seconds from 0 on, math.inf or 'brutal_kill' are needed, got "
            f"{short_repr(spec.shutdown)}"
        )
    significant: Any = spec.significant
    if not isinstance(significant, bool):
        mistakes.append(f"significant: True or False is needed, got {short_repr(significant)}")
    elif significant and spec.restart == "permanent":
        mistakes.append(
            "significant: a permanent child never ends for good; use restart='transient' "
            "or 'temporary'"
        )
    backoff: Any = spec.backoff
    if backoff is not None and not isinstance(backoff, Backoff):
        mistakes.append(f"backoff: a candil.Backoff is needed, got {short_repr(backoff)}")
    return mistakes


def _id_mistakes(child_id: object) -> list[str]:
    if child_id is None:
        return ["id: give it one; it has neither a name nor a target to be called after"]
    return key_mistakes("id", child_id)


def _target_mistakes(spec: ChildSpec[Any]) -> list[str]:
    target = spec.target
    function = target.function if isinstance(target, StartFunction) else target
    if not isinstance(target, Startable) and not _is_runnable(function):
        forms = "a GenServer subclass, an async function, a SupervisorSpec or a StartFunction"
        return [f"target: {forms} is needed, got {short_repr(target)}"]
    # it may be a template, whose other arguments come with each start
    return _argument_mistakes(spec, spec.args, inspect.Signature.bind_partial)


def _argument_mistakes(
    spec: ChildSpec[Any], args: tuple[Any, ...], bind: Callable[..., object]
) -> list[str]:
    target = spec.target
    if isinstance(target, Startable):
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
    if isinstance(target, Startable) and target.id is not None:
        return target.id
    if isinstance(name, Name):
        return name.name
    if name is not None:
        return name
    if isinstance(target, Startable):
        return "supervisor"
    function = target.function if isinstance(target, StartFunction) else target
    return getattr(function, "__name__", None)


def _label(target: Any) -> str:
    function = target.function if isinstance(target, StartFunction) else target
    return getattr(function, "__qualname__", None) or short_repr(function)
