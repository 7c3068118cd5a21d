"""
What candil raises when a callback breaks its contract, or a message finds none.

::

    CandilError
     ├─ BadReturnValue (.callback .value)         a callback returned what it must not
     ├─ UndefinedCallback (.server .callback)     no handler takes the message
     └─ WrongServer (.target .expected .actual)   a client met a server of another class
"""

from __future__ import annotations

from types import CoroutineType
from typing import final

from candil._otp.values.errors import CandilError, short_repr

_LONGEST_NAME = 40

_UNASKED = {
    "handle_continue": ("continue_with", "handle_continue(argument)"),
    "code_change": ("sys.change_code", "code_change(old_version, extra)"),
}


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
        expected: type[object],
        actual: type[object],
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
