"""Programs that nobody has seen before are played on real Erlang and on candil."""

import os
import random
from typing import Any

import pytest

from tests.conformance import erlang
from tests.conformance.compare import Disagreement

from . import compare, generate, play

COUNT = 300
PORTION = 100
# The same seeds again: CANDIL_CONFORMANCE_SEED=12345 pytest -m erlang
SEED = int(os.environ.get("CANDIL_CONFORMANCE_SEED") or random.SystemRandom().randrange(10**9))

pytestmark = [
    pytest.mark.erlang,
    pytest.mark.slow,
    pytest.mark.skipif(erlang.ESCRIPT is None, reason="needs escript: install erlang-base"),
]


@pytest.mark.parametrize("portion", range(COUNT // PORTION))
def test_fresh_programs_go_as_they_go_in_erlang(portion, capsys):
    """Processes of candil do what those of Erlang do, in programs made a moment ago."""
    first = SEED + portion * PORTION
    with capsys.disabled():
        print(f"\nfresh programs of the seeds {first} to {first + PORTION - 1} ", end="")
    programs = [generate.program(seed) for seed in range(first, first + PORTION)]

    found = disagreements(programs)
    if found:  # Erlang's schedulers may once show an order that is open; a rule holds each time
        suspects = {one.name for one in found}
        found = disagreements([program for program in programs if program["name"] in suspects])

    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)


def disagreements(programs: list[dict[str, Any]]) -> list[Disagreement]:
    """Play *programs* on both; give those whose traces differ."""
    by_erlang = erlang.traces_by_otp(programs, compare.ORACLE)
    by_candil = [play.trace_of(program) for program in programs]
    return compare.disagreements(programs, by_erlang, by_candil)
