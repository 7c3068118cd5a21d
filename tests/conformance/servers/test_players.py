"""The judge of servers is judged: generator, comparison, styles and shrinking."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import data
from tests.conformance.shrink import shrink as shrunk

from . import compare, generate, play, scripted, shrink

HERE = Path(__file__).parent
PROGRAM = {
    "name": "p",
    "server": {"start": "start", "init": {"tag": "t1"}},
    "timeline": [["call", "a", "server", {"tag": "t2", "reply": 1}, "long"]],
}


def with_script(script):
    """The program whose only call does what *script* says."""
    return PROGRAM | {"timeline": [["call", "a", "server", {"tag": "t2"} | script, "long"]]}


def test_no_order_is_asked_for_between_two_who_do_not_wait_for_each_other():
    """Lines of different actors may come in any order within a step."""
    left = [["step", 1], ["a", "reply", 1], ["server", "handle_continue", "t1"]]

    assert compare.disagreement("p", left, [left[0], left[2], left[1]]) is None


def test_the_order_of_each_actors_own_lines_is_asked_for():
    """What one process wrote has its order, and its step."""
    left = [["step", 1], ["a", "reply", 1], ["a", "message", "t1"], ["step", 2]]

    assert compare.disagreement("p", left, [left[0], left[2], left[1], left[3]]) is not None
    assert compare.disagreement("p", left, [left[0], left[1], left[3], left[2]]) is not None


def test_two_deaths_are_told_in_any_order_and_one_by_its_signal_first():
    """OTP promises nothing about which of two is first."""
    of_two = [["a", "message", ["EXIT", "server", "boom"]], ["a", "message", ["DOWN", "b", "boom"]]]
    of_one = [["a", "message", ["EXIT", "b", "boom"]], ["a", "message", ["DOWN", "b", "boom"]]]

    assert compare.disagreement("p", of_two, of_two[::-1]) is None
    assert compare.disagreement("p", of_one, of_one[::-1]) is not None


def test_what_a_client_got_in_the_step_of_its_death_is_left_out():
    """It may have been dead before it could say so."""
    left = [["c", "exited", "boom"]]

    assert compare.disagreement("p", left, [["c", "failed", "boom"], *left]) is None
    assert compare.disagreement("p", left, [["c", "failed", "boom"]]) is not None


def test_a_trace_that_ends_early_disagrees():
    """A step that one side never came to is a difference."""
    left = [["step", 1], ["step", 2]]

    assert compare.disagreement("p", left, left[:1]) is not None


@pytest.mark.parametrize("style", scripted.STYLES)
def test_a_program_is_played_in_every_style(style):
    """A call that is answered leaves the same lines, however the server is written."""
    trace = play.trace_of(PROGRAM, style)["trace"]

    assert compare.steps_of(trace)[1] == [
        '["step", 1]',
        '["a", "reply", 1]',
        '["server", "handle_call", "t2", "a"]',
    ]


@pytest.mark.parametrize(
    ("script", "missing"),
    [
        ({}, set()),
        ({"does": [["wait"]]}, {"plain callbacks", "plain handlers"}),
        ({"does": [["reply", "t2", 1]]}, {"async handlers", "plain handlers"}),
        ({"does": [["reply", "t9", 1]], "reply": 2}, set()),
    ],
)
def test_a_program_is_left_to_the_styles_that_can_say_it(script, missing):
    """A plain def cannot wait, and only a Call can be answered before its handler returns."""
    assert set(scripted.styles_for(with_script(script))) == set(scripted.STYLES) - missing


@pytest.mark.parametrize("style", scripted.STYLES)
@pytest.mark.parametrize("callback", ["handle_call", "handle_cast", "handle_info", "terminate"])
def test_a_server_can_do_without_a_callback(style, callback):
    """Its class has neither the callback nor the handler in its place."""
    cls = scripted.class_of(style, {"without": [callback]})
    handler = {"handle_call": "ask", "handle_cast": "tell"}.get(callback, callback)

    assert not hasattr(cls, callback)
    assert not hasattr(cls, handler)
    assert hasattr(cls, "handle_continue")


def test_a_program_that_breaks_its_player_says_so():
    """It is no trace that could agree with anything."""
    broken = PROGRAM | {"timeline": [["dance", "a"]]}

    assert ["a", "exited", ["raised", "ValueError: a timeline cannot say ['dance', 'a']"]] in (
        play.trace_of(broken, "async callbacks")["trace"]
    )
    assert play.trace_of({}, "async callbacks")["trace"][0][0] == "driver_crash"


def test_a_seed_stands_for_one_program():
    """The same seed makes the same program, another seed another one."""
    assert generate.program(7) == generate.program(7)
    assert generate.program(7)["server"] != generate.program(8)["server"]


@pytest.mark.parametrize(
    "wanted",
    [
        *("call", "cast", "send", "signal", "stop", "sys", "reply", "monitor", "link", "unlink"),
        *("die", "open", "sleep", "start", "mark", "trap", "exit_self", "tell", "unregister"),
        *(
            "wait",
            "call_self",
            "stop_self",
            "call_nobody",
            "timeout",
            "continue",
            "raise",
            "exit",
            "bad",
        ),
        "ignore",
    ],
)
def test_the_generator_uses_every_word(wanted):
    """300 programs leave nothing untried that a step, an effect or an end of a callback can be."""
    assert any(f'["{wanted}"' in data.line_of(generate.program(seed)) for seed in range(300))


def test_shrinking_keeps_only_what_the_disagreement_needs():
    """A program that disagrees whenever a handler raises loses everything else."""
    raising = ["cast", "a", "server", {"tag": "t3", "does": [["mark", 1]], "then": ["raise", "x"]}]
    program = PROGRAM | {"timeline": [*PROGRAM["timeline"], raising, ["sleep"]]}

    smallest = shrunk(
        program,
        lambda some: next(
            (one for one in some if shrink.is_whole(one) and '"raise"' in data.line_of(one)), None
        ),
    )

    kept = ["cast", "a", "server", {"tag": "t3", "then": ["raise", "x"]}]
    assert smallest == PROGRAM | {"timeline": [kept]}


@pytest.mark.slow
def test_the_player_reads_programs_and_prints_one_trace_a_line():
    """It is a filter: programs in, traces out, in the same order."""
    played = subprocess.run(
        [sys.executable, "-m", "tests.conformance.servers.play", "plain", "handlers"],
        input="\n".join(map(data.line_of, [PROGRAM, PROGRAM | {"name": "q"}])),
        cwd=HERE.parents[2],
        check=True,
        capture_output=True,
        text=True,
    )

    assert [one["name"] for one in data.parse(played.stdout.splitlines())] == ["p", "q"]
