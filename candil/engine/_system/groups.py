"""
Process groups, seen from outside: who of one is still alive.

A zombie is dead: it holds no memory and no port, and in a container whose first process does not
bury its children it stays for ever.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def kill_group(leader: int, number: int) -> None:
    """Send signal *number* to the process group of *leader*, if there is one."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return


def group_is_alive(leader: int) -> bool:
    """Tell whether any process of *leader*'s group lives."""
    if (_PROC / "self" / "stat").exists():
        return any(_lives_in(entry, leader) for entry in _PROC.iterdir() if entry.name.isdigit())
    try:  # pragma: no cover - no /proc on macOS
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):  # pragma: no cover
        return False
    return True  # pragma: no cover


def _lives_in(entry: Path, group: int) -> bool:
    try:
        # What follows the program's name, which stands in brackets and may hold any character.
        state, _parent, of_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(of_group) == group and state not in "ZX"
