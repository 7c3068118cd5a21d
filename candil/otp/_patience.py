"""
Deadlines of those who wait for a process: at most one timer a process, none a call.

1. Who waits notes the deadline; that is all, unless it is earlier than the alarm of the process.
2. The alarm looks through those who wait: in the mailbox, in the server's hands, among those that
   the process owes an answer. It keeps them in the order of their deadlines for the next time, so
   that ten thousand that run out one after the other are looked through once.
3. The alarm ends with the process, which tells all who wait by itself.
"""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from candil.otp._request import Request

if TYPE_CHECKING:
    from candil.otp._process import Process

Waiting = deque[Request[Any]]


def expire_after(process: Process, request: Request[Any], timeout: float) -> None:
    """Expire *request*, which waits for *process*, in *timeout* seconds unless it is done."""
    request.deadline = process.node.timers.now() + timeout
    if request.deadline < process.alarm_at:
        set_alarm(process, request.deadline)


def set_alarm(process: Process, deadline: float, known: Waiting | None = None) -> None:
    """Have those who wait for *process* looked at when *deadline* has come; not before."""
    timers = process.node.timers
    if process.alarm is not None:
        process.alarm.cancel()
    process.alarm_at = deadline
    process.alarm = timers.call_at(
        deadline + timers.ahead, partial(_look, process, known or deque())
    )


def _look(process: Process, known: Waiting) -> None:
    process.alarm = None
    process.alarm_at = math.inf
    _expire(process, known)
    if not known:
        known.extend(_waiting_for(process))
        _expire(process, known)
    if known and known[0].deadline < process.alarm_at and process.reason is None:
        set_alarm(process, known[0].deadline, known)


def _expire(process: Process, known: Waiting) -> None:
    """Take those out of *known* who are done, or late, and tell the late."""
    now = process.node.timers.now()
    while known and (known[0].done or known[0].deadline <= now):
        request = known.popleft()
        if not request.done:
            request.expire()


def _waiting_for(process: Process) -> list[Request[Any]]:
    """Give those who wait with a deadline, the earliest first."""
    found: list[Request[Any]] = [
        message
        for message in chain(process.mailbox, process.owed, [process.handling])
        if isinstance(message, Request) and not message.done and message.deadline < math.inf
    ]
    return sorted(found, key=lambda request: request.deadline)
