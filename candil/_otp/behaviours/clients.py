"""
The clients of handlers: what stands on the class under a handler's name, and asks or tells a
server. They are shown as the handlers themselves (``described.py``).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, final

from candil._otp.behaviours.calls import Cast, perform
from candil._otp.behaviours.described import About, Described
from candil._otp.processes.call_deadlines import check_timeout
from candil._otp.processes.process import post
from candil._otp.processes.runtime import resolve
from candil._otp.values.pids import Pid

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from candil._otp.values.names import Server

P = ParamSpec("P")
S_co = TypeVar("S_co", covariant=True)  # the server
T_co = TypeVar("T_co", covariant=True)  # what the client gets


_TIMEOUT_ADVICE = "; the timeout of a call is given by {}.within(seconds)(server, ...)"


@final
class Arity:
    """
    Which arguments a handler takes: found once, checked cheaply, so that a wrong call fails at its
    caller.
    """

    __slots__ = (
        "_most",
        "_names",
        "_open",
        "_required",
        "_signature",
        "function",
        "positional_count",
        "qualname",
    )

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.qualname: str = getattr(function, "__qualname__", "")
        parameters = list(inspect.signature(function).parameters.values())[1:]
        # Without annotations: they only make it longer where it is shown.
        self._signature = inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
        self._open = any(
            p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY) for p in parameters
        )
        positional = [
            p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        self._most = len(positional)
        self._names = [p.name for p in parameters]
        self._required = {
            p.name
            for p in parameters
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }
        # With just so many positional arguments nothing is missing and nothing to be checked.
        self.positional_count = self._most if self._required <= {p.name for p in positional} else -1

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        # A function is pickled by its name, which on the class is the client's.
        state: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return None, {**state, "function": _elsewhere}

    def check(self, handler: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise the ``TypeError`` that a plain call would; it names *handler*."""
        given = len(args)
        if (
            self._open
            or given > self._most
            or not (self._required <= {*self._names[:given], *kwargs})
        ) or (kwargs and not kwargs.keys() <= set(self._names[given:])):
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                mistaken = "timeout" in kwargs and "timeout" not in self._names
                advice = _TIMEOUT_ADVICE.format(handler) if mistaken else ""
                raise TypeError(
                    f"the handler {handler}{self._signature} does not take these arguments: "
                    f"{error}{advice}"
                ) from None


def _elsewhere(_self: object, *_args: Any, **_kwargs: Any) -> Any:
    """Stand for a handler of which only the name and the arguments are known here."""


@final
class CallClient(Described, Generic[S_co, P, T_co]):
    """
    The client of one call handler: ``await Counter.increment(server, by=2)``.

    Takes a server (pid, name, ``Name`` or ``Via``; ``None`` is nobody) and the handler's own
    parameters, and gives what it returns; raises what ``call`` raises, and ``TypeError`` at once
    for arguments that the handler does not take. Cancellation: as for ``call``.
    """

    __slots__ = ("_arity", "_positional_count", "_request", "_timeout")

    def __init__(self, request: str, arity: Arity, timeout: float) -> None:
        self._request = request
        self._arity = arity
        self._positional_count = arity.positional_count
        self.__qualname__ = arity.qualname
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<client of {self._request!r}, timeout {self._timeout:g} s>"

    def __call__(
        self, server: Server[S_co] | None, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T_co]:
        if kwargs or len(args) != self._positional_count:
            self._arity.check(self._request, args, kwargs)
        return perform(server, self._request, args, kwargs, self._timeout)

    def within(self, seconds: float) -> CallClient[S_co, P, T_co]:
        """
        Give the same client with another timeout.

        Args:
            seconds: How long its calls wait; the default is 5, ``math.inf`` waits for ever.

        Raises:
            ValueError: It is negative or no number.
        """
        check_timeout(seconds)
        return CallClient(self._request, self._arity, seconds)

    def about(self) -> About:
        """Say that it is the handler."""
        return About(self._request, self._arity.function, answers=True)


@final
class CastClient(Described, Generic[S_co, P]):
    """
    The client of one cast handler: ``Counter.reset(server)``. Returns at once, and never fails for
    want of a server.
    """

    __slots__ = ("_arity", "_message", "_positional_count")

    def __init__(self, message: str, arity: Arity) -> None:
        self._message = message
        self._arity = arity
        self._positional_count = arity.positional_count
        self.__qualname__ = arity.qualname

    def __repr__(self) -> str:
        return f"<client of cast {self._message!r}>"

    def __call__(self, server: Server[S_co] | None, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if kwargs or len(args) != self._positional_count:
            self._arity.check(self._message, args, kwargs)
        process = server.process if type(server) is Pid else resolve(server)
        if process is not None:
            post(process, Cast(self._message, args, kwargs))

    def about(self) -> About:
        """Say that it is the handler."""
        return About(self._message, self._arity.function, answers=False)
