"""What OTP did in each kept scenario is what candil does."""

import subprocess
import sys
from pathlib import Path

import pytest

from . import compare, data, replay

HAND_WRITTEN = data.read(data.HERE / "scenarios" / "hand.jsonl")
RANDOM = data.read(data.HERE / "scenarios" / "random.jsonl.gz")
BY_OTP = {
    trace["name"]: trace["trace"]
    for name in ("hand.jsonl", "random.jsonl.gz")
    for trace in data.read(data.HERE / "traces" / name)
}
PORTION = 100


def disagreement_on(scenario):
    """Where candil, asked to play *scenario* now, differs from OTP."""
    played = replay.trace_of(scenario)["trace"]
    return compare.disagreement(scenario, BY_OTP[scenario["name"]], played)


@pytest.mark.parametrize("scenario", HAND_WRITTEN, ids=lambda scenario: scenario["name"])
def test_a_hand_written_scenario_goes_as_it_went_in_otp(scenario):
    """Each scenario written by hand gives the trace that OTP gave."""
    found = disagreement_on(scenario)

    if found:
        pytest.fail(str(found), pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(RANDOM), PORTION))
def test_random_scenarios_go_as_they_went_in_otp(first):
    """Every random scenario gives the trace that OTP gave."""
    found = [disagreement_on(scenario) for scenario in RANDOM[first : first + PORTION]]

    if any(found):
        pytest.fail("\n".join(map(str, filter(None, found))), pytrace=False)


def test_there_are_13_hand_written_and_1000_random_scenarios():
    """No scenario has gone missing, and each has the trace of OTP beside it."""
    names = [scenario["name"] for scenario in HAND_WRITTEN + RANDOM]

    assert len(HAND_WRITTEN) == 13
    assert len(RANDOM) == 1000
    assert set(names) == set(BY_OTP)
    assert len(set(names)) == 1013


@pytest.mark.slow
def test_the_replay_reads_scenarios_and_prints_one_trace_a_line():
    """The runner is a filter: scenarios in, traces out, in the same order."""
    played = subprocess.run(
        [sys.executable, "-m", "tests.conformance.replay"],
        input="# a comment\n\n" + "\n".join(map(data.line_of, HAND_WRITTEN)),
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    traces = list(data.parse(played.stdout.splitlines()))

    assert [trace["name"] for trace in traces] == [one["name"] for one in HAND_WRITTEN]
    assert compare.disagreements(HAND_WRITTEN, traces, traces) == []
    assert (
        compare.disagreements(
            HAND_WRITTEN, [{"name": name, "trace": BY_OTP[name]} for name in BY_OTP], traces
        )
        == []
    )
