"""
How the demo's tree and its sentences are laid out. Pure: values in, text and values out.

Not here: colours and cursors (`live`), plain lines (`plain`).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final, final

import attrs

from candil import engine
from candil.cli.demo.tree import CRASHED, RUNNING, STOPPED, Child, Program, Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    import candil


@final
class Mood(enum.Enum):
    """How something is to be looked at."""

    PLAIN = "plain"
    QUIET = "quiet"
    GOOD = "good"
    BUSY = "busy"
    BAD = "bad"


@final
@attrs.frozen
class Row:
    """
    One line of the picture, in columns.

    Attributes:
        name: Who, with the branches before it.

        pid: The process id, candil's or the operating system's.

        mood: How it is doing.

        state: The same in words, with a mark before it.

        seconds: For how long; ``None``: not counted.

        detail: What else there is to say.
    """

    name: str
    pid: str
    mood: Mood
    state: str
    seconds: float | None
    detail: str


_MOODS: Final = {
    RUNNING: Mood.GOOD,
    STOPPED: Mood.QUIET,
    CRASHED: Mood.BAD,
    engine.EngineState.STARTING: Mood.BUSY,
    engine.EngineState.LOADING: Mood.BUSY,
    engine.EngineState.READY: Mood.GOOD,
    engine.EngineState.UNHEALTHY: Mood.BAD,
    engine.EngineState.STOPPING: Mood.BUSY,
    engine.EngineState.FAILED: Mood.BAD,
}


@final
@attrs.frozen
class Glyphs:
    """
    The signs of a picture.

    Attributes:
        child: A branch to a child that others follow.

        last: The branch to the last.

        through: Beside what is below a child that others follow.

        marks: How something is doing, before the words.
    """

    child: str
    last: str
    through: str
    marks: Mapping[Mood, str]


UNICODE: Final = Glyphs(
    child="├─ ",
    last="└─ ",
    through="│  ",
    marks={Mood.QUIET: "○ ", Mood.GOOD: "● ", Mood.BUSY: "◌ ", Mood.BAD: "✗ "},
)
ASCII: Final = Glyphs(
    child="|- ",
    last="`- ",
    through="|  ",
    marks={Mood.QUIET: "- ", Mood.GOOD: "* ", Mood.BUSY: "~ ", Mood.BAD: "x "},
)
_RESTARTS: Final = ("never restarted", "restarted once", "restarted twice")


def glyphs_for(encoding: str) -> Glyphs:
    """Return the signs that a stream of *encoding* can show."""
    signs = (UNICODE.child, UNICODE.last, UNICODE.through, *UNICODE.marks.values())
    try:
        "".join(signs).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def rows(tree: Tree, now: float, glyphs: Glyphs = UNICODE) -> list[Row]:
    """Lay *tree* out as it is at *now*, in the seconds of the clock that it was told."""
    found = [Row(tree.root, "", Mood.PLAIN, tree.rule, None, "")]
    children = list(tree.children.values())
    for child in children:
        last = child is children[-1]
        stem = glyphs.last if last else glyphs.child
        found.append(_child_row(tree, child, now, stem, glyphs))
        beside = " " * len(glyphs.through) if last else glyphs.through
        for program in child.programs:
            stem = glyphs.last if program is child.programs[-1] else glyphs.child
            found.append(_program_row(program, beside + stem, glyphs))
    return found


def pid_text(pid: candil.Pid[Any]) -> str:
    """Show a pid of candil in few letters."""
    return f"<{pid.node}.{pid.id}>"


def one_line(text: str) -> str:
    """Make one line of printable text of what a model said, which may be anything."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def restarts(count: int) -> str:
    """Say how many times something was restarted."""
    return _RESTARTS[count] if count < len(_RESTARTS) else f"restarted {count} times"


def _child_row(tree: Tree, child: Child, now: float, stem: str, glyphs: Glyphs) -> Row:
    mood = _MOODS.get(child.state, Mood.PLAIN)
    note = tree.notes.get(child.id, "")
    restarted = restarts(child.starts - 1)
    return Row(
        name=f"{stem}{child.id}",
        pid=pid_text(child.pid),
        mood=mood,
        state=glyphs.marks.get(mood, "") + child.state,
        seconds=None if child.state in {STOPPED, CRASHED} else now - child.since,
        detail=f"{note}, {restarted}" if note else restarted,
    )


def _program_row(program: Program, stem: str, glyphs: Glyphs) -> Row:
    mood = {None: Mood.GOOD, STOPPED: Mood.QUIET}.get(program.ended, Mood.BAD)
    return Row(
        name=f"{stem}llama-server",
        pid=str(program.pid),
        mood=mood,
        state=glyphs.marks.get(mood, "") + (program.ended or RUNNING),
        seconds=None,
        detail="",
    )
