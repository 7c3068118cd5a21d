"""
Processes and process groups, as the kernel knows them at this moment.

candil hears of an engine's death late, because the guard reaps it before it reports. A client hears
sooner: the kernel closes the connections of a dying process before that process can be waited for.
So `is_dying` asks the kernel.

A zombie is dead. It holds no memory and no port, and in a container whose first process does not
reap its children it stays for ever.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC: Final = Path("/proc")
_PF_EXITING: Final = 0x4
_SIGKILL_BIT: Final = 1 << (signal.SIGKILL - 1)
_PENDING: Final = ("SigPnd:", "ShdPnd:")


@final
@attrs.frozen
class ProcessStat:
    """
    The fields of ``/proc/PID/stat`` that candil uses.

    Attributes:
        state: One letter; Z and X are dead.

        parent: The parent's process id.

        group: The process group.

        flags: The kernel's flags of the task.

        cpu_ticks: The CPU time that it has used, in the kernel's ticks.

        started: The start, in the kernel's ticks since boot. It tells two processes apart that
            had one process id after another.
    """

    state: str
    parent: int
    group: int
    flags: int
    cpu_ticks: int
    started: int

    @property
    def is_dead(self) -> bool:
        """Whether nothing of it runs."""
        return self.state in "ZX"


def has_proc() -> bool:
    """Return whether the kernel tells about processes in files; macOS does not."""
    return (_PROC / "self" / "stat").exists()


def read_stat(pid: int) -> ProcessStat | None:
    """Return what the kernel tells of process *pid*; ``None`` if there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The program's name stands in parentheses, and may itself contain spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    try:
        return ProcessStat(
            state=fields[0],
            parent=int(fields[1]),
            group=int(fields[2]),
            flags=int(fields[6]),
            cpu_ticks=int(fields[11]) + int(fields[12]),
            started=int(fields[19]),
        )
    except (ValueError, IndexError):
        return None


def all_processes() -> Iterator[tuple[int, ProcessStat]]:
    """Yield each process id with its `ProcessStat`; nothing where the kernel has no ``/proc``."""
    if not has_proc():
        return
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (stat := read_stat(int(entry.name))) is not None:
            yield int(entry.name), stat


def is_dying(pid: int) -> bool:
    """Return whether process *pid* is dead, exits, or was killed and has not exited yet."""
    stat = read_stat(pid)
    if stat is None:
        return not exists(pid)
    return stat.is_dead or bool(stat.flags & _PF_EXITING) or _has_pending_kill(pid)


def exists(pid: int) -> bool:
    """Return whether *pid* can be signalled; a zombie can. Every system answers this."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kill_group(leader: int, number: int) -> None:
    """Send signal *number* to the process group of *leader*, if there is one."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return


def group_is_alive(leader: int) -> bool:
    """Return whether any process of *leader*'s group lives."""
    if has_proc():
        return any(stat.group == leader and not stat.is_dead for _pid, stat in all_processes())
    try:  # pragma: no cover - no /proc on macOS
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):  # pragma: no cover
        return False
    return True  # pragma: no cover


def _has_pending_kill(pid: int) -> bool:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
        return any(
            int(line.split()[1], 16) & _SIGKILL_BIT for line in lines if line.startswith(_PENDING)
        )
    except (OSError, ValueError, IndexError):
        return not exists(pid)
