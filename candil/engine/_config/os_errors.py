"""
What the operating system has too little of at a moment, and may have enough of the next.

Such an error says nothing about the file, the port or the program that it was met at.
"""

from __future__ import annotations

import errno
from typing import Final

_SHORTAGES: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN}
)
# CPython's only word when the system refuses a thread; its errno is lost.
_NO_THREAD: Final = "can't start new thread"


def is_shortage(error: BaseException) -> bool:
    """Return whether *error* may be gone when the same is tried again."""
    match error:
        case OSError():
            return error.errno in _SHORTAGES
        case MemoryError():
            return True
        case RuntimeError():
            return str(error) == _NO_THREAD
        case _:
            return False


def as_shortage(error: BaseException) -> OSError:
    """Return *error* as the system would have reported it; an ``OSError`` as it is."""
    if isinstance(error, OSError):
        return error
    if isinstance(error, MemoryError):
        return OSError(errno.ENOMEM, "Cannot allocate memory")
    return OSError(errno.EAGAIN, "No more threads can be started")


def described(error: OSError) -> str:
    """Return what the system says, with the file that it says it of."""
    said = error.strerror or str(error)
    return said if error.filename is None else f"{said}: {error.filename!r}"
