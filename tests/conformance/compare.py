"""
Compare what OTP did with what candil did.

``python -m tests.conformance.compare SCENARIOS EXPECTED ACTUAL``

Two traces agree if their lines are equal and in the same order. The one exception: between two
states of the tree in which a supervisor was killed, the order is left open, because its orphans
die while its own supervisor already restarts it, and OTP promises nothing about who is first.
There the lines only have to be the same ones.

The exit status is 0 if all agree.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, final

import attrs

from . import data

Line = list[Any]


@final
@attrs.frozen
class Disagreement:
    """The first interval of a scenario in which the traces differ."""

    name: str
    expected: list[str]
    actual: list[str]

    def __str__(self) -> str:
        """Both intervals, the lines that only one side has marked with ``>``."""
        left = _marked(self.expected, self.actual)
        right = _marked(self.actual, self.expected)
        return "\n".join([f"== {self.name}", "  OTP:", *left, "  candil:", *right])


def _marked(lines: list[str], others: list[str]) -> list[str]:
    return [f"  {' ' if line in others else '>'} {line}" for line in lines] or ["    (nothing)"]


def supervisors_in(scenario: dict[str, Any]) -> set[str]:
    """The ids of all supervisors of *scenario*, those included that its timeline adds."""
    added = [event[2] for event in scenario.get("timeline", []) if event[0] == "start_child"]
    return {"root", *_supervisor_ids([*scenario["sup"].get("children", []), *added])}


def _supervisor_ids(nodes: Iterable[dict[str, Any]]) -> Iterator[str]:
    for node in nodes:
        if "sup" in node:
            yield node["id"]
            yield from _supervisor_ids(node["sup"].get("children", []))


def intervals_of(trace: list[Line], supervisors: set[str]) -> list[list[str]]:
    """The intervals of a *trace*, each up to a state, in the form in which they are compared."""
    intervals: list[list[Line]] = [[]]
    for line in trace:
        intervals[-1].append(line)
        if line[0] == "state":
            intervals.append([])
    return [_comparable(interval, supervisors) for interval in intervals]


def _comparable(interval: list[Line], supervisors: set[str]) -> list[str]:
    lines = [json.dumps(line, sort_keys=True) for line in interval]
    is_race = any(
        line[0] == "exit_of" and line[1] in supervisors and line[3] == "killed" for line in interval
    )
    return sorted(lines) if is_race else lines


def disagreement(
    scenario: dict[str, Any], expected: list[Line], actual: list[Line]
) -> Disagreement | None:
    """Where two traces of *scenario* differ, if they do."""
    supervisors = supervisors_in(scenario)
    left = intervals_of(expected, supervisors)
    right = intervals_of(actual, supervisors)
    for at in range(max(len(left), len(right))):
        here = left[at] if at < len(left) else []
        there = right[at] if at < len(right) else []
        if here != there:
            return Disagreement(scenario["name"], here, there)
    return None


def disagreements(
    scenarios: list[dict[str, Any]], expected: list[dict[str, Any]], actual: list[dict[str, Any]]
) -> list[Disagreement]:
    """Every scenario whose traces differ; one that candil gave no trace for differs."""
    by_otp = {trace["name"]: trace["trace"] for trace in expected}
    by_candil = {trace["name"]: trace["trace"] for trace in actual}
    found = [
        disagreement(scenario, by_otp[scenario["name"]], by_candil.get(scenario["name"], []))
        for scenario in scenarios
    ]
    return [one for one in found if one is not None]


def main() -> int:
    """Compare two files of traces."""
    scenarios, expected, actual = (data.read(Path(name)) for name in sys.argv[1:4])
    found = disagreements(scenarios, expected, actual)
    for one in found[:10]:
        print(one)
    print(f"{len(found)} of {len(scenarios)} scenarios disagree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
