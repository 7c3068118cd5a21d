"""Which CPU this is: its name for people, and what it can do."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final, final

import attrs

_CPUINFO: Final = Path("/proc/cpuinfo")
_NAMES: Final = ("model name", "Model", "cpu model", "uarch", "Hardware")
_FLAGS: Final = ("flags", "Features", "isa")
_MOST_TEXT: Final = 64 << 10  # the first of many processors is enough


@final
@attrs.frozen
class Cpu:
    """
    A CPU.

    Attributes:
        name: Its name, such as ``"AMD EPYC 9R14"``; that of its architecture where it has none.
        machine: Its architecture, as ``uname -m`` has it: ``"x86_64"``, ``"aarch64"``.
        flags: What it can do, as Linux names it: ``"avx2"``, ``"avx512f"``; empty elsewhere.
    """

    name: str
    machine: str
    flags: frozenset[str] = frozenset()


def this_cpu() -> Cpu:
    """Return the CPU of this machine, as far as the system tells. Reads a file of the kernel."""
    try:
        with _CPUINFO.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MOST_TEXT)
    except OSError:
        text = ""
    return parse(text, platform.machine())


def cpu_name() -> str:
    """Return the name of the CPU of this machine, as the system gives it."""
    return this_cpu().name


def parse(cpuinfo: str, machine: str) -> Cpu:
    """Return the first processor of the text of ``/proc/cpuinfo``."""
    facts: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            facts.setdefault(key.strip(), value.strip())
    name = next((facts[key] for key in _NAMES if facts.get(key)), machine)
    flags = next((facts[key] for key in _FLAGS if facts.get(key)), "")
    return Cpu(name, machine, frozenset(flags.split()))
