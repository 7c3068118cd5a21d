"""Sending and receiving messages. OTP: ``!`` and ``receive``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_origin, overload

import trio

from candil._otp.processes.call_deadlines import check_timeout
from candil._otp.processes.process import Process, park, post, unpark
from candil._otp.processes.requests import Request
from candil._otp.processes.runtime import resolve
from candil._otp.processes.spawn import own_process
from candil._otp.values.arguments import check_plain_function
from candil._otp.values.errors import NoProc, ReceiveTimeout, short_repr
from candil._otp.values.pids import Pid

if TYPE_CHECKING:
    from collections import deque

    from candil._otp.values.names import Server

M = TypeVar("M")

Matcher = type | tuple[type, ...] | Callable[[Any], bool] | None


def send(target: Server[Any] | None, message: object) -> None:
    """
    Put a message into a mailbox, and return at once. OTP: ``!``.

    Messages from one process to another arrive in the order they were sent. Another thread sends by
    ``trio.from_thread.run_sync(candil.send, target, message)``.

    Args:
        target: A pid or name; a pid whose process has ended is ignored.

        message: Any object. A ``GenServer`` gets it in ``handle_info``.

    Raises:
        NoProc: Nobody holds the name, or *target* is the ``None`` that ``whereis`` gave. OTP:
            ``badarg``.
    """
    process = resolve(target)
    if process is not None:
        post(process, message)
    elif type(target) is not Pid:
        raise NoProc(target, message)


@overload
async def receive(match: type[M], *, timeout: float = ...) -> M: ...
@overload
async def receive(
    match: tuple[type, ...] | Callable[[Any], bool] | None = ..., *, timeout: float = ...
) -> Any: ...
async def receive(match: Matcher = None, *, timeout: float = math.inf) -> Any:  # noqa: ASYNC109  # OTP's "after"
    """
    Take the first message that matches out of this process's mailbox; wait for one if there is
    none. OTP: ``receive``.

    Args:
        match: A class, a tuple of classes, or a function from message to bool; ``None`` takes the
            first of all.

        timeout: Seconds to wait; ``0`` only looks. OTP: ``after``.

    Returns:
        The message. Those that do not match stay, in order.

    Raises:
        ReceiveTimeout: None came in time.

        ValueError: The timeout is negative or no number.

        TypeError: *match* is none of these.

        trio.BusyResourceError: Another task of the same process waits already.

    Cancellation:
        No message is lost.
    """
    process = own_process("receive")
    if timeout != math.inf:
        check_timeout(timeout)
    await trio.lowlevel.checkpoint_if_cancelled()
    matches = _matcher(match)
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        unpark(process)

    timer = None
    seen, taken = 0, process.removals
    try:
        while True:
            found, seen = _find(process.mailbox, matches, seen)
            if found is not _NOTHING:
                process.removals += 1
                _attach_if_request(process, found)
                await trio.lowlevel.cancel_shielded_checkpoint()
                return found
            if expired or timeout <= 0:
                await trio.lowlevel.checkpoint()
                raise ReceiveTimeout(timeout)
            if timer is None and timeout != math.inf:
                timer = process.node.timers.call_later(timeout, expire)
            await park(process)
            if process.exit_requested is not None:  # told so after it was woken
                await trio.lowlevel.checkpoint_if_cancelled()
            if taken != process.removals:
                seen, taken = 0, process.removals
    finally:
        if timer is not None:
            timer.cancel()


_NOTHING = object()
_TAKES = (
    "receive takes a class, a tuple of classes, a plain function from message to bool, or nothing"
)


def _attach_if_request(process: Process, message: object) -> None:
    """Whoever takes a call out of the mailbox owes its answer."""
    if isinstance(message, Request):
        message.attach(process)


def _matcher(match: Matcher) -> Callable[[Any], bool]:
    if match is None:
        return lambda _message: True
    if isinstance(match, type):
        return lambda message: isinstance(message, match)
    if isinstance(match, tuple):
        kinds = cast("Any", match)
        if all(isinstance(kind, type) for kind in kinds):
            return lambda message: isinstance(message, kinds)
    elif get_origin(match) is None:  # list[int] can be called, and would make a list
        check_plain_function(_TAKES, match)
        return match
    raise TypeError(f"{_TAKES}; got {short_repr(match)}")


def _find(mailbox: deque[object], matches: Callable[[Any], bool], seen: int) -> tuple[object, int]:
    """Take out the first match behind the *seen* messages that were looked at before."""
    index = seen
    while index < len(mailbox):  # not a range: it may grow meanwhile
        message = mailbox[index]
        if matches(message):
            del mailbox[index]
            return message, index
        index += 1
    return _NOTHING, index
