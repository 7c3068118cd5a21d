"""
Compare what Erlang did with what candil did, step by step.

``python -m tests.conformance.processes.compare PROGRAMS EXPECTED ACTUAL``

Messages of different senders may overtake each other, and so may a message and a death. So what a
process took by itself, one thing right after the other, is compared without its order, and not at
all if the process died in the same step.

The exit status is 0 if all agree.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from tests.conformance import data
from tests.conformance.compare import Disagreement

Line = list[Any]

ORACLE = data.HERE / "processes" / "oracle.escript"


def steps_of(trace: list[Line]) -> list[list[str]]:
    """What is compared of a *trace*: one list of lines for the beginning and one for each step."""
    steps: list[list[Line]] = [[]]
    for line in trace:
        if line[0] == "do":
            steps.append([])
        steps[-1].append(line)
    return [list(_comparable(step)) for step in steps]


def _comparable(step: list[Line]) -> Iterator[str]:
    dead = {line[1] for line in step if line[0] == "died"}
    kept = [line for line in step if not _was_wanted(line) or line[1] not in dead]
    for is_open, run in groupby(kept, _was_wanted):
        lines = [json.dumps(line, sort_keys=True) for line in run]
        yield from sorted(lines) if is_open else lines


def _was_wanted(line: Line) -> bool:
    return line[0] == "note" and line[2] == "want"


def disagreement(
    program: dict[str, Any], expected: list[Line], actual: list[Line]
) -> Disagreement | None:
    """The first step of *program* in which two traces differ, if they do."""
    for here, there in zip_longest(steps_of(expected), steps_of(actual), fillvalue=[]):
        if here != there:
            return Disagreement(program["name"], here, there)
    return None


def disagreements(
    programs: list[dict[str, Any]], expected: list[dict[str, Any]], actual: list[dict[str, Any]]
) -> list[Disagreement]:
    """Every program whose traces differ."""
    found = [
        disagreement(program, by_otp["trace"], by_candil["trace"])
        for program, by_otp, by_candil in zip(programs, expected, actual, strict=True)
    ]
    return [one for one in found if one is not None]


def main() -> int:
    """Compare two files of traces."""
    programs, expected, actual = (data.read(Path(name)) for name in sys.argv[1:4])
    found = disagreements(programs, expected, actual)
    for one in found[:10]:
        print(one)
    print(f"{len(found)} of {len(programs)} programs disagree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
