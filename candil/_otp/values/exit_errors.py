"""
What candil raises at those whom the end of a process concerns, and how it tells them the reason.

::

    CandilError
     ├─ CallError
     │   └─ ServerExited (.reason .wanted)      it ended first, or otherwise than ``stop`` wanted
     └─ ProcessTerminated (.pid .reason .sender)    an exit signal ended the block that you are in

Above ``errors.py``, since to tell a reason is the work of ``reports.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from candil._otp.values.errors import CallError, CandilError, short_repr
from candil._otp.values.exit_reasons import cause_of
from candil._otp.values.reports import describe_reason, leaves_of

if TYPE_CHECKING:
    from candil._otp.values.exit_reasons import ExitReason
    from candil._otp.values.pids import Pid

_LONGEST = 1000


@final
class ServerExited(CallError):
    """
    The server ended before it answered; the request may have been half done. From ``stop``: it
    ended, but with another reason.

    Chained to the exception that ended it, if one did.

    Attributes:
        reason: Why it ended.

        wanted: The reason that ``stop`` asked for; ``None`` when the request was another.
    """

    def __init__(
        self,
        target: object,
        request: object,
        reason: ExitReason,
        wanted: ExitReason | None = None,
    ) -> None:
        super().__init__(target, request)
        self.reason = reason
        self.wanted = wanted

    def __str__(self) -> str:
        deepest = self._deepest()
        since = "" if deepest is self else f", since {deepest._what()}"  # noqa: SLF001  # one of its own kind
        return f"{self._what()}{since}: {one_line(deepest.reason)}"

    def _what(self) -> str:
        if self.wanted is None:
            return f"{short_repr(self.target)} ended before it answered {short_repr(self.request)}"
        return (
            f"{short_repr(self.target)} ended, but not with {short_repr(self.wanted)}, "
            "which stop asked for"
        )

    def _deepest(self) -> ServerExited:
        """Return the error of the server where it began: each may have waited for another."""
        error, below = self, _server_exited_in(self.reason)
        while below is not None:
            error, below = below, _server_exited_in(below.reason)
        return error


def _server_exited_in(reason: ExitReason) -> ServerExited | None:
    """Return what a process died of if that was the death of another, also within a nursery."""
    cause = cause_of(reason)
    first, *others = [None] if cause is None else leaves_of(cause, 2)
    return first if isinstance(first, ServerExited) and not others else None


@final
class ProcessTerminated(CandilError):
    """
    An exit signal ended the process that this block is: something linked to it died, or somebody
    asked.

    Attributes:
        pid: The block's own pid.

        reason: The reason that the signal carried.

        sender: Who died, or asked; ``None`` if it was no process.
    """

    def __init__(
        self, pid: Pid[object], reason: ExitReason, sender: Pid[object] | None = None
    ) -> None:
        super().__init__(pid, reason)
        self.pid = pid
        self.reason = reason
        self.sender = sender

    def __str__(self) -> str:
        whose = "" if self.sender is None else f" from {self.sender}"
        if self.sender is self.pid:
            whose = " from itself"
        return (
            f"this block ({self.pid}) was ended by an exit signal{whose}: {one_line(self.reason)}"
        )


def one_line(reason: ExitReason) -> str:
    """Tell *reason* in the one line, no endless one, that an error has for it."""
    line = describe_reason(reason).partition("\n")[0]
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
