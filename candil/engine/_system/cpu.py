"""What this machine's CPU is called."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_NAME = "model name"


def cpu_name() -> str:
    """Return the name of the CPU, as the system gives it."""
    try:
        lines = _CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(_NAME))
    return next(names, "") or platform.processor() or platform.machine()
