"""
Paths as users write them, made absolute once.

A spec lives long: a restart must find the same file after the program has changed its folder.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def is_path(value: object) -> bool:
    """Return whether *value* is a path of text that a system call can take."""
    if not isinstance(value, str | os.PathLike):
        return False
    text: object = os.fspath(value)  # pyright: ignore[reportUnknownVariableType]
    return isinstance(text, str) and "\0" not in text


def expanded(path: str | os.PathLike[str]) -> Path:
    """
    Return *path* with ``~`` expanded; one whose home cannot be found is left as it is, as in a
    shell.
    """
    written = Path(path)
    with suppress(RuntimeError):  # no such user, or no home that is known
        return written.expanduser()
    return written


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return *path* with ``~`` expanded, as an absolute path."""
    found = expanded(path)
    if homeless(found):  # kept as written: below the present folder it would not be recognised
        return found
    with suppress(OSError):  # the present folder has been removed
        return found.absolute()
    return found


def homeless(path: Path) -> str | None:
    """Return the ``~user`` at the start of *path* whose home cannot be found, if that is so."""
    first = path.parts[0] if path.parts else ""
    return first if first.startswith("~") and not path.exists() else None
