"""
Which operating-system processes a command has started, and which of them still live.

A process id is used again after a while. So each is remembered together with the moment of its
birth, which the kernel of Linux tells; elsewhere the number has to do.

A zombie is dead: nothing of it runs, and it holds neither memory nor port. Only its exit status
waits to be read by its parent.
"""

from __future__ import annotations

import enum
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC: Final = Path("/proc")
_LOOK_SECONDS: Final = 0.01


@final
class Fate(enum.Enum):
    """What has become of a process."""

    ALIVE = "alive"
    ZOMBIE = "dead (a zombie, which its parent has yet to read)"
    GONE = "no such process any more"


@final
@attrs.frozen
class Noted:
    """
    A process that was seen.

    Attributes:
        pid: Its process id.

        role: What it was for.

        born: Its start, in the kernel's ticks since boot; ``None`` where the kernel does not tell.
    """

    pid: int
    role: str
    born: int | None


@final
@attrs.frozen
class _Stat:
    """Of what Linux tells about a process, the part that matters here."""

    state: str
    parent: int
    born: int


@final
@attrs.define
class Census:
    """The processes that were seen, in the order in which they were."""

    noted: dict[int, Noted] = attrs.field(factory=dict[int, Noted])

    def note(self, pid: int, role: str, guard: str) -> None:
        """Remember process *pid*, and the process that guards it: its parent, if that is ours."""
        if pid in self.noted:
            return
        stat = _stat(pid)
        self.noted[pid] = Noted(pid, role, None if stat is None else stat.born)
        if stat is not None and (above := _stat(stat.parent)) and above.parent == os.getpid():
            self.noted.setdefault(stat.parent, Noted(stat.parent, guard, above.born))

    def kill(self) -> None:
        """Send SIGKILL to those that were seen and still live."""
        for noted in self.noted.values():
            if fate(noted) is Fate.ALIVE:
                with suppress(ProcessLookupError):
                    os.kill(noted.pid, signal.SIGKILL)

    def fates(self, seconds: float = 2.0) -> list[tuple[Noted, Fate]]:
        """
        Say what has become of each, and of any other child that this program has.

        Blocks for *seconds* at most, while one of them still lives.
        """
        until = time.monotonic() + seconds
        while True:
            found = [(noted, fate(noted)) for noted in self._all()]
            if time.monotonic() >= until or all(what is not Fate.ALIVE for _noted, what in found):
                return found
            time.sleep(_LOOK_SECONDS)

    def _all(self) -> Iterator[Noted]:
        yield from self.noted.values()
        for pid, stat in _children():
            if pid not in self.noted:
                yield Noted(pid, "another child", stat.born)


def fate(noted: Noted) -> Fate:
    """Say what has become of a process."""
    if not _PROC.is_dir():
        return Fate.ALIVE if _answers(noted.pid) else Fate.GONE
    stat = _stat(noted.pid)
    if stat is None or (noted.born is not None and stat.born != noted.born):
        return Fate.GONE
    return Fate.ZOMBIE if stat.state in "ZX" else Fate.ALIVE


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The name in parentheses may itself contain spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], parent=int(fields[1]), born=int(fields[19]))


def _children() -> Iterator[tuple[int, _Stat]]:
    if not _PROC.is_dir():
        return
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat is not None and stat.parent == os.getpid():
                yield int(entry.name), stat


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
