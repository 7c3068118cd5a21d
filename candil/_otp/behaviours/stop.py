"""
Stopping: a server from outside, or the current one from within a callback. OTP:
``gen_server:stop/3`` and ``{stop, Reason, State}``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

import trio

from candil._otp.behaviours.actions import Actions, SystemCall
from candil._otp.behaviours.gen_server import stop_self
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


@overload
def stop(reason: ExitReason = NORMAL, /) -> None: ...
@overload
def stop(
    server: Pid[Any] | Name[Any] | Via[Any] | str | None,
    /,
    reason: object = ...,
    *,
    timeout: float = ...,
) -> Coroutine[Any, Any, None]: ...
def stop(
    server: Server[Any] | ExitReason | None = NORMAL,
    /,
    reason: object = NORMAL,
    *,
    timeout: float = math.inf,
) -> Coroutine[Any, Any, None] | None:
    """
    End a server and wait for its end. Or, in a callback, stop the server
    itself after it: ``stop(reason)``.

    From outside, the request keeps its place in the mailbox: what was sent before is handled first.
    Either way ``terminate`` runs. A call handler that stops its server still answers, after
    ``terminate`` has run.

    Args:
        server: Its pid or name. An exit reason value here (or nothing) speaks of the current server
            instead.

        reason: What it shall end with; anything that ``as_exit_reason`` takes.

        timeout: Seconds to wait for the end.

    Raises:
        NoProc: There is no such server.

        CallingSelf: A callback waited for its own server's end; ``stop(reason)`` does not wait.

        ValueError: The timeout is negative or no number.

        ServerExited: It ended, but with another reason.

        CallTimeout: It has not ended in time; it goes on ending.

        RuntimeError: ``stop(reason)`` outside a callback.

        TypeError: What should be stopped is neither a server nor a reason.

    Cancellation:
        The server ends all the same; only the wait for it ends.
    """
    if isinstance(server, Pid | Name | Via | str):
        check_timeout(timeout)
        if type(server) is not Pid and _in_callback() and resolve(server) is None:
            raise NoProc(server, _STOP, advice=_own_stop_advice(server))
        return _stop_server(server, as_exit_reason(reason), timeout)
    if server is None:  # what ``whereis`` gives for a name that nobody holds
        raise NoProc(server, _STOP)
    if not isinstance(server, ExitReason):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            "stop takes the pid or name of a server; or, in a callback, an exit reason value as "
            f"as_exit_reason makes them; got {server!r}"
        )
    stop_self(server)
    return None


def _in_callback() -> bool:
    own = current_process.get()
    return own is not None and own.server is not None


def _own_stop_advice(name: object) -> str:
    """Tell a callback that it may have meant itself: ``stop("boom")`` is another's name."""
    return (
        "To stop this server itself with that reason: "
        f"candil.stop(candil.as_exit_reason({short_repr(name)})); "
        "a string is the name of a server, whose stop is awaited"
    )


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
