"""
Starting servers. OTP: ``gen_server:start``, ``start_link`` and ``start_monitor``.

Not here: how a server comes up (``proc_lib.py``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from candil._otp.behaviours.proc_lib import Startable, start_process
from candil._otp.processes.process import add_monitor, post
from candil._otp.processes.spawn import own_process
from candil._otp.values.messages import Down

if TYPE_CHECKING:
    from candil._otp.values.names import ServerName
    from candil._otp.values.pids import Pid, Ref

S = TypeVar("S")


async def start(
    cls: type[S] | Startable[S],
    /,
    *args: object,
    name: ServerName[object] | None = None,
    timeout: float = math.inf,
    **kwargs: object,
) -> Pid[S]:
    """
    Start a server without a link to it; it ends with its tree at the latest. OTP:
    ``gen_server:start``.

    Args:
        cls: A ``GenServer`` subclass, or a supervisor spec.

        args: For the constructor, which runs in the new process.

        name: Registered before ``init`` runs.

        timeout: Seconds for the constructor and ``init``.

        kwargs: For the constructor.

    Returns:
        Its pid; ``init`` has returned.

    Raises:
        AlreadyStarted: The name is taken; the process that has it was not touched.

        StartIgnored: ``init`` returned ``IGNORE``.

        StartTimeout: It took too long, and was killed.

        StartError: The constructor or ``init`` raised or stopped; ``.reason`` is why.

    Cancellation:
        The half-started process is killed.
    """
    return (await start_process(cls, args, kwargs, name, timeout, parent=None)).pid


async def start_link(
    cls: type[S] | Startable[S],
    /,
    *args: object,
    name: ServerName[object] | None = None,
    timeout: float = math.inf,
    **kwargs: object,
) -> Pid[S]:
    """
    Start a server linked to this process, its parent. OTP: ``gen_server:start_link``.

    As ``start``; and when this process ends, the server ends with it: by ``terminate`` with the
    same reason if it traps exits. A failed start leaves no ``ExitSignal`` here.

    Args:
        cls: As for ``start``.

        args: As for ``start``.

        name: As for ``start``.

        timeout: As for ``start``.

        kwargs: As for ``start``.

    Returns:
        Its pid.

    Raises:
        StartError: As for ``start``, with its subclasses.

    Cancellation:
        The half-started process is killed.
    """
    return (
        await start_process(cls, args, kwargs, name, timeout, parent=own_process("start_link"))
    ).pid


async def start_monitor(
    cls: type[S] | Startable[S],
    /,
    *args: object,
    name: ServerName[object] | None = None,
    timeout: float = math.inf,
    **kwargs: object,
) -> tuple[Pid[S], Ref]:
    """
    Start a server and monitor it. OTP: ``gen_server:start_monitor``.

    As ``start`` otherwise; but this process is its parent: an exit signal that it sends ends the
    server, by ``terminate`` with the same reason if it traps exits.

    Returns:
        Its pid, and the reference that its ``Down`` will carry.
    """
    own = own_process("start_monitor")
    process = await start_process(
        cls, args, kwargs, name, timeout, parent=None, unlinked_parent=own
    )
    if process.exit_reason is None:
        return process.pid, add_monitor(own, process, process.pid)
    ref = own.runtime.new_ref()  # it was up, and ended before this task had its turn
    post(own, Down(ref, process.pid, process.exit_reason))
    return process.pid, ref
