"""
What a server's loop is asked to do beside handling messages: by its own callbacks, and by
``candil.sys``.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, final

import attrs

from candil._otp.processes.requests import Request
from candil._otp.values.errors import CallTimeout
from candil._otp.values.exit_errors import ServerExited
from candil._otp.values.exit_reasons import Crashed

if TYPE_CHECKING:
    from collections.abc import Callable

    from candil._otp.behaviours.loop import ServerLoop
    from candil._otp.values.exit_reasons import ExitReason


@final
@attrs.define
class Actions:
    """What a callback asked for, beyond its return value."""

    crash: BaseException | None = None
    stop: ExitReason | None = None
    continues: deque[object] = attrs.field(factory=deque[object])
    timeout: float | None = None


@final
class SystemCall(Request[Any]):
    """A request of ``candil.sys``; the server's loop answers it, suspended or not."""

    __slots__ = ("run", "target", "timeout", "what")

    def __init__(
        self, target: object, what: str, run: Callable[[ServerLoop], Any], timeout: float
    ) -> None:
        super().__init__()
        self.target = target
        self.what = what
        self.run = run
        self.timeout = timeout

    def expire(self) -> None:
        """Tell the caller that it took too long; the deadline's task calls it."""
        self.refuse(CallTimeout(self.target, self.what, self.timeout))

    def exited_error(self, reason: ExitReason) -> BaseException:
        """Tell the caller that the server ended, chained to the crash."""
        error = ServerExited(self.target, self.what, reason)
        error.__cause__ = reason.exception if isinstance(reason, Crashed) else None
        return error
