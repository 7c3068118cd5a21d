"""
Deadlines of a node: one heap, one task, whatever the number of timers.

1. A call with a deadline costs no cancel scope: calls with the same timeout expire in the order
   they were made, so each timeout has a queue, and only its head is in the heap.
2. An answered call stays in its queue until its time, or until there are some hundreds more than
   wait: sweeping seldom is cheaper than looking at each.
3. A cancelled timer stays in the heap, empty, until its time, or until half the heap is empty.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, final

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable

_QUEUES = (
    32  # distinct timeouts that get a queue of their own; those beyond go to the heap one by one
)
_SLACK = 256  # what is done may hide behind what waits until it is so much more than that


class Expirable(Protocol):
    """What waits for an answer: it may be done already, or it expires."""

    @property
    def done(self) -> bool: ...

    deadline: float

    def expire(self) -> None: ...


def _ahead_of_perf_counter() -> float | None:
    """
    Give how far trio's clock is ahead of ``perf_counter``, or ``None`` if it goes otherwise.

    trio's own clock is ``perf_counter`` and an offset; reading it so costs a third. A virtual clock
    goes as its test says.
    """
    clock = trio.lowlevel.current_clock()
    return clock.current_time() - perf_counter() if type(clock).__name__ == "SystemClock" else None


@final
@attrs.define(order=False, eq=False)
class Timer:
    """One entry of the heap; ``callback`` is ``None`` once it is cancelled or has fired."""

    deadline: float
    callback: Callable[[], None] | None

    def __lt__(self, other: Timer) -> bool:
        return self.deadline < other.deadline

    def cancel(self) -> None:
        """Keep it from firing; harmless when it already has."""
        self.callback = None


@final
@attrs.define(eq=False)
class _Queue:
    waiting: deque[Expirable] = attrs.field(factory=deque[Expirable])
    timer: Timer | None = None
    sweep_at: int = _SLACK


@final
@attrs.define(eq=False)
class Timers:
    """All deadlines of a node. ``run`` must be one of its tasks."""

    _heap: list[Timer] = attrs.field(factory=list[Timer])
    _queues: dict[float, _Queue] = attrs.field(factory=dict[float, _Queue])
    _sweep_at: int = _SLACK
    _scope: trio.CancelScope | None = None
    _ahead: float | None = attrs.field(factory=_ahead_of_perf_counter)

    def call_at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Call *callback* in the loop at *deadline*, on trio's clock. It must not raise."""
        if deadline != deadline:  # noqa: PLR0124  # NaN: it would break the order of all others
            raise ValueError("a deadline or timeout must be a number of seconds, not NaN")
        timer = Timer(deadline, callback)
        heapq.heappush(self._heap, timer)
        if len(self._heap) > self._sweep_at:
            self._drop_cancelled()
        if self._scope is not None and deadline < self._scope.deadline:
            self._scope.deadline = deadline
        return timer

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call *callback* in the loop after *seconds*."""
        return self.call_at(trio.current_time() + seconds, callback)

    def expire_after(self, seconds: float, call: Expirable) -> None:
        """Expire *call* after *seconds*, unless it is done by then."""
        queue = self._queues.get(seconds)
        if queue is None:
            if len(self._queues) >= _QUEUES:
                self.call_later(seconds, lambda: None if call.done else call.expire())
                return
            queue = self._queues[seconds] = _Queue()
        waiting = queue.waiting
        ahead = self._ahead
        now = trio.current_time() if ahead is None else perf_counter() + ahead
        call.deadline = now + seconds  # there and not in a tuple: one object less for every call
        waiting.append(call)
        if len(waiting) > queue.sweep_at:
            self._sweep(queue)
        if queue.timer is None:
            self._arm(queue)

    async def run(self) -> None:
        """Fire timers for ever."""
        while True:
            deadline = self._heap[0].deadline if self._heap else math.inf
            with trio.CancelScope(deadline=deadline) as self._scope:
                await trio.sleep_forever()
            self._scope = None
            self._fire(trio.current_time())

    def _fire(self, now: float) -> None:
        due: list[Timer] = []  # first, so that a timer that arms itself anew waits for its turn
        while self._heap and self._heap[0].deadline <= now:
            due.append(heapq.heappop(self._heap))
        for timer in due:
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    def _drop_cancelled(self) -> None:
        self._heap = [timer for timer in self._heap if timer.callback is not None]
        heapq.heapify(self._heap)
        self._sweep_at = 2 * len(self._heap) + _SLACK

    def _arm(self, queue: _Queue) -> None:
        queue.timer = self.call_at(queue.waiting[0].deadline, lambda: self._expire_head(queue))

    def _expire_head(self, queue: _Queue) -> None:
        queue.timer = None
        now = trio.current_time()
        waiting = queue.waiting
        late: list[Expirable] = []  # first, since whoever expires may add to this queue
        while waiting and (waiting[0].done or waiting[0].deadline <= now):
            late.append(waiting.popleft())
        if waiting:
            self._arm(queue)
        for call in late:
            if not call.done:
                call.expire()

    def _sweep(self, queue: _Queue) -> None:
        queue.waiting = deque(call for call in queue.waiting if not call.done)
        queue.sweep_at = 2 * len(queue.waiting) + _SLACK
