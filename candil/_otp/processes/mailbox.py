"""Sending and receiving messages. OTP: ``!`` and ``receive``."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, get_origin, overload

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
    from collections.abc import Iterable

    from candil._otp.values.names import Server

M = TypeVar("M")

Matcher = type | tuple[type, ...] | Callable[[Any], bool] | None
_Wanted: TypeAlias = type | tuple[type, ...] | Callable[[Any], bool]


def send(target: Server[object] | None, message: object) -> None:
    """
    Put a message into a mailbox, and return at once. OTP: ``!``.

    Messages from one process to another arrive in the order they were sent. Another thread sends by
    ``trio.from_thread.run_sync(candil.send, target, message)``.

    Args:
        target: A pid or name; a pid whose process has ended is ignored.

        message: Any object. A ``GenServer`` gets it in ``handle_info``.

    Raises:
        NoProc: No process holds the name, or *target* is the ``None`` that ``whereis`` gave. OTP:
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
        No message is lost. While messages are there, other tasks run after 100 of them or after one
        millisecond; cancellation is looked at each time.
    """
    process = own_process("receive")
    if timeout != math.inf:
        check_timeout(timeout)
    wanted = _wanted(match)
    if process.mailbox:
        await process.runtime.checkpoint_between_messages()
    else:
        await trio.lowlevel.checkpoint_if_cancelled()
    message, seen = _take(process.mailbox, wanted, 0)
    if message is _NOTHING:
        if timeout <= 0:
            await trio.lowlevel.checkpoint()
            raise ReceiveTimeout(timeout)
        message = await _wait_for(process, wanted, timeout, seen)
    process.removals += 1
    _attach_if_request(process, message)
    return message


_NOTHING = object()
_TAKES = (
    "receive takes a class, a tuple of classes, a plain function from message to bool, or nothing"
)


def _attach_if_request(process: Process, message: object) -> None:
    if isinstance(message, Request):  # the process that takes a call must answer it
        message.attach(process)


def _wanted(match: Any) -> _Wanted:
    if match is None:
        return object
    if isinstance(match, type):
        return match
    if isinstance(match, tuple):
        if all(isinstance(kind, type) for kind in cast("Any", match)):
            return cast("_Wanted", match)
    elif get_origin(match) is None:  # list[int] can be called, and would make a list
        check_plain_function(_TAKES, match)
        return cast("_Wanted", match)
    raise TypeError(f"{_TAKES}; got {short_repr(cast('object', match))}")


async def _wait_for(process: Process, wanted: _Wanted, timeout: float, seen: int) -> object:  # noqa: ASYNC109
    """Wait for a message that is wanted; the first *seen* of the mailbox are not."""
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        unpark(process)

    timer = None if timeout == math.inf else process.node.timers.call_later(timeout, expire)
    removals = process.removals
    try:
        while True:
            await park(process)  # a checkpoint, and enough of one for this receive
            if process.exit_requested is not None:  # told so after it was woken
                await trio.lowlevel.checkpoint_if_cancelled()
            if removals != process.removals:
                seen, removals = 0, process.removals
            message, seen = _take(process.mailbox, wanted, seen)
            if message is not _NOTHING:
                process.runtime.begin_turn()
                return message
            if expired:
                raise ReceiveTimeout(timeout)
    finally:
        if timer is not None:
            timer.cancel()


def _take(mailbox: deque[object], wanted: Any, seen: int) -> tuple[object, int]:
    """Take out the first message that is wanted, behind the *seen* that were looked at before."""
    are_kinds = isinstance(wanted, type | tuple)
    while seen < (length := len(mailbox)):
        try:
            for message in _behind(mailbox, seen):
                if isinstance(message, wanted) if are_kinds else wanted(message):
                    del mailbox[seen]
                    return message, seen
                seen += 1
        except RuntimeError as error:
            # A function may send to its own process, and the mailbox changes while it is read.
            is_its_own = error.__traceback__ is not None and error.__traceback__.tb_next is not None
            if is_its_own or len(mailbox) == length:
                raise
    return _NOTHING, seen


def _behind(mailbox: deque[object], seen: int) -> Iterable[object]:
    """
    Return what is behind the first *seen* messages, at the cost of these, not of all.

    An index into a deque is a walk from its nearer end: to index each of a million takes seconds,
    and to iterate over them milliseconds.
    """
    if seen == 0:
        return mailbox
    unseen = list(islice(reversed(mailbox), len(mailbox) - seen))
    unseen.reverse()
    return unseen
