"""
The last lines that a process wrote, in bounded memory, whatever it writes.

Pure. Bytes are kept as they came and made presentable only when somebody looks: an engine may
write much that is never read.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final, final

LIMIT: Final = 64 << 10
LINE_LIMIT: Final = 8 << 10

_CUT = b" [cut]"
# Colours and cursor movements; then whatever else a terminal might obey.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


@final
class LogTail:
    """A ring of lines: at most *limit* bytes of them, none longer than *line_limit*."""

    def __init__(self, limit: int = LIMIT, line_limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._line_limit = line_limit
        self._lines: deque[bytes] = deque()
        self._held = 0
        self._open = b""

    def feed(self, data: bytes) -> None:
        """Take in what was read; it may end in the middle of a line, or of a character."""
        head, newline, rest = data.partition(b"\n")
        self._extend(head)
        if not newline:
            return
        self._close()
        *whole, last = rest.split(b"\n")
        for line in whole:
            self._extend(line)
            self._close()
        self._extend(last)

    def lines(self) -> tuple[str, ...]:
        """Return the lines held, oldest first, the unfinished one last, fit to be shown."""
        held = [*self._lines, self._open] if self._open else list(self._lines)
        return tuple(_presentable(line) for line in held)

    def _extend(self, piece: bytes) -> None:
        room = self._line_limit - len(self._open)
        self._open += piece[:room] if room > 0 else b""
        if len(piece) > room >= 0:
            self._open += _CUT  # and from now on room is negative: the mark is set once

    def _close(self) -> None:
        self._lines.append(self._open)
        self._held += len(self._open) + 1
        self._open = b""
        while self._held > self._limit:
            self._held -= len(self._lines.popleft()) + 1


def _presentable(line: bytes) -> str:
    text = _ESCAPES.sub("", line.decode(errors="replace"))
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.rstrip("\r"))
