"""
Stopping a server from outside. OTP: ``gen_server:stop/3``.

Not here: how a callback stops its own server (``stop_self`` in ``gen_server.py``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import trio

from candil._otp.behaviours.actions import Actions, SystemCall
from candil._otp.processes.call_deadlines import check_timeout
from candil._otp.processes.process import join, post
from candil._otp.processes.runtime import current_process, resolve
from candil._otp.values.errors import CallingSelf, CallTimeout, NoProc, SystemRequest, short_repr
from candil._otp.values.exit_errors import ServerExited
from candil._otp.values.exit_reasons import NORMAL, Crashed, ExitReason, as_exit_reason, is_same
from candil._otp.values.names import Name, Server, Via
from candil._otp.values.pids import Pid

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from candil._otp.behaviours.loop import ServerLoop

_STOP = SystemRequest("stop")
_ADVICE = "To stop its own server a callback calls candil.stop_self(reason)"


def stop(
    server: Server[object] | None,
    /,
    reason: object = NORMAL,
    *,
    timeout: float = math.inf,
) -> Coroutine[Any, Any, None]:
    """
    End a server and wait for its end. OTP: ``gen_server:stop/3``.

    The request keeps its place in the mailbox: what was sent before is handled first. Then
    ``terminate`` runs. A callback stops its own server with ``stop_self``, which does not wait.

    Args:
        server: Its pid or name.

        reason: What it shall end with; anything that ``as_exit_reason`` takes.

        timeout: Seconds to wait for the end.

    Raises:
        NoProc: There is no such server.

        CallingSelf: A callback waited for its own server's end.

        ValueError: The timeout is negative or no number.

        ServerExited: It ended, but with another reason.

        CallTimeout: It has not ended in time; it goes on ending.

        TypeError: *server* is neither a pid nor a name.

    Cancellation:
        The server ends all the same; only the wait for it ends.
    """
    # Checked at the call and not when awaited: a callback that means stop_self awaits nothing.
    if server is None:  # what ``whereis`` gives for a name that no process holds
        raise NoProc(server, _STOP)
    if not isinstance(server, Pid | Name | Via | str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"stop takes the pid or name of a server; got {short_repr(server)}. {_ADVICE}"
        )
    check_timeout(timeout)
    if type(server) is not Pid and _in_callback() and resolve(server) is None:
        raise NoProc(server, _STOP, advice=f"Start it first. {_ADVICE}")
    return _stop_server(server, as_exit_reason(reason), timeout)


def _in_callback() -> bool:
    own = current_process.get()
    return own is not None and own.behaviour is not None


async def _stop_server(server: Server[Any], reason: ExitReason, timeout: float) -> None:  # noqa: ASYNC109
    process = resolve(server)
    if process is None or not process.alive:
        await trio.lowlevel.checkpoint()
        raise NoProc(server, _STOP)
    if process.task is trio.lowlevel.current_task():
        raise CallingSelf(server, _STOP)

    def end(loop: ServerLoop) -> None:
        loop.request(Actions(stop=reason))

    post(process, SystemCall(server, _STOP, end, timeout))
    if not await join(process, timeout):
        raise CallTimeout(server, _STOP, timeout)
    ended: ExitReason | None = process.exit_reason
    if ended is not None and not is_same(ended, reason):
        error = ServerExited(server, _STOP, ended, wanted=reason)
        raise error from (ended.exception if isinstance(ended, Crashed) else None)
