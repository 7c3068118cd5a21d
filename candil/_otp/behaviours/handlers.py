"""
The decorators that make a method a handler.

``Counter.increment`` is the client (``clients.py``): called with a server and the handler's own
parameters, it sends and waits. ``self.increment`` is the plain method.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
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

from candil._otp.behaviours.arity import Arity, Functions, is_async
from candil._otp.behaviours.clients import call_client, cast_client
from candil._otp.processes.interrupts import allow_keyboard_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from candil._otp.behaviours.calls import Immediate, Later
    from candil._otp.behaviours.clients import CallClient, CastClient

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
A = TypeVar("A", bound="Immediate")  # an answer, now or later
# Covariant, so that a subclass may override a handler. For S it is not the whole truth: who has the
# handler of a base has no promise that its client takes the base's pids. Nobody has: the client is
# looked up on a class that is written down.
S_co = TypeVar("S_co", covariant=True)  # the server
M_co = TypeVar("M_co", covariant=True)  # the method, without its self
R_co = TypeVar("R_co", covariant=True)  # what the method returns, once awaited


def _check_function(function: object) -> None:
    """Raise ``TypeError`` for what cannot be a handler; the traceback shows where it is."""
    kind: type = type(function)
    if isinstance(function, Handler):
        what = "a method that is a handler already"
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        what = "a generator function, which cannot answer: return a list"
    elif kind is classmethod or kind is staticmethod or not callable(function):
        what = f"a {kind.__name__}"
    else:
        return
    raise TypeError(f"a handler is a plain def or async def method, with self; got {what}")


def _with_owner(known: Any, owner: type[Any]) -> Any:
    """Return the classes of a handler that stands on *owner* too."""
    if known is object or getattr(owner, "_is_protocol", False):
        return object  # any server that has the handler is of a protocol
    if known is None:
        return owner
    several: bool = isinstance(known, tuple)
    owners: tuple[type[Any], ...] = known if several else (known,)  # pyright: ignore[reportUnknownVariableType]
    return known if owner in owners else (*owners, owner)


class Handler(ABC):
    """
    What the decorators leave in the class body.

    Attributes:
        function: The method.

        is_async: Whether it is an ``async def``.

        arity: Its arguments.

        qualname: Its name with that of its class.

        owner: The class that it stands on, or several: one that was put on two, or on a class that
            ``attrs.define`` copied. ``object`` stands for any, as for a protocol.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        _check_function(function)
        self.function = function
        self.is_async = is_async(function)
        self.arity = Arity(function)
        self.qualname: str = getattr(function, "__qualname__", "")
        self.owner: Any = None
        self.client: Any = None
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__wrapped__ = function
        allow_keyboard_interrupt(function)
        self.__isabstractmethod__ = getattr(function, "__isabstractmethod__", False)

    def __set_name__(self, owner: type[object], name: str) -> None:
        # The name in the class counts: a decorator may have given the function another.
        if self.owner is None and (self.__name__ != name or not self.qualname):
            self.__name__ = name
            self.qualname = f"{owner.__qualname__}.{name}"
        self.owner = _with_owner(self.owner, owner)
        self.client = None

    @abstractmethod
    def make_client(self) -> Any:
        """Make what the class shows under the handler's name; at its first use."""

    @property
    def __closure__(self) -> Any:
        # attrs.define copies the class, and looks here for the cell that a bare super() reads.
        return self.function.__closure__


@final
class CallHandler(Handler, Generic[S_co, M_co, R_co]):
    """A method that answers calls; made by ``handle_call``."""

    def make_client(self) -> Any:
        """Make the client that waits for an answer."""
        self.client = call_client(self.__name__, self.qualname, self.arity, self.owner or object)
        return self.client

    # Of a union with a Deferred, the client gets what that will hold, or what else there is. That
    # would say it all, but mypy joins what A stands for, and widens ``int | str`` to ``object``: so
    # R_co, wherever there is no Deferred. The bound of A keeps the Deferred itself from being one.
    @overload
    def __get__(
        self: CallHandler[Any, Callable[P, Any], Immediate], instance: None, owner: type[object]
    ) -> CallClient[S_co, P, R_co]: ...
    @overload
    def __get__(
        self: CallHandler[Any, Callable[P, Any], A | Later[A]], instance: None, owner: type[object]
    ) -> CallClient[S_co, P, A]: ...
    @overload
    def __get__(
        self: CallHandler[Any, Callable[P, Any], Any], instance: None, owner: type[object]
    ) -> CallClient[S_co, P, R_co]: ...
    @overload
    def __get__(self, instance: object, owner: type[object] | None = None) -> M_co: ...
    def __get__(self, instance: object, owner: type[object] | None = None) -> Any:
        if instance is None:
            return self.client or self.make_client()
        return self.function.__get__(instance, owner)


@final
class CastHandler(Handler, Generic[S_co, M_co]):
    """A method that handles casts; made by ``handle_cast``."""

    def make_client(self) -> Any:
        """Make the client that returns at once."""
        self.client = cast_client(self.__name__, self.qualname, self.arity, self.owner or object)
        return self.client

    @overload
    def __get__(
        self: CastHandler[S, Callable[P, Any]], instance: None, owner: type[object]
    ) -> CastClient[S, P]: ...
    @overload
    def __get__(self, instance: object, owner: type[object] | None = None) -> M_co: ...
    def __get__(self, instance: object, owner: type[object] | None = None) -> Any:
        if instance is None:
            return self.client or self.make_client()
        return self.function.__get__(instance, owner)


@overload
def handle_call(
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> CallHandler[S, Callable[P, Coroutine[Any, Any, R]], R]: ...
@overload
def handle_call(function: Callable[Concatenate[S, P], R]) -> CallHandler[S, Callable[P, R], R]: ...
def handle_call(function: Callable[..., object]) -> CallHandler[Any, Any, Any]:
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
) -> CastHandler[S, Callable[P, Coroutine[Any, Any, None]]]: ...
@overload
def handle_cast(
    function: Callable[Concatenate[S, P], None],
) -> CastHandler[S, Callable[P, None]]: ...
def handle_cast(function: Callable[..., object]) -> CastHandler[Any, Any]:
    """
    Make a method of a ``GenServer`` take casts: one clause of OTP's ``handle_cast``, named after
    its message.

    Args:
        function: A plain ``def`` or an ``async def`` that returns nothing.

    Returns:
        A descriptor, typed as for ``handle_call``; its client returns at once.
    """
    return CastHandler(function)


def handlers_of(cls: type[object], kind: type[Handler]) -> Functions:
    """Return the handlers of a class by name."""
    found: Functions = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, kind):
                found[name] = (value.function, value.is_async, value.arity)
    return found


def decorate_overrides(cls: type[object]) -> None:
    """
    Make handlers of those methods that override one in *cls* and are not decorated again: on the
    class their name stays the client.
    """
    handlers: dict[str, type[CallHandler[Any, Any, Any] | CastHandler[Any, Any]]] = {
        name: type(cast("Any", value))
        for base in reversed(cls.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, CallHandler | CastHandler)
    }
    for name, kind in handlers.items():
        defined = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
        if inspect.isfunction(defined):
            handler = kind(defined)
            handler.__set_name__(cls, name)
            setattr(cls, name, handler)
