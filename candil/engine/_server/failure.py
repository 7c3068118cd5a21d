"""
Why a start failed, from what the dead process left: its exit status and its last lines.

``llama-server`` exits with 1 for a missing model, a bad flag and a taken port alike, so the code
tells nothing; the lines do. Pure: values in, values out.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, final

import attrs

from candil.engine._config.flags import is_optional, refused_flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candil.engine._config.exit_status import ExitStatus


@final
class Cause(enum.Enum):
    """What kind of thing went wrong, which decides what to do about it."""

    MODEL = "model"
    """The file cannot be loaded. Trying again is useless."""
    FLAG = "flag"
    """The user's arguments are refused. Trying again is useless."""
    OWN_FLAG = "own flag"
    """The build does not know a flag that candil added. Start without it."""
    BINARY = "binary"
    """The program cannot be executed. Trying again is useless."""
    PORT = "port"
    """Somebody else has the port. Start on another one."""
    MEMORY = "memory"
    """Memory did not suffice. It may later."""
    CRASH = "crash"
    """It was killed or crashed. Try again, within limits."""
    UNKNOWN = "unknown"
    """It ended without a recognised word. Try again, within limits."""


_USAGE: Final = "usage:"
_PERMANENT: Final = frozenset({Cause.MODEL, Cause.FLAG, Cause.BINARY})

# Tried in this order: the memory lines come with the model's general complaint behind them.
_SIGNS: Final = (
    (Cause.BINARY, ("error while loading shared libraries", "version `GLIBC")),
    (Cause.PORT, ("couldn't bind HTTP server socket",)),
    (
        Cause.MEMORY,
        (
            "out of memory",
            "failed to allocate",
            "unable to allocate",
            "cudaMalloc failed",
            "std::bad_alloc",
        ),
    ),
    (
        Cause.MODEL,
        (
            "failed to open GGUF",
            "invalid magic",
            "failed to read magic",
            "not within the file bounds",
            "unknown model architecture",
            "error loading model",
            "failed to load model",
            "exiting due to model loading error",
        ),
    ),
    (
        Cause.FLAG,
        # A number that is none is answered by the usage of its flag, and hardly a word more.
        ("error: invalid argument:", "error while handling argument", _USAGE),
    ),
)

_WORDS: Final = {
    Cause.MODEL: "the model cannot be loaded",
    Cause.FLAG: "llama-server refuses an argument",
    Cause.OWN_FLAG: "this llama-server does not know one of candil's flags",
    Cause.BINARY: "the program cannot be executed",
    Cause.PORT: "the port is taken by another program",
    Cause.MEMORY: "there was not enough memory",
}
_ADVICE: Final = {
    Cause.MODEL: "Check the file; it may be damaged or too new for this llama-server.",
    Cause.FLAG: "Correct Engine.start_args or Model.model_args.",
    Cause.BINARY: "Install the whole release folder, built for this system.",
    Cause.PORT: "Set Engine.port to the start of a free range.",
    Cause.MEMORY: "Lower Model.context_size, or take a smaller model.",
}


@final
@attrs.frozen
class Failure:
    """A start that failed: the cause, the line that shows it, and the sentence for people."""

    cause: Cause
    sentence: str
    line: str | None = None
    flag: str | None = None

    @property
    def permanent(self) -> bool:
        """Whether the same start would fail again for the same reason."""
        return self.cause in _PERMANENT


def classify(status: ExitStatus, lines: Sequence[str]) -> Failure:
    """Say why a process that ended with *status* after writing *lines* did not start."""
    if status.exec_error is not None:
        return _failure(Cause.BINARY, status.exec_error)
    flag = refused_flag(lines)
    if flag is not None and is_optional(flag):
        return _failure(Cause.OWN_FLAG, flag, flag=flag)
    cause, line = _recognised(lines)
    if cause is not None:
        return _failure(cause, line)
    if status.killed or status.returncode is None:
        return Failure(Cause.CRASH, f"{status.describe()} while it was starting")
    return Failure(Cause.UNKNOWN, f"{status.describe()} before it was ready")


def _recognised(lines: Sequence[str]) -> tuple[Cause | None, str]:
    for cause, signs in _SIGNS:
        for sign in signs:
            for line, following in zip(lines, [*lines[1:], ""], strict=False):
                if sign in line:
                    return cause, (following if sign == _USAGE else line).strip()
    return None, ""


def _failure(cause: Cause, line: str, flag: str | None = None) -> Failure:
    advice = f" {_ADVICE[cause]}" if cause in _ADVICE else ""
    return Failure(cause, f"{_WORDS[cause]} ({line}).{advice}", line, flag)
