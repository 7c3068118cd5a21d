"""What OTP did in each kept program is what candil does, in every style."""

import pytest

from tests.conformance import data

from . import compare, play, scripted

HERE = data.HERE / "servers"
PROGRAMS = data.read(HERE / "programs.jsonl.gz")
BY_OTP = {trace["name"]: trace["trace"] for trace in data.read(HERE / "traces.jsonl.gz")}


@pytest.mark.slow
@pytest.mark.parametrize("style", scripted.STYLES)
def test_the_kept_programs_go_as_they_went_in_otp(style):
    """Every program that can be written in this style gives the trace that OTP gave."""
    found = [
        compare.disagreement(
            program["name"], BY_OTP[program["name"]], play.trace_of(program, style)["trace"]
        )
        for program in PROGRAMS
        if style in scripted.styles_for(program)
    ]

    if any(found):
        pytest.fail("\n".join(map(str, filter(None, found))), pytrace=False)


def test_there_are_300_programs_and_every_style_can_say_many():
    """No program has gone missing, and each has the trace of OTP beside it."""
    assert len(PROGRAMS) == len(BY_OTP) == 300
    assert {program["name"] for program in PROGRAMS} == set(BY_OTP)
    for style in scripted.STYLES:
        assert sum(style in scripted.styles_for(program) for program in PROGRAMS) > 120
