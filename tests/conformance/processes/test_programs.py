"""What Erlang did in each kept program is what candil does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import data

from . import compare, play

HERE = Path(__file__).parent
HAND_WRITTEN = data.read(HERE / "programs" / "hand.jsonl")
RANDOM = data.read(HERE / "programs" / "random.jsonl.gz")
BY_OTP = {
    trace["name"]: trace["trace"]
    for name in ("hand.jsonl", "random.jsonl.gz")
    for trace in data.read(HERE / "traces" / name)
}
PORTION = 100


def disagreement_on(program):
    """Where candil, asked to play *program* now, differs from Erlang."""
    played = play.trace_of(program)["trace"]
    return compare.disagreement(program, BY_OTP[program["name"]], played)


@pytest.mark.parametrize("program", HAND_WRITTEN, ids=lambda program: program["name"])
def test_a_hand_written_program_goes_as_it_went_in_erlang(program):
    """Each program written by hand gives the trace that Erlang gave."""
    found = disagreement_on(program)

    if found:
        pytest.fail(str(found), pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(RANDOM), PORTION))
def test_random_programs_go_as_they_went_in_erlang(first):
    """Every random program gives the trace that Erlang gave."""
    found = [disagreement_on(program) for program in RANDOM[first : first + PORTION]]

    if any(found):
        pytest.fail("\n".join(map(str, filter(None, found))), pytrace=False)


def test_there_are_21_hand_written_and_300_random_programs():
    """No program has gone missing, and each has the trace of Erlang beside it."""
    names = [program["name"] for program in HAND_WRITTEN + RANDOM]

    assert len(HAND_WRITTEN) == 21
    assert len(RANDOM) == 300
    assert set(names) == set(BY_OTP)
    assert len(set(names)) == 321


@pytest.mark.slow
def test_the_player_reads_programs_and_prints_one_trace_a_line():
    """It is a filter: programs in, traces out, in the same order."""
    played = subprocess.run(
        [sys.executable, "-m", "tests.conformance.processes.play"],
        input="# a comment\n\n" + "\n".join(map(data.line_of, HAND_WRITTEN)),
        cwd=Path(__file__).parents[3],
        check=True,
        capture_output=True,
        text=True,
    )
    traces = list(data.parse(played.stdout.splitlines()))
    expected = [{"name": one["name"], "trace": BY_OTP[one["name"]]} for one in HAND_WRITTEN]

    assert [trace["name"] for trace in traces] == [one["name"] for one in HAND_WRITTEN]
    assert compare.disagreements(HAND_WRITTEN, expected, traces) == []
