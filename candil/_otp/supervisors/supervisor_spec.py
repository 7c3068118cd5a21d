"""
A supervisor and all below it, as data. Specs nest: a supervisor spec is a child like any other.

OTP: the flags and the list of children that ``supervisor:init/1`` returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any, TypedDict, final

import attrs

from candil._otp.behaviours.proc_lib import Startable
from candil._otp.supervisors.child_spec import ChildSpec, child_spec
from candil._otp.supervisors.child_start import ServerStart, start_of
from candil._otp.supervisors.errors import SpecError
from candil._otp.supervisors.spec_checks import (
    choice_mistakes,
    is_number,
    key_mistakes,
    name_mistakes,
)
from candil._otp.supervisors.strategy import AUTO_SHUTDOWNS, STRATEGIES, AutoShutdown, Strategy
from candil._otp.values.errors import short_repr
from candil._otp.values.names import ServerName, typed_key

if TYPE_CHECKING:
    from candil._otp.behaviours.gen_server import GenServer
    from candil._otp.supervisors.supervisor import Supervisor  # noqa: F401  # a base class names it in a string


def _listed(children: Any) -> Any:
    """
    Return the child specs of a list of children. What cannot be one is left as it is, or as the
    error that says why: the checks report it together with all other mistakes.
    """
    given: Any = children
    if isinstance(given, SpecError):  # found wrong before
        return given
    if isinstance(given, str | ChildSpec | SupervisorSpec) or not isinstance(given, Iterable):
        return SpecError([_no_list(children)])
    return tuple(_child_or_mistakes(child) for child in children)


def _no_list(given: object) -> str:
    mistake = f"children: a list of child specs is needed, got {short_repr(given)}"
    if inspect.iscoroutine(given):
        given.close()  # it will not be awaited
    elif not callable(given):
        return mistake
    elif isinstance(given, type):
        return f"{mistake}. A child stands in a list, as in [{given.__name__}]"
    return (
        f"{mistake}. A tree is no main function: trio.run(main) runs one, and as a child it stands "
        "in a list, as in [candil.child_spec(main)]"
    )


def _child_or_mistakes(child: object) -> Any:
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

    children: tuple[ChildSpec[object], ...] = attrs.field(converter=_listed)
    strategy: Strategy = "one_for_one"
    max_restarts: int = 3
    max_seconds: float = 5.0
    auto_shutdown: AutoShutdown = "never"
    id: Hashable = None
    name: ServerName[object] | None = None

    def __attrs_post_init__(self) -> None:
        mistakes = [
            *_flag_mistakes(self),
            *children_mistakes(self.children, self.strategy, self.auto_shutdown),
        ]
        if mistakes:
            raise SpecError(mistakes)

    def __repr__(self) -> str:
        label = self.name or self.id
        who = "" if label is None else f"{short_repr(label)} "
        return f"<SupervisorSpec {who}{self.strategy}, {len(self.children)} children>"


class SupervisorOptions(TypedDict, total=False):
    """What opening a tree of a list of children hands on to ``supervisor_spec``."""

    strategy: Strategy
    max_restarts: int
    max_seconds: float
    auto_shutdown: AutoShutdown
    id: Hashable
    name: ServerName[object] | None


def supervisor_spec(  # OTP's flags
    children: Iterable[ChildSpec[object] | SupervisorSpec | type[GenServer]] = (),
    *,
    strategy: Strategy = "one_for_one",
    max_restarts: int = 3,
    max_seconds: float = 5.0,
    auto_shutdown: AutoShutdown = "never",
    id: Hashable = None,  # OTP's key
    name: ServerName[object] | None = None,
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
    children: Iterable[ChildSpec[object] | SupervisorSpec | type[GenServer]],
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
    mistakes = [
        *choice_mistakes("auto_shutdown", AUTO_SHUTDOWNS, auto_shutdown),
        *children_mistakes(_listed(children), "one_for_one", auto_shutdown),
    ]
    if mistakes:
        raise SpecError(mistakes)


def as_child_spec(child: Any) -> Any:
    """
    Return the child spec that *child* stands for, or *child* itself for the checks to complain of.
    """
    return child_spec(child) if isinstance(start_of(child), ServerStart) else child


def children_mistakes(
    children: tuple[object, ...] | SpecError, strategy: object, auto_shutdown: object
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
                f"{where}: a child spec is needed (make one with child_spec), "
                f"got {short_repr(child)}"
            )
            continue
        key = typed_key(child.id)
        if key in seen:
            mistakes.append(
                f"{where}: the id {short_repr(child.id)} is used twice; "
                "give one of them another id="
            )
        seen.add(key)
        if strategy != "simple_one_for_one":  # a template gets the rest of its arguments later
            mistakes.extend(
                f"{where}: child {short_repr(child.id)}: {mistake}"
                for mistake in child.start.mistakes(child.args, child.kwargs)
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


def _flag_mistakes(spec: SupervisorSpec) -> list[str]:
    mistakes = [
        *choice_mistakes("strategy", STRATEGIES, spec.strategy),
        *choice_mistakes("auto_shutdown", AUTO_SHUTDOWNS, spec.auto_shutdown),
    ]
    count: Any = spec.max_restarts
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        mistakes.append(
            f"max_restarts: a whole number from 0 on is needed, got {short_repr(count)}"
        )
    if not is_number(spec.max_seconds) or not spec.max_seconds > 0:
        mistakes.append(
            f"max_seconds: more than 0 seconds are needed, got {short_repr(spec.max_seconds)}"
        )
    return [*mistakes, *key_mistakes("id", spec.id), *name_mistakes(spec.name)]
