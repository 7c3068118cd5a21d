"""
Which arguments a handler takes, and whether it is async: found once, checked cheaply, so that a
wrong call fails at its caller and never reaches the server.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, final

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")

MAX_SHAPES = 100

_TIMEOUT_ADVICE = "; the timeout of a call is given by {}.within(seconds)(server, ...)"


@final
class Arity:
    """
    The parameters of one handler.

    Whether arguments fit depends on nothing but their *shape*: how many are positional, and the
    names of the others. So a shape is bound to the signature once.

    Attributes:
        function: The handler.

        signature: What it takes behind its ``self``.

        positional_count: With just so many positional arguments, and no others, nothing is missing
            and nothing is to be checked. -1 if there is no such number.

        shapes: Those that are known to fit.
    """

    __slots__ = ("_shown", "function", "positional_count", "shapes", "signature")

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[1:]
        self.signature = signature.replace(parameters=parameters)
        # Without annotations: they only make it longer where it is shown.
        self._shown = inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
        self.positional_count = _positional_count(parameters)
        self.shapes: set[tuple[object, ...]] = set()

    def check(self, handler: str, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Raise the ``TypeError`` that a plain call would; it names *handler*."""
        shape = (len(args), *kwargs)
        if shape in self.shapes or (len(args) == self.positional_count and not kwargs):
            return
        try:
            self._shown.bind(*args, **kwargs)
        except TypeError as error:
            mistaken = "timeout" in kwargs and "timeout" not in self._shown.parameters
            advice = _TIMEOUT_ADVICE.format(handler) if mistaken else ""
            raise TypeError(
                f"the handler {handler}{self._shown} does not take these arguments: {error}{advice}"
            ) from None
        if len(self.shapes) < MAX_SHAPES:  # a handler with ** takes any number of them
            self.shapes.add(shape)


def _positional_count(parameters: list[Parameter]) -> int:
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    others = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    return -1 if others else len(positional)


Owner: TypeAlias = type[Any] | tuple[type[Any], ...]
"""The class or classes that a handler stands on, one of which its server must be of."""

Functions = dict[str, tuple[Callable[..., Any], bool, Arity]]
"""Handlers by name: the function, whether it is async, and its arguments."""


def is_async(function: Callable[..., object]) -> bool:
    """Tell whether a handler is an ``async def``, also one under a decorator that is none."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        inspect.unwrap(function)
    )


async def completed(result: Awaitable[T] | T) -> T:
    """Return the result of a callback that may be plain or async."""
    waits = type(cast("object", result)) is CoroutineType or inspect.isawaitable(result)
    done: T = await cast("Awaitable[T]", result) if waits else cast("T", result)
    return done
