"""Scenarios that nobody has seen before are played on real Erlang and on candil."""

from typing import Any

import pytest

from . import compare, erlang, fresh, generate, replay

COUNT = 300
PORTION = 50

pytestmark = fresh.MARKS


@pytest.mark.parametrize("portion", range(COUNT // PORTION))
def test_fresh_scenarios_go_as_they_go_in_otp(portion):
    """Candil and OTP agree on scenarios that were made a moment ago."""
    seeds = fresh.seeds_of(portion, PORTION)
    scenarios = [generate.scenario(seed) for seed in seeds]

    fresh.fail_if_they_differ(scenarios, disagreements)


def disagreements(scenarios: list[dict[str, Any]]) -> list[compare.Disagreement]:
    """Play *scenarios* on both; give those whose traces differ."""
    by_otp = erlang.traces_by_otp(scenarios)
    by_candil = [replay.trace_of(scenario) for scenario in scenarios]
    return compare.disagreements(scenarios, by_otp, by_candil)
