"""
What a server says of a message that none of its clauses takes, and of a value that none may return.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from candil._otp.values.errors import BadReturnValue, UndefinedCallback
from candil._otp.values.events import Hint

if TYPE_CHECKING:
    from candil._otp.behaviours.handlers import Functions
    from candil._otp.processes.process import Process


def undefined_callback(instance: object, callback: str, message: object) -> UndefinedCallback:
    """Give the error for a *message* that only *callback* could take, which is not defined."""
    cls: Any = type(instance)
    advice = cls.__candil_advice__
    if isinstance(message, str):
        word, name = str(message), cls.__name__
        if callback == "handle_call" and message in cls.__candil_casts__:
            advice = (
                f"It is a cast: candil.cast(server, {word!r}, ...) or {name}.{word}(server, ...)"
            )
        elif callback == "handle_cast" and message in cls.__candil_calls__:
            advice = (
                f"It is a call: await candil.call(server, {word!r}, ...) or "
                f"await {name}.{word}(server, ...)"
            )
    return UndefinedCallback(cls.__name__, callback, message, advice=advice)


def bad_return_value(callback: str, value: object, *, awaited: bool) -> BadReturnValue:
    """Give the error for what *callback* returned; a coroutine is closed: nobody will await it."""
    if inspect.iscoroutine(value):
        value.close()
    return BadReturnValue(callback, value, awaited=awaited)


def unawaited_reply(calls: Functions, request: object, value: object) -> BadReturnValue:
    """Give the error for a coroutine that is to be the answer to *request*."""
    handler = calls.get(request) if isinstance(request, str) else None
    if handler is None:
        return bad_return_value("handle_call", value, awaited=True)
    return bad_return_value(str(request), value, awaited=handler[1])


def hint_at_missing_handle_info(process: Process, instance: object, message: object) -> None:
    """Tell once a class and kind of message that nothing takes it."""
    cls, kind = type(instance), type(message)
    hinted = process.runtime.hinted
    if (cls, kind) not in hinted:
        hinted.add((cls, kind))
        text = (
            f"{cls.__name__} has no handle_info() to take a {kind.__name__} message: it was "
            "dropped, and so will be further ones"
        )
        process.runtime.emit(Hint(process.pid, text))
