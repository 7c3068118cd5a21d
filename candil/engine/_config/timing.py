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
    "ready": (_LEAST, math.inf, "more than 0 seconds, or math.inf"),
    "look": (_LEAST, _MOST, "more than 0 seconds"),
    "answer": (_LEAST, _MOST, "more than 0 seconds"),
    "drain": (0.0, math.inf, "seconds from 0 on, or math.inf"),
    "grace": (0.0, _MOST, "seconds from 0 on"),
}


@final
@attrs.frozen(kw_only=True)
class Timing:
    """
    How long things may take, in seconds.

    Attributes:
        ready: From the start to ready; ``math.inf`` for ever.

        look: Between two looks at the health of an engine that is ready.

        answer: For the answer to such a look.

        misses: How many looks in a row may fail before the engine counts as unhealthy.

        drain: How long a stop lets running answers finish; those that have not by then are cut.
            ``math.inf`` waits for the last word, 0 for none. An engine that nobody asks ends at
            once. When a whole tree is closed, the time of all its engines runs from the first.

        grace: From SIGTERM to SIGKILL, for an engine that answers nobody. One that still answers
            after the drain does not heed SIGTERM, and gets none.

    Raises:
        ConfigError: At construction, with every mistake at once.
    """

    ready: float = 600.0
    look: float = 2.0
    answer: float = 2.0
    misses: int = 3
    drain: float = 1.0
    grace: float = 1.0

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot work, here and not in the middle of a start or a stop."""
        mistakes = [
            f"{name} must be {words}, got: {getattr(self, name)!r}"
            for name, (low, high, words) in _RANGES.items()
            if not _is_between(low, getattr(self, name), high)
        ]
        misses: Any = self.misses
        if not isinstance(misses, int) or not _is_between(1, misses, _MOST):
            mistakes.append(f"misses must be a whole number from 1 on, got: {misses!r}")
        if mistakes:
            raise ConfigError("Timing", mistakes)


def _is_between(low: float, value: Any, high: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and low <= value <= high
