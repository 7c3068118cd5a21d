"""The tree that events draw, and the text that comes of it."""

from __future__ import annotations

import io
import time

import pytest

import candil
from candil import engine
from candil.cli.demo.layout import Mood, glyphs_for, one_line, restarts, rows
from candil.cli.demo.live import LiveScreen
from candil.cli.demo.plain import PlainScreen, step_line
from candil.cli.demo.tree import CRASHED, STOPPED, Tree, how_it_ended
from candil.engine import EngineState, EngineStateChanged

TOKENS = candil.Pid("local", 1, 3, "Tokens")
FIRST = candil.Pid("local", 1, 4, "EngineServer")
SECOND = candil.Pid("local", 1, 7, "EngineServer")
KILLED = engine.EngineExited("smollm2", engine.ExitStatus(-9))


def went(
    old: EngineState | None, new: EngineState | None, pid: int | None, error=None
) -> EngineStateChanged:
    """Make the event of an engine's change."""
    return EngineStateChanged("smollm2", old, new, pid, error)


BEGUN = [
    candil.ChildStarted("root", "tokens", TOKENS),
    candil.ChildStarted("root", "smollm2", FIRST),
    went(EngineState.STARTING, EngineState.LOADING, 111),
    went(EngineState.LOADING, EngineState.READY, 111),
]
CRASH = [
    went(EngineState.READY, None, None, KILLED),
    candil.ProcessExited(FIRST, candil.Crashed(KILLED)),
]
AGAIN = [
    went(None, EngineState.STARTING, None),
    candil.ChildStarted("root", "smollm2", SECOND),
    went(EngineState.STARTING, EngineState.LOADING, 222),
    went(EngineState.LOADING, EngineState.READY, 222),
]


def told(*events: object) -> Tree:
    """Make a tree that has heard *events*, one a second."""
    tree = Tree("root", "one_for_one")
    for second, event in enumerate(events):
        tree.hear(event, float(second))
    return tree


def test_a_tree_shows_who_runs_below_whom_and_for_how_long() -> None:
    """Children in start order, each program below its child, the seconds since the last change."""
    tree = told(*BEGUN)

    shown = [(row.name, row.pid, row.state, row.seconds) for row in rows(tree, 5.0)]

    assert shown == [
        ("root", "", "one_for_one", None),
        ("├─ tokens", "<local.3>", "● running", 5.0),
        ("└─ smollm2", "<local.4>", "● ready", 2.0),
        ("   └─ llama-server", "111", "● running", None),
    ]


def test_a_crash_and_a_restart_leave_the_dead_program_in_the_picture() -> None:
    """The dead one stays, with the signal that ended it, above the one that took its place."""
    tree = told(*BEGUN, *CRASH, *AGAIN)

    shown = [(row.name, row.pid, row.state, row.detail) for row in rows(tree, 9.0)]

    assert shown[1:] == [
        ("├─ tokens", "<local.3>", "● running", "never restarted"),
        ("└─ smollm2", "<local.7>", "● ready", "restarted once"),
        ("   ├─ llama-server", "111", "✗ SIGKILL", ""),
        ("   └─ llama-server", "222", "● running", ""),
    ]


@pytest.mark.parametrize(
    ("reason", "state", "mood"),
    [
        (candil.Crashed(KILLED), CRASHED, Mood.BAD),
        (candil.Shutdown(), STOPPED, Mood.QUIET),
        (candil.Normal(), STOPPED, Mood.QUIET),
    ],
)
def test_an_end_is_a_crash_or_a_stop(reason, state: str, mood: Mood) -> None:
    """As OTP tells them apart; what still ran below has stopped as well."""
    tree = told(*BEGUN, candil.ProcessExited(FIRST, reason))

    child, program = rows(tree, 9.0)[2:]

    assert (state, mood) == (child.state[2:], child.mood)
    assert "○ stopped" == program.state


