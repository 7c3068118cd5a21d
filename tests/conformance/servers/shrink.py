"""
Make a program smaller while OTP and candil still disagree on it.

``python -m tests.conformance.servers.shrink PROGRAMS NAME`` plays each attempt on both, and prints
the smallest program on which they disagree.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance import data
from tests.conformance.shrink import shrink

from .compare import Program, disagreements


def first_disagreeing(programs: list[Program]) -> Program | None:
    """The first of *programs* that lacks nothing and is not played alike."""
    whole = {str(at): program for at, program in enumerate(programs) if is_whole(program)}
    found = disagreements([program | {"name": name} for name, program in whole.items()])
    for one in found:
        if not any("driver_crash" in line for line in one.expected + one.actual):
            return whole[one.name.partition(",")[0]]
    return None


def is_whole(program: Program) -> bool:
    """Whether *program* has all that the players need to know."""
    server = program.get("server", {})
    if not {"start", "init"} <= server.keys():
        return False
    described = [server["init"], server.get("terminate"), server.get("on"), program["timeline"]]
    return all("tag" in part or part is server.get("on") for part in _dicts_in(described))


def _dicts_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _dicts_in(part)


def main() -> None:
    """Shrink the program *NAME* of the file *PROGRAMS*."""
    file, name = sys.argv[1:3]
    program = next(one for one in data.read(Path(file)) if one["name"] == name)
    smallest = shrink(program, first_disagreeing)
    print(data.line_of(smallest))
    print(*disagreements([smallest]), sep="\n")


if __name__ == "__main__":
    main()
