"""
Why a start failed, from what the dead process left: its exit status and its output.

``llama-server`` exits with 1 for a missing model, a bad flag and a taken port alike, so the code
tells nothing; the lines do. The table below was made from real outputs. Pure, but for the name of
the CPU.
"""

from __future__ import annotations

import enum
import errno
import os
import platform
import signal
from typing import TYPE_CHECKING, Final, final

import attrs

from candil.engine._config.flags import is_optional, refused_flag
from candil.engine._config.output import without_debugger
from candil.engine._system.cpu import cpu_name

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
    CPU = "cpu"
    """The program has instructions that this CPU does not know. Trying again is useless."""
    TOO_LONG = "too long"
    """An argument or a variable is longer than the system takes. Trying again is useless."""
    PORT = "port"
    """Another program has the port. Start on another one."""
    MEMORY = "memory"
    """Memory did not suffice. It may later."""
    SHORTAGE = "shortage"
    """The system could not start a program just now. It can later."""
    CRASH = "crash"
    """It was killed or crashed. Try again, within limits."""
    UNKNOWN = "unknown"
    """It ended without a recognised word. Try again, within limits."""


_PERMANENT: Final = frozenset({Cause.MODEL, Cause.FLAG, Cause.BINARY, Cause.CPU, Cause.TOO_LONG})
_USAGE: Final = "usage:"

_WHAT: Final = {
    Cause.MODEL: "the model cannot be loaded",
    Cause.FLAG: "llama-server refuses an argument",
    Cause.OWN_FLAG: "this llama-server does not know one of candil's flags",
    Cause.BINARY: "the program cannot be executed",
    Cause.CPU: "this build of llama-server needs a CPU with more instructions than this one has",
    Cause.TOO_LONG: "the program cannot be executed",
    Cause.PORT: "the port is taken by another program",
    Cause.MEMORY: "there was not enough memory",
    Cause.SHORTAGE: "the system cannot start the program just now",
}
_ANOTHER_BUILD: Final = (
    "Take a build for this CPU, such as one of the official releases of llama.cpp, which choose "
    "their instructions when they start."
)
_MEMORY_ADVICE: Final = "Lower Model.context_size, or take a smaller model."
_MODEL_ADVICE: Final = "Check the file; it may be damaged or too new for this llama-server."
_FLAG_ADVICE: Final = "Correct Engine.start_args or Model.model_args."
_ANOTHER_LIBRARY: Final = (
    "The libraries that it finds are of another build. Unpack one release into an empty folder, "
    "and look at LD_LIBRARY_PATH."
)
_WHOLE_FOLDER: Final = "Install the whole release folder, built for this system."

