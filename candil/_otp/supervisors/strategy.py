"""
Which children a crash takes along, and how many crashes are too many. Pure functions over values.
"""

from __future__ import annotations

from collections import deque
from itertools import dropwhile
from typing import TYPE_CHECKING, Literal, TypeVar, final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
"""Which children are restarted when one crashes."""

AutoShutdown = Literal["never", "any_significant", "all_significant"]
"""Whether a supervisor ends when its significant children have ended by themselves."""

STRATEGIES: tuple[Strategy, ...] = (
    "one_for_one",
    "one_for_all",
    "rest_for_one",
    "simple_one_for_one",
)
AUTO_SHUTDOWNS: tuple[AutoShutdown, ...] = ("never", "any_significant", "all_significant")

K = TypeVar("K")


def restart_group(strategy: Strategy, order: Iterable[K], failed: K) -> list[K]:
    """
    Return the children that are stopped (in reverse) and started (in this order) because one
    failed.

    Args:
        strategy: The supervisor's.

        order: All its children, in start order.

        failed: The one that failed; one of *order*.

    Returns:
        The group, in start order, the failed one included.
    """
    if strategy == "one_for_all":
        return list(order)
    if strategy == "rest_for_one":
        return list(dropwhile(lambda other: other is not failed, order))
    return [failed]


@final
@attrs.define
class RestartWindow:
    """
    The restarts of the last seconds. More than allowed, and the supervisor gives up.

    The window is exact; OTP's counts whole seconds.

    Args:
        max_restarts: How many are allowed.

        max_seconds: Within how many seconds.
    """

    max_restarts: int
    max_seconds: float
    _restarts: deque[float] = attrs.field(factory=deque[float])

    def add(self, now: float) -> bool:
        """
        Count one restart.

        Args:
            now: The time of a monotonic clock, in seconds; never less than the last one.

        Returns:
            Whether it is still allowed. OTP: ``add_restart``.
        """
        self._restarts.append(now)
        oldest = now - self.max_seconds
        while self._restarts[0] < oldest:
            self._restarts.popleft()
        return len(self._restarts) <= self.max_restarts

    @property
    def count(self) -> int:
        """How many restarts the window holds."""
        return len(self._restarts)
