"""
Requests that a supervisor refuses: its handlers raise, the caller gets the error, and the
supervisor goes on. In any other server an exception ends the server.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from candil._otp.behaviours.calls import NO_REPLY
from candil._otp.behaviours.errors import StartError
from candil._otp.supervisors.errors import SpecError, SupervisorError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from candil._otp.processes.process import Process

P = ParamSpec("P")
R = TypeVar("R")


class _Refuses(Protocol):
    """A server that knows its own process."""

    own: Process


S = TypeVar("S", bound=_Refuses)


def refuses(
    handler: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """
    Let a call handler refuse its request, by raising a ``SupervisorError``, ``StartError`` or
    ``SpecError``.

    The handler is async: a plain one may run in place, where there is no request to refuse.
    """

    @wraps(handler)
    async def refusing(self: S, *args: P.args, **kwargs: P.kwargs) -> Any:
        request = self.own.current_request
        assert request is not None
        try:
            return await handler(self, *args, **kwargs)
        except (SupervisorError, StartError, SpecError) as error:
            # Without its frames, which are the supervisor's own.
            request.refuse(error.with_traceback(None))
        return NO_REPLY

    # Not for the types: NO_REPLY is no answer.
    return cast("Callable[Concatenate[S, P], Coroutine[Any, Any, R]]", refusing)
