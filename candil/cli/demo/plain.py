"""The demo as plain text: one line a step, no control characters, for files and pipes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, final

from candil.cli.demo.layout import Mood, one_line
from candil.cli.demo.progress import Lines

if TYPE_CHECKING:
    from collections.abc import Generator

    from candil.cli.demo.fetch import Report
    from candil.cli.demo.tree import Tree


def step_line(seconds: float, word: str, text: str) -> str:
    """Lay out one step: when, what, and the rest of it."""
    return f"{seconds:8.2f} s  {word:<9} {one_line(text)}"


@final
class PlainScreen:
    """A `Screen` that writes lines to *stream*, each as soon as it is known."""

    pause = 0.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._start = time.monotonic()
        self._answer: list[str] = []

    def title(self, text: str) -> None:
        """Say what this is all about."""
        self._write(text)
        self._write("")

    def step(self, word: str, text: str, mood: Mood = Mood.PLAIN) -> None:
        """Write a line."""
        del mood
        self._write(step_line(time.monotonic() - self._start, word, text))

    @contextmanager
    def progress(self) -> Generator[Report]:
        """Write a line now and then."""
        yield Lines(lambda line: self.step("model", line)).report

    def piece(self, text: str) -> None:
        """Keep it: a line is written when it is complete."""
        self._answer.append(text)

    def answered(self, *, complete: bool) -> None:
        """Write the answer."""
        text, self._answer = one_line("".join(self._answer)), []
        self.step("answer", text if complete else f"{text} [broken off]")

    def draw(self, tree: Tree) -> None:
        """Draw nothing: a picture that cannot change is soon wrong."""

    def refresh(self) -> None:
        """Do nothing: nothing moves."""

    def undraw(self) -> None:
        """Do nothing: nothing was drawn."""

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
