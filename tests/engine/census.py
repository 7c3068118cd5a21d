"""Count the living: processes that carry a marker in their environment."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

MARK = "CANDIL_TEST_RUN"
PROC = Path("/proc")


def new_mark() -> str:
    """Return a word that no other process has in its environment."""
    return uuid.uuid4().hex


def living(mark: str, word: str = "") -> set[int]:
    """
    Return the living processes that carry *mark*, and have *word* in their command line if given.

    A zombie is dead. A process that ends while it is looked at is dead as well.
    """
    found: set[int] = set()
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            marked = f"{MARK}={mark}".encode() in (entry / "environ").read_bytes()
            if marked and is_alive(int(entry.name)) and word in _command(entry):
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def is_alive(pid: int) -> bool:
    """Tell whether *pid* is a process that is not a zombie."""
    return state(pid) not in "ZX"


def state(pid: int) -> str:
    """Return the state of *pid* as one letter, X for a process that is no more."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def parent(pid: int) -> int | None:
    """Return the parent of *pid*; ``None`` for a process that is no more."""
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def seconds_until_none_lives(mark: str, limit: float = 10.0) -> float:
    """Return how long it took until nobody with *mark* lived; fail after *limit* seconds."""
    start = time.monotonic()
    while left := living(mark):
        assert time.monotonic() - start < limit, f"still alive after {limit} s: {left}"
        time.sleep(0.005)
    return time.monotonic() - start


def open_files() -> int:
    """Return how many file descriptors this process has open."""
    return len(list((PROC / "self" / "fd").iterdir()))


def _command(entry: Path) -> str:
    return (entry / "cmdline").read_bytes().decode(errors="replace")
