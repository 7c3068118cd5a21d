"""
What candil raises when a server does not start, a supervisor refuses or gives up, or a spec is bad.

::

    CandilError
     ├─ StartError (.label .child_id .reason)   it did not start
     │   ├─ AlreadyStarted (.pid .name)
     │   ├─ StartIgnored
     │   └─ StartTimeout (.timeout)
     ├─ SupervisorError (.child_id)             a supervisor refused
     │   ├─ ChildNotFound · ChildRunning · ChildRestarting · ChildAlreadyPresent
     │   └─ SimpleOneForOneError
     └─ RestartIntensityExceeded (.supervisor .restarts .max_restarts .max_seconds .reason)
    SpecError(ValueError) (.mistakes)           a bad child or supervisor spec: yours, raised while
                                                it is built
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from candil.otp._errors import CandilError, brief
from candil.otp._exit_errors import in_a_line
from candil.otp._reports import restart_advice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candil.otp._exit import ExitReason
    from candil.otp._pid import Pid


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
        return f"{self.who()} did not start: {in_a_line(self.reason)}. {why}"

    def who(self) -> str:
        """Name what did not start, as well as it is known."""
        what = self.label or "the process"
        return what if self.child_id is None else f"child {brief(self.child_id)}"


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
            f"{self.who()} did not start: the name {brief(self.name)} is already started as "
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
        return f"no child {brief(self.child_id)} here; which_children() lists those that are"


@final
class ChildRunning(SupervisorError):
    """The child runs; terminate it first. OTP: ``running``."""

    def __str__(self) -> str:
        return f"child {brief(self.child_id)} is running; terminate_child() it first"


@final
class ChildRestarting(SupervisorError):
    """The child is being restarted. OTP: ``restarting``."""

    def __str__(self) -> str:
        return (
            f"child {brief(self.child_id)} is being restarted; wait, or terminate_child() "
            "to stop the attempts"
        )


@final
class ChildAlreadyPresent(SupervisorError):
    """A stopped child has this id. OTP: ``already_present``."""

    def __str__(self) -> str:
        return (
            f"a stopped child {brief(self.child_id)} is there; restart_child() it, or "
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

        history: The last crashes, oldest first, as ``(child_id, reason)``.
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
            f"supervisor {brief(self.supervisor)} gave up: {self.restarts} restart{plural} within "
            f"{self.max_seconds:g} s, {self.max_restarts} allowed. "
            f"Last: child {brief(self.child_id)} ended: "
        )
        deepest = self._deepest()
        last = in_a_line(deepest.reason) + restart_advice(deepest.child_restart, deepest.reason)
        if deepest is self:
            return text + last
        below = brief(deepest.child_id)
        return f"{text}it gave up as well, at last since child {below} ended: {last}"

    def _deepest(self) -> RestartIntensityExceeded:
        """Give the error of the supervisor where it began."""
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
