"""
The events of a run: starts and ends of processes, reports, and what programs add.

``Runtime.emit`` does the work; what is here is for users.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from candil._otp.processes.runtime import get_runtime
from candil._otp.values.arguments import check_plain_function

if TYPE_CHECKING:
    from collections.abc import Generator

    from candil._otp.processes.runtime import Subscriber


def emit(event: object) -> None:
    """
    Put *event* into the stream of the current run.

    Args:
        event: Any object; those of the runtime are listed with ``subscribe``.
    """
    get_runtime().emit(event)


def subscribe(subscriber: Subscriber) -> AbstractContextManager[None]:
    """
    Have *subscriber* called with every event of the current run, while the block lasts.

    It is called in the loop at the moment the event happens, so it sees a death before any link or
    monitor does. It must be quick; what it raises is logged and dropped.

    Args:
        subscriber: Called with one event: ``ProcessStarted``, ``ProcessExited``,
            ``ProcessLingers``, ``LoopBlocked``, ``MailboxHigh``, ``Hint``, ``ChildStarted``,
            ``ChildStopped``, ``SupervisorReport``, ``UnhandledMessage``, or whatever ``emit`` was
            given.

    Raises:
        TypeError: *subscriber* is no function, or an async one.
    """
    check_plain_function("subscribe takes a plain function of one event", subscriber)
    return _subscription(subscriber)


@contextmanager
def _subscription(subscriber: Subscriber) -> Generator[None]:
    subscribers, subscription = get_runtime().subscribers, object()
    subscribers[subscription] = subscriber
    try:
        yield
    finally:
        del subscribers[subscription]
