"""
Exit reasons: why a process ended, as values.

The same value stands in ``Down.reason``, in ``terminate(reason)``, in reports and on the exception
that a caller gets.

A term may be any object, so nothing here compares terms but those that are known to be strings:
``==`` of an array, or of a class of the user's, may raise.

1. A reason is one of seven frozen classes; ``match`` over ``ExitReason`` is exhaustive.
2. OTP's atoms have their own classes; any other term is ``Exit(term)``.
3. ``Exit("kill")`` is only special on its way through ``exit``: the process that gets it dies of
   ``Killed``.

Not here: who gets told (``task.py``), how a reason reads in a report (``reports.py``).
"""

from __future__ import annotations

from typing import TypeAlias, TypeGuard, cast, final

import attrs

_RESERVED = frozenset({"normal", "shutdown", "killed", "noproc", "noconnection"})


@final
@attrs.frozen
class Normal:
    """Ended by itself, with nothing left to do. OTP: ``normal``."""


@final
@attrs.frozen
class Shutdown:
    """
    Ended because it was asked to. OTP: ``shutdown`` and ``{shutdown, Detail}``.

    Args:
        detail: Why, in the asker's own terms; ``None`` is OTP's bare ``shutdown``.

        cause: The exception that tells the whole story, when a supervisor gave up. Not part of
            equality.
    """

    detail: object = None
    cause: BaseException | None = attrs.field(default=None, eq=False, repr=False, kw_only=True)


@final
@attrs.frozen
class Killed:
    """Ended by a ``kill`` signal, which nothing can trap. OTP: ``killed``."""


@final
@attrs.frozen
class NoProcess:
    """
    There was no such process to link to or to monitor. OTP: ``noproc``. The error of a call to no
    process is ``NoProc``.
    """


@final
@attrs.frozen
class NoConnection:
    """The node of the process cannot be reached. OTP: ``noconnection``."""


@final
@attrs.frozen
class Crashed:
    """
    Ended by an exception that nothing caught. OTP: ``{Error, Stack}``.

    Args:
        exception: The exception itself, with its traceback.
    """

    exception: BaseException


def _not_reserved(_exit: object, _attribute: object, term: object) -> None:
    if isinstance(term, str) and term in _RESERVED:
        message = (
            f"Exit({term!r}) would not compare equal to OTP's own reason; use "
            f"as_exit_reason({term!r})"
        )
        raise ValueError(message)


@final
@attrs.frozen
class Exit:
    """
    Ended for a reason of the program's own. OTP: any other term.

    Args:
        term: What it is; strings and tuples read like OTP's atoms and tuples.
    """

    term: object = attrs.field(validator=_not_reserved)


ExitReason: TypeAlias = Normal | Shutdown | Killed | NoProcess | NoConnection | Crashed | Exit

NORMAL = Normal()
SHUTDOWN = Shutdown()
KILLED = Killed()
KILL = Exit("kill")

_REASONS = (Normal, Shutdown, Killed, NoProcess, NoConnection, Crashed, Exit)
_ATOMS: dict[str, ExitReason] = {
    "normal": NORMAL,
    "shutdown": SHUTDOWN,
    "killed": KILLED,
    "noproc": NoProcess(),
    "noconnection": NoConnection(),
}


def as_exit_reason(term: object) -> ExitReason:
    """
    Return the exit reason that *term* stands for.

    Reasons stay as they are; ``"normal"``, ``"shutdown"``, ``"killed"``, ``"noproc"`` and
    ``"noconnection"`` are OTP's atoms; ``("shutdown", detail)`` is ``Shutdown(detail)``; an
    exception is ``Crashed``; anything else is ``Exit``.

    Args:
        term: Any value.

    Returns:
        The reason. ``as_exit_reason(as_exit_reason(x)) == as_exit_reason(x)``.
    """
    if isinstance(term, _REASONS):
        return term
    if isinstance(term, str):
        return _ATOMS.get(term) or Exit(term)
    if isinstance(term, BaseException):
        return Crashed(term)
    if is_pair(term) and isinstance(term[0], str) and term[0] == "shutdown":
        return Shutdown(term[1])
    return Exit(term)


def is_kill(reason: ExitReason) -> bool:
    """Tell whether *reason* is ``Exit("kill")``; a term of another type is not compared."""
    return isinstance(reason, Exit) and isinstance(reason.term, str) and reason.term == "kill"


def is_bare_shutdown(reason: ExitReason) -> bool:
    """Tell whether *reason* is ``Shutdown()``; a detail is not compared, since that may raise."""
    return isinstance(reason, Shutdown) and reason.detail is None


def is_same(one: ExitReason, other: ExitReason) -> bool:
    """Tell whether two reasons are equal; terms that cannot be compared are not."""
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001  # a stranger's __eq__ may raise anything
        return False


def is_pair(term: object) -> TypeGuard[tuple[object, object]]:
    """Tell whether *term* is a tuple of two."""
    return isinstance(term, tuple) and len(cast("tuple[object, ...]", term)) == 2  # noqa: PLR2004


def cause_of(reason: ExitReason) -> BaseException | None:
    """
    Return the exception that tells the whole story of *reason*, for errors to be chained to.

    Args:
        reason: Why a process ended.

    Returns:
        What it crashed with, or why its supervisor gave up; ``None`` if there is no exception.
    """
    if isinstance(reason, Crashed):
        return reason.exception
    return reason.cause if isinstance(reason, Shutdown) else None


def is_abnormal(reason: ExitReason) -> bool:
    """
    Tell whether a transient child that ended so would be restarted.

    Args:
        reason: Why a process ended.

    Returns:
        ``False`` for ``Normal`` and every ``Shutdown``, ``True`` for all else. OTP: supervisor's
        ``do_restart``.
    """
    return not isinstance(reason, Normal | Shutdown)
