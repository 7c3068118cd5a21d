"""
What the program writes: read at once, kept in the log file, and written on to candil.

candil may be slow: its loop may stand still for minutes while the program writes. The program must
not notice. So at most `LIMIT` bytes wait for candil, the latest ones. Older ones are cut, and a
line says how many. The log file has them all.
"""

from __future__ import annotations

import os

from .log_file import LogFile

LIMIT = 64 << 10  # as much as candil keeps of an engine's last lines
CHUNK = 64 << 10


class Output:
    """
    The output of one program, from its pipe to log file and candil.

    Attributes:
        source: The end of the program's pipe to read from; -1 once it is closed.

        log: The log file, if there is one.
    """

    def __init__(self, source: int, relay: Relay, log: LogFile | None) -> None:
        self.source = source
        self.log = log
        self._relay = relay

    def read(self) -> bool:
        """Take in some of what is there; return whether there may be more."""
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._close_source()
            return False
        if self.log is not None:
            self.log.write(data)
        self._relay.write(data)
        return True

    def close(self) -> None:
        """Close pipe and log file."""
        self._close_source()
        if self.log is not None:
            self.log.close()

    def _close_source(self) -> None:
        source, self.source = self.source, -1
        if source >= 0:
            os.close(source)


class Relay:
    """
    The pipe to candil, and what waits for candil to read.

    Attributes:
        fd: The end to write to; it does not block.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._waiting = bytearray()
        self._cut = 0
        os.set_blocking(fd, False)

    @property
    def is_behind(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting or self._cut)

    def write(self, data: bytes) -> None:
        """Write *data* on, as far as candil reads."""
        self._waiting += data
        self.flush()
        excess = len(self._waiting) - LIMIT
        if excess > 0:
            excess = self._waiting.find(b"\n", excess - 1) + 1 or excess  # a line in whole
            del self._waiting[:excess]
            self._cut += excess

    def flush(self) -> None:
        """Write what waits, as far as candil reads."""
        try:
            if self._cut:
                os.write(self.fd, b"\n[%d bytes were cut here]\n" % self._cut)
                self._cut = 0
            while self._waiting:
                del self._waiting[: os.write(self.fd, self._waiting[:CHUNK])]
        except BlockingIOError:
            return
        except OSError:  # candil is gone
            self._waiting.clear()
            self._cut = 0
