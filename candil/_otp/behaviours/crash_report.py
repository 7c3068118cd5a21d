"""
What a server says of itself when it crashes: its last message, its state, and who waited for it.
OTP: the error report of ``gen_server``, and ``format_status``.

All of it is text, made when the server ends: a report that is kept keeps no state alive.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any, cast

import trio

from candil._otp.behaviours.calls import Call, Cast
from candil._otp.processes.runtime import current_process
from candil._otp.values.errors import short_repr
from candil._otp.values.events import CrashReport

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from candil._otp.values.pids import Pid

LONGEST = 500
FRAMES = 10  # of the client's stack, the innermost

_RUNTIMES = ("candil._otp.", "trio.")

Message = tuple[object, ...]


def message_of(message: object) -> Message:
    """Return a message as ``format_status`` gets it: its kind first, and then what it holds."""
    if isinstance(message, Call):
        return ("call", message.request, message.args, message.kwargs)
    if isinstance(message, Cast):
        return ("cast", message.message, message.args, message.kwargs)
    return ("info", message)


def crash_report(instance: object, message: Message | None, client: Client | None) -> CrashReport:
    """
    Return what is known of a server that ends by itself.

    Args:
        instance: Its state.

        message: What it handled last, or ``None`` if it had none.

        client: Who waits for the answer.
    """
    status = shown_status(instance, message)
    return CrashReport(
        last_message=None if message is None else describe_message(status["message"]),
        state=_describe_state(status["state"]),
        client=None if client is None else client.pid,
        client_stack="" if client is None else client.stack,
    )


def shown_status(instance: object, message: Message | None) -> dict[str, object]:
    """Return state and message as the server's ``format_status`` wants them to be shown."""
    status: dict[str, object] = {"state": instance, "message": message}
    hook = getattr(instance, "format_status", None)
    if hook is None:
        return status
    try:
        return status | dict(hook(dict(status)))
    except Exception as error:  # noqa: BLE001  # a stranger's hook; what it would hide stays hidden
        hidden = _Words(f"(format_status raised {type(error).__name__})")
        return {"state": hidden, "message": hidden}


class _Words(str):
    """Text that is shown as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def describe_message(message: object) -> str:
    """Return ``call increment(1, by=2)``, or the repr of what ``format_status`` gave instead."""
    if not isinstance(message, tuple):
        return repr_of(message)
    parts = cast("Message", message)
    match parts:
        case (("call" | "cast"), str(name), tuple(), dict()):
            args, kwargs = cast("tuple[tuple[object, ...], dict[str, object]]", parts[2:])
            given = [*map(repr_of, args), *(f"{key}={repr_of(kwargs[key])}" for key in kwargs)]
            return _cut(f"{parts[0]} {name}({', '.join(given)})")
        case (str(kind), held, *_):
            return _cut(f"{kind} {repr_of(held)}")
        case _:
            return repr_of(parts)


def repr_of(value: object) -> str:
    """Return the repr of one value, cut."""
    return short_repr(value, LONGEST)


def _describe_state(state: object) -> str:
    """Return its repr, or, where it has none of its own, its attributes."""
    cls: Any = type(state)
    if cls.__repr__ is not object.__repr__:
        return repr_of(state)
    held = getattr(state, "__dict__", {})
    shown = ", ".join(f"{name}={short_repr(value, 80)}" for name, value in held.items())
    return _cut(f"{cls.__name__}({shown})")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


class Client:
    """
    Who waits for a call.

    Attributes:
        pid: The process, or ``None`` if it is none.

        stack: Where its task is, innermost last.
    """

    __slots__ = ("pid", "stack")

    def __init__(self, pid: Pid[object] | None, stack: str) -> None:
        self.pid = pid
        self.stack = stack

    @classmethod
    def of_call(cls, call: Call) -> Client | None:
        """Return the caller, unless it has given up."""
        if call.task is None:
            return None
        return cls(call.pid, _stack_of(call.task.iter_await_frames()))

    @classmethod
    def running(cls) -> Client:
        """Return the task that runs now: it made its call in place."""
        process = current_process.get()
        own = getattr(trio.lowlevel.current_task().coro, "cr_frame", None)
        frames: list[tuple[FrameType, int]] = []
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # documented, and the only way
        while frame is not None:
            frames.append((frame, frame.f_lineno))
            frame = None if frame is own else frame.f_back
        return cls(None if process is None else process.pid, _stack_of(reversed(frames)))


def _stack_of(frames: Iterable[tuple[FrameType, int]]) -> str:
    """Leave out the frames of candil and trio: a caller knows those that it wrote."""
    shown = [
        (frame, line)
        for frame, line in frames
        if not frame.f_globals.get("__name__", "").startswith(_RUNTIMES)
    ]
    return "".join(traceback.StackSummary.extract(iter(shown[-FRAMES:])).format())
