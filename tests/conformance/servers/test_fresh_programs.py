"""Programs that nobody has seen before are played on real Erlang and, in every style, on candil."""

import pytest

from tests.conformance import fresh

from . import compare, generate

COUNT = 200
PORTION = 50

pytestmark = fresh.MARKS


@pytest.mark.parametrize("portion", range(COUNT // PORTION))
def test_fresh_programs_go_as_they_go_in_otp(portion, capsys):
    """Servers of candil do what gen_servers do, in programs that were made a moment ago."""
    seeds = fresh.seeds_of(portion, PORTION, "programs", capsys)

    found = compare.disagreements([generate.program(seed) for seed in seeds])

    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)
