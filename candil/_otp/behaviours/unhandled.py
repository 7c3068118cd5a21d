"""
What a server says of a message that none of its clauses takes, and of a value that none may return.

A client's mistake against a class with decorated handlers fails at the client, as a wrong argument
does: the server goes on. A class that defines the callback decides for itself, and a class without
any handler crashes, as in OTP.
"""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any

from candil._otp.behaviours.callback_errors import BadReturnValue, UndefinedCallback, WrongServer
from candil._otp.behaviours.crash_report import describe_message, shown_status
from candil._otp.values.events import UnhandledMessage

if TYPE_CHECKING:
    from candil._otp.behaviours.arity import Functions, Owner
    from candil._otp.behaviours.loop import ServerLoop
    from candil._otp.processes.process import Process


def check_request(server: ServerLoop, target: object, request: object, owner: Owner) -> None:
    """
    Raise at its caller what is wrong with a call.

    Raises:
        WrongServer: The handler stands on *owner*, a class or several, and the server is of none.

        UndefinedCallback: No handler has that name, and there is no ``handle_call``.
    """
    _check_message(server, target, request, owner, "handle_call", server.cls.__candil_calls__)


def check_cast(server: ServerLoop, target: object, message: object, owner: Owner) -> None:
    """
    Raise at its sender what is wrong with a cast.

    Raises:
        WrongServer: As for ``check_request``.

        UndefinedCallback: No handler has that name, and there is no ``handle_cast``.
    """
    _check_message(server, target, message, owner, "handle_cast", server.cls.__candil_casts__)


def check_arguments(
    handlers: Functions, message: object, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    """Raise ``TypeError`` if the handler that *message* names does not take these arguments."""
    handler = handlers.get(message) if isinstance(message, str) else None
    if handler is not None:
        handler[2].check(str(message), args, kwargs)


def _check_message(
    server: ServerLoop,
    target: object,
    message: object,
    owner: Owner,
    callback: str,
    handlers: Functions,
) -> None:
    cls = server.cls
    if owner is not object and not issubclass(cls, owner):
        raise WrongServer(target, message, _first(owner), cls, advice=cls.__candil_advice__)
    if (
        isinstance(message, str)
        and message not in handlers
        and (cls.__candil_calls__ or cls.__candil_casts__)
        and not hasattr(cls if server.instance is None else server.instance, callback)
    ):
        raise undefined_callback(cls, callback, message)


def _first(owner: Owner) -> type[Any]:
    classes: list[type[Any]] = list(owner) if isinstance(owner, tuple) else [owner]
    return classes[0]


def undefined_callback(cls: Any, callback: str, message: object) -> UndefinedCallback:
    """Return the error for a *message* that only *callback* could take, which is not defined."""
    advice = cls.__candil_advice__
    if isinstance(message, str):
        advice = _advice(cls, callback, str(message)) or advice
    return UndefinedCallback(cls.__name__, callback, message, advice=advice)


def _advice(cls: Any, callback: str, word: str) -> str | None:
    name, is_call = cls.__name__, callback == "handle_call"
    if is_call and word in cls.__candil_casts__:
        return f"It is a cast: candil.cast(server, {word!r}, ...) or {name}.{word}(server, ...)"
    if not is_call and word in cls.__candil_calls__:
        return (
            f"It is a call: await candil.call(server, {word!r}, ...) or "
            f"await {name}.{word}(server, ...)"
        )
    handlers = cls.__candil_calls__ if is_call else cls.__candil_casts__
    names: list[str] = [] if cls.__candil_advice__ else list(handlers)
    close = difflib.get_close_matches(word, names, 1)
    return f"Did you mean {close[0]!r}?" if close else None


def bad_return_value(callback: str, value: object, *, awaited: bool) -> BadReturnValue:
    """Return the error for what *callback* returned; a coroutine is closed: it is not awaited."""
    if inspect.iscoroutine(value):
        value.close()
    return BadReturnValue(callback, value, awaited=awaited)


def unawaited_reply(calls: Functions, request: object, value: object) -> BadReturnValue:
    """Return the error for a coroutine that is to be the answer to *request*."""
    handler = calls.get(request) if isinstance(request, str) else None
    if handler is None:
        return bad_return_value("handle_call", value, awaited=True)
    return bad_return_value(str(request), value, awaited=handler[1])


def report_unhandled(process: Process, instance: object, message: object) -> None:
    """Tell that a message was dropped, for there is no ``handle_info`` to take it."""
    if process.runtime.reports:
        shown = shown_status(instance, ("info", message))["message"]
        text = describe_message(shown).removeprefix("info ")
        process.runtime.emit(UnhandledMessage(process.pid, type(instance).__name__, text))
