"""
Deadlines of those who wait for a process: at most one timer a process, none a call.

1. Who waits notes the deadline; that is all, unless it is the earliest among the newcomers.
2. The alarm looks through those who wait: in the mailbox, in the server's hands, among those that
   the process owes an answer. It keeps them in the order of their deadlines for the next time, so
   that ten thousand that run out one after the other are looked through once.
3. Newcomers are those who came after the last look. ``Process.alarm_at`` is the earliest deadline
   among them; when it is over, all are looked through again.
4. The alarm ends with the process, which tells all who wait by itself.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any, final

import attrs

from candil._otp.processes.requests import Request

if TYPE_CHECKING:
    from candil._otp.processes.process import Process
    from candil._otp.processes.timers import Timer


def check_timeout(timeout: float) -> None:
    """Raise ``ValueError`` unless *timeout* is a time to wait, whatever it is instead."""
    if not is_time(timeout):
        raise ValueError(
            f"a timeout is 0 seconds or more, and math.inf waits for ever; got {timeout!r}"
        )


def is_time(seconds: Any) -> bool:
    """Tell whether this is a number of seconds, from 0 on, that can be added to a clock's."""
    try:
        return bool(0.0 + seconds >= 0)
    except (TypeError, OverflowError):  # a Decimal; an int beyond all floats
        return False


def expire_after(process: Process, request: Request[Any], timeout: float) -> None:
    """Expire *request*, which waits for *process*, in *timeout* seconds unless it is done."""
    request.deadline = process.node.timers.now() + timeout
    if request.deadline < process.alarm_at:
        set_alarm(process, request.deadline)


def set_alarm(process: Process, deadline: float) -> None:
    """Have those who wait for *process* looked at when *deadline* has come, a newcomer's."""
    process.alarm_at = deadline
    if process.alarm is None:
        process.alarm = Alarm(process)
    process.alarm.ring_at(deadline)


@final
@attrs.define(eq=False)
class Alarm:
    """
    Looks at those who wait for *process* when somebody's time is over.

    Attributes:
        process: For which they wait.

        known: Those who were there at the last look, the earliest deadline first.
    """

    process: Process
    known: deque[Request[Any]] = attrs.field(factory=deque["Request[Any]"])
    _timer: Timer | None = None
    _rings_at: float = math.inf

    def ring_at(self, deadline: float) -> None:
        """Look when *deadline* has come, or before."""
        if deadline < self._rings_at:
            self.cancel()
            self._rings_at = deadline
            timers = self.process.node.timers
            self._timer = timers.call_at(deadline + timers.ahead, self._ring)

    def cancel(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        process = self.process
        self._rings_at = math.inf
        now = process.node.timers.now()
        self._expire(now)
        if not self.known or process.alarm_at <= now:
            process.alarm_at = math.inf
            self.known.clear()
            self.known.extend(_waiting_for(process))
            self._expire(now)
        earliest = self.known[0].deadline if self.known else math.inf
        self.ring_at(min(earliest, process.alarm_at))

    def _expire(self, now: float) -> None:
        """Take those out of the known who are done, or late, and tell the late."""
        while self.known and (self.known[0].done or self.known[0].deadline <= now):
            request = self.known.popleft()
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
