"""
The rules of restarts, the same for every table of children: which reasons restart a child, how many
restarts are too many, how long one is delayed. Nothing here waits, and nothing starts a process.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import TYPE_CHECKING, final

import attrs

from candil._otp.supervisors.errors import RestartIntensityExceeded
from candil._otp.values.exit_reasons import ExitReason, cause_of, is_abnormal
from candil._otp.values.reason_summaries import summary_of

if TYPE_CHECKING:
    from candil._otp.supervisors.child import Child
    from candil._otp.supervisors.child_spec import ChildSpec
    from candil._otp.supervisors.strategy import RestartWindow

HISTORY = 10


def is_restarted(spec: ChildSpec[object], reason: ExitReason) -> bool:
    """Tell whether a child that ended for *reason* is started again."""
    if spec.restart == "transient":
        return is_abnormal(reason)
    return spec.restart == "permanent"


@final
@attrs.define(eq=False)
class Restarts:
    """
    The restarts of one supervisor.

    Args:
        window: The restarts that count against its limit.
    """

    window: RestartWindow
    _past: deque[tuple[float, object, ExitReason]] = attrs.field(
        init=False, factory=lambda: deque(maxlen=HISTORY)
    )

    def count(self, child_id: object, reason: ExitReason, now: float) -> bool:
        """Count one restart; tell whether it is still allowed."""
        past = self._past
        past.append((now, child_id, summary_of(reason)))
        oldest = now - self.window.max_seconds
        while past[0][0] < oldest:
            past.popleft()
        return self.window.add(now)

    @property
    def history(self) -> list[tuple[object, ExitReason]]:
        """The last restarts within the window, oldest first, each with a summary of its reason."""
        return [(child_id, reason) for _, child_id, reason in self._past]

    def error(self, supervisor: object, child: Child, reason: ExitReason) -> Exception:
        """Return what a supervisor ends with that gives up since *child* ended for *reason*."""
        error = RestartIntensityExceeded(
            supervisor,
            child.spec.id,
            reason,
            restarts=self.window.count,
            max_restarts=self.window.max_restarts,
            max_seconds=self.window.max_seconds,
            child_restart=child.spec.restart,
            history=[*self.history[:-1], (child.spec.id, reason)],
        )
        error.__cause__ = cause_of(reason)
        return error


def delay_of(child: Child, now: float) -> float:
    """Return the seconds by which a restart of *child* is delayed, and count its crash."""
    backoff = child.spec.backoff
    if backoff is None:
        return 0.0
    if now - child.started_at >= backoff.reset_after:
        child.crashes = 0
    child.started_at = math.inf  # while its starts fail it is not stable, however long ago
    delay = backoff.delay(child.crashes, random.random())  # noqa: S311  # jitter, not a secret
    child.crashes += 1
    return delay
