"""
Whether a process will still answer, as the kernel knows it at this moment.

The news of an engine's death takes its way: the guard buries it, and tells. A client learns of it
sooner, because the kernel closes the dying process's connections before anybody can wait for it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_IS_EXITING: Final = 0x4  # PF_EXITING among the kernel's flags of a task
_FLAGS: Final = 6  # their place behind the program's name, which may hold any character
_KILLED: Final = 1 << (signal.SIGKILL - 1)
_PENDING: Final = ("SigPnd:", "ShdPnd:")


def is_dying(pid: int) -> bool:
    """Tell whether process *pid* is dead, or on its way: exiting, or killed and not yet exiting."""
    folder = _PROC / str(pid)
    try:
        state, *fields = (folder / "stat").read_text().rpartition(")")[2].split()
        if state in "ZX" or int(fields[_FLAGS - 1]) & _IS_EXITING:
            return True
        return any(
            int(line.split()[1], 16) & _KILLED
            for line in (folder / "status").read_text().splitlines()
            if line.startswith(_PENDING)
        )
    except (OSError, ValueError, IndexError):
        return not _can_be_signalled(pid)


def _can_be_signalled(pid: int) -> bool:
    """Ask the kernel in the way that every system knows."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
