"""
The last step before a trace is printed: where OTP fixes no order, one is chosen.

1. Dynamic children are stopped all at once: neighbouring ends of such children are sorted.
2. A killed supervisor stops nobody; its orphans die while its own supervisor already reacts. Their
   ends are moved behind all that happened before the tree was seen at rest again, and sorted.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from .collector import Line

_ENDS = {"terminate": 0, "exit_of": 1}
_RESTS = {"state", "root_exit", "root_start"}


def normalise(lines: list[Line], scenario: dict[str, Any]) -> list[Line]:
    """The *lines* of a trace in the order in which it is printed."""
    parents = parents_of(scenario)
    out: list[Line] = []
    for interval in _intervals(_with_sorted_dynamic_ends(lines)):
        *happened, rest = interval if interval[-1][0] in _RESTS else [*interval, None]
        out += _orphans_last(happened, parents)
        out += [] if rest is None else [rest]
    return out


def parents_of(scenario: dict[str, Any]) -> dict[str, str]:
    """Which id is supervised by which, including what the timeline adds."""
    parents: dict[str, str] = {}
    for child in scenario["sup"].get("children", []):
        _add_parents(child, "root", parents)
    for event in scenario.get("timeline", []):
        if event[0] == "start_child":
            _add_parents(event[2], event[1], parents)
        elif event[0] == "start_dyn":
            parents[event[2]] = event[1]
    return parents


def _add_parents(node: dict[str, Any], parent: str, parents: dict[str, str]) -> None:
    parents[node["id"]] = parent
    for child in node.get("sup", {}).get("children", []):
        _add_parents(child, node["id"], parents)


def _with_sorted_dynamic_ends(lines: list[Line]) -> Iterator[Line]:
    dynamic = {line[3] for line in lines if line[:2] == ["op", "start_dyn"]}
    runs = itertools.groupby(lines, lambda line: line[0] in _ENDS and line[1] in dynamic)
    for is_dynamic_end, run in runs:
        yield from _sorted_ends(run) if is_dynamic_end else run


def _sorted_ends(lines: Iterable[Line]) -> list[Line]:
    """By id, incarnation, and terminate before exit."""
    return sorted(lines, key=lambda line: (line[1], line[2], _ENDS[line[0]], json.dumps(line)))


def _intervals(lines: Iterable[Line]) -> Iterator[list[Line]]:
    interval: list[Line] = []
    for line in lines:
        interval.append(line)
        if line[0] in _RESTS:
            yield interval
            interval = []
    if interval:
        yield interval


def _orphans_last(lines: list[Line], parents: dict[str, str]) -> list[Line]:
    killed = {line[1] for line in lines if line[0] == "exit_of" and line[3] == "killed"}
    young = {(line[1], line[2]) for line in lines if line[0] == "start"}

    def is_orphan_end(line: Line) -> bool:
        if line[0] not in _ENDS or (line[1], line[2]) in young:
            return False
        return not killed.isdisjoint(_ancestors(line[1], parents))

    kept = [line for line in lines if not is_orphan_end(line)]
    return kept + _sorted_ends(line for line in lines if is_orphan_end(line))


def _ancestors(id: str, parents: dict[str, str]) -> Iterator[str]:
    while id in parents:
        id = parents[id]
        yield id
