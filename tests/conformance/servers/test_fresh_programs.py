"""Programs that nobody has seen before are played on real Erlang and, in every style, on candil."""

import pytest

from tests.conformance import fresh

from . import compare, generate

COUNT = 200
PORTION = 50

pytestmark = fresh.MARKS


@pytest.mark.parametrize("portion", range(COUNT // PORTION))
def test_fresh_programs_go_as_they_go_in_otp(portion):
    """Servers of candil do what gen_servers do, in programs that were made a moment ago."""
    seeds = fresh.seeds_of(portion, PORTION)

    found = compare.disagreements([generate.program(seed) for seed in seeds])

    if found:
        fresh.fail_with(found)