def test_events_of_others_change_nothing() -> None:
    """Other supervisors, other engines and strangers' events are not this tree's business."""
    tree = told(*BEGUN)
    before = rows(tree, 9.0)

    for event in (
        candil.ChildStarted("another", "tokens", SECOND),
        EngineStateChanged("qwen", EngineState.READY, EngineState.FAILED, None),
        candil.ProcessExited(SECOND, candil.Killed()),
        "anything",
    ):
        tree.hear(event, 8.0)

    assert before == rows(tree, 9.0)


def test_a_child_that_has_ended_counts_no_seconds() -> None:
    """The picture that stays behind would say for how long at the moment of the last look."""
    tree = told(*BEGUN, candil.ProcessExited(FIRST, candil.Shutdown()))

    assert [None, 8.0, None, None] == [row.seconds for row in rows(tree, 8.0)]


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-1", "no-such-encoding"])
def test_a_terminal_that_has_no_such_letters_gets_ascii(encoding: str) -> None:
    """A question mark in place of every branch would be no tree."""
    tree = told(*BEGUN, *CRASH, *AGAIN)

    shown = [(row.name, row.state) for row in rows(tree, 9.0, glyphs_for(encoding))]

    assert shown[1:] == [
        ("|- tokens", "* running"),
        ("`- smollm2", "* ready"),
        ("   |- llama-server", "x SIGKILL"),
        ("   `- llama-server", "* running"),
    ]
    assert glyphs_for("utf-8") != glyphs_for(encoding)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KILLED, "SIGKILL"),
        (engine.EngineExited("x", engine.ExitStatus(1)), "status 1"),
        (engine.EngineExited("x", engine.ExitStatus(-60)), "signal 60"),
        (engine.EngineExited("x", engine.ExitStatus(None)), "ended"),
        (None, "ended"),
    ],
)
def test_an_end_is_said_in_two_words(error, words: str) -> None:
    """The signal by its name, a status by its number, and no guesses."""
    assert words == how_it_ended(error)


def test_restarts_are_counted_in_words() -> None:
    """As one would say it."""
    assert ["never restarted", "restarted once", "restarted twice", "restarted 3 times"] == [
        restarts(count) for count in range(4)
    ]


def test_what_a_model_says_becomes_one_printable_line() -> None:
    """Newlines, control characters and runs of spaces do not reach the terminal."""
    assert "one two three four" == one_line(" one\n\ntwo\x1b three\x00\tfour ")


def test_a_plain_step_is_one_line() -> None:
    """When, what, and the rest, in columns, whatever the text holds."""
    assert "    1.50 s  kill      SIGKILL to 1 now" == step_line(1.5, "kill", "SIGKILL to 1\nnow")


def test_a_plain_answer_is_one_line_and_says_whether_it_is_whole() -> None:
    """Pieces are joined; an answer that was cut is marked; nothing else is drawn."""
    stream = io.StringIO()
    screen = PlainScreen(stream)

    screen.draw(told(*BEGUN))
    for piece in ("A ph", "oenix\n", "is"):
        screen.piece(piece)
    screen.answered(complete=False)
    screen.piece("whole")
    screen.answered(complete=True)
    screen.undraw()

    assert ["A phoenix is [broken off]", "whole"] == [
        line[22:] for line in stream.getvalue().splitlines()
    ]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 8)])
def test_a_terminal_shows_the_steps_the_answer_and_the_tree(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line is wider than the terminal, and every step is there."""
    monkeypatch.setenv("COLUMNS", str(size[0]))
    monkeypatch.setenv("LINES", str(size[1]))
    stream = io.StringIO()
    screen = LiveScreen(stream)
    tree = Tree("root", "one_for_one")
    now = time.monotonic()

    screen.title("the title")
    screen.draw(tree)
    for event in (*BEGUN, *CRASH, *AGAIN):
        tree.hear(event, now)
    screen.step("kill", "SIGKILL to 111", Mood.BAD)
    for _ in range(100):
        screen.piece("many words ")
    screen.refresh()
    screen.answered(complete=False)
    screen.undraw()
    lines = stream.getvalue().splitlines()

    assert max(map(len, lines)) <= size[0]
    text = " ".join(" ".join(lines).split())
    for part in ("the title", "SIGKILL to 111", "broken", "root", "222", "✗"):
        assert part in text
