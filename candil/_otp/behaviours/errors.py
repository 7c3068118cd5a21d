"""
What candil raises when a process does not start.

::

    CandilError
     └─ StartError (.label .child_id .reason)
         ├─ AlreadyStarted (.pid .name)
         ├─ StartIgnored
         └─ StartTimeout (.timeout)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from candil._otp.values.errors import CandilError, short_repr
from candil._otp.values.exit_errors import one_line

if TYPE_CHECKING:
    from candil._otp.values.exit_reasons import ExitReason
    from candil._otp.values.pids import Pid


CHAINED = "The exception that this one is chained to (__cause__) shows where"


class StartError(CandilError):
    """
    A process or a child did not start.

    Attributes:
        reason: Why; ``Crashed(exception)`` when its constructor or ``init`` raised.

        child_id: The id in its supervisor, or ``None`` outside one.

        label: The name of the class or function that was to run; ``None`` if it is not known.
    """

    def __init__(
        self, reason: ExitReason, child_id: object = None, *, label: str | None = None
    ) -> None:
        super().__init__(reason, child_id)
        self.reason = reason
        self.child_id = child_id
        self.label = label

    def __str__(self) -> str:
        why = (
            "It gave that reason itself, or an exit signal did; it is in .reason"
            if self.__cause__ is None
            else CHAINED
        )
        return f"{self.who()} did not start: {one_line(self.reason)}. {why}"

    def who(self) -> str:
        """Name what did not start, as well as it is known."""
        what = self.label or "the process"
        return what if self.child_id is None else f"child {short_repr(self.child_id)}"


@final
class AlreadyStarted(StartError):
    """
    The name, or the child id, already has a living process. It was not touched.

    Attributes:
        pid: The process that is there.

        name: The name that it holds, or ``None`` when it is the child itself that is there.
    """

    def __init__(
        self,
        pid: Pid[object],
        reason: ExitReason,
        child_id: object = None,
        *,
        label: str | None = None,
        name: object = None,
    ) -> None:
        super().__init__(reason, child_id, label=label)
        self.pid = pid
        self.name = name

    def __str__(self) -> str:
        if self.name is None:
            return (
                f"{self.who()} is already started as {self.pid}. Use that process, or stop it first"
            )
        return (
            f"{self.who()} did not start: the name {short_repr(self.name)} is already started as "
            f"{self.pid}. Use that process, stop it first, or choose another name"
        )


@final
class StartIgnored(StartError):
    """
    ``init`` returned ``IGNORE``: there is nothing to run, and that is no failure. OTP: ``ignore``.
    """

    def __str__(self) -> str:
        return (
            f"{self.who()} did not start, for its init returned candil.IGNORE: there is nothing to "
            "run. That is no failure; catch StartIgnored where it may happen"
        )


@final
class StartTimeout(StartError):
    """
    ``init`` took too long; the half-started process was killed.

    Attributes:
        timeout: Seconds that it was given.
    """

    def __init__(self, timeout: float, reason: ExitReason, *, label: str | None = None) -> None:
        super().__init__(reason, label=label)
        self.timeout = timeout

    def __str__(self) -> str:
        return (
            f"{self.who()} did not start: its init did not end within {self.timeout:g} s and was "
            "killed. Move slow work to handle_continue, or give it more time with timeout="
        )
