"""
Make a program smaller while it still shows the same disagreement.

``python -m tests.conformance.processes.shrink PROGRAMS NAME`` plays each attempt on real Erlang and
on candil, and prints the smallest program on which they disagree.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.conformance import data
from tests.conformance.erlang import traces_by_otp
from tests.conformance.shrink import shrink

from .compare import ORACLE, disagreement
from .play import Program, trace_of


def first_disagreeing(programs: list[Program]) -> Program | None:
    """The first of *programs* that both sides can play, with traces that disagree."""
    for program, expected in zip(programs, traces_by_otp(programs, ORACLE), strict=True):
        traces = expected["trace"], trace_of(program)["trace"]
        is_broken = any(trace[:1] and trace[0][0] == "driver_crash" for trace in traces)
        if not is_broken and disagreement(program, *traces):
            return program
    return None


def main() -> None:
    """Shrink the program *NAME* of the file *PROGRAMS*."""
    file, name = sys.argv[1:3]
    program = next(one for one in data.read(Path(file)) if one["name"] == name)
    smallest = shrink(program, first_disagreeing)
    print(data.line_of(smallest))
    (expected,) = traces_by_otp([smallest], ORACLE)
    print(disagreement(smallest, expected["trace"], trace_of(smallest)["trace"]))


if __name__ == "__main__":
    main()
