"""
How long a supervisor waits before it starts a crashed child again. Pure; beyond OTP, whose
supervisors restart at once.
"""

from __future__ import annotations

import math
import sys
from typing import Any, final

import attrs

from candil._otp.supervisors.errors import SpecError
from candil._otp.values.errors import short_repr

LEAST = math.ulp(0.0)
MOST = sys.float_info.max


@final
@attrs.frozen(kw_only=True)
class Backoff:
    """
    Delays that grow with each crash, and are forgotten after a stable time.

    Args:
        initial: Seconds before the first restart; ``0`` restarts at once.

        factor: What each further delay is multiplied by; at least 1. From an initial 0 the second
            delay is ``step``.

        step: The delay after a first one of 0, in seconds.

        maximum: No delay is longer than this, in seconds.

        jitter: How far a delay may be off, as a fraction of it: 0.1 is ±10 %.

        reset_after: A child that has run so many seconds counts as stable, and its next crash as
            its first.

    Raises:
        SpecError: A value is out of its range; all of them at once.
    """

    initial: float = 0.1
    factor: float = 2.0
    step: float = 0.1
    maximum: float = 30.0
    jitter: float = 0.1
    reset_after: float = 60.0

    def __attrs_post_init__(self) -> None:
        ranges = {
            "initial": (0, MOST),
            "factor": (1, MOST),
            "step": (LEAST, MOST),
            "maximum": (0, MOST),
            "jitter": (0, 1),
            "reset_after": (0, math.inf),
        }
        mistakes = [
            f"backoff.{name}: out of range, got {short_repr(getattr(self, name))}"
            for name, (low, high) in ranges.items()
            if not _is_between(low, getattr(self, name), high)
        ]
        if mistakes:
            raise SpecError(mistakes)

    def delay(self, crashes: int, chance: float) -> float:
        """
        Return the seconds to wait.

        Args:
            crashes: How many crashes came before this one without a stable time between.

            chance: A random number from 0 to 1; 0.5 is the middle of the jitter.

        Returns:
            Seconds, from 0 to ``maximum`` plus its jitter.
        """
        base = self.initial
        if crashes:
            grown = self.initial or self.step / self.factor
            # 2 ** 1000 is beyond every maximum, and still a float
            steps = min(crashes, 1000.0 / math.log2(self.factor)) if self.factor > 1 else 1
            base = grown * self.factor**steps
        return min(base, self.maximum) * (1 + self.jitter * (2 * chance - 1))


def _is_between(low: float, value: Any, high: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and low <= value <= high
