"""Exit reasons as a scenario and a trace write them: a string is an atom, an array is a tuple."""

from __future__ import annotations

from typing import final

import candil

_WORDS = {
    candil.Normal: "normal",
    candil.Killed: "killed",
    candil.NoProcess: "noproc",
    candil.NoConnection: "noconnection",
}


@final
class Raised(Exception):
    """The bug of a scenario: ``erlang:error(Reason)`` becomes this exception."""

    def __init__(self, term: object) -> None:
        super().__init__(f"the scenario raises {term!r}")
        self.term = term


def term_of(value: object) -> object:
    """The term that a scenario's JSON *value* stands for."""
    match value:
        case list():
            return tuple(term_of(part) for part in value)
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case _:
            return value


def reason_of(value: object) -> candil.ExitReason:
    """The exit reason that a scenario's JSON *value* stands for."""
    return candil.as_exit_reason(term_of(value))


def written(term: object) -> object:
    """*term*, a reason or any part of one, as a trace writes it."""
    match term:
        case candil.Shutdown(detail=detail):
            return "shutdown" if detail is None else ["shutdown", written(detail)]
        case candil.Crashed(exception=exception):
            return ["raised", _bug(exception)]
        case candil.Exit(term=inner):
            return written(inner)
        case candil.Pid():
            return "pid"
        case tuple() | list():
            return [written(part) for part in term]
        case _:
            return _WORDS.get(type(term), term)


def _bug(exception: BaseException) -> object:
    match exception:
        case Raised(term=term):
            return written(term)
        case candil.UndefinedCallback():
            return "function_clause"
        case _:  # a bug of candil or of the runner; no trace of OTP has such a line
            return f"{type(exception).__name__}: {exception}"
