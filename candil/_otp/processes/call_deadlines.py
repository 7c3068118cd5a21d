"""
Deadlines of those who wait for a process: at most one timer for each process, none for each call.

1. A call stores its deadline. A timer is set only if that deadline is the earliest new one.
2. The ``DeadlineTimer`` reads the deadlines of all who wait: in the mailbox, in the server's hands,
   among the pending requests. It keeps them sorted for the next time, so that ten thousand that
   expire one after the other are read once.
3. ``Process.next_deadline`` is the earliest deadline of those who came after the last reading. When
   it has passed, all are read again.
4. The timer ends with the process, whose end fails every request by itself.
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
    if request.deadline < process.next_deadline:
        arm_deadline_timer(process, request.deadline)


def arm_deadline_timer(process: Process, deadline: float) -> None:
    """Have those who wait for *process* looked at when *deadline* has come, a newcomer's."""
    process.next_deadline = deadline
    if process.deadline_timer is None:
        process.deadline_timer = DeadlineTimer(process)
    process.deadline_timer.arm(deadline)


@final
@attrs.define(eq=False)
class DeadlineTimer:
    """
    Looks at those who wait for *process* when somebody's time is over.

    Attributes:
        process: For which they wait.

        known: Those who were there at the last look, the earliest deadline first.
    """

    process: Process
    known: deque[Request[Any]] = attrs.field(factory=deque["Request[Any]"])
    _timer: Timer | None = None
    _armed_for: float = math.inf

    def arm(self, deadline: float) -> None:
        """Look when *deadline* has come, or before."""
        if deadline < self._armed_for:
            self.cancel()
            self._armed_for = deadline
            timers = self.process.node.timers
            self._timer = timers.call_at(deadline + timers.ahead, self._fire)

    def cancel(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _fire(self) -> None:
        process = self.process
        self._armed_for = math.inf
        now = process.node.timers.now()
        self._expire(now)
        if not self.known or process.next_deadline <= now:
            process.next_deadline = math.inf
            self.known.clear()
            self.known.extend(_waiting_for(process))
            self._expire(now)
        earliest = self.known[0].deadline if self.known else math.inf
        self.arm(min(earliest, process.next_deadline))

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
        for message in chain(process.mailbox, process.pending or (), [process.current_request])
        if isinstance(message, Request) and not message.done and message.deadline < math.inf
    ]
    return sorted(found, key=lambda request: request.deadline)
