"""How a process ended, as a value and in words."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import final

import attrs


@final
@attrs.frozen
class ExitStatus:
    """
    How a process ended.

    Attributes:
        returncode: The exit code; negative, the signal; ``None``: not known, because the guard
            ended first, or because the program never ran.
        exec_error: Why the program could not be executed, if it could not.
    """

    returncode: int | None
    exec_error: str | None = None

    @property
    def killed(self) -> bool:
        """Whether a signal ended it, as far as is known."""
        return self.returncode is not None and self.returncode < 0

    def describe(self) -> str:
        """Return it in words."""
        if self.exec_error is not None:
            return f"it could not be executed: {self.exec_error}"
        if self.returncode is None:
            return "its guard process was killed, and it with its guard"
        if self.returncode >= 0:
            return f"it exited with status {self.returncode}"
        name = _signal_name(-self.returncode)
        hint = " (if you did not send it: probably out of memory)" if name == "SIGKILL" else ""
        return f"it was killed by {name}{hint}"


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"  # a real-time signal has no name
