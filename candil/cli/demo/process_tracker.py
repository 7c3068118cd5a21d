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
from typing import TYPE_CHECKING, Final, final

import attrs

from candil.engine._system.processes import all_processes, exists, has_proc, read_stat

if TYPE_CHECKING:
    from collections.abc import Iterator

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
@attrs.define
class Census:
    """The processes that were seen, in the order in which they were."""

    noted: dict[int, Noted] = attrs.field(factory=dict[int, Noted])

    def note(self, pid: int, role: str, guard: str) -> None:
        """Remember process *pid*, and the process that guards it: its parent, if that is ours."""
        if pid in self.noted:
            return
        stat = read_stat(pid)
        self.noted[pid] = Noted(pid, role, None if stat is None else stat.started)
        if stat is not None and (above := read_stat(stat.parent)) and above.parent == os.getpid():
            self.noted.setdefault(stat.parent, Noted(stat.parent, guard, above.started))

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
        for pid, stat in all_processes():
            if stat.parent == os.getpid() and pid not in self.noted:
                yield Noted(pid, "another child", stat.started)


def fate(noted: Noted) -> Fate:
    """Say what has become of a process."""
    if not has_proc():
        return Fate.ALIVE if exists(noted.pid) else Fate.GONE
    stat = read_stat(noted.pid)
    if stat is None or (noted.born is not None and stat.started != noted.born):
        return Fate.GONE
    return Fate.ZOMBIE if stat.is_dead else Fate.ALIVE
