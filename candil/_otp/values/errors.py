"""
What candil raises.

::

    CandilError
     ├─ CallError (.target .request)            a message that asked for an answer
     │   ├─ NoProc                              there is no such process
     │   ├─ CallTimeout (.timeout)              no answer in time
     │   ├─ CallingSelf                         it would have waited for itself
     │   └─ ServerExited                        see ``exit_errors.py``
     ├─ ProcessTerminated                       see there
     ├─ RegistrationError (.name)               a name is taken, unknown or not allowed
     ├─ ReceiveTimeout (.timeout)
     ├─ WaitTimeout (.name .timeout)            no living process held the name in time
     ├─ LeakedCancellation                      a process let another scope's Cancelled out
     ├─ NurseryLeftOpen                         a callback returned from within one (.label)
     ├─ BadReturnValue · UndefinedCallback      a callback broke its contract
     ├─ WrongServer                             a client was used on a server of another class
     ├─ ExceptionSummary (.kind .text)          stands for an exception that is not kept
     └─ those of ``errors.py``
    ProcessExit (.reason)                       not an error: OTP's exit/1
"""

from __future__ import annotations

from types import CoroutineType
from typing import Any, final

_LONGEST_NAME = 40

_NOBODY = (
    "nobody is there: the target is None, which whereis gives for a name that nobody holds, and "
    "root where there is none. "
    "Start the process first, or give the name itself"
)

_UNASKED = {
    "handle_continue": ("continue_with", "handle_continue(argument)"),
    "code_change": ("sys.change_code", "code_change(old_version, extra)"),
}


def short_repr(value: object, limit: int = 120) -> str:
    """
    Give the repr of *value*, cut to *limit* characters; a repr that raises cannot break a report.
    """
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  # a stranger's __repr__ may raise anything
        text = f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class SystemRequest(str):
    """
    A request that candil itself makes, as ``stop`` does: equal to the plain string, but errors tell
    it from a program's request of that name.
    """

    __slots__ = ()


class CandilError(Exception):
    """
    The base of every error that candil raises by itself. All can be copied, and pickled if what
    they hold can.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by the constructor, which takes other arguments than those in args.
        return _remade, (type(self), self.args), self.__dict__


def _remade(kind: type[CandilError], args: tuple[object, ...]) -> CandilError:
    return kind.__new__(kind, *args)


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
        return f"call of {short_repr(self.request)} to {short_repr(self.target)} failed"


@final
class NoProc(CallError):
    """
    There is no such process: it has ended, or the name is not registered. OTP: ``noproc``, as a
    call fails with it; as the reason of an exit it is ``NoProcess()``.

    Attributes:
        advice: What to do where the usual would mislead; ``None`` as a rule.
    """

    def __init__(
        self, target: object = None, request: object = None, *, advice: str | None = None
    ) -> None:
        super().__init__(target, request)
        self.advice = advice

    def __str__(self) -> str:
        if self.target is None:
            return _NOBODY
        advice = self.advice or (
            "Start it first, or call it by a name that its supervisor registers again"
        )
        return f"no process {short_repr(self.target)}: it has ended or was never started. {advice}"


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
        if isinstance(self.request, SystemRequest):
            if self.request == "stop":
                return (
                    f"{short_repr(self.target)} has not ended within {self.timeout:g} s of stop. "
                    "It is still to end; give it more time with timeout=, or exit() it with 'kill'"
                )
            return (
                f"{short_repr(self.target)} did not answer {self.request} within "
                f"{self.timeout:g} s: it is busy, or much is ahead in its mailbox. "
                "Give it more time with timeout="
            )
        return (
            f"{short_repr(self.target)} did not answer {short_repr(self.request)} within "
            f"{self.timeout:g} s. "
            "Give the call more time with .within(seconds) or timeout=, or answer later "
            "with Deferred"
        )


@final
class CallingSelf(CallError):
    """
    A server called itself: it would wait for its own answer for ever. Call the method on ``self``
    instead.
    """

    def __str__(self) -> str:
        if isinstance(self.request, SystemRequest):
            return (
                f"{short_repr(self.target)} asked itself for {self.request} and would have waited "
                "for ever. Ask from another process; to stop itself, a callback calls "
                "candil.stop_self(reason)"
            )
        return (
            f"{short_repr(self.target)} called itself with {short_repr(self.request)} and would "
            "have waited for ever. "
            "Call the method on self, or cast to yourself"
        )


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
        return f"name {short_repr(self.name)}: {self.problem}"


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
class WaitTimeout(CandilError):
    """
    No living process held a name in time.

    Attributes:
        name: The name.

        timeout: Seconds that were waited.
    """

    def __init__(self, name: object, timeout: float) -> None:
        super().__init__(name, timeout)
        self.name = name
        self.timeout = timeout

    def __str__(self) -> str:
        return (
            f"no living process held the name {short_repr(self.name)} within {self.timeout:g} s. "
            "Start one under that name, or give wait_for more time with timeout="
        )


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
class NurseryLeftOpen(CandilError):
    """
    The code of a process returned while a nursery that it had opened was still open.

    Nobody would leave it when the process is killed or crashes.

    Attributes:
        label: What the process runs: the name of its class, or of its function.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        super().__init__(label)

    def __str__(self) -> str:
        return (
            f"{self.label} left a nursery open: one that a callback opens must be closed when it "
            "returns. Run work that goes on as a process of its own (candil.spawn_link), or write "
            "the child as an async function, which may stay inside of `async with` all its life"
        )


