"""
Compare what OTP did with what candil did.

Two traces agree if, step by step, everybody wrote the same lines in the same order. Between two who
do not wait for each other OTP fixes no order, and none is asked for; nor is it between what tells
of the deaths of two. Of one death the exit signal comes before the ``DOWN``.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.conformance import data
from tests.conformance.compare import Disagreement
from tests.conformance.erlang import traces_by_otp

from .play import trace_of
from .recorder import Line
from .scripted import styles_for

Program = dict[str, Any]

SLOWNESS = (8, 40)  # by which OTP's times are multiplied
ORACLE = data.HERE / "servers" / "oracle.escript"


def disagreement(name: str, expected: list[Line], actual: list[Line]) -> Disagreement | None:
    """The first step in which two traces differ, if they do."""
    for here, there in itertools.zip_longest(steps_of(expected), steps_of(actual), fillvalue=[]):
        if here != there:
            return Disagreement(name, here, there)
    return None


def steps_of(trace: list[Line]) -> list[list[str]]:
    """The lines of each step, in the form in which they are compared."""
    steps: list[list[Line]] = [[]]
    for line in trace:
        if line[0] == "step":
            steps.append([])
        steps[-1].append(line)
    return [_comparable(step) for step in steps]


def _comparable(step: list[Line]) -> list[str]:
    by_actor = sorted(_without_last_words(step), key=lambda line: (line[0] != "step", line[0]))
    comparable: list[str] = []
    for is_death, lines in itertools.groupby(by_actor, _is_death):
        run = list(lines)
        if is_death:
            run.sort(key=_who_died)
        comparable += [json.dumps(line) for line in run]
    return comparable


def _without_last_words(step: list[Line]) -> list[Line]:
    """Without what clients got in a step in which they died: whether they could still say so."""
    dead = {line[0] for line in step if line[1] == "exited"} - {"server"}
    return [line for line in step if line[0] not in dead or line[1] == "exited"]


def _is_death(line: Line) -> bool:
    return isinstance(line[-1], list) and line[-1][:1] in (["EXIT"], ["DOWN"])


def _who_died(line: Line) -> str:
    return str(line[-1][1])


def disagreements(programs: list[Program]) -> list[Disagreement]:
    """
    Play *programs* on OTP and, in every style in which they can be written, on candil.

    What disagrees is played again, at leisure: Erlang's clock is a real one, and a timer of some
    milliseconds fires early on a machine that stood still.
    """
    found = _disagreements(programs)
    for slowness in SLOWNESS:
        suspects = {one.name.partition(",")[0] for one in found}
        again = [program for program in programs if program["name"] in suspects]
        if again:
            found = _disagreements([program | {"slowness": slowness} for program in again])
    return found


def _disagreements(programs: list[Program]) -> list[Disagreement]:
    found: list[Disagreement] = []
    for program, expected in zip(programs, traces_by_otp(programs, ORACLE), strict=True):
        for style in styles_for(program):
            actual = trace_of(program, style)["trace"]
            name = f"{program['name']}, {style}"
            one = disagreement(name, expected["trace"], actual)
            found += [] if one is None else [one]
    return found
