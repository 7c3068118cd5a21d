"""
One program under a guard: what it is, and what is known of it.

Not here: how the guard is asked to start it and reports its end (`guard`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, final

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from candil.engine._config.exit_status import ExitStatus


@final
@attrs.define(eq=False)
class Run:
    """
    One program under a guard.

    Attributes:
        argv: The program, as a path, and its arguments.
        env: Its environment.
        sink: A function that gets what it writes, as far as candil keeps up.
        folder: Its working directory; ``""``: the guard's own.
        log_path: The file that gets all of it; ``None``: none.
        log_failed: A function that gets the reason when that file cannot be written.
        pid: Its process id, which is its group's too; ``None`` until it runs.
        status: How it ended; ``None`` when that is not known.
        shortage: What the system had too little of to start it.
        started: Set when it runs.
        reaped: Set when nothing of it is left.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    sink: Callable[[bytes], None]
    folder: str
    log_path: Path | None = None
    log_failed: Callable[[OSError], None] = lambda _error: None
    pid: int | None = None
    status: ExitStatus | None = None
    shortage: OSError | None = None
    started: trio.Event = attrs.field(factory=trio.Event)
    reaped: trio.Event = attrs.field(factory=trio.Event)

    @property
    def never_started(self) -> bool:
        """Whether the guard ended before it reported anything about the program."""
        return self.reaped.is_set() and self.pid is None and self.status is None

    def as_command(self) -> bytes:
        """Return it as the guard reads it (`program.commands.Launch`)."""
        variables = (f"{name}={value}" for name, value in self.env.items())
        log_path = "" if self.log_path is None else str(self.log_path)
        fields = (self.folder, log_path, str(len(self.argv)), *self.argv, *variables)
        launch = b"\0".join(os.fsencode(field) for field in fields)
        return b"L%d\n%b" % (len(launch), launch)


def present_folder() -> str:
    """Return the working directory of this program; ``""`` if it has been removed."""
    try:
        return os.getcwd()  # noqa: PTH109 - a field as the others
    except OSError:
        return ""  # it is gone: the program starts where the guard is
