"""
One child of a supervisor, as data, checked when it is built, never when it is restarted.

OTP: the child maps that ``supervisor:init/1`` returns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, final, overload

import attrs

from candil._otp.behaviours.proc_lib import server_class
from candil._otp.supervisors.backoff import Backoff
from candil._otp.supervisors.child_start import Start, StartFunction, start_of
from candil._otp.supervisors.errors import SpecError
from candil._otp.supervisors.spec_checks import (
    choice_mistakes,
    is_number,
    key_mistakes,
    name_mistakes,
)
from candil._otp.values.errors import short_repr

if TYPE_CHECKING:
    import builtins
    from collections.abc import Awaitable, Callable, Hashable, Mapping

    from candil._otp.supervisors.supervisor import Supervisor
    from candil._otp.supervisors.supervisor_spec import SupervisorSpec
    from candil._otp.values.names import ServerName

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
@attrs.frozen(repr=False)
class ChildSpec(Generic[S_co]):
    """
    One child. Made by ``child_spec``; change one with ``attrs.evolve``, which checks again.

    Attributes:
        id: Names it in its supervisor; any hashable value.

        target: What runs: a ``GenServer`` subclass, an async function, a ``SupervisorSpec`` or a
            ``StartFunction``.

        args: Its positional arguments, the same at each restart. A supervisor keeps none of a
            temporary child that runs.

        kwargs: Its keyword arguments.

        name: Registered at each start.

        restart: When it is started again.

        shutdown: How it is ended.

        significant: Whether its end can end its supervisor.

        type: Worker or supervisor.

        backoff: By how much its restarts are delayed.

        start: How *target* comes up, found when the spec is built.

        metadata: Anything that tells others what kind of child this is. The supervisor keeps it
            and does not read it; ``get_childspec`` gives it back.
    """

    id: Hashable
    target: Any
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = attrs.field(factory=dict[str, object])
    name: ServerName[object] | None = None
    restart: Restart = "permanent"
    shutdown: ShutdownBudget = WORKER_SHUTDOWN
    significant: bool = False
    type: ChildType = "worker"
    backoff: Backoff | None = None
    metadata: object = attrs.field(default=None, eq=False)
    start: Start = attrs.field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        start = start_of(self.target)
        if start is not None:
            object.__setattr__(self, "start", start)
        mistakes = [
            f"child {short_repr(self.id)}: {mistake}" for mistake in _child_mistakes(self, start)
        ]
        if mistakes:
            raise SpecError(mistakes)

    def __repr__(self) -> str:
        return f"<ChildSpec {short_repr(self.id)} {self.restart} {self.type}: {self.start.label}>"


@overload
def child_spec(
    target: builtins.type[S],
    /,
    *args: object,
    id: Hashable = ...,
    name: ServerName[object] | None = ...,
    restart: Restart = ...,
    shutdown: ShutdownBudget | None = ...,
    significant: bool = ...,
    type: ChildType | None = ...,
    backoff: Backoff | None = ...,
    **kwargs: object,
) -> ChildSpec[S]: ...
@overload
def child_spec(
    target: SupervisorSpec,
    /,
    *args: object,
    id: Hashable = ...,
    name: ServerName[object] | None = ...,
    restart: Restart = ...,
    shutdown: ShutdownBudget | None = ...,
    significant: bool = ...,
    type: ChildType | None = ...,
    backoff: Backoff | None = ...,
    **kwargs: object,
) -> ChildSpec[Supervisor]: ...
@overload
def child_spec(
    target: StartFunction,
    /,
    *args: object,
    id: Hashable = ...,
    name: ServerName[object] | None = ...,
    restart: Restart = ...,
    shutdown: ShutdownBudget | None = ...,
    significant: bool = ...,
    type: ChildType | None = ...,
    backoff: Backoff | None = ...,
    **kwargs: object,
) -> ChildSpec[StartFunction]: ...
@overload
def child_spec(
    target: Callable[..., Awaitable[object]],
    /,
    *args: object,
    id: Hashable = ...,
    name: ServerName[object] | None = ...,
    restart: Restart = ...,
    shutdown: ShutdownBudget | None = ...,
    significant: bool = ...,
    type: ChildType | None = ...,
    backoff: Backoff | None = ...,
    **kwargs: object,
) -> ChildSpec[object]: ...
def child_spec(  # OTP's keys
    target: Any,
    /,
    *args: Any,
    id: Hashable = None,  # OTP's key
    name: ServerName[object] | None = None,
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
            that are missing are found by ``supervisor_spec``, since a template may lack some.
    """
    start = start_of(target)
    is_supervisor = start is not None and start.is_supervisor
    kind: ChildType = type or ("supervisor" if is_supervisor else "worker")
    if name is None and is_supervisor:
        name = target.name
    return ChildSpec(
        id=_default_id(target, start, name) if id is None else id,
        target=server_class(target),
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


def _default_id(target: object, start: Start | None, name: ServerName[object] | None) -> Hashable:
    if start is None:  # for the mistakes to begin with
        return getattr(target, "__name__", None)
    return start.default_id(name)


def _child_mistakes(spec: ChildSpec[object], start: Start | None) -> list[str]:
    mistakes = [
        *_id_mistakes(spec.id),
        *name_mistakes(spec.name),
        *_target_mistakes(spec, start),
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


def _target_mistakes(spec: ChildSpec[object], start: Start | None) -> list[str]:
    if start is None:
        forms = "a GenServer subclass, an async function, a SupervisorSpec or a StartFunction"
        return [f"target: {forms} is needed, got {short_repr(spec.target)}"]
    # it may be a template, whose other arguments come with each start
    return start.mistakes(spec.args, spec.kwargs, partial=True)
