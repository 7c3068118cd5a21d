"""
GenServer: a class whose instance is the state of a process that handles one message at a time. OTP:
``gen_server``.

The user's instance is the state, and nothing but the state: the loop lives beside it
(``loop.py``), and a restart makes a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from candil._otp.behaviours.actions import Actions
from candil._otp.behaviours.callbacks import CALLBACKS, check_callbacks
from candil._otp.behaviours.handlers import (
    CallHandler,
    CastHandler,
    decorate_overrides,
    handlers_of,
)
from candil._otp.behaviours.loop import ServerLoop
from candil._otp.processes.call_deadlines import check_timeout
from candil._otp.processes.interrupts import allow_keyboard_interrupt
from candil._otp.processes.runtime import current_process
from candil._otp.values.exit_reasons import NORMAL, as_exit_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from candil._otp.behaviours.arity import Functions


class GenServer:
    """
    The base of servers: state, handlers, and OTP's callbacks, each of them optional and plain or
    ``async``.

    A subclass needs no ``super().__init__()``; its constructor runs in the new process. Callbacks:

    - ``init()``: before the start returns. May return ``IGNORE``, or call ``stop_self(reason)`` to
      fail.
    - ``handle_call(request, caller)``: a call that no ``@handle_call`` method is named after.
      Returns the answer, a ``Deferred``, or ``NO_REPLY``.
    - ``handle_cast(message)``: a cast that no ``@handle_cast`` method is named after.
    - ``handle_info(message)``: any other message: ``Down``, ``ExitSignal``, ``Timeout``, whatever
      was sent. Without it they are dropped.
    - ``handle_continue(argument)``: after ``continue_with(argument)``, before anything else in the
      mailbox.
    - ``terminate(reason)``: the last thing a server does when it stops by itself or crashes, or
      when it traps exits and its parent tells it to end. Not when it is killed, and not when a
      signal ends one that does not trap.
    - ``code_change(old_version, extra)``: see ``sys.change_code``.
    - ``format_status(status)``: what a crash report shows, where state or message hold a secret;
      plain. It gets ``{"state": self, "message": ...}`` and returns such a dictionary. The message
      is a tuple: ``("call", name, args, kwargs)``, the same for a cast, ``("info", message)`` or
      ``("continue", argument)``.

    In any of them ``candil.stop_self(reason)`` ends the server after it, and ``candil.self()`` is
    its pid.
    """

    __candil_calls__: ClassVar[Functions] = {}
    __candil_casts__: ClassVar[Functions] = {}
    __candil_sync_handlers__: ClassVar[dict[str, Callable[..., object]]] = {}
    __candil_stops_in_order__: ClassVar[bool] = False  # when its start is cancelled
    __candil_advice__: ClassVar[str | None] = None  # for who asks it what it does not know

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        check_callbacks(cls)
        decorate_overrides(cls)
        for name in (*CALLBACKS, "__init__"):
            allow_keyboard_interrupt(getattr(cls, name, None))
        cls.__candil_calls__ = handlers_of(cls, CallHandler)
        cls.__candil_casts__ = handlers_of(cls, CastHandler)
        cls.__candil_sync_handlers__ = {
            name: function
            for name, (function, is_async, _) in cls.__candil_calls__.items()
            if not is_async
        }


def stop_self(reason: object = NORMAL) -> None:
    """
    Have the current server stop after this callback. OTP: ``{stop, Reason, State}``.

    Returns at once. ``terminate`` runs when the callback has returned. A call handler that stops
    its server still answers, after ``terminate`` has run.

    Args:
        reason: What it shall end with; anything that ``as_exit_reason`` takes.

    Raises:
        RuntimeError: Not called in a callback of a server.
    """
    loop = _own_loop("stop_self")
    actions = loop.actions or Actions()
    actions.stop = as_exit_reason(reason)
    loop.request(actions)


def continue_with(argument: object = None) -> None:
    """
    Have ``handle_continue(argument)`` run after this callback, before anything that is in the
    mailbox. OTP: ``{continue, C}``.

    Args:
        argument: Anything.

    Raises:
        RuntimeError: Not called in a callback of a server.
    """
    loop = _own_loop("continue_with")
    actions = loop.actions or Actions()
    actions.continues.append(argument)
    loop.request(actions)


def set_timeout(seconds: float) -> None:
    """
    Have ``handle_info(Timeout())`` run if no message comes within *seconds* of this callback. OTP:
    the timeout in a reply.

    Any message clears it, also a call; a request of ``candil.sys`` only starts it anew.

    Args:
        seconds: From 0 on; with 0, a message that waits already still comes first.

    Raises:
        ValueError: It is negative or no number.

        RuntimeError: Not called in a callback of a server.
    """
    check_timeout(seconds)
    loop = _own_loop("set_timeout")
    actions = loop.actions or Actions()
    actions.timeout = seconds
    loop.request(actions)


def _own_loop(what: str) -> ServerLoop:
    process = current_process.get()
    loop = None if process is None else process.behaviour
    if not isinstance(loop, ServerLoop):
        message = (
            f"candil.{what}() speaks for the server whose callback calls it; no server "
            "runs this code"
        )
        raise RuntimeError(message)  # noqa: TRY004  # the code is at the wrong place, not of a wrong type
    return loop
