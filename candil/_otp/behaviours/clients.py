"""
What users call: the functions that ask or tell a server, and the clients of handlers, which stand
on the class under the handler's name.

A client is a plain function that wears its handler's name, documentation and signature, with the
server in front (``described.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, final

from trio.lowlevel import enable_ki_protection

from candil._otp.behaviours.call_fast import named_perform
from candil._otp.behaviours.calls import DEFAULT_TIMEOUT, Cast
from candil._otp.behaviours.described import client_signature
from candil._otp.behaviours.loop import ServerLoop
from candil._otp.behaviours.unhandled import check_arguments, check_cast
from candil._otp.processes.call_deadlines import check_timeout
from candil._otp.processes.process import post
from candil._otp.processes.runtime import resolve
from candil._otp.values.pids import Pid

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from inspect import Signature

    from candil._otp.behaviours.arity import Arity, Owner
    from candil._otp.values.names import Server

P = ParamSpec("P")
S_co = TypeVar("S_co", covariant=True)  # the server
T_co = TypeVar("T_co", covariant=True)  # what the client gets

if TYPE_CHECKING:

    class Client:
        """What every function has; here for type checkers, as are its subclasses."""

        __name__: str
        __qualname__: str
        __signature__: Signature
        __wrapped__: Callable[..., object]

    @final
    class CallClient(Client, Generic[S_co, P, T_co]):
        """
        The client of one call handler: ``await Counter.increment(server, by=2)``.

        Takes a server (pid, name, ``Name`` or ``Via``; ``None`` is no server) and the handler's own
        parameters, and gives what it returns; raises what ``call`` raises, ``WrongServer`` for a
        server of another class, and ``TypeError`` at once for arguments that the handler does not
        take. Cancellation: as for ``call``.
        """

        def __call__(
            self, server: Server[S_co] | None, /, *args: P.args, **kwargs: P.kwargs
        ) -> Coroutine[Any, Any, T_co]: ...

        def within(self, seconds: float) -> CallClient[S_co, P, T_co]:
            """
            Return the same client with another timeout.

            Args:
                seconds: How long its calls wait; the default is 5, ``math.inf`` waits for ever.

            Raises:
                ValueError: It is negative or no number.
            """
            ...

    @final
    class CastClient(Client, Generic[S_co, P]):
        """
        The client of one cast handler: ``Counter.reset(server)``. Returns at once, and never fails
        for want of a server.
        """

        def __call__(
            self, server: Server[S_co] | None, /, *args: P.args, **kwargs: P.kwargs
        ) -> None: ...


def call_client(name: str, qualname: str, arity: Arity, owner: Owner) -> Any:
    """
    Return the client of one call handler.

    Args:
        name: Of the handler on its class; what is asked.

        qualname: The same with the class; its coroutines have this name.

        arity: The arguments of the handler.

        owner: The class or classes that the handler stands on.
    """
    count, shapes, check = arity.positional_count, arity.shapes, arity.check
    perform = named_perform(name, qualname)
    signature = client_signature(arity.signature, answers=True)

    def with_timeout(timeout: float) -> Any:
        @enable_ki_protection
        def client(server: Server[object] | None, /, *args: object, **kwargs: object) -> Any:
            if (kwargs or len(args) != count) and (len(args), *kwargs) not in shapes:
                check(name, args, kwargs)
            return perform(server, name, args, kwargs, timeout, owner)

        described = _as_handler(client, name, qualname, arity, signature)
        described.within = within
        return described

    def within(seconds: float) -> Any:
        check_timeout(seconds)
        return with_timeout(seconds)

    return with_timeout(DEFAULT_TIMEOUT)


def cast_client(name: str, qualname: str, arity: Arity, owner: Owner) -> Any:
    """Return the client of one cast handler; the arguments are those of ``call_client``."""
    count, shapes, check = arity.positional_count, arity.shapes, arity.check

    @enable_ki_protection
    def client(server: Server[object] | None, /, *args: object, **kwargs: object) -> None:
        if (kwargs or len(args) != count) and (len(args), *kwargs) not in shapes:
            check(name, args, kwargs)
        process = server.process if type(server) is Pid else resolve(server)
        if process is not None:
            loop = process.behaviour
            if type(loop) is ServerLoop and not isinstance(loop.instance, owner):
                check_cast(loop, server, name, owner)
            post(process, Cast(name, args, kwargs))

    signature = client_signature(arity.signature, answers=False)
    return _as_handler(client, name, qualname, arity, signature)


def _as_handler(client: Any, name: str, qualname: str, arity: Arity, signature: Signature) -> Any:
    """
    Describe *client* as the handler that it stands for.

    As ``functools.wraps`` does, which takes ten times as long: ``within`` comes this way too.
    """
    function = arity.function
    client.__module__ = function.__module__
    client.__name__ = name
    client.__qualname__ = qualname
    client.__doc__ = function.__doc__
    client.__wrapped__ = function
    client.__signature__ = signature
    return client


def call(
    server: Server[object] | None,
    request: object,
    /,
    *args: object,
    timeout: float = DEFAULT_TIMEOUT,
    **kwargs: object,
) -> Coroutine[Any, Any, Any]:
    """
    Ask a server and wait for its answer. OTP: ``gen_server:call/3``.

    The server handles one message at a time, so the wait includes all that is ahead in its mailbox.

    Args:
        server: Its pid or name.

        request: The name of one of its ``@handle_call`` methods, which gets *args* and *kwargs*; or
            any other object, which its ``handle_call`` callback gets.

        args: For the handler.

        timeout: Seconds to wait; ``math.inf`` waits for ever.

        kwargs: For the handler.

    Returns:
        Its answer.

    Raises:
        ValueError: The timeout is negative or no number.

        NoProc: There is no such server, as when it is the ``None`` that ``whereis`` or ``root``
            gave.

        ServerExited: It ended first, for any reason; the request may have been half done.

        CallTimeout: No answer in time. The server still handles the request, and its answer is
            dropped.

        CallingSelf: The server called itself.

        UndefinedCallback: Its class has decorated handlers, none of that name, and no
            ``handle_call``. The server was not told.

        TypeError: The handler of that name does not take these arguments. The server was not told.

    Cancellation:
        Safe: the server is not disturbed, and a late answer is dropped.
    """
    if type(timeout) is not float or not timeout >= 0:  # else there is nothing to check
        check_timeout(timeout)
    process = server.process if type(server) is Pid else resolve(server)
    loop = None if process is None else process.behaviour
    if type(loop) is ServerLoop:
        check_arguments(loop.cls.__candil_calls__, request, args, kwargs)
    return _perform_call(server, request, args, kwargs, timeout)


_perform_call = named_perform("call", "call")


def cast(
    server: Server[object] | None, message: object, /, *args: object, **kwargs: object
) -> None:
    """
    Tell a server something, and return at once. A server that is not there is no failure. OTP:
    ``gen_server:cast/2``.

    Args:
        server: Its pid or name, or the ``None`` that ``whereis`` gave.

        message: The name of one of its ``@handle_cast`` methods, which gets *args* and *kwargs*; or
            any other object, which its ``handle_cast`` callback gets.

        args: For the handler.

        kwargs: For the handler.

    Raises:
        UndefinedCallback: Its class has decorated handlers, none of that name, and no
            ``handle_cast``. The server was not told.

        TypeError: The handler of that name does not take these arguments. The server was not told.
    """
    process = server.process if type(server) is Pid else resolve(server)
    if process is not None:
        loop = process.behaviour
        if type(loop) is ServerLoop:
            check_cast(loop, server, message, object)
            check_arguments(loop.cls.__candil_casts__, message, args, kwargs)
        post(process, Cast(message, args, kwargs))
