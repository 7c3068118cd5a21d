"""
The subscriber that writes reports to the logger ``candil``.

A crash storm must not become a log storm: beyond a burst, lines are counted instead of formatted,
and the count is written.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, final

import attrs

from candil._otp.values.events import SupervisorReport
from candil._otp.values.log_fields import ERROR, LEVELS, WARNING, fields_of, level_of

if TYPE_CHECKING:
    from collections.abc import Mapping

BURST = 20
PER_SECOND = 5.0


@final
@attrs.define
class RateLimiter:
    """How many lines may be written: *burst* at once, then *per_second*."""

    burst: int = BURST
    per_second: float = PER_SECOND
    _left: float = BURST
    _at: float = 0.0
    dropped: int = 0

    def has_room(self, now: float) -> bool:
        """Whether one more line may be written at *now*, in seconds of any monotonic clock."""
        self._left = min(self.burst, self._left + (now - self._at) * self.per_second)
        self._at = now
        return self._left >= 1.0

    def take(self, now: float) -> bool:
        """Count one more line at *now*, and tell whether it may be written."""
        if not self.has_room(now):
            self.dropped += 1
            return False
        self._left -= 1.0
        return True


@final
@attrs.define(eq=False)
class EventLog:
    """
    Logs those events that are worth a line, each with its fields in ``extra``. Which are, and at
    which level: ``log_fields.py``.

    Each level from INFO on has a burst of its own: a flood of warnings hides no crash.
    """

    _limiters: dict[int, RateLimiter] = attrs.field(factory=lambda: defaultdict(RateLimiter))

    def __call__(self, event: object) -> None:
        """Log *event*, or count it if there were too many. A supervisor that gives up is logged."""
        level = level_of(event)
        if level is None or (level < WARNING and not _is_enabled(level)):
            return
        gives_up = isinstance(event, SupervisorReport) and event.context == "shutdown"
        if level in _UNLIMITED or self._limiters[level].take(time.monotonic()) or gives_up:
            self._write(level, event)

    def writes(self, level: str) -> bool:
        """Tell whether lines of this level are wanted: an unread line need not be made."""
        return _is_enabled(LEVELS[level])

    def has_room_for_crash(self) -> bool:
        """Tell whether the report of a crash would be written now, and not only be counted."""
        return self._limiters[ERROR].has_room(time.monotonic())

    def close(self) -> None:
        """Tell how many reports were not written, if that has not been told."""
        for limiter in self._limiters.values():
            _report_dropped(limiter)

    def _write(self, level: int, event: object) -> None:
        from candil._otp.values.reports import describe_event  # noqa: PLC0415  # only when there is something to say

        if level not in _UNLIMITED:
            _report_dropped(self._limiters[level])
        text = describe_event(event) or ""
        if type(event) is SupervisorReport:  # the child's own end was told in full just before
            text = text.partition("\n")[0]
        _log(level, "%s", text, extra=fields_of(event))


_UNLIMITED = (LEVELS["DEBUG"],)  # who asks for all of it gets it


def _report_dropped(limiter: RateLimiter) -> None:
    dropped, limiter.dropped = limiter.dropped, 0
    if dropped:
        _log(WARNING, "%d more reports were not written: too many at once", dropped)


def _is_enabled(level: int) -> bool:
    logging = sys.modules.get("logging")  # where it was never imported it was never set up
    return logging is not None and bool(logging.getLogger("candil").isEnabledFor(level))


def log_failure(text: str) -> None:
    """Log *text* with the exception that is being handled."""
    _log(ERROR, "%s", text, exc_info=True)


def _log(
    level: int,
    text: str,
    *args: object,
    exc_info: bool = False,
    extra: Mapping[str, object] | None = None,
) -> None:
    """Write one line; a sink that fails must not end the process that is reported."""
    import logging  # noqa: PLC0415  # as above

    with suppress(Exception, SystemExit):
        logging.getLogger("candil").log(level, text, *args, exc_info=exc_info, extra=extra)
