"""
The timers of a node: one heap, one task, whatever their number.

1. Those that all take the same time fire in the order they were set, so each such time has a queue,
   and only its head is in the heap.
2. A cancelled timer stays in the heap, empty, until its time, or until half the heap is cancelled.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, final

import attrs
import trio

from candil._otp.processes.trio_internals import is_system_clock

if TYPE_CHECKING:
    from collections.abc import Callable

_SLACK = 256  # so many cancelled timers more than armed ones may stay in the heap


class Expirable(Protocol):
    """Something that may be done already; if not, it expires at its deadline."""

    @property
    def done(self) -> bool: ...

    deadline: float

    def expire(self) -> None: ...


def _fast_clock() -> tuple[Callable[[], float], float]:
    """
    Return a clock that is cheap to read, and how far trio's is ahead of it.

    trio's own is ``perf_counter`` and an offset, at three times the cost; a virtual one goes as its
    test says.
    """
    clock = trio.lowlevel.current_clock()
    if not is_system_clock(clock):
        return clock.current_time, 0.0
    now = perf_counter()  # first: a deadline may be a trifle late, never early
    return perf_counter, clock.current_time() - now


@final
@attrs.define(order=False, eq=False)
class Timer:
    """One entry of the heap; ``callback`` is ``None`` once it is cancelled or has fired."""

    deadline: float
    callback: Callable[[], None] | None
    _timers: Timers

    def __lt__(self, other: Timer) -> bool:
        return self.deadline < other.deadline

    def cancel(self) -> None:
        """Keep it from firing; harmless when it already has."""
        if self.callback is not None:
            self.callback = None
            self._timers.count_cancelled()


@final
@attrs.define(eq=False)
class Timers:
    """
    All timers of a node. ``run`` must be one of its tasks.

    Attributes:
        now: A clock for deadlines of its own.

        ahead: How far trio's clock is ahead of it.
    """

    now: Callable[[], float] = attrs.field(init=False)
    ahead: float = attrs.field(init=False)
    _heap: list[Timer] = attrs.field(factory=list[Timer])
    _queues: dict[float, deque[Expirable]] = attrs.field(factory=dict[float, "deque[Expirable]"])
    _cancelled: int = 0  # in the heap; one that is cancelled while it is due counts in vain
    _scope: trio.CancelScope | None = None

    def __attrs_post_init__(self) -> None:
        self.now, self.ahead = _fast_clock()

    def call_at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Call *callback* in the loop at *deadline*, on trio's clock. It must not raise."""
        if deadline != deadline:  # noqa: PLR0124  # NaN: it would break the order of all others
            raise ValueError("a deadline or timeout must be a number of seconds, not NaN")
        timer = Timer(deadline, callback, self)
        heapq.heappush(self._heap, timer)
        if self._scope is not None and deadline < self._scope.deadline:
            self._scope.deadline = deadline
        return timer

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call *callback* in the loop after *seconds*."""
        return self.call_at(trio.current_time() + seconds, callback)

    def expire_after(self, seconds: float, waiter: Expirable) -> None:
        """Expire *waiter* after *seconds*, unless it is done by then: for few different times."""
        queue = self._queues.setdefault(seconds, deque())
        waiter.deadline = trio.current_time() + seconds
        queue.append(waiter)
        if len(queue) == 1:
            self._arm(queue)
        while len(queue) > 1 and queue[0].done:  # one stays, for the timer that is set
            queue.popleft()

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
        self._cancelled -= sum(timer.callback is None for timer in due)
        for timer in due:
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    def count_cancelled(self) -> None:
        """Note that a timer was cancelled, and drop such timers when most of the heap is so."""
        self._cancelled += 1
        if 2 * self._cancelled > len(self._heap) + _SLACK:
            self._heap = [timer for timer in self._heap if timer.callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def _arm(self, queue: deque[Expirable]) -> None:
        self.call_at(queue[0].deadline, lambda: self._expire_heads(queue))

    def _expire_heads(self, queue: deque[Expirable]) -> None:
        now = trio.current_time()
        late: list[Expirable] = []  # first, since one that expires may add to this queue
        while queue and (queue[0].done or queue[0].deadline <= now):
            late.append(queue.popleft())
        if queue:
            self._arm(queue)
        for waiter in late:
            if not waiter.done:
                waiter.expire()
