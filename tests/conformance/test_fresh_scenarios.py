"""Scenarios that nobody has seen before are played on real Erlang and on candil."""

from typing import Any

import pytest

from . import compare, erlang, fresh, generate, replay

COUNT = 300
PORTION = 50

pytestmark = fresh.MARKS


@pytest.mark.parametrize("portion", range(COUNT // PORTION))
def test_fresh_scenarios_go_as_they_go_in_otp(portion, capsys):
    """Candil and OTP agree on scenarios that were made a moment ago."""
    seeds = fresh.seeds_of(portion, PORTION, "scenarios", capsys)
    scenarios = [generate.scenario(seed) for seed in seeds]

    found = disagreements(scenarios)
    if found:  # Erlang's clock is a real one, on a machine that may stand still; a rule holds again
        suspects = {one.name for one in found}
        found = disagreements([scenario for scenario in scenarios if scenario["name"] in suspects])

    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)


def disagreements(scenarios: list[dict[str, Any]]) -> list[compare.Disagreement]:
    """Play *scenarios* on both; give those whose traces differ."""
    by_otp = erlang.traces_by_otp(scenarios)
    by_candil = [replay.trace_of(scenario) for scenario in scenarios]
    return compare.disagreements(scenarios, by_otp, by_candil)