@final
class BadReturnValue(CandilError):
    """
    A callback returned what its contract does not allow. OTP: ``{bad_return_value, Value}``.

    Attributes:
        callback: Its name.

        value: What it returned.

        awaited: Whether that came of awaiting it, as with an ``async def``.
    """

    def __init__(self, callback: str, value: object, *, awaited: bool = False) -> None:
        super().__init__(callback, value)
        self.callback = callback
        self.value = value
        self.awaited = awaited

    def __str__(self) -> str:
        if isinstance(self.value, CoroutineType):
            if self.awaited:
                return (
                    f"{self.callback} returned a coroutine: put await before the call in its return"
                )
            return f"{self.callback} is a plain def and returned a coroutine: make it an async def"
        return f"{self.callback} returned {short_repr(self.value)}; it must return None"


@final
class UndefinedCallback(CandilError):
    """
    A message came for which the server has no clause. OTP: ``undef``.

    Attributes:
        server: The server's class name.

        callback: The callback that is missing.

        message: What came; for ``code_change`` the old version. Not in the text, which ends in
            logs, unless it looks like a handler's name.

        advice: What would have been right, where more is known than that a method is missing.
    """

    def __init__(
        self, server: str, callback: str, message: object, *, advice: str | None = None
    ) -> None:
        super().__init__(server, callback)
        self.server = server
        self.callback = callback
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        if self.callback in _UNASKED:
            asker, method = _UNASKED[self.callback]
            return (
                f"{self.server} has no {self.callback} method, which {asker} runs. "
                f"Define {method} in it"
            )
        what, usual = self._clause()
        return f"{self.server} has no handler for {what}. {self.advice or usual}"

    def _clause(self) -> tuple[str, str]:
        """Name the clause that is missing, and say how one writes it."""
        message: object = self.message
        kind = self.callback.removeprefix("handle_")
        define = "handle_call(request, caller)" if kind == "call" else "handle_cast(message)"
        if type(message) is not str or len(message) > _LONGEST_NAME or not message.isidentifier():
            what = f"a {kind} that is no name but of type {type(message).__name__}"
            return what, f"Define {define} in it"
        return (
            f"the {kind} {message!r}",
            f"Decorate a method of that name with @candil.{self.callback}, or define {define}",
        )


@final
class WrongServer(CandilError, TypeError):
    """
    A client of one class was used on a server of another class. The server was not told.

    Attributes:
        target: The pid or name that was given.

        request: The handler's name.

        expected: The class on which the handler stands.

        actual: The class of the server.

        advice: What to do where the usual would mislead; ``None`` as a rule.
    """

    def __init__(
        self,
        target: object,
        request: object,
        expected: type[Any],
        actual: type[Any],
        *,
        advice: str | None = None,
    ) -> None:
        super().__init__(target, request)
        self.target = target
        self.request = request
        self.expected = expected
        self.actual = actual
        self.advice = advice

    def __str__(self) -> str:
        expected, actual = self.expected.__name__, self.actual.__name__
        if expected == actual:  # as of two modules
            expected = f"{self.expected.__module__}.{expected}"
            actual = f"{self.actual.__module__}.{actual}"
        has_one = hasattr(self.actual, str(self.request))
        instead = f", or call {actual}.{self.request}" if has_one else ""
        advice = self.advice or f"Give it a server of that class{instead}"
        return (
            f"{expected}.{self.request} is for servers of the class {expected}, and "
            f"{short_repr(self.target)} is of the class {actual}. {advice}"
        )


@final
class ExceptionSummary(CandilError):
    """
    What is kept of an exception: text. The exception itself would keep its frames, and their
    locals.

    Attributes:
        kind: The name of its class.

        text: One line: that name, and what the exception said.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return self.text


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
