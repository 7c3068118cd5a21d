"""What can be asked about a process. OTP: ``is_process_alive/1``, ``process_info/1``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import attrs

from candil._otp.processes.runtime import resolve
from candil._otp.values.names import Via

if TYPE_CHECKING:
    from candil._otp.processes.process import Process
    from candil._otp.values.names import Server
    from candil._otp.values.pids import Pid


def is_alive(target: Server[object] | None) -> bool:
    """
    Tell whether a process runs and was not told to end. OTP: ``is_process_alive``.

    Args:
        target: Its pid or name; ``False`` for a name without a holder, and for ``None``.
    """
    process = None if target is None else resolve(target)
    return process is not None and process.alive


@final
@attrs.frozen
class ProcessInfo:
    """
    A snapshot of one process. OTP: ``process_info``.

    Attributes:
        pid: The process.

        registered_name: The name that ``register`` gave it, if any.

        via: Its ``Via`` names.

        parent: Who spawned it; ``None`` for a block.

        links: Processes that it is linked to.

        monitors: Processes that it monitors.

        monitored_by: Processes that monitor it.

        message_queue_len: Messages in its mailbox.

        trap_exit: Whether exit signals reach it as messages.

        status: ``"waiting"`` for a message, ``"exiting"``, or ``"running"`` (which includes waiting
            for anything else).
    """

    pid: Pid[Any]
    registered_name: str | None
    via: tuple[Via[Any], ...]
    parent: Pid[Any] | None
    links: tuple[Pid[Any], ...]
    monitors: tuple[Pid[Any], ...]
    monitored_by: tuple[Pid[Any], ...]
    message_queue_len: int
    trap_exit: bool
    status: str


def process_info(target: Server[object] | None) -> ProcessInfo | None:
    """
    Describe a process as it is now.

    Args:
        target: Its pid or name, or the ``None`` that ``whereis`` gave.

    Returns:
        The snapshot, or ``None`` if there is no such process.
    """
    process = resolve(target)
    if process is None:
        return None
    return ProcessInfo(
        pid=process.pid,
        registered_name=process.registered,
        via=tuple(name for name in (process.names or {}).values() if isinstance(name, Via)),
        parent=process.parent,
        links=tuple(linked.pid for linked in process.links),
        monitors=tuple(target.pid for target in (process.monitors or {}).values()),
        monitored_by=tuple(watcher.pid for watcher, _ in (process.monitored_by or {}).values()),
        message_queue_len=len(process.mailbox),
        trap_exit=process.trap_exit,
        status=_status(process),
    )


def _status(process: Process) -> str:
    if not process.alive:
        return "exiting"
    return "waiting" if process.parked is not None else "running"
