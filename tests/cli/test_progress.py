"""Telling of a fetch in plain lines."""

from __future__ import annotations

import io

from candil.cli._fetch import Stage
from candil.cli._progress import Lines, is_live, showing_progress


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


def test_a_file_gets_lines_and_no_bar() -> None:
    """What is written to anything but a terminal has no control characters."""
    stream = io.StringIO()

    with showing_progress(stream) as report:
        report(Stage.FETCHING, 0, 1_000_000)

    assert not is_live(stream)
    assert stream.getvalue() == "fetching the model (1.0 MB)\n"
