"""Programs that nobody has seen before are played on real Erlang and, in every style, on candil."""

import os
import random

import pytest

from tests.conformance import erlang

from . import compare, generate

COUNT = 200
PORTION = 50
# The same seeds again: CANDIL_CONFORMANCE_SEED=12345 pytest -m erlang
SEED = int(os.environ.get("CANDIL_CONFORMANCE_SEED") or random.SystemRandom().randrange(10**9))

pytestmark = [
    pytest.mark.erlang,
    pytest.mark.slow,
    pytest.mark.skipif(erlang.ESCRIPT is None, reason="needs escript: install erlang-base"),
]


@pytest.mark.parametrize("portion", range(COUNT // PORTION))
def test_fresh_programs_go_as_they_go_in_otp(portion, capsys):
    """Servers of candil do what gen_servers do, in programs that were made a moment ago."""
    first = SEED + portion * PORTION
    with capsys.disabled():
        print(f"\nfresh programs of the seeds {first} to {first + PORTION - 1} ", end="")

    found = compare.disagreements([generate.program(first + at) for at in range(PORTION)])

    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)
