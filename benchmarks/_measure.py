"""
Measuring two things against each other.

1. A round runs both sides once, one directly after the other, and which goes first alternates: what
   the machine does meanwhile hits both alike. The result is the median of the rounds' ratios.
2. Time is the CPU time of this process, so waiting for other programs does not count; only where
   the work is done by another program is it time on the wall.
3. Each side runs in a ``trio.run`` of its own, so that neither sees the other's tasks or timers.
4. The garbage is collected before each measured block, and the collector stays on within.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Literal, final

import attrs
import trio

Clock = Literal["cpu", "wall"]
Unit = Literal["seconds", "bytes"]

_CLOCKS: dict[Clock, Callable[[], float]] = {
    "cpu": time.process_time,
    "wall": time.perf_counter,
}


@final
@attrs.define
class Meter:
    """Takes down what one run of one side cost, for each operation."""

    clock: Clock
    cost: float = 0.0

    @contextmanager
    def measure(self, operations: int) -> Iterator[None]:
        """Measure the block, which does so many *operations*."""
        now = _CLOCKS[self.clock]
        gc.collect()
        started = now()
        yield
        self.cost = (now() - started) / operations


Side = Callable[[Meter], None]


def in_trio(side: Callable[[Meter], Awaitable[None]]) -> Side:
    """Give the side that runs *side* in a ``trio.run`` of its own."""

    def run(meter: Meter) -> None:
        trio.run(side, meter)

    return run


@final
@attrs.frozen(kw_only=True)
class Comparison:
    """
    One row of the table.

    Attributes:
        name: By which the command line selects it.

        what: What is measured.

        against: What it is divided by.

        subject: Does what is measured.

        base: Does what it is divided by.

        target: The largest ratio that will do; ``None`` where none was set.

        limit: The smallest ratio that a prototype without supervision ever showed.

        clock: How time is taken.

        unit: What a cost is.

        rounds: How many rounds, where not all are worth their time.

        note: What a reader must know to judge the number.

        unavailable: Gives the reason why this cannot be measured here, or ``None``.
    """

    name: str
    what: str
    against: str
    subject: Side
    base: Side
    target: float | None = None
    limit: float | None = None
    clock: Clock = "cpu"
    unit: Unit = "seconds"
    rounds: int | None = None
    note: str = ""
    unavailable: Callable[[], str | None] = lambda: None


@final
@attrs.frozen
class Spread:
    """Median, quartiles and extremes of some figures."""

    median: float
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: list[float]) -> Spread:
        """Summarise *figures*, of which there is at least one."""
        if len(figures) == 1:
            return cls(*figures * 5)
        low, median, high = statistics.quantiles(figures, n=4, method="inclusive")
        return cls(median, low, high, min(figures), max(figures))


@final
@attrs.frozen
class Result:
    """
    What became of one comparison.

    Attributes:
        comparison: The row.

        subject: What one operation cost in each round.

        base: The same of what it is divided by.

        skipped: Why it was not measured.
    """

    comparison: Comparison
    subject: list[float] = attrs.field(factory=list[float])
    base: list[float] = attrs.field(factory=list[float])
    skipped: str | None = None

    @property
    def ratios(self) -> list[float]:
        """One ratio for each round."""
        return [one / other for one, other in zip(self.subject, self.base, strict=True)]

    @property
    def ratio(self) -> Spread:
        """The ratios in short."""
        return Spread.of(self.ratios)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; ``None`` without a target, or when not measured."""
        target = self.comparison.target
        return None if target is None or self.skipped else self.ratio.median <= target


def compare(comparison: Comparison, rounds: int) -> Result:
    """Run a comparison, after one round that does not count."""
    reason = comparison.unavailable()
    if reason is not None:
        return Result(comparison, skipped=reason)
    result = Result(comparison)
    most = rounds if comparison.rounds is None else min(rounds, comparison.rounds)
    for number in range(-1, most):
        costs = _one_round(comparison, subject_first=number % 2 == 0)
        if number >= 0:
            result.subject.append(costs[0])
            result.base.append(costs[1])
    return result


def _one_round(comparison: Comparison, *, subject_first: bool) -> tuple[float, float]:
    if subject_first:
        subject = _cost(comparison.subject, comparison.clock)
        return subject, _cost(comparison.base, comparison.clock)
    base = _cost(comparison.base, comparison.clock)
    return _cost(comparison.subject, comparison.clock), base


def _cost(side: Side, clock: Clock) -> float:
    meter = Meter(clock)
    side(meter)
    return meter.cost
