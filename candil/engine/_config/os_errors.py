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


def is_shortage(error: OSError) -> bool:
    """Tell whether *error* may be gone when the same is tried again."""
    return error.errno in _SHORTAGES
