"""Messages that are sent later, once or at intervals. OTP: ``erlang:send_after/3``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import attrs
import trio

from candil._otp.processes.call_deadlines import is_time
from candil._otp.processes.node import current_node
from candil._otp.processes.process import post
from candil._otp.processes.runtime import resolve
from candil._otp.values.errors import short_repr
from candil._otp.values.names import name_key
from candil._otp.values.pids import is_pid

if TYPE_CHECKING:
    from candil._otp.processes.process import Process
    from candil._otp.processes.timers import Timer, Timers
    from candil._otp.values.names import Server


@final
@attrs.define(eq=False, repr=False)
class TimerRef:
    """One timer of ``send_after`` or ``start_interval``."""

    _timers: Timers
    _target: Server[object]
    _message: object
    _interval: float | None
    _process: Process | None  # whose end is the end of this timer
    _deadline: float = 0.0
    _timer: Timer | None = None

    def __repr__(self) -> str:
        every = "" if self._interval is None else f", every {self._interval:g} s"
        return f"<TimerRef to {self._target!r}{every}>"

    def start(self, seconds: float) -> None:
        """Arm it; not for users."""
        self._arm(trio.current_time() + seconds)
        if self._process is not None:
            timers = self._process.message_timers = self._process.message_timers or set()
            timers.add(self)

    def cancel(self) -> float | None:
        """Disarm it; users call ``cancel_timer``."""
        armed = self._timer is not None
        self.end()
        return max(0.0, self._deadline - trio.current_time()) if armed else None

    def end(self) -> None:
        """Disarm it and free the message, which a reference to the timer does not need."""
        timer, self._timer = self._timer, None
        process, self._process = self._process, None
        self._message = None
        if timer is not None:
            timer.cancel()
        if process is not None and process.message_timers is not None:
            process.message_timers.discard(self)

    def _arm(self, deadline: float) -> None:
        self._deadline = deadline
        self._timer = self._timers.call_at(deadline, self._fire)

    def _fire(self) -> None:
        message, process = self._message, resolve(self._target)
        if self._interval is None:
            self.end()
        else:  # from the deadline, not from now: a late message does not delay those that follow
            self._arm(self._deadline + self._interval)
        if process is not None:  # last, since a subscriber to MailboxHigh may cancel the timer
            post(process, message)


def send_after(target: Server[object], message: object, seconds: float) -> TimerRef:
    """
    Send *message* after some seconds. OTP: ``erlang:send_after``.

    The timer to a pid ends with its process. The message to a name is dropped if no process holds
    the name by then.

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
    process = target.process if is_pid(target) else None
    ref = TimerRef(current_node().timers, target, message, None, process)
    _check_seconds(seconds)
    if process is not None or not is_pid(target):
        ref.start(seconds)
    return ref


def start_interval(target: Server[object], message: object, seconds: float) -> TimerRef:
    """
    Send *message* every so many seconds, until it is cancelled or the process ends. OTP:
    ``timer:send_interval``.

    Each message is due one interval after the one before was due. A message that comes late, since
    the event loop was blocked, does not delay those that follow, and none is left out.

    Args:
        target: A pid or a name. A name is looked up each time, but the interval ends with the
            process that holds the name now: the next holder starts an interval of its own. If no
            process holds it, nothing is ever sent.

        message: The same object each time.

        seconds: Between two messages, and before the first; more than 0.

    Returns:
        What ``cancel_timer`` takes.

    Raises:
        ValueError, TypeError, RuntimeError: As for ``send_after``.
    """
    if not is_time(seconds) or seconds == 0:
        message_text = f"an interval must be more than 0 seconds; got {short_repr(seconds)}"
        raise ValueError(message_text)
    _check_target(target)
    process = resolve(target)
    ref = TimerRef(current_node().timers, target, message, seconds, process)
    _check_seconds(seconds)
    if process is not None:
        ref.start(seconds)
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
            f"cancel_timer takes what send_after or start_interval returned; got {short_repr(ref)}"
        )
    return ref.cancel()


def _check_target(target: object) -> None:
    """Raise ``TypeError`` now for what is no name: later it would hit everybody's timers."""
    if not is_pid(target):
        hash(name_key(target))


def _check_seconds(seconds: float) -> None:
    if not is_time(seconds) or seconds == math.inf:
        message = f"a timer needs a finite number of seconds from 0 on; got {short_repr(seconds)}"
        raise ValueError(message)
