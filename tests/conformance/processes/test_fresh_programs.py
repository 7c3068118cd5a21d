"""Programs that nobody has seen before are played on real Erlang and on candil."""

import os
import random

import pytest

from tests.conformance import erlang

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

    by_erlang = erlang.traces_by_otp(programs, compare.ORACLE)
    by_candil = [play.trace_of(program) for program in programs]
    found = compare.disagreements(programs, by_erlang, by_candil)

    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)
