"""
How a program ends that candil has to end itself: its last words, its terminal, its exit code.

1. What cannot be written is dropped. A broken, full or closed stderr changes no exit code, and
   nothing here waits for a reader.
2. ``os._exit`` runs no ``finally``, so the terminal is put back first as it was at the start: a
   debugger or a prompt may have turned its echo off.
"""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

try:
    import termios
except ImportError:  # pragma: no cover  # no such terminals on this system
    termios = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterable

_TerminalError: type[Exception] = getattr(termios, "error", OSError)
_saved: tuple[int, list[Any]] | None = None  # a terminal, and its settings at the start


def say(text: str) -> None:
    """Write one line to stderr, if that takes it at once."""
    stream = sys.stderr
    if _takes_output(stream):
        with suppress(Exception):
            print(f"candil: {text}", file=stream, flush=True)


def _takes_output(stream: TextIO | None) -> bool:
    """Tell whether a stream can be written to without waiting for its reader."""
    if stream is None:  # closed before the program began; print would take stdout instead
        return False
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        events = poll.poll(0)
    except (AttributeError, OSError, TypeError, ValueError):
        return True  # there is no poll here, or no descriptor that could make it wait
    return any(event == select.POLLOUT for _, event in events)


def drop_unwritable(names: Iterable[str]) -> None:
    """
    Forget what is left in those streams of ``sys`` that cannot be written.

    Python would exit with 120, whatever the program's own code.
    """
    for name in names:
        stream = getattr(sys, name)
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # until the end


def save_terminal() -> None:
    """Note the settings of the terminal that the program was started from, if there is one."""
    global _saved  # noqa: PLW0603  # a process has one controlling terminal
    _saved = None
    for descriptor in (0, 1, 2):
        with suppress(OSError, AttributeError, _TerminalError):
            _saved = descriptor, termios.tcgetattr(descriptor)  # pyright: ignore[reportOptionalMemberAccess]
            return


def restore_terminal() -> None:
    """Put the terminal back as it was saved, unless another program has it now."""
    if _saved is not None:
        descriptor, settings = _saved
        with suppress(OSError, _TerminalError):
            # From the background it would stop this process, and disturb the one in front.
            if os.tcgetpgrp(descriptor) == os.getpgrp():
                termios.tcsetattr(descriptor, termios.TCSANOW, settings)  # pyright: ignore[reportOptionalMemberAccess]


def leave(words: str, code: int) -> NoReturn:
    """End the program here and now, from any thread."""
    say(words)
    leave_silently(code)


def leave_silently(code: int) -> NoReturn:
    """End the program here and now, when it has said why."""
    restore_terminal()
    os._exit(code)
