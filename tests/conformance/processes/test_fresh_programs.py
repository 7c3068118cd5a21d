"""Programs that nobody has seen before are played on real Erlang and on candil."""

from typing import Any

import pytest

from tests.conformance import erlang, fresh
from tests.conformance.compare import Disagreement

from . import compare, generate, play

COUNT = 300
PORTION = 100

pytestmark = fresh.MARKS


@pytest.mark.parametrize("portion", range(COUNT // PORTION))
def test_fresh_programs_go_as_they_go_in_erlang(portion):
    """Processes of candil do what those of Erlang do, in programs made a moment ago."""
    seeds = fresh.seeds_of(portion, PORTION)
    programs = [generate.program(seed) for seed in seeds]

    fresh.fail_if_they_differ(programs, disagreements)


def disagreements(programs: list[dict[str, Any]]) -> list[Disagreement]:
    """Play *programs* on both; give those whose traces differ."""
    by_erlang = erlang.traces_by_otp(programs, compare.ORACLE)
    by_candil = [play.trace_of(program) for program in programs]
    return compare.disagreements(programs, by_erlang, by_candil)
