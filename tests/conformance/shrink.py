"""
Make a scenario smaller while it still shows the same disagreement.

``python -m tests.conformance.shrink SCENARIOS NAME`` plays each attempt on real Erlang and on
candil, and prints the smallest scenario on which they disagree.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import data
from .compare import disagreement
from .erlang import traces_by_otp
from .replay import trace_of

Scenario = dict[str, Any]

_BATCH = 40


def shrink(scenario: Scenario, disagrees: Callable[[list[Scenario]], Scenario | None]) -> Scenario:
    """
    The smallest scenario found.

    Args:
        scenario: One that disagrees.

        disagrees: Of a few scenarios, the first that still disagrees.
    """
    while True:
        smaller = _first(scenario, disagrees)
        if smaller is None:
            return scenario
        scenario = smaller


def _first(
    scenario: Scenario, disagrees: Callable[[list[Scenario]], Scenario | None]
) -> Scenario | None:
    attempts = list(smaller_ones(scenario))
    for at in range(0, len(attempts), _BATCH):
        found = disagrees(attempts[at : at + _BATCH])
        if found is not None:
            return found
    return None


def smaller_ones(scenario: Scenario) -> Iterator[Scenario]:
    """*scenario* without half of its timeline, an event, a child, or an option of one."""
    count = len(scenario["timeline"])
    size = count // 2
    while size:
        for at in range(0, count, size):
            attempt = copy.deepcopy(scenario)
            del attempt["timeline"][at : at + size]
            yield attempt
        size //= 2
    for path in list(_removable(scenario, ())):
        attempt = copy.deepcopy(scenario)
        *way, last = path
        holder: Any = attempt
        for step in way:
            holder = holder[step]
        del holder[last]
        yield attempt


_NEEDED = {"name", "sup", "timeline", "children", "id", "type", "strategy", "period"}


def _removable(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The paths of all children, pokes of a batch and options."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        here = (*path, key)
        is_option = isinstance(key, str) and key not in _NEEDED
        is_poke = isinstance(value, list) and value and all(isinstance(one, list) for one in value)
        if is_option or path[-1:] == ("children",) or (is_poke and path != ("timeline",)):
            yield here
        if isinstance(inner, dict | list):
            yield from _removable(inner, here)


def first_disagreeing(scenarios: list[Scenario]) -> Scenario | None:
    """The first of *scenarios* that both sides can play, with traces that disagree."""
    for scenario, expected in zip(scenarios, traces_by_otp(scenarios), strict=True):
        traces = expected["trace"], trace_of(scenario)["trace"]
        is_broken = any(trace[:1] and trace[0][0] == "driver_crash" for trace in traces)
        if not is_broken and disagreement(scenario, *traces):
            return scenario
    return None


def main() -> None:
    """Shrink the scenario *NAME* of the file *SCENARIOS*."""
    file, name = sys.argv[1:3]
    scenario = next(one for one in data.read(Path(file)) if one["name"] == name)
    smallest = shrink(scenario, first_disagreeing)
    print(data.line_of(smallest))
    print(
        disagreement(smallest, traces_by_otp([smallest])[0]["trace"], trace_of(smallest)["trace"])
    )


if __name__ == "__main__":
    main()
