"""How events are logged: at which level, and with which fields beside the sentence."""

from __future__ import annotations

from typing import Any

from candil._otp.values.errors import short_repr
from candil._otp.values.events import (
    ChildStarted,
    Hint,
    LoopBlocked,
    MailboxHigh,
    ProcessExited,
    ProcessLingers,
    Reportable,
    SupervisorReport,
    UnhandledMessage,
)
from candil._otp.values.exit_reasons import Crashed, Normal, Shutdown

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40  # of logging, which is imported by its users only

LEVELS = {"DEBUG": DEBUG, "INFO": INFO, "WARNING": WARNING, "ERROR": ERROR}

_FAULTS = (SupervisorReport, LoopBlocked, ProcessLingers, MailboxHigh)
_KNOWN = (*_FAULTS, ProcessExited, ChildStarted, UnhandledMessage, Hint)
_PLAIN = (str, int, float, bool, type(None))


def level_of(event: object) -> int | None:
    """
    Return the level of an event's line, or ``None`` for everyday business.

    A process that an exit signal ended did not crash: the sender did, or knows why.
    """
    match event:
        case ProcessExited():
            everyday = event.signalled or isinstance(event.reason, Normal | Shutdown)
            return None if everyday else ERROR
        case UnhandledMessage():
            return WARNING
        case Hint():
            return INFO
        case ChildStarted():
            return INFO if event.restarted else DEBUG
        case Reportable():
            return None if event.report() is None else LEVELS[event.level]
        case _:
            return ERROR if isinstance(event, _FAULTS) else None


def fields_of(event: object) -> dict[str, Any]:
    """
    Return the fields of a log record, for ``extra``: each begins with ``candil_``.

    Values are strings, numbers, booleans or ``None``.
    """
    fields: dict[str, object] = {"event": type(event).__name__}
    if isinstance(event, _KNOWN):
        fields |= {name: getattr(event, name) for name in _FIELDS if hasattr(event, name)}
    if isinstance(event, ProcessExited):
        fields |= _crash_fields(event)
    if isinstance(event, SupervisorReport):
        fields |= {"child_id": event.offender.get("id"), "pid": event.offender.get("pid")}
    pid = fields.get("pid")
    if hasattr(pid, "label"):
        fields["label"] = getattr(pid, "label", None)
    reason = getattr(event, "reason", None)
    if "reason" in fields:
        fields["reason"] = type(reason).__name__.lower()
        fields["exception"] = (
            type(reason.exception).__name__ if isinstance(reason, Crashed) else None
        )
    return {f"candil_{name}": _plain(value) for name, value in fields.items()}


_FIELDS = (
    "pid",
    "name",
    "reason",
    "supervisor",
    "supervisor_id",
    "child_id",
    "context",
    "restarted",
    "seconds",
    "abandoned",
    "length",
    "server",
    "message",
)


def _crash_fields(event: ProcessExited) -> dict[str, object]:
    crash = event.crash
    if crash is None:
        return {}
    return {"last_message": crash.last_message, "state": crash.state, "client": crash.client}


def _plain(value: object) -> object:
    return value if type(value) in _PLAIN else short_repr(value)
