"""
Checks of arguments: a mistake is an error at the caller, in one sentence.

Python would accept most mistakes at first: ``trap_exit("false")`` is true, and the attribute that a
wrong object lacks is missed later, in code that the caller does not know.
"""

from __future__ import annotations

import inspect

from candil._otp.values.errors import short_repr
from candil._otp.values.names import Name, Via
from candil._otp.values.pids import Ref, is_pid


def check_pid(function: str, value: object) -> None:
    """Raise ``TypeError`` unless *value*, given to *function*, is a pid."""
    if not is_pid(value):
        raise TypeError(
            f"{function} takes the pid of a process; got {short_repr(value)}. whereis(name) "
            "returns the pid of the process that holds a name, or None if no process does"
        )


def check_is_name(function: str, value: object) -> None:
    """Raise ``TypeError`` unless *value*, given to *function*, is something to register."""
    if not isinstance(value, str | Name | Via):
        raise TypeError(f"{function} takes a str, a Name or a Via; got {short_repr(value)}")


def check_ref(function: str, value: object) -> None:
    """Raise ``TypeError`` unless *value*, given to *function*, is the reference of a monitor."""
    if type(value) is not Ref:
        raise TypeError(f"{function} takes what monitor returned; got {short_repr(value)}")


def check_flag(what: str, value: object) -> None:
    """Raise ``TypeError`` unless *value* is a bool: any other non-empty value would be true."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False; got {short_repr(value)}")


def check_text(what: str, value: object) -> None:
    """Raise ``TypeError`` unless *value* is a string."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str; got {short_repr(value)}")


def check_plain_function(takes: str, value: object) -> None:
    """
    Raise ``TypeError`` unless *value* is a function that returns its result when it is called.

    An async function would return a coroutine, which is true and which nothing awaits.
    """
    if inspect.iscoroutinefunction(value):
        raise TypeError(f"{takes}; got the async function {value.__qualname__}")
    if not callable(value):
        raise TypeError(f"{takes}; got {short_repr(value)}")
