"""
What candil raises when a supervisor refuses a request or gives up, or when a spec is wrong.

::

    CandilError
     ├─ StartError                              see ``behaviours/errors.py``
     ├─ SupervisorError (.child_id)             a supervisor refused
     │   ├─ ChildNotFound · ChildRunning · ChildRestarting · ChildAlreadyPresent
     │   └─ SimpleOneForOneError
     └─ RestartIntensityExceeded (.supervisor .restarts .max_restarts .max_seconds .reason)
    SpecError(ValueError) (.mistakes)           a bad child or supervisor spec: yours, raised while
                                                it is built
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from candil._otp.values.errors import CandilError, short_repr
from candil._otp.values.exit_errors import one_line
from candil._otp.values.reports import restart_advice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candil._otp.values.exit_reasons import ExitReason


class SupervisorError(CandilError):
    """
    A supervisor refused a request; nothing was changed.

    Attributes:
        child_id: The child that was meant.
    """

    def __init__(self, child_id: object) -> None:
        super().__init__(child_id)
        self.child_id = child_id


@final
class ChildNotFound(SupervisorError):
    """The supervisor has no such child. OTP: ``not_found``."""

    def __str__(self) -> str:
        return f"no child {short_repr(self.child_id)} here; which_children() lists those that are"


@final
class ChildRunning(SupervisorError):
    """The child runs; terminate it first. OTP: ``running``."""

    def __str__(self) -> str:
        return f"child {short_repr(self.child_id)} is running; terminate_child() it first"


@final
class ChildRestarting(SupervisorError):
    """The child is being restarted. OTP: ``restarting``."""

    def __str__(self) -> str:
        return (
            f"child {short_repr(self.child_id)} is being restarted; wait, or terminate_child() "
            "to stop the attempts"
        )


@final
class ChildAlreadyPresent(SupervisorError):
    """A stopped child has this id. OTP: ``already_present``."""

    def __str__(self) -> str:
        return (
            f"a stopped child {short_repr(self.child_id)} is there; restart_child() it, or "
            "delete_child() it first"
        )


@final
class SimpleOneForOneError(SupervisorError):
    """
    A simple_one_for_one supervisor knows its children by pid, not by id. OTP:
    ``simple_one_for_one``.
    """

    def __str__(self) -> str:
        return (
            "the children of a simple_one_for_one supervisor have no ids; name the child by its pid"
        )


@final
class RestartIntensityExceeded(CandilError):
    """
    A supervisor gave up: its children crashed more often than its limit allows.

    Attributes:
        supervisor: Name or pid of the supervisor.

        child_id: The child whose crash was one too many.

        reason: Why that child ended.

        restarts: How many restarts fell into the window, the refused one included.

        max_restarts: How many were allowed.

        max_seconds: Length of the window, in seconds.

        child_restart: When that child is to be started again, if it is known: ``"permanent"`` or
            ``"transient"``.

        history: The last restarts within the window, ten at most, oldest first, as ``(child_id,
            reason)``. The last has the reason itself. Those before hold no frames: their
            exceptions are ``ExceptionSummary``.
    """

    def __init__(  # one attribute each
        self,
        supervisor: object,
        child_id: object,
        reason: ExitReason,
        *,
        restarts: int,
        max_restarts: int,
        max_seconds: float,
        child_restart: str | None = None,
        history: Sequence[tuple[object, ExitReason]] = (),
    ) -> None:
        super().__init__(supervisor, child_id, reason)
        self.supervisor = supervisor
        self.child_id = child_id
        self.reason = reason
        self.restarts = restarts
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self.child_restart = child_restart
        self.history = tuple(history)

    def __str__(self) -> str:
        plural = "" if self.restarts == 1 else "s"
        text = (
            f"supervisor {short_repr(self.supervisor)} gave up: {self.restarts} restart{plural} "
            f"within {self.max_seconds:g} s, {self.max_restarts} allowed. "
            f"Last: child {short_repr(self.child_id)} ended: "
        )
        deepest = self._deepest()
        last = one_line(deepest.reason) + restart_advice(deepest.child_restart, deepest.reason)
        if deepest is self:
            return text + last
        below = short_repr(deepest.child_id)
        return f"{text}it gave up as well, at last since child {below} ended: {last}"

    def _deepest(self) -> RestartIntensityExceeded:
        """Return the error of the supervisor where it began."""
        error, cause = self, getattr(self.reason, "cause", None)
        while isinstance(cause, RestartIntensityExceeded):
            error, cause = cause, getattr(cause.reason, "cause", None)
        return error


@final
class SpecError(ValueError):
    """
    A child spec, a supervisor spec or an option is wrong. Raised while it is built, with every
    mistake at once.

    Attributes:
        mistakes: One sentence each, beginning with where it is.
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__(*mistakes)
        self.mistakes = tuple(mistakes)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.mistakes,), self.__dict__

    def __str__(self) -> str:
        if len(self.mistakes) == 1:
            return self.mistakes[0]
        return f"{len(self.mistakes)} mistakes:\n" + "\n".join(
            f"  - {mistake}" for mistake in self.mistakes
        )
