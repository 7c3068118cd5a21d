"""
Telling how a fetch gets on: a bar on a terminal, a few plain lines elsewhere.

Not here: the fetch itself (`fetch`).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, final

from candil.cli.demo.fetch import Stage

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console

    from candil.cli.demo.fetch import Report

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
def showing_progress(
    stream: TextIO, say: _Write | None = None, console: Console | None = None
) -> Generator[Report]:
    """
    Show on *stream* what the block reports; a bar needs rich, and without it there are lines.

    Args:
        stream: A terminal gets a bar, which goes when the block is over.

        say: Writes a line that is to stay; by default to *stream*.

        console: Who draws the bar; it must be the one through which *say* writes.
    """
    if is_live(stream):
        try:
            import rich.progress  # noqa: PLC0415 - an extra, and slow to import
        except ModuleNotFoundError:
            pass
        else:
            with rich.progress.Progress(*_columns(), console=console, transient=True) as bar:
                above = partial(bar.console.print, markup=False, highlight=False)
                yield _Bar(bar, say or above).report
            return
    yield Lines(say or partial(_write, stream)).report


def _write(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()


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
        if stage is Stage.REPLACING:
            return _why_replaced(done, total)
        if stage is not self._stage:
            self._stage, self._told = stage, 0
            return f"{_WORDS[stage]} ({total / _MEGABYTE:.1f} MB)"
        percent = 100 * done // total // _PERCENT * _PERCENT
        if stage is not Stage.FETCHING or percent <= self._told:
            return None
        self._told = percent
        return f"{_WORDS[stage]}: {percent} %"


def _why_replaced(size: int, right: int) -> str:
    found = "its bytes differ" if size == right else f"{size:,} bytes instead of {right:,}"
    return f"the file that is there is not the published model ({found}): it is fetched again"


class _Write(Protocol):
    def __call__(self, line: str, /) -> None: ...


@final
class _Bar:
    """Moves a bar of rich; each stage has its own."""

    def __init__(self, bar: Any, say: _Write) -> None:
        self._bar = bar
        self._say = say
        self._stage: Stage | None = None
        self._task: Any = None

    def report(self, stage: Stage, done: int, total: int) -> None:
        """Be told of progress."""
        if stage is Stage.REPLACING:
            self._say(_why_replaced(done, total))
            return
        if stage is not self._stage:
            self._stage = stage
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(_WORDS[stage], total=None, amount="")
        amount = f"{done / _MEGABYTE:.1f} of {total / _MEGABYTE:.1f} MB" if total else ""
        # Without a total the bar pulses: pip asks the index first, which takes its time.
        self._bar.update(self._task, completed=done, total=total if done else None, amount=amount)


def _columns() -> list[Any]:
    from rich import progress  # noqa: PLC0415 - as above

    return [
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=None),
        progress.TextColumn("{task.fields[amount]}"),
        progress.TimeRemainingColumn(compact=True),
    ]
