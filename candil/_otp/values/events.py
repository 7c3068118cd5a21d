"""
One in-process stream of what happens: logging, metrics and observers subscribe to it.

Events are delivered synchronously, in the loop, at the moment they happen. Any object can be an
event; those of the runtime are here, those of supervisors in ``reports.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, final

import attrs

if TYPE_CHECKING:
    from candil._otp.values.exit_reasons import ExitReason
    from candil._otp.values.pids import Pid


@final
@attrs.frozen
class ProcessStarted:
    """
    A process was spawned; it has not run yet.

    Attributes:
        pid: The process.

        parent: Who spawned it.
    """

    pid: Pid[object]
    parent: Pid[object] | None


class Reportable(ABC):
    """The base of events that have a sentence of their own for the log."""

    __slots__ = ()

    @property
    def level(self) -> Literal["DEBUG", "INFO", "WARNING", "ERROR"]:
        """The level of its line."""
        return "ERROR"

    @abstractmethod
    def report(self) -> str | None:
        """Return the sentence, or ``None`` when this one is everyday business."""


@final
@attrs.frozen
class CrashReport:
    """
    What a server says of itself when it crashes. All text is cut to some hundred characters.

    A server that defines ``format_status`` decides what is shown of its state and messages.

    Attributes:
        last_message: What it handled last; ``None`` if it had handled nothing.

        state: Its instance.

        client: The process that waited for the answer; ``None`` if none did.

        client_stack: Where that is, innermost last.
    """

    last_message: str | None
    state: str
    client: Pid[object] | None = None
    client_stack: str = ""


@final
@attrs.frozen
class ProcessExited:
    """
    A process has ended. Its name is free; its links and monitors are not told yet.

    Attributes:
        pid: The process.

        reason: Why.

        signalled: Whether an exit signal ended it, a link's or ``exit``'s, and not its own code.

        name: What it was registered as, or one of its ``Via``; ``None`` if it had no name.

        crash: What else is known of a server that crashed.
    """

    pid: Pid[object]
    reason: ExitReason
    signalled: bool = False
    name: object = None
    crash: CrashReport | None = None


@final
@attrs.frozen
class ProcessLingers:
    """
    A process was told to end and has not: it shields itself, swallows ``Cancelled``, or cleans up
    for long.

    Attributes:
        pid: The process.

        reason: What it was told to end with.

        seconds: Since when.

        abandoned: ``True`` when its supervisor and links were told that it is dead while its task
            still runs.

        stack: Where its task is, innermost last.
    """

    pid: Pid[object]
    reason: ExitReason
    seconds: float
    abandoned: bool
    stack: str


@final
@attrs.frozen
class LoopBlocked:
    """
    Something keeps the event loop from running: a handler computes, or makes a blocking call.

    Attributes:
        pid: The process whose code it is, if it is a process.

        seconds: For how long, when it was noticed.

        stack: The guilty stack, innermost last.
    """

    pid: Pid[object] | None
    seconds: float
    stack: str


@final
@attrs.frozen
class MailboxHigh:
    """
    A mailbox grew past a power of two from 1,024 on: its process is slower than those who send to
    it.

    Attributes:
        pid: The process.

        length: Messages that wait.
    """

    pid: Pid[object]
    length: int


@final
@attrs.frozen
class Hint:
    """
    Something that is allowed but seldom meant.

    Attributes:
        pid: The process that shows it.

        text: What, and what to do.
    """

    pid: Pid[object]
    text: str


@final
@attrs.frozen
class UnhandledMessage:
    """
    A server without ``handle_info`` was sent a message, which it dropped.

    Attributes:
        pid: The server.

        server: The name of its class.

        message: The message, as text, cut.
    """

    pid: Pid[object]
    server: str
    message: str


@final
@attrs.frozen
class ChildStarted:
    """
    A supervisor started a child, for the first time or again. OTP: the progress report.

    Attributes:
        supervisor: Name or pid of the supervisor.

        child_id: The child.

        pid: The new process.

        restarted: Whether it ran before.

        supervisor_id: The id of the supervisor in its own supervisor, or ``None``.
    """

    supervisor: object
    child_id: object
    pid: Pid[object]
    restarted: bool = False
    supervisor_id: object = None


@final
@attrs.frozen
class ChildStopped:
    """
    A supervisor has no process of a child any more and no restart of it is due: the child ended for
    good, was stopped, or its restart was cancelled. Where it was stopped together with a sibling
    that is restarted, a ``ChildStarted`` follows.

    Attributes:
        supervisor: Name or pid of the supervisor.

        child_id: The child.
    """

    supervisor: object
    child_id: object


@final
@attrs.frozen
class SupervisorReport:
    """
    Something went wrong under a supervisor. OTP's supervisor report, with its four keys.

    Attributes:
        supervisor: Name or pid of the supervisor.

        context: ``"start_error"``, ``"child_terminated"``, ``"shutdown_error"`` or ``"shutdown"``
            (it gives up).

        reason: Why.

        offender: The child: ``id``, ``pid``, ``restart``, ``shutdown``, ``type``, ``significant``,
            ``start``. Where it stands for several children of a template, ``pid`` is ``None`` and
            ``nb_children`` says how many.

        supervisor_id: The id of the supervisor in its own supervisor, or ``None``.
    """

    supervisor: object
    context: str
    reason: ExitReason
    offender: dict[str, object]
    supervisor_id: object = None
