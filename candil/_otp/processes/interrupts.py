"""
Ctrl-C: it may interrupt what users write, and never the runtime's own bookkeeping.

trio raises ``KeyboardInterrupt`` wherever the main thread happens to be, unless a frame there is
protected; then it waits for the main task's next checkpoint. Protection belongs to code, so it
costs nothing when that runs:

1. All functions of ``candil._otp`` are protected, and with them all that they call.
2. Handlers, callbacks, and the functions that run as processes are not: a loop that hogs the
   program can be interrupted, and ends as a crash of its process would.
3. ``async with`` enters and leaves by methods, since no function of ``contextlib`` is protected.
"""

from __future__ import annotations

import inspect
import sys
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from types import CoroutineType
from typing import TYPE_CHECKING, ParamSpec, TypeVar, final

from trio.lowlevel import disable_ki_protection, enable_ki_protection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
    from types import FunctionType, ModuleType, TracebackType

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


def allow_keyboard_interrupt(function: object) -> None:
    """Mark a function of the user's: Ctrl-C may arrive in it. Anything else is left as it is."""
    if inspect.isfunction(function):
        disable_ki_protection(function)


async def run_user_code(
    code: list[tuple[Callable[..., Awaitable[object]], tuple[object, ...]]],
) -> object:
    """
    Call what cannot be marked itself, since it may be anybody's.

    Args:
        code: The function and its arguments, which are taken out: what the function lets go of must
            not be kept by the frames below it.
    """
    function, args = code.pop()
    result = function(*args)
    if not isinstance(result, CoroutineType) and not inspect.isawaitable(result):
        raise TypeError(f"{function!r} gave {result!r}, which cannot be awaited: it must be async")
    del function, args
    return await result


@final
class _Block(AbstractAsyncContextManager[T_co]):
    """An async context manager that Ctrl-C does not interrupt on its way in and out."""

    def __init__(self, manager: AbstractAsyncContextManager[T_co]) -> None:
        self._manager = manager

    async def __aenter__(self) -> T_co:
        return await self._manager.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._manager.__aexit__(kind, error, traceback)  # noqa: ASYNC102  # the block's own matter


def ki_protected_context(
    function: Callable[P, AsyncGenerator[T_co]],
) -> Callable[P, AbstractAsyncContextManager[T_co]]:
    """Make an ``async with`` block of an async generator function, as ``asynccontextmanager``."""
    make = asynccontextmanager(function)

    @wraps(function)
    def open_block(*args: P.args, **kwargs: P.kwargs) -> AbstractAsyncContextManager[T_co]:
        return _Block(make(*args, **kwargs))

    return open_block


def protect_package(package: str) -> None:
    """Protect all functions and methods that the loaded modules of *package* define."""
    for name, module in list(sys.modules.items()):
        if name.startswith(package):
            for function in _functions_of(module):
                enable_ki_protection(function)
    disable_ki_protection(run_user_code)


def _functions_of(module: ModuleType) -> Iterator[FunctionType]:
    for value in list(vars(module).values()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        members = list(vars(value).values()) if isinstance(value, type) else [value]
        for member in members:
            yield from _functions_in(member)


def _functions_in(member: object) -> Iterator[FunctionType]:
    """Find the functions under decorators: of properties, class methods, handlers, blocks."""
    for attribute in ("fget", "__func__", "__wrapped__"):
        inner = getattr(member, attribute, None)
        if inner is not None:
            yield from _functions_in(inner)
    if inspect.isfunction(member):
        yield member
