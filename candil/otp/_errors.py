"""
What candil raises.

::

    CandilError
     ├─ CallError (.target .request)            a message that asked for an answer
     │   ├─ NoProc                              nobody there; also the exit reason ``noproc``
     │   ├─ CallTimeout (.timeout)              no answer in time
     │   ├─ ServerExited (.reason)              it ended first
     │   └─ CallingSelf                         it would have waited for itself
     ├─ ProcessTerminated (.pid .reason)        an exit signal ended the block that you are in
     ├─ RegistrationError (.name)               a name is taken, unknown or not allowed
     ├─ ReceiveTimeout (.timeout)
     ├─ LeakedCancellation                      a process let another scope's Cancelled out
     ├─ BadReturnValue · UndefinedCallback      a callback broke its contract
     └─ those of ``_supervisor_errors.py``
    ProcessExit (.reason)                       not an error: OTP's exit/1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from candil.otp._exit import ExitReason
    from candil.otp._pid import Pid


def brief(value: object, limit: int = 120) -> str:
    """
    Give the repr of *value*, cut to *limit* characters; a repr that raises cannot break a report.
    """
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  # a stranger's __repr__ may raise anything
        text = f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class CandilError(Exception):
    """The base of every error that candil raises by itself."""


class CallError(CandilError):
    """
    A call got no answer.

    Attributes:
        target: The pid or name that was called, as it was given.

        request: What was asked.
    """

    def __init__(self, target: object = None, request: object = None) -> None:
        super().__init__(target, request)
        self.target = target
        self.request = request

    def __str__(self) -> str:
        return f"call of {brief(self.request)} to {brief(self.target)} failed"


@final
class NoProc(CallError):
    """
    There is no such process: it has ended, or the name is not registered.

    Raised at callers, and also a value: the exit reason ``noproc`` that ``Down`` and links carry.
    As a value all are equal.
    """

    def __str__(self) -> str:
        if self.target is None:
            return "noproc"
        return (
            f"no process {brief(self.target)}: it has ended or was never started. "
            "Start it first, or call it by a name that its supervisor registers again"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoProc)

    def __hash__(self) -> int:
        return hash(NoProc)


@final
class CallTimeout(CallError):
    """
    No answer came in time. The server was not told; it may still do the work, and its late reply is
    dropped.

    Not a ``trio.TooSlowError``, so that an outer ``fail_after`` and a slow server stay apart.

    Attributes:
        timeout: Seconds that the call was given.
    """

    def __init__(self, target: object, request: object, timeout: float) -> None:
        super().__init__(target, request)
        self.timeout = timeout

    def __str__(self) -> str:
        return (
            f"{brief(self.target)} did not answer {brief(self.request)} within {self.timeout:g} s. "
            "Give the call more time with .within(seconds) or timeout=, or answer later "
            "with Deferred"
        )


@final
class ServerExited(CallError):
    """
    The server ended before it answered; the request may have been half done.

    Chained to the exception that ended it, if one did.

    Attributes:
        reason: Why it ended.
    """

    def __init__(self, target: object, request: object, reason: ExitReason) -> None:
        super().__init__(target, request)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{brief(self.target)} ended before it answered {brief(self.request)}: "
            f"{brief(self.reason, 300)}"
        )


@final
class CallingSelf(CallError):
    """
    A server called itself: it would wait for its own answer for ever. Call the method on ``self``
    instead.
    """

    def __str__(self) -> str:
        return (
            f"{brief(self.target)} called itself with {brief(self.request)} and would have "
            "waited for ever. "
            "Call the method on self, or cast to yourself"
        )


@final
class ProcessTerminated(CandilError):
    """
    An exit signal ended the process that this block is: something linked to it died, or somebody
    asked.

    Attributes:
        pid: The block's own pid.

        reason: The reason that the signal carried.
    """

    def __init__(self, pid: Pid[object], reason: ExitReason) -> None:
        super().__init__(pid, reason)
        self.pid = pid
        self.reason = reason

    def __str__(self) -> str:
        return f"this block ({self.pid}) was ended by an exit signal: {brief(self.reason, 300)}"


class RegistrationError(CandilError, ValueError):
    """
    A name could not be registered or unregistered. OTP: ``badarg``.

    Attributes:
        name: The name.
    """

    def __init__(self, name: object, problem: str) -> None:
        super().__init__(name, problem)
        self.name = name
        self.problem = problem

    def __str__(self) -> str:
        return f"name {brief(self.name)}: {self.problem}"


@final
class ReceiveTimeout(CandilError):
    """
    No matching message came in time. Those that did not match are still in the mailbox.

    Attributes:
        timeout: Seconds that were waited.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(timeout)
        self.timeout = timeout

    def __str__(self) -> str:
        return f"no matching message within {self.timeout:g} s"


@final
class LeakedCancellation(CandilError):
    """
    A process ended with a ``trio.Cancelled`` that belongs to none of its own scopes.

    Usually a stored exception that was raised again. Left alone it would end its neighbours in
    silence.
    """

    def __str__(self) -> str:
        return (
            "a trio.Cancelled of another scope left this process; never store and "
            "re-raise Cancelled"
        )


@final
class BadReturnValue(CandilError):
    """
    A callback returned what its contract does not allow. OTP: ``{bad_return_value, Value}``.

    Attributes:
        callback: Its name.

        value: What it returned.
    """

    def __init__(self, callback: str, value: object) -> None:
        super().__init__(callback, value)
        self.callback = callback
        self.value = value

    def __str__(self) -> str:
        return f"{self.callback} returned {brief(self.value)}; it must return None"


@final
class UndefinedCallback(CandilError):
    """
    A message came for which the server has no clause. OTP: ``undef``.

    Attributes:
        server: The server's class name.

        callback: The callback that is missing.

        message: What came.
    """

    def __init__(self, server: str, callback: str, message: object) -> None:
        super().__init__(server, callback, message)
        self.server = server
        self.callback = callback
        self.message = message

    def __str__(self) -> str:
        return (
            f"{self.server} got {brief(self.message)} but has no handler of that name and "
            f"no {self.callback} method. "
            f"Decorate a method with @candil.{self.callback}, or define {self.callback}"
        )


@final
class ProcessExit(Exception):  # not an error: how a process ends itself
    """
    Raise it to end the current process with a reason. OTP: ``exit/1``; like there, a ``catch`` of
    all can stop it.

    Attributes:
        reason: Why; anything that ``as_exit_reason`` takes.
    """

    def __init__(self, reason: object = "normal") -> None:
        super().__init__(reason)
        self.reason = reason
