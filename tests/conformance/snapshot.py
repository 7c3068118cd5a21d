"""
What a tree looks like from outside, once it is at rest.

A tree is at rest when every child that its supervisors list is alive or absent, none is being
restarted, and no process of the scenario lives outside it. Until then it is asked again.
"""

from __future__ import annotations

from typing import Any, final

import trio

import candil

from .collector import Collector

State = dict[str, Any]

_ATTEMPTS = 5000
_IMPATIENT_ATTEMPTS = 100
_PAUSE = 0.001


@final
class NotAtRest(Exception):
    """A supervisor lists a child that is dead or being restarted."""


async def at_rest(root: candil.Pid[Any], collector: Collector) -> State | str | None:
    """The state of the tree; None if all of it is dead; ``"unsettled"`` if it never rests."""
    for attempt in range(_ATTEMPTS):
        try:
            state = await snapshot(root)
        except candil.CallError:
            if collector.population() == 0:
                return None
        except NotAtRest:
            pass
        else:
            if collector.population() == 1 + _count_up(state):
                return state
        await _pause(attempt)
    return "unsettled"


async def deserted(collector: Collector) -> None:
    """Wait until no process of the scenario is alive, but not for ever."""
    for attempt in range(_ATTEMPTS):
        if collector.population() == 0:
            return
        await _pause(attempt)


async def _pause(attempt: int) -> None:
    # Most trees need only a few turns of the scheduler; a child that hangs needs time.
    await trio.sleep(0 if attempt < _IMPATIENT_ATTEMPTS else _PAUSE)


async def snapshot(supervisor: candil.Pid[Any]) -> State:
    """
    What *supervisor* and those below it say about their children.

    Raises:
        NotAtRest: A listed child is dead or being restarted.
        CallError: A supervisor ended before it answered.
    """
    children = await candil.which_children(supervisor)
    counts = await candil.count_children(supervisor)
    which = [[info.id, await _child_state(info)] for info in children]
    if any(id is None for id, _ in which):
        which.sort(key=erlang_order)
    return {
        "which": which,
        "count": [counts.specs, counts.active, counts.supervisors, counts.workers],
    }


async def _child_state(info: candil.ChildInfo) -> State | str:
    if info.child is None:
        return "down"
    if isinstance(info.child, str) or not candil.is_alive(info.child):
        raise NotAtRest
    return await snapshot(info.child) if info.type == "supervisor" else "up"


def _count_up(state: State) -> int:
    inner = [child for _, child in state["which"]]
    return sum(
        1 + _count_up(child) if isinstance(child, dict) else child == "up" for child in inner
    )


def erlang_order(value: Any) -> tuple[Any, ...]:
    """A sort key with Erlang's order of terms: number, atom (None), map, list, binary (str)."""
    match value:
        case int():
            return (0, value)
        case None:
            return (1,)
        case dict():
            keys = sorted(value)
            return (2, len(keys), keys, [erlang_order(value[key]) for key in keys])
        case list():
            return (3, [erlang_order(part) for part in value])
        case _:
            return (4, value)
