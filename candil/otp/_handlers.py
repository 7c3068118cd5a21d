"""
The decorators that make a method a handler, and the clients that stand on the class.

``Counter.increment`` is the client: called with a server and the handler's own parameters, it sends
and waits. ``self.increment`` is the plain method.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import CoroutineType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    TypeVar,
    cast,
    final,
    overload,
)

from candil.otp._call import DEFAULT_TIMEOUT, Cast, Deferred, perform, refuse_timeout
from candil.otp._pid import Pid
from candil.otp._process import post
from candil.otp._runtime import resolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from candil.otp._names import Server

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")  # what the method returns
T = TypeVar("T")  # what the client gets

Functions = dict[str, tuple[Callable[..., Any], bool]]
"""Handlers by name: the function, and whether it is async."""


@final
class _Arity:
    """
    Which arguments a handler takes: found once, checked cheaply, so that a wrong call fails at its
    caller.
    """

    __slots__ = ("_most", "_names", "_open", "_required", "_signature", "enough")

    def __init__(self, function: Callable[..., object]) -> None:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        self._signature = inspect.Signature(parameters)
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
        self.enough = self._most if self._required <= {p.name for p in positional} else -1

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise the ``TypeError`` that a plain call would."""
        given = len(args)
        if (
            self._open
            or given > self._most
            or not (self._required <= {*self._names[:given], *kwargs})
        ) or (kwargs and not kwargs.keys() <= set(self._names[given:])):
            self._signature.bind(*args, **kwargs)


@final
class CallClient(Generic[S, P, T]):
    """
    The client of one call handler: ``await Counter.increment(server, by=2)``.

    Takes a server (pid, name, ``Name`` or ``Via``) and the handler's own parameters, and gives what
    it returns; raises what ``call`` raises, and ``TypeError`` at once for arguments that the
    handler does not take. Cancellation: as for ``call``.
    """

    __slots__ = ("_arity", "_enough", "_request", "_timeout")

    def __init__(self, request: str, arity: _Arity, timeout: float) -> None:
        self._request = request
        self._arity = arity
        self._enough = arity.enough
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<client of {self._request!r}, timeout {self._timeout:g} s>"

    def __call__(
        self, server: Server[S], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        if kwargs or len(args) != self._enough:
            self._arity.check(args, kwargs)
        return perform(server, self._request, args, kwargs, self._timeout)

    def within(self, seconds: float) -> CallClient[S, P, T]:
        """
        Give the same client with another timeout.

        Args:
            seconds: How long its calls wait; the default is 5, ``math.inf`` waits for ever.

        Raises:
            ValueError: It is negative or no number.
        """
        if not seconds >= 0:
            refuse_timeout(seconds)
        return CallClient(self._request, self._arity, seconds)


@final
class CastClient(Generic[S, P]):
    """
    The client of one cast handler: ``Counter.reset(server)``. Returns at once, and never fails for
    want of a server.
    """

    __slots__ = ("_arity", "_enough", "_message")

    def __init__(self, message: str, arity: _Arity) -> None:
        self._message = message
        self._arity = arity
        self._enough = arity.enough

    def __repr__(self) -> str:
        return f"<client of cast {self._message!r}>"

    def __call__(self, server: Server[S], /, *args: P.args, **kwargs: P.kwargs) -> None:
        if kwargs or len(args) != self._enough:
            self._arity.check(args, kwargs)
        process = server.process if type(server) is Pid else resolve(server)
        if process is not None:
            post(process, Cast(self._message, args, kwargs))


class Handler(ABC):
    """What the decorators leave in the class body."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.is_async = is_async(function)
        self.arity = _Arity(function)
        self.named = False
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__wrapped__ = function

    def __set_name__(self, owner: type[Any], name: str) -> None:
        # The name in the class counts: a decorator may have given the function another.
        if not self.named:
            self.named = True
            self.__name__ = name
            self._make_client()

    @abstractmethod
    def _make_client(self) -> None:
        """Make what the class shows under the handler's name."""

    @property
    def __closure__(self) -> Any:
        # attrs.define copies the class, and looks here for the cell that a bare super() reads.
        return self.function.__closure__


@final
class CallHandler(Handler, Generic[S, P, R, T]):
    """A method that answers calls; made by ``handle_call``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._make_client()

    def _make_client(self) -> None:
        self._client: CallClient[S, P, T] = CallClient(self.__name__, self.arity, DEFAULT_TIMEOUT)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> CallClient[S, P, T]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Callable[P, R]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self._client
        return self.function.__get__(instance, owner)


@final
class CastHandler(Handler, Generic[S, P, R]):
    """A method that is told things; made by ``handle_cast``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._make_client()

    def _make_client(self) -> None:
        self._client: CastClient[S, P] = CastClient(self.__name__, self.arity)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> CastClient[S, P]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Callable[P, R]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self._client
        return self.function.__get__(instance, owner)


@overload
def handle_call(
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, Deferred[T]]],
) -> CallHandler[S, P, Coroutine[Any, Any, Deferred[T]], T]: ...
@overload
def handle_call(
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> CallHandler[S, P, Coroutine[Any, Any, T], T]: ...
@overload
def handle_call(
    function: Callable[Concatenate[S, P], Deferred[T]],
) -> CallHandler[S, P, Deferred[T], T]: ...
@overload
def handle_call(function: Callable[Concatenate[S, P], T]) -> CallHandler[S, P, T, T]: ...
def handle_call(function: Callable[..., Any]) -> CallHandler[Any, Any, Any, Any]:
    """
    Make a method of a ``GenServer`` answer calls: one clause of OTP's ``handle_call``, named after
    its request.

    On the class the name is the client, on ``self`` the plain method. A plain ``def`` cannot wait,
    and is the faster for it: when the server is idle, its caller runs it without a task switch. An
    ``async def`` may wait; the server handles nothing else meanwhile.

    Args:
        function: Returns the answer, or a ``Deferred`` for an answer that comes later. What it
            raises ends the server, and its caller gets ``ServerExited``.

    Returns:
        A descriptor, typed: the client takes the method's own parameters behind the server, and
        gives what it returns.
    """
    return CallHandler(function)


@overload
def handle_cast(
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, None]],
) -> CastHandler[S, P, Coroutine[Any, Any, None]]: ...
@overload
def handle_cast(function: Callable[Concatenate[S, P], None]) -> CastHandler[S, P, None]: ...
def handle_cast(function: Callable[..., Any]) -> CastHandler[Any, Any, Any]:
    """
    Make a method of a ``GenServer`` take casts: one clause of OTP's ``handle_cast``, named after
    its message.

    Args:
        function: A plain ``def`` or an ``async def`` that returns nothing.

    Returns:
        A descriptor, typed as for ``handle_call``; its client returns at once.
    """
    return CastHandler(function)


def is_async(function: Callable[..., object]) -> bool:
    """Tell whether a handler is an ``async def``, also one under a decorator that is none."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        inspect.unwrap(function)
    )


def handlers_of(cls: type[Any], kind: type[Handler]) -> Functions:
    """
    Give the handlers of a class by name: the function, and whether it is async.

    A subclass that defines a method of the same name without decorating it again overrides the
    handler.
    """
    found: Functions = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, kind):
                found[name] = (value.function, value.is_async)
            elif name in found and callable(value):
                found[name] = (value, is_async(value))
    return found


async def completed(result: Awaitable[T] | T) -> T:
    """Give the result of a callback that may be plain or async."""
    waits = type(cast("object", result)) is CoroutineType or inspect.isawaitable(result)
    done: T = await cast("Awaitable[T]", result) if waits else cast("T", result)
    return done
