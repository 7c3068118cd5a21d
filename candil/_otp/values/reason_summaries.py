"""
Exit reasons as they can be kept: an exception holds its frames, and those hold the locals of all
the code that failed.
"""

from __future__ import annotations

from enum import Enum
from typing import cast

from candil._otp.values.errors import ExceptionSummary, short_repr
from candil._otp.values.exit_reasons import Crashed, Exit, ExitReason, Shutdown
from candil._otp.values.pids import Pid
from candil._otp.values.reports import exception_line

_LONGEST = 200
_DEEPEST = 5
_ATOMS = frozenset({type(None), bool, int, float, complex, Pid})


def summary_of(reason: ExitReason) -> ExitReason:
    """
    Return *reason* as it can be kept: it holds no frame and no object of the program.

    Args:
        reason: Why a process ended.

    Returns:
        An equal reason, if its term is made of numbers, short texts, enums and pids; text stands
        for every other object.
    """
    match reason:
        case Crashed(exception=exception):
            kind = type(exception).__name__
            return Crashed(ExceptionSummary(kind, exception_line(exception)))
        case Shutdown(detail=detail):
            return Shutdown(_summary_of_term(detail))
        case Exit(term=term):
            return Exit(_summary_of_term(term))
        case _:
            return reason


def _summary_of_term(term: object, depth: int = 0) -> object:
    kind: type = type(term)
    if kind in _ATOMS or isinstance(term, Enum):
        return term
    if kind is str and len(cast("str", term)) <= _LONGEST:
        return term
    if kind is tuple and depth < _DEEPEST:
        parts = cast("tuple[object, ...]", term)
        if len(parts) <= _LONGEST // 10:
            return tuple(_summary_of_term(part, depth + 1) for part in parts)
    return short_repr(term, _LONGEST)
