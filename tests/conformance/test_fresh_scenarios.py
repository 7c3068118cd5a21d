"""Scenarios that nobody has seen before are played on real Erlang and on candil."""

import os
import random

import pytest

from . import compare, erlang, generate, replay

COUNT = 300
PORTION = 50
# The same seeds again: CANDIL_CONFORMANCE_SEED=12345 pytest -m erlang
SEED = int(os.environ.get("CANDIL_CONFORMANCE_SEED") or random.SystemRandom().randrange(10**9))

pytestmark = [
    pytest.mark.erlang,
    pytest.mark.slow,
    pytest.mark.skipif(erlang.ESCRIPT is None, reason="needs escript: install erlang-base"),
]


@pytest.mark.parametrize("portion", range(COUNT // PORTION))
def test_fresh_scenarios_go_as_they_go_in_otp(portion, capsys):
    """Candil and OTP agree on scenarios that were made a moment ago."""
    first = SEED + portion * PORTION
    with capsys.disabled():
        print(f"\nfresh scenarios of the seeds {first} to {first + PORTION - 1} ", end="")
    scenarios = [generate.scenario(seed) for seed in range(first, first + PORTION)]

    by_otp = erlang.traces_by_otp(scenarios)
    by_candil = [replay.trace_of(scenario) for scenario in scenarios]
    found = compare.disagreements(scenarios, by_otp, by_candil)

    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)
