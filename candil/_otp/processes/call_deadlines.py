"""
Deadlines of those who wait for a process: at most one timer for each process, none for each call.

1. A call stores its deadline. A timer is set only if that deadline is the earliest unread one.
2. When ``Process.next_deadline`` has come, the ``DeadlineTimer`` reads the deadlines of all who
   wait: in the mailbox, in the server's hands, among the pending requests. What it read before it
   does not read again: behind a hundred thousand casts a timeout costs no more than behind none.
3. It keeps what it read as a heap, by deadline. A request that is answered leaves it, with its
   arguments, at once.
4. The timer ends with the process, whose end fails every request by itself.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from itertools import islice
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
class _Entry:
    """One request that a timer has read, for as long as it is not done."""

    __slots__ = ("request", "timer")

    def __init__(self, timer: DeadlineTimer, request: Request[Any]) -> None:
        self.timer = timer
        self.request: Request[Any] | None = request

    def drop(self, _request: Request[Any]) -> None:
        """Let go of the request, which is done."""
        if self.request is not None:
            self.request = None
            self.timer.entry_dropped()


def _new_heap() -> list[tuple[float, int, _Entry]]:
    return []


@final
@attrs.define(eq=False)
class DeadlineTimer:
    """
    Looks at those who wait for a process when somebody's time is over.

    Args:
        process: For which they wait.
    """

    process: Process
    _entries: list[tuple[float, int, _Entry]] = attrs.Factory(_new_heap)
    _dropped: int = 0  # how many entries have no request any more
    _numbered: int = 0
    _timer: Timer | None = None
    _armed_for: float = math.inf
    _read_until: int = 0  # of all messages that were ever posted, so many were read
    _removals: int = 0

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

    def entry_dropped(self) -> None:
        """Forget entries without a request when they are the most: it costs little for each."""
        self._dropped += 1
        if self._dropped > len(self._entries) // 2:
            self._entries = [entry for entry in self._entries if entry[2].request is not None]
            heapify(self._entries)
            self._dropped = 0

    def _fire(self) -> None:
        process = self.process
        self._armed_for = math.inf
        now = process.node.timers.now()
        if process.next_deadline <= now:
            process.next_deadline = math.inf
            self._read()
        while self._entries and self._entries[0][0] <= now:
            self._expire(heappop(self._entries)[2])
        earliest = self._entries[0][0] if self._entries else math.inf
        self.arm(min(earliest, process.next_deadline))

    def _expire(self, entry: _Entry) -> None:
        request, entry.request = entry.request, None
        if request is None:
            self._dropped -= 1
        else:
            request.expire()

    def _read(self) -> None:
        """
        Take in those who came since the last time.

        Messages are taken from the front of the mailbox, and wait among the pending in the order
        in which they came; where one was taken by choice, all are read again.
        """
        process = self.process
        mailbox, posted = process.mailbox, process.taken + len(process.mailbox)
        again = self._removals != process.removals
        new = len(mailbox) if again else min(len(mailbox), posted - self._read_until)
        found: list[object] = list(islice(reversed(mailbox), new))
        for request in reversed(process.pending or {}):
            if not again and self._has_read(request):
                break
            found.append(request)
        found.append(process.current_request)
        self._read_until, self._removals = posted, process.removals
        for message in reversed(found):
            if isinstance(message, Request):
                self._add(message)  # pyright: ignore[reportUnknownArgumentType]

    def _add(self, request: Request[Any]) -> None:
        if not request.done and request.deadline < math.inf and not self._has_read(request):
            self._numbered += 1
            entry = _Entry(self, request)
            heappush(self._entries, (request.deadline, self._numbered, entry))
            request.holders = (*request.holders, entry)

    def _has_read(self, request: Request[Any]) -> bool:
        return any(
            isinstance(holder, _Entry) and holder.timer is self for holder in request.holders
        )
