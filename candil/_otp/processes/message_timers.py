"""Messages that are sent later, once or at intervals. OTP: ``erlang:send_after/3``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

import attrs
import trio

from candil._otp.processes.call_deadlines import is_time
from candil._otp.processes.node import current_node
from candil._otp.processes.process import Process, post
from candil._otp.processes.runtime import resolve
from candil._otp.values.names import name_key
from candil._otp.values.pids import Pid

if TYPE_CHECKING:
    from candil._otp.processes.timers import Timer, Timers
    from candil._otp.values.names import Server


@final
@attrs.define(eq=False, repr=False)
class TimerRef:
    """One timer of ``send_after`` or ``start_interval``."""

    _timers: Timers
    _target: Server[Any]
    _message: object
    _interval: float | None
    _timer: Timer | None = None

    def __repr__(self) -> str:
        every = "" if self._interval is None else f", every {self._interval:g} s"
        return f"<TimerRef to {self._target!r}{every}>"

    def start(self, seconds: float) -> None:
        """Arm it; not for users."""
        self._timer = self._timers.call_later(seconds, self._fire)

    def cancel(self) -> float | None:
        """Disarm it; users call ``cancel_timer``."""
        timer, self._timer = self._timer, None
        if timer is None or timer.callback is None:
            return None
        timer.cancel()
        if type(self._target) is Pid and self._target.process is None:
            return None
        return max(0.0, timer.deadline - trio.current_time())

    def _fire(self) -> None:
        process: Process | None = resolve(self._target)
        if process is not None:
            post(process, self._message)
        if self._interval is not None and (process is not None or type(self._target) is not Pid):
            self.start(self._interval)


def send_after(target: Server[Any], message: object, seconds: float) -> TimerRef:
    """
    Send *message* after some seconds; it is dropped if nobody is there then. OTP:
    ``erlang:send_after``.

    Args:
        target: A pid, or a name that is looked up when the time comes.

        message: Any object.

        seconds: From now, at least 0.

    Returns:
        What ``cancel_timer`` takes.

    Raises:
        ValueError: The seconds are no such number.

        TypeError: *target* is neither, as the ``None`` that ``whereis`` gives.

        RuntimeError: No tree is open.
    """
    _check_target(target)
    ref = TimerRef(current_node().timers, target, message, None)
    ref.start(_checked(seconds))
    return ref


def start_interval(target: Server[Any], message: object, seconds: float) -> TimerRef:
    """
    Send *message* every so many seconds, until it is cancelled or the pid has ended. OTP:
    ``timer:send_interval``.

    Args:
        target: As for ``send_after``; a name is looked up each time.

        message: The same object each time.

        seconds: Between two messages, and before the first; more than 0.

    Returns:
        What ``cancel_timer`` takes.

    Raises:
        ValueError, TypeError, RuntimeError: As for ``send_after``.
    """
    if not is_time(seconds) or seconds == 0:
        message_text = f"an interval must be more than 0 seconds; got {seconds!r}"
        raise ValueError(message_text)
    _check_target(target)
    ref = TimerRef(current_node().timers, target, message, seconds)
    ref.start(_checked(seconds))
    return ref


def cancel_timer(ref: TimerRef) -> float | None:
    """
    Disarm a timer. A message that it sent already stays in the mailbox.

    Args:
        ref: What ``send_after`` or ``start_interval`` returned.

    Returns:
        The seconds that were left, or ``None`` if it had fired, was cancelled before, or is for a
        pid that has ended. OTP: ``erlang:cancel_timer``.

    Raises:
        TypeError: *ref* is something else.
    """
    if not isinstance(ref, TimerRef):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"cancel_timer takes what send_after or start_interval returned; got {ref!r}"
        )
    return ref.cancel()


def _check_target(target: object) -> None:
    """Raise ``TypeError`` now for what is no name: later it would hit everybody's timers."""
    if type(target) is not Pid:
        hash(name_key(target))


def _checked(seconds: float) -> float:
    if not is_time(seconds) or seconds == math.inf:
        message = f"a timer needs a finite number of seconds from 0 on; got {seconds!r}"
        raise ValueError(message)
    return seconds
