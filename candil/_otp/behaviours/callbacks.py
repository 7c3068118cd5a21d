"""
OTP's callbacks: which there are, what a server calls each with, and what is wrong with a class's
own.

Looked at when the class is made: later, a callback that cannot be called is a crash, and a
``terminate`` that cannot hides the crash before it.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

from candil._otp.behaviours.handlers import Handler

CALLBACKS = {
    "init": (),
    "handle_call": ("request", "caller"),
    "handle_cast": ("message",),
    "handle_info": ("message",),
    "handle_continue": ("argument",),
    "terminate": ("reason",),
    "code_change": ("old_version", "extra"),
    "format_status": ("status",),
}
"""Each by its name, with the arguments that it gets."""

_NUMBERS = ("no arguments", "one argument", "two arguments")


def check_callbacks(cls: type[object]) -> None:
    """Raise ``TypeError`` with all that is wrong with the callbacks of *cls*, its mixins' too."""
    mistakes: list[str] = []
    for name in CALLBACKS:
        owner = next((base for base in cls.__mro__ if name in vars(base)), None)
        if owner is not None:
            mistakes += _mistakes(f"{owner.__name__}.{name}", name, vars(owner)[name])
    if len(mistakes) == 1:
        raise TypeError(mistakes[0])
    if mistakes:
        raise TypeError(
            f"{cls.__name__} has {len(mistakes)} mistakes:\n"
            + "\n".join(f"  - {mistake}" for mistake in mistakes)
        )


def _mistakes(who: str, name: str, defined: object) -> list[str]:
    if isinstance(defined, Handler):
        rule = "is one of OTP's callbacks, which are not decorated; a handler needs another name"
        return [f"{who} {rule}"]
    signature, given = _signature(defined), CALLBACKS[name]
    if signature is None or _takes(signature, len(given) + (not isinstance(defined, staticmethod))):
        return []
    said = f"{who}{signature} is called with {_NUMBERS[len(given)]}"
    if name == "init":
        return [f"{said}: those of the child spec go to __init__"]
    return [f"{said}: define {name}({', '.join(('self', *given))})"]


def _signature(defined: object) -> inspect.Signature | None:
    """
    Return what a method takes, without annotations; ``None`` if only a call can tell.

    What a decorator made takes what it takes itself: it may give the function below more.
    """
    wrapped = isinstance(defined, classmethod | staticmethod)
    function: object = cast("Any", defined).__func__ if wrapped else defined
    if not inspect.isfunction(function):
        return None
    parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    return inspect.Signature([p.replace(annotation=p.empty) for p in parameters])


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
