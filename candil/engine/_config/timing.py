"""How long the parts of an engine's life may take."""

from __future__ import annotations

import math
from typing import Any, Final, final

import attrs

from candil.engine._config.errors import ConfigError

_LEAST: Final = math.ulp(0.0)
_MOST: Final = 1e9  # thirty years: a time that ends
# From, to, and how to say it.
_RANGES: Final = {
    "startup_timeout": (_LEAST, math.inf, "more than 0 seconds, or math.inf"),
    "probe_interval": (_LEAST, _MOST, "more than 0 seconds"),
    "probe_timeout": (_LEAST, _MOST, "more than 0 seconds"),
    "drain_timeout": (0.0, math.inf, "seconds from 0 on, or math.inf"),
    "grace_period": (0.0, _MOST, "seconds from 0 on"),
}


@final
@attrs.frozen(kw_only=True)
class Timing:
    """
    How long things may take, in seconds.

    Attributes:
        startup_timeout: From the start to ready; ``math.inf`` for ever.

        probe_interval: Between two health probes of an engine that is ready.

        probe_timeout: For the answer to a probe.

        failure_threshold: How many probes in a row may fail before the engine is unhealthy.

        drain_timeout: How long a stop lets running answers finish; those that have not by then are
            cut. ``math.inf`` waits until all have finished, 0 for none. An idle engine ends at
            once. When a whole tree closes, the time of all its engines runs from the first stop.

        grace_period: From SIGTERM to SIGKILL, for an idle engine. One that still answers after the
            drain ignores SIGTERM, and gets SIGKILL at once.

    Raises:
        ConfigError: At construction, with every mistake at once.
    """

    startup_timeout: float = 600.0
    probe_interval: float = 2.0
    probe_timeout: float = 2.0
    failure_threshold: int = 3
    drain_timeout: float = 1.0
    grace_period: float = 1.0

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot work, here and not in the middle of a start or a stop."""
        mistakes = [
            f"{name} must be {words}, got: {getattr(self, name)!r}"
            for name, (low, high, words) in _RANGES.items()
            if not _is_between(low, getattr(self, name), high)
        ]
        threshold: Any = self.failure_threshold
        if not isinstance(threshold, int) or not _is_between(1, threshold, _MOST):
            mistakes.append(
                f"failure_threshold must be a whole number from 1 on, got: {threshold!r}"
            )
        if mistakes:
            raise ConfigError("Timing", mistakes)


def _is_between(low: float, value: Any, high: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and low <= value <= high
