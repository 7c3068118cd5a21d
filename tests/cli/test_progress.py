"""Telling of a fetch in plain lines."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from candil.cli.demo.fetch import Stage
from candil.cli.demo.progress import Lines, is_live, showing_progress


def test_a_download_is_told_in_quarters() -> None:
    """One line at the beginning, one for each quarter, however often it is reported."""
    told: list[str] = []
    lines = Lines(told.append)

    for done in range(0, 101, 5):
        lines.report(Stage.FETCHING, done * 1_000_000, 100_000_000)

    assert told == [
        "fetching the model (100.0 MB)",
        *[f"fetching the model: {percent} %" for percent in (25, 50, 75, 100)],
    ]


def test_what_takes_a_moment_is_told_once_or_not_at_all() -> None:
    """Unpacking is one line; looking at a file that is there is none."""
    told: list[str] = []
    lines = Lines(told.append)

    for stage in (Stage.CHECKING, Stage.WAITING, Stage.UNPACKING):
        for done in (0, 50, 100):
            lines.report(stage, done, 100)

    assert told == ["unpacking the model (0.0 MB)"]


@pytest.mark.parametrize(
    ("size", "part"), [(5, "5 bytes instead of 1,000"), (1_000, "bytes differ")]
)
def test_that_a_file_is_replaced_is_told_with_the_reason(size: int, part: str) -> None:
    """Whoever put it there wonders why it is fetched again."""
    told: list[str] = []

    Lines(told.append).report(Stage.REPLACING, size, 1_000)

    (line,) = told
    assert part in line
    assert line.endswith("it is fetched again")


def test_a_terminal_gets_a_bar_that_knows_the_size_from_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What stays stands above it."""
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    console = Console(file=stream, force_terminal=True, width=100)

    with showing_progress(stream, None, console) as report:
        report(Stage.REPLACING, 5, 1_000)
        report(Stage.FETCHING, 0, 92_871_040)

    assert "0.0 of 92.9 MB" in stream.getvalue()
    assert "/?" not in stream.getvalue()
    assert "5 bytes instead of 1,000" in stream.getvalue()


class Terminal(io.StringIO):
    """Text that claims to be a terminal."""

    def isatty(self) -> bool:
        """Claim it."""
        return True


def test_a_file_gets_lines_and_no_bar() -> None:
    """What is written to anything but a terminal has no control characters."""
    stream = io.StringIO()

    with showing_progress(stream) as report:
        report(Stage.FETCHING, 0, 1_000_000)

    assert not is_live(stream)
    assert stream.getvalue() == "fetching the model (1.0 MB)\n"
