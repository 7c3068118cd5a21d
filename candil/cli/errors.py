"""What a command could not do, as one sentence for the person who typed it."""

from __future__ import annotations

from candil import CandilError


class CommandError(CandilError):
    """A command cannot go on; its text says what happened and what to do. Exit code 1."""
