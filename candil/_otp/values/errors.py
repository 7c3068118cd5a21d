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
     ├─ those of ``behaviours/callback_errors.py``
     ├─ ExceptionSummary (.kind .text)          stands for an exception that is not kept
     └─ those of ``errors.py``
    ProcessExit (.reason)                       not an error: OTP's exit/1
"""

from __future__ import annotations

from typing import Any, final

_NOBODY = (
    "there is no process: the target is None, which whereis gives for a name without a holder, and "
    "root where there is none. "
    "Start the process first, or give the name itself"
)


def short_repr(value: object, limit: int = 120) -> str:
    """
    Return the repr of *value*, cut to *limit* characters; a repr that raises cannot break a report.
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
