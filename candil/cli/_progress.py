"""
Telling how a fetch gets on: a bar on a terminal, a few plain lines elsewhere.

Not here: the fetch itself (`_fetch`).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, final

from candil.cli._fetch import Stage

if TYPE_CHECKING:
    from collections.abc import Generator

    from candil.cli._fetch import Report

_WORDS: Final = {
    Stage.CHECKING: "checking the model",
    Stage.WAITING: "waiting for another fetch",
    Stage.FETCHING: "fetching the model",
    Stage.UNPACKING: "unpacking the model",
}
_MEGABYTE: Final = 1e6
_PERCENT: Final = 25


def is_live(stream: TextIO) -> bool:
    """Tell whether *stream* is a terminal on which lines can be redrawn."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}


@contextmanager
def showing_progress(stream: TextIO) -> Generator[Report]:
    """Show on *stream* what the block reports; a bar needs rich, and without it there are lines."""
    if is_live(stream):
        try:
            import rich.progress  # noqa: PLC0415 - an extra, and slow to import
        except ModuleNotFoundError:
            pass
        else:
            with rich.progress.Progress(*_columns(), transient=True) as bar:
                yield _Bar(bar).report
            return
    yield Lines(lambda line: _write(stream, line)).report


@final
class Lines:
    """Makes a line of plain text of every stage and of every quarter of a download."""

    def __init__(self, write: _Write) -> None:
        self._write = write
        self._stage: Stage | None = None
        self._told = 0

    def report(self, stage: Stage, done: int, total: int) -> None:
        """Be told of progress, and tell of it if it is news."""
        line = self._line(stage, done, total)
        if line:
            self._write(line)

    def _line(self, stage: Stage, done: int, total: int) -> str | None:
        if stage in {Stage.CHECKING, Stage.WAITING}:  # a moment, as a rule; the result tells
            return None
        if stage is not self._stage:
            self._stage, self._told = stage, 0
            return f"{_WORDS[stage]} ({total / _MEGABYTE:.1f} MB)"
        percent = 100 * done // total // _PERCENT * _PERCENT
        if stage is not Stage.FETCHING or percent <= self._told:
            return None
        self._told = percent
        return f"{_WORDS[stage]}: {percent} %"


class _Write(Protocol):
    def __call__(self, line: str, /) -> None: ...


def _write(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()


@final
class _Bar:
    """Moves a bar of rich; each stage has its own."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._stage: Stage | None = None
        self._task: Any = None

    def report(self, stage: Stage, done: int, total: int) -> None:
        """Be told of progress."""
        if stage is not self._stage:
            self._stage = stage
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(_WORDS[stage], total=None)
        # Without a total the bar pulses: pip asks the index first, which takes its time.
        self._bar.update(self._task, completed=done, total=total if done else None)


def _columns() -> list[Any]:
    from rich import progress  # noqa: PLC0415 - as above

    return [
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=None),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(compact=True),
    ]
