"""The functions of ``candil.sys``: looking into a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import attrs
import trio

from candil._otp.behaviours.actions import SystemCall
from candil._otp.behaviours.arity import completed
from candil._otp.behaviours.callback_errors import UndefinedCallback
from candil._otp.behaviours.calls import DEFAULT_TIMEOUT
from candil._otp.processes.call_deadlines import check_timeout, expire_after
from candil._otp.processes.process import post
from candil._otp.processes.runtime import resolve
from candil._otp.values.errors import CallingSelf, NoProc, SystemRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from candil._otp.behaviours.loop import ServerLoop
    from candil._otp.values.names import Server


async def _ask(
    server: Server[object] | None, what: str, run: Callable[[ServerLoop], Any], timeout: float
) -> Any:
    what = SystemRequest(what)
    process = resolve(server)
    if process is None or not process.alive:
        await trio.lowlevel.checkpoint()
        raise NoProc(server, what)
    if process.task is trio.lowlevel.current_task():
        raise CallingSelf(server, what)
    check_timeout(timeout)
    request = SystemCall(server, what, run, timeout)
    post(process, request)
    expire_after(process, request, timeout)
    return await request.wait()


async def suspend(server: Server[object] | None, *, timeout: float = DEFAULT_TIMEOUT) -> None:  # noqa: ASYNC109
    """
    Have a server handle nothing but requests of this module until ``resume``. Its parent's exit
    signal still ends it. OTP: ``sys:suspend``.

    Args:
        server: Its pid or name.

        timeout: Seconds to wait.

    Raises:
        NoProc, ServerExited, CallTimeout, CallingSelf, ValueError: As for ``call``.
    """

    def run(loop: ServerLoop) -> None:
        loop.suspended = True

    await _ask(server, "sys.suspend", run, timeout)


async def resume(server: Server[object] | None, *, timeout: float = DEFAULT_TIMEOUT) -> None:  # noqa: ASYNC109
    """
    End a suspension; what has queued up is handled in order. OTP: ``sys:resume``.

    Args:
        server: Its pid or name.

        timeout: Seconds to wait.

    Raises:
        NoProc, ServerExited, CallTimeout, CallingSelf, ValueError: As for ``call``.
    """

    def run(loop: ServerLoop) -> None:
        loop.suspended = False

    await _ask(server, "sys.resume", run, timeout)


async def get_state(server: Server[object] | None, *, timeout: float = DEFAULT_TIMEOUT) -> Any:  # noqa: ASYNC109
    """
    Return the server's state: its instance, the very object. For debugging; touch nothing. OTP:
    ``sys:get_state``.

    Args:
        server: Its pid or name.

        timeout: Seconds to wait.

    Raises:
        NoProc, ServerExited, CallTimeout, CallingSelf, ValueError: As for ``call``.
    """
    return await _ask(server, "sys.get_state", lambda loop: loop.instance, timeout)


async def replace_state(
    server: Server[object] | None,
    replace: Callable[[Any], Any],
    *,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109
) -> Any:
    """
    Replace the server's state by what *replace* makes of it. OTP: ``sys:replace_state``.

    Args:
        server: Its pid or name.

        replace: Called in the server with its instance; returns the instance to go on with, of the
            same class. What it raises is raised here, and the server goes on as it was.

        timeout: Seconds to wait.

    Returns:
        The new instance.

    Raises:
        NoProc, ServerExited, CallTimeout, CallingSelf, ValueError: As for ``call``.
    """

    def run(loop: ServerLoop) -> Any:
        instance = replace(loop.instance)
        if not isinstance(instance, type(loop.instance)):
            kind = type(loop.instance).__name__
            raise TypeError(f"replace must return the {kind} to go on with; got {instance!r}")
        loop.serve(instance)
        return instance

    return await _ask(server, "sys.replace_state", run, timeout)


async def change_code(
    server: Server[object] | None,
    old_version: object = None,
    extra: object = None,
    *,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109
) -> None:
    """
    Have a suspended server run its ``code_change(old_version, extra)``. OTP: ``sys:change_code``.

    Args:
        server: Its pid or name.

        old_version: For the callback.

        extra: For the callback.

        timeout: Seconds to wait.

    Raises:
        RuntimeError: It is not suspended.

        UndefinedCallback: It has no such callback; it goes on as it was.

        NoProc, ServerExited, CallTimeout, CallingSelf, ValueError: As for ``call``.
    """

    async def run(loop: ServerLoop) -> None:
        if not loop.suspended:
            message = (
                f"{loop.process.pid} is not suspended; sys.suspend() it before sys.change_code()"
            )
            raise RuntimeError(message)
        callback = getattr(loop.instance, "code_change", None)
        if callback is None:
            raise UndefinedCallback(type(loop.instance).__name__, "code_change", old_version)
        await completed(callback(old_version, extra))

    await _ask(server, "sys.change_code", run, timeout)


@final
@attrs.frozen
class Statistics:
    """
    What a server has done and has waiting.

    Attributes:
        messages_handled: Since its start, without requests of this module and calls that callers
            ran in place.

        message_queue_len: Waiting now.

        suspended: Whether it is suspended.
    """

    messages_handled: int
    message_queue_len: int
    suspended: bool


async def statistics(
    server: Server[object] | None, *, timeout: float = DEFAULT_TIMEOUT
) -> Statistics:  # noqa: ASYNC109
    """
    Count what a server has done. OTP: ``sys:statistics``.

    Args:
        server: Its pid or name.

        timeout: Seconds to wait.

    Raises:
        NoProc, ServerExited, CallTimeout, CallingSelf, ValueError: As for ``call``.
    """
    counted: Statistics = await _ask(
        server,
        "sys.statistics",
        lambda loop: Statistics(loop.handled, len(loop.process.mailbox), loop.suspended),
        timeout,
    )
    return counted
