"""
The subscriber that writes reports to the logger ``candil``.

A crash storm must not become a log storm: beyond a burst, lines are counted instead of formatted,
and the count is told.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import final

import attrs

from candil._otp.values.events import (
    Hint,
    LoopBlocked,
    MailboxHigh,
    ProcessExited,
    ProcessLingers,
    SupervisorReport,
)
from candil._otp.values.exit_reasons import Normal, Shutdown

BURST = 20
PER_SECOND = 5.0

_REPORTED = (SupervisorReport, LoopBlocked, ProcessLingers, MailboxHigh, Hint)


@final
@attrs.define
class RateLimiter:
    """How many lines may be written: *burst* at once, then *per_second*."""

    burst: int = BURST
    per_second: float = PER_SECOND
    _left: float = BURST
    _at: float = 0.0
    dropped: int = 0

    def take(self, now: float) -> bool:
        """Whether one more line may be written at *now*, in seconds of any monotonic clock."""
        self._left = min(self.burst, self._left + (now - self._at) * self.per_second)
        self._at = now
        if self._left < 1.0:
            self.dropped += 1
            return False
        self._left -= 1.0
        return True


@final
@attrs.define(eq=False)
class EventLog:
    """
    Logs those events that are worth a report: crashes, supervisor reports, a blocked loop, a
    process that will not end, and whatever else has a sentence of its own to say.

    A process that an exit signal ended did not crash: whoever sent it did, or knows why.
    """

    _limiter: RateLimiter = attrs.field(factory=RateLimiter)

    def __call__(self, event: object) -> None:
        """Log *event*, or count it if there were too many; that a supervisor gives up is told."""
        if type(event) is ProcessExited:
            if event.signalled or isinstance(event.reason, Normal | Shutdown):
                return
        elif not isinstance(event, _REPORTED) and not _is_reportable(event):
            return
        level = _level(event)
        if level == "info" and not _is_logged(level):  # it would take the place of a crash
            return
        gives_up = isinstance(event, SupervisorReport) and event.context == "shutdown"
        if self._limiter.take(time.monotonic()) or gives_up:
            self._write(event, level)

    def close(self) -> None:
        """Tell how many reports were not written, if that has not been told."""
        if self._limiter.dropped:
            self._report_dropped()

    def _write(self, event: object, level: str) -> None:
        from candil._otp.values.reports import describe_event  # noqa: PLC0415  # only when there is something to say

        self._report_dropped()
        text = describe_event(event) or ""
        if type(event) is SupervisorReport:  # the child's own end was told in full just before
            text = text.partition("\n")[0]
        _log(level, "%s", text)

    def _report_dropped(self) -> None:
        dropped, self._limiter.dropped = self._limiter.dropped, 0
        if dropped:
            _log("warning", "%d more reports were not written: too many at once", dropped)


def log_failure(text: str) -> None:
    """Log *text* with the exception that is being handled."""
    _log("exception", "%s", text)


def _log(level: str, text: str, *args: object) -> None:
    """Write one line; a sink that fails must not end whoever is reported."""
    import logging  # noqa: PLC0415  # as above

    with suppress(Exception, SystemExit):
        getattr(logging.getLogger("candil"), level)(text, *args)


def _level(event: object) -> str:
    """Return the level of the line: an event of another package may name its own."""
    return "info" if isinstance(event, Hint) else getattr(event, "__candil_level__", "error")


def _is_logged(level: str) -> bool:
    import logging  # noqa: PLC0415  # as above

    return logging.getLogger("candil").isEnabledFor(getattr(logging, level.upper()))


def _is_reportable(event: object) -> bool:
    """Tell whether *event* is of a kind unknown here that wants to be reported."""
    report = getattr(type(event), "__candil_report__", None)
    return report is not None and report(event) is not None
