"""
The log of an engine on disk, in a few files of bounded size.

The writes are made in the event loop on purpose: a local append takes microseconds, an engine
writes about 1 KB a request, and the drain of its pipe must not depend on a free worker thread.
A disk that is full or gone costs log lines, never the engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    import os

MAX_BYTES: Final = 10 << 20
KEPT: Final = 2


@final
class LogFile:
    """
    Append to *path*; at *max_bytes* it becomes ``path.1``, that ``path.2`` and so on.

    Attributes:
        lost: How many bytes could not be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], max_bytes: int = MAX_BYTES, kept: int = KEPT
    ) -> None:
        self.path = Path(path)
        self.lost = 0
        self._max_bytes = max_bytes
        self._kept = kept
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Append *data*, and start a new file first if it would not fit."""
        try:
            file = self._opened()
            if file.tell() and file.tell() + len(data) > self._max_bytes:
                file = self._rotated()
            file.write(data)
        except OSError:
            self.lost += len(data)

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        return self._file

    def _rotated(self) -> IO[bytes]:
        self.close()
        for number in range(self._kept, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        return self._opened()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path
