"""
One program under a guard: what it is, and what is known of it.

Not here: who tells the guard to start it, and learns of its end (`guard`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, final

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from candil.engine._config.exit_status import ExitStatus


@final
@attrs.define(eq=False)
class Run:
    """
    One program under a guard.

    Attributes:
        argv: The program, as a path, and its arguments.
        env: Its environment.
        sink: Is given what it writes.
        pid: Its process id, which is its group's too; ``None`` until it runs.
        status: How it ended; ``None`` when that is not known.
        started: Set when it runs.
        reaped: Set when nothing of it is left.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    sink: Callable[[bytes], None]
    pid: int | None = None
    status: ExitStatus | None = None
    started: trio.Event = attrs.field(factory=trio.Event)
    reaped: trio.Event = attrs.field(factory=trio.Event)

    @property
    def never_started(self) -> bool:
        """Whether the guard was gone before it said a word about the program."""
        return self.reaped.is_set() and self.pid is None and self.status is None

    def as_command(self) -> bytes:
        """Write it down as the guard reads it (`program.Program`)."""
        variables = (f"{name}={value}" for name, value in self.env.items())
        fields = (_folder(), str(len(self.argv)), *self.argv, *variables)
        command = b"\0".join(os.fsencode(field) for field in fields)
        return b"L%d\n%b" % (len(command), command)


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a field as the others
    except OSError:
        return ""  # it is gone: the program starts where the guard is