# Cause, advice, and what a line has (in small letters). Tried in this order: the lines of memory,
# for one, come with the model's general complaint behind them.
_SIGNS: Final = (
    (
        Cause.BINARY,
        "It was built for a newer system than this one. Take a build for this system.",
        ("version `glibc", "version `cxxabi"),
    ),
    (
        Cause.BINARY,
        "Install libgomp1 (Debian, Ubuntu) or libgomp (Fedora).",
        ("error while loading shared libraries: libgomp",),
    ),
    (
        Cause.BINARY,
        "Install the driver of the GPU, or take a build for the CPU.",
        (
            "error while loading shared libraries: libcuda",
            "error while loading shared libraries: libvulkan",
            "error while loading shared libraries: libamdhip",
        ),
    ),
    (Cause.BINARY, _WHOLE_FOLDER, ("error while loading shared libraries",)),
    (
        Cause.BINARY,
        _ANOTHER_LIBRARY,
        ("symbol lookup error", "undefined symbol", "static tls block"),
    ),
    (
        Cause.BINARY,
        "A library of llama.cpp (libggml-cpu, for one) is missing beside the program. "
        + _WHOLE_FOLDER,
        ("no backends are loaded", "no cpu backend found"),
    ),
    (
        Cause.BINARY,
        f"It was built for another architecture than {platform.machine()}.",
        ("exec format error", "cannot execute binary file", "wrong elf class"),
    ),
    (Cause.CPU, _ANOTHER_BUILD, ("illegal instruction", "amx is not ready")),
    (
        Cause.PORT,
        "Set Engine.port to the start of a free range.",
        ("couldn't bind http server socket", "address already in use"),
    ),
    (
        Cause.MEMORY,
        _MEMORY_ADVICE,
        (
            "out of memory",
            "insufficient memory",
            "not enough memory",
            "cannot allocate memory",
            "failed to allocate",
            "unable to allocate",
            "cudamalloc failed",
            "erroroutofdevicememory",
            "erroroutofhostmemory",
            "std::bad_alloc",
        ),
    ),
    (
        Cause.MODEL,
        _MODEL_ADVICE,
        (
            "failed to open gguf",
            "invalid magic",
            "failed to read magic",
            "not within the file bounds",
            "unknown model architecture",
            "invalid split",
            "illegal split",
            "error loading model",
            "failed to load model",
            "exiting due to model loading error",
        ),
    ),
    (
        Cause.FLAG,
        _FLAG_ADVICE,
        # A number that is none is answered by the usage of its flag, and hardly a word more.
        ("error: invalid argument:", "error while handling argument", _USAGE),
    ),
)
# Said in passing: the program goes on without locked memory.
_HARMLESS: Final = "mlock"

_SHORTAGES: Final = frozenset(
    os.strerror(number) for number in (errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.ETXTBSY)
)
_EXEC_ADVICE: Final = {
    os.strerror(errno.ENOEXEC): (
        f"It is damaged, or built for another system than {platform.machine()}."
    ),
    os.strerror(errno.EACCES): (
        "The file or its folder may not be executed: look at the permissions, and whether the disk "
        "is mounted with noexec."
    ),
    os.strerror(errno.ENOENT): (
        "Its interpreter or its dynamic loader is missing: it was built for another system."
    ),
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
    """Return why a process that ended with *status* after writing *lines* did not start."""
    if status.exec_error is not None:
        return _not_executed(status.exec_error)
    told = without_debugger(lines)
    flag = refused_flag(told)
    if flag is not None and is_optional(flag):
        return _failure(Cause.OWN_FLAG, flag, "", flag=flag)
    found = _recognised(told)
    if found is not None:
        return found
    if _is_illegal_instruction(status):
        return _failure(Cause.CPU, cpu_name(), _ANOTHER_BUILD)
    if status.killed or status.returncode is None:
        return Failure(Cause.CRASH, f"{status.describe()} while it was starting")
    return Failure(Cause.UNKNOWN, f"{status.describe()} before it was ready")


def _is_illegal_instruction(status: ExitStatus) -> bool:
    """Return whether it died of SIGILL, itself or below a shell script."""
    return status.returncode in {-signal.SIGILL, 128 + signal.SIGILL}


def _not_executed(error: str) -> Failure:
    if error in _SHORTAGES:
        return _failure(Cause.SHORTAGE, error, "")
    if error == os.strerror(errno.E2BIG):
        return _failure(Cause.TOO_LONG, error, "")
    return _failure(Cause.BINARY, error, _EXEC_ADVICE.get(error, _WHOLE_FOLDER))


def _recognised(lines: Sequence[str]) -> Failure | None:
    for cause, advice, signs in _SIGNS:
        for sign in signs:
            for line, following in zip(lines, [*lines[1:], ""], strict=False):
                said = line.lower()
                if sign in said and not (cause is Cause.MEMORY and _HARMLESS in said):
                    shown = (following if sign == _USAGE else line).strip()
                    return _failure(cause, shown, advice)
    return None


def _failure(cause: Cause, line: str, advice: str, flag: str | None = None) -> Failure:
    behind = f" {advice}" if advice else ""
    return Failure(cause, f"{_WHAT[cause]} ({line}).{behind}", line, flag)
