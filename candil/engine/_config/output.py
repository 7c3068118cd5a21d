"""
The lines of an engine's output that tell why it ended.

They are seldom the last. When ``llama-server`` aborts it starts a debugger if there is one, which
writes pages of threads, frames and complaints of its own below the line that matters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN: Final = 3
# What a debugger, or glibc's own backtrace, begins with.
_DEBUGGER: Final = re.compile(
    r"\[New LWP |\[Thread debugging using|Using host libthread_db|\[Inferior \d|ptrace: |"
    r"Could not attach to process|Attaching to |\(lldb\)|This GDB supports|warning: process \d|"
    r"#0 |0x[0-9a-f]{8,} in |\S+\(.*\) ?\[0x[0-9a-f]+\]$"
)
_OWN_LINE: Final = re.compile(r"\d+\.\d\d\.\d{3}\.\d{3} [A-Z] ")
_RAISED: Final = re.compile(r"terminate called|  what\(\): |.*GGML_(?:ASSERT|ABORT)|CUDA error")
_TELLING: Final = re.compile(
    r"error|fail|abort|assert|terminate|what\(\)|unable|cannot|couldn't|invalid|undefined|fatal|"
    r"\d{3} E ",
    re.IGNORECASE,
)


def without_debugger(lines: Sequence[str]) -> list[str]:
    """Return *lines* without those that a debugger wrote, and without empty ones."""
    kept: list[str] = []
    is_debugger = False
    for line in lines:
        is_debugger = is_debugger or _DEBUGGER.match(line) is not None
        is_own = not is_debugger or _OWN_LINE.match(line) or _RAISED.match(line)
        if is_own and line.strip():
            kept.append(line)
    return kept


def telling_lines(lines: Sequence[str], count: int = _SHOWN) -> list[str]:
    """Return the *count* lines that tell most: the last, and a complaint that stands above them."""
    kept = without_debugger(lines)
    shown = kept[-count:]
    if any(_TELLING.search(line) for line in shown):
        return shown
    complaint = next((line for line in reversed(kept) if _TELLING.search(line)), None)
    return shown if complaint is None else [complaint, *shown[1:]]
