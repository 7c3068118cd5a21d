"""
The log of an engine on disk, in a few files of bounded size.

A disk that is full or gone costs log lines, never the engine. How many bytes it has cost stands in
the log, where they are missing, once it can be written again.

Not here: whether the path can be written at all, which candil asks before the start.
"""

from __future__ import annotations

import errno
import os
import stat

MAX_BYTES = 10 << 20
KEPT = 2
# A pipe that no process reads must not stop the guard, as a file never does.
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC


class LogFile:
    """
    Append to *path*; at *max_bytes* it becomes ``path.1``, that ``path.2`` and so on.

    Attributes:
        lost: How many bytes could not be written since the last that were.

        error: The errno of the last failure; 0 while all is well.
    """

    def __init__(self, path: bytes, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        self.path = path
        self.lost = 0
        self.error = 0
        self._max_bytes = max_bytes
        self._kept = kept
        self._fd = -1
        self._size = 0
        self._is_regular = False  # a device such as /dev/null is never renamed

    def write(self, data: bytes) -> None:
        """Append *data*; start a new file first if it would not fit."""
        rest = data
        try:
            self._open()
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            if self.lost:
                os.write(self._fd, b"\n[%d bytes could not be written here]\n" % self.lost)
                self.lost = 0
            while rest:
                rest = rest[self._write_some(rest) :]
            self.error = 0
        except OSError as error:
            self.error = error.errno or errno.EIO
            self.lost += len(rest)
            self.close()  # the next write opens it again: the folder may be back by then

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _write_some(self, data: bytes) -> int:
        written = os.write(self._fd, data)
        if self._is_regular:
            self._size += written
        return written

    def _open(self) -> None:
        if self._fd < 0:
            os.makedirs(os.path.dirname(self.path) or b".", exist_ok=True)
            self._fd = os.open(self.path, FLAGS, 0o666)
            status = os.fstat(self._fd)
            self._is_regular = stat.S_ISREG(status.st_mode)
            self._size = status.st_size if self._is_regular else 0

    def _rotate(self) -> None:
        self.close()
        for number in range(self._kept, 0, -1):
            older = self._numbered(number - 1)
            if os.path.exists(older):
                os.replace(older, self._numbered(number))
        self._open()

    def _numbered(self, number: int) -> bytes:
        return b"%b.%d" % (self.path, number) if number else self.path
