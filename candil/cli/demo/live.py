"""The demo on a terminal: steps scroll by, and below them the tree lives."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TextIO, final

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from candil.cli.demo.layout import Mood, Row, glyphs_for, one_line, rows
from candil.cli.demo.progress import showing_progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import RenderableType

    from candil.cli.demo.fetch import Report
    from candil.cli.demo.tree import Tree

_STYLES: Final = {
    Mood.PLAIN: "bold",
    Mood.QUIET: "dim",
    Mood.GOOD: "bold green",
    Mood.BUSY: "bold yellow",
    Mood.BAD: "bold red",
}
_FRAME_SECONDS: Final = 1 / 30
_PICTURE_WIDTH: Final = 100
_STEP_COLUMNS: Final = (9, 9)
_ROWS_BESIDE_ANSWER: Final = 12


@final
class LiveScreen:
    """A `Screen` on the terminal *stream*."""

    pause = 1.2

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console = Console(file=stream, highlight=False)
        self._glyphs = glyphs_for(self._console.encoding)
        self._live: Live | None = None
        self._tree: Tree | None = None
        self._answer = ""
        self._start = time.monotonic()
        self._drawn = 0.0

    def title(self, text: str) -> None:
        """Say what this is all about."""
        self._console.print(Text(text, style="bold"))
        self._console.print()

    def step(self, word: str, text: str, mood: Mood = Mood.PLAIN) -> None:
        """Print a step above the picture."""
        self._console.print(_step(time.monotonic() - self._start, word, Text(text), mood))
        self.refresh()

    @contextmanager
    def progress(self) -> Generator[Report]:
        """Show a bar, which goes when the block is over."""
        tell = partial(self.step, "model")
        with showing_progress(self._stream, tell, self._console) as report:
            yield report

    def piece(self, text: str) -> None:
        """Show the answer, one piece longer."""
        self._answer += text
        if time.monotonic() - self._drawn >= _FRAME_SECONDS:
            self.refresh()

    def answered(self, *, complete: bool) -> None:
        """Print the answer above the picture."""
        text, self._answer = _answer(self._answer), ""
        if not complete:
            text.append(" [broken off]", style="bold red")
        self._console.print(_step(time.monotonic() - self._start, "answer", text, Mood.PLAIN))
        self.refresh()

    def draw(self, tree: Tree) -> None:
        """Open the picture at the bottom."""
        self._tree = tree
        self._live = Live(console=self._console, auto_refresh=False, get_renderable=self._moving)
        self._live.start()
        self.refresh()

    def refresh(self) -> None:
        """Draw the picture again."""
        self._drawn = time.monotonic()
        if self._live is not None:
            self._live.refresh()

    def undraw(self) -> None:
        """Leave the picture where it is."""
        if self._live is not None:
            self.refresh()
            self._live.stop()
            self._live = None

    def _moving(self) -> RenderableType:
        assert self._tree is not None
        found = rows(self._tree, time.monotonic(), self._glyphs)
        picture = _picture(found, self._console.width)
        if not self._answer:
            return picture
        room = max(1, self._console.height - _ROWS_BESIDE_ANSWER)
        width = max(20, self._console.width - sum(_STEP_COLUMNS) - 4)
        lines = _answer(self._answer).wrap(self._console, width)[-room:]
        text = Text("\n").join(lines)
        return Group(_step(self._drawn - self._start, "answer", text, Mood.BUSY), picture)


def _answer(text: str) -> Text:
    return Text(one_line(text), style="cyan")


def _step(seconds: float, word: str, text: Text, mood: Mood) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(width=_STEP_COLUMNS[0], justify="right", style="dim", no_wrap=True)
    grid.add_column(width=_STEP_COLUMNS[1], style=_STYLES[mood], no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    grid.add_row(f"{seconds:.2f} s", word, text)
    return grid


def _picture(found: list[Row], width: int) -> Panel:
    head, *others = found
    grid = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("left", "left", "left", "right", "left"):
        grid.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
    for row in others:
        grid.add_row(
            Text(row.name, style="dim" if row.mood is Mood.QUIET else ""),
            Text(row.pid, style="dim"),
            Text(row.state, style=_STYLES[row.mood]),
            Text("" if row.seconds is None else f"{row.seconds:.1f} s", style="dim"),
            Text(row.detail, style="dim"),
        )
    title = Text.assemble((head.name, "bold"), ("  " + head.state, "dim"))
    return Panel(
        Group(title, grid), box=box.ROUNDED, border_style="dim", width=min(width, _PICTURE_WIDTH)
    )
