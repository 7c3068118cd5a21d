"""Where the demo shows itself: what it asks of a terminal, or of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from candil.cli.demo.layout import Mood

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from candil.cli.demo.fetch import Report
    from candil.cli.demo.tree import Tree


class Screen(Protocol):
    """Shows steps, each once and for good; an answer as it grows; and, if it can, the tree."""

    def title(self, text: str) -> None:
        """Say what this is all about."""

    def step(self, word: str, text: str, mood: Mood = Mood.PLAIN) -> None:
        """Show that something has happened: *word* says what, *text* the rest."""

    def progress(self) -> AbstractContextManager[Report]:
        """Show what the block reports of a download."""
        ...

    def piece(self, text: str) -> None:
        """Show the next piece of the answer that is being given."""

    def answered(self, *, complete: bool) -> None:
        """Show the answer as it was left, for good."""

    def draw(self, tree: Tree) -> None:
        """Keep a picture of *tree* in sight from now on."""

    def refresh(self) -> None:
        """Redraw what moves."""

    def undraw(self) -> None:
        """Leave the picture as it is, and go on below it."""

    @property
    def pause(self) -> float:
        """Seconds to wait where a person wants to look; 0 elsewhere."""
        ...
