"""
The signals that stop a program: SIGINT, SIGTERM, SIGHUP and SIGQUIT.

1. A handler only counts, and the loop acts between two steps, so no signal ever lands as a
   ``KeyboardInterrupt`` in the middle of some code.
2. The first stops the program in order; the second stops everything at once, also if the loop is
   kept from running, or if something still cleans up a second later.
3. A forked child is another program: it gets the handlers of before.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

import attrs
import trio

from candil._otp.applications import leaving
from candil._otp.processes.interrupts import ki_protected_context
from candil._otp.processes.runtime import Runtime, get_runtime

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from types import FrameType

EXIT_BLOCKED = 71
EXIT_BY_SIGNAL = 128
SECOND_SIGNAL_SECONDS = 1.0

_SIGNALS = [
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    if (number := getattr(signal, name, None)) is not None
]

_replaced: list[dict[int, Any]] = []  # the handlers of before, for each block that is open


class StoppedBySignal(SystemExit):
    """
    Raised by ``stop_on_signals`` when a signal has stopped its block. Not caught, it ends the
    program with ``code``, and without a traceback.

    Attributes:
        signal: Which signal came first.

        code: 128 and its number, as a shell has it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(EXIT_BY_SIGNAL + number)
        self.signal = signal.Signals(number)

    def __reduce__(self) -> tuple[type[StoppedBySignal], tuple[int]]:
        return type(self), (int(self.signal),)


@final
@attrs.define(eq=False)
class StopSignals:
    """What signals have come, and what they did: the first cancels *scope*."""

    runtime: Runtime
    scope: trio.CancelScope
    blocked_seconds: float = math.inf
    signal: int | None = None
    caught: int = 0
    stopping: bool = False
    last_resort: threading.Timer | None = None
    is_over: bool = False

    def stop(self, number: int) -> None:
        """Begin the orderly stop, or, the second time, end everything."""
        if self.is_over:
            return
        if not self.stopping:
            self.stopping = True
            self.signal = number
            self.scope.cancel()
            return
        for node in list(self.runtime.nodes):
            node.kill_all()
        if self.last_resort is None:
            self.last_resort = threading.Timer(
                SECOND_SIGNAL_SECONDS, leaving.leave_silently, [EXIT_BY_SIGNAL + number]
            )
            self.last_resort.daemon = True  # a program that ends by itself does not wait for it
            self.last_resort.start()
        leaving.say(f"second signal: stopping at once ({signal.Signals(number).name})")

    def catch(self, number: int) -> None:
        """Count a signal, in its handler: the loop may be kept from ever taking it."""
        self.signal = self.signal or number
        self.caught += 1

    def while_blocked(self, seconds: float) -> None:
        """End the program for the loop, which something has kept from running for so long."""
        if self.caught > 1 and self.signal is not None:
            leaving.leave(
                "second signal, and something keeps the program busy: leaving at once",
                EXIT_BY_SIGNAL + self.signal,
            )
        if seconds >= self.blocked_seconds:
            leaving.leave(f"the event loop has not run for {seconds:.0f} s", EXIT_BLOCKED)

    def over(self) -> None:
        """Call off what would end the program: it ends by itself."""
        self.is_over = True
        if self.last_resort is not None:
            self.last_resort.cancel()


@contextmanager
def take_signals(signals: StopSignals) -> Generator[None]:
    """Have *signals* act on the signals of this process while the block lasts."""
    before, signals.runtime.while_blocked = signals.runtime.while_blocked, signals.while_blocked
    try:
        if threading.current_thread() is threading.main_thread():
            with _received(signals):
                yield
        else:
            yield
    finally:
        signals.runtime.while_blocked = before
        signals.over()


@contextmanager
def _received(signals: StopSignals) -> Generator[None]:
    """Replace the handlers: they count a signal, and have the loop act on it."""
    token = trio.lowlevel.current_trio_token()

    def handle(number: int, _frame: FrameType | None) -> None:
        signals.catch(number)
        token.run_sync_soon(signals.stop, number)

    wanted = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in wanted}
    _replaced.append(before)
    try:
        yield
    finally:
        _replaced.remove(before)
        for number, handler in before.items():
            signal.signal(number, handler)


def _give_back_handlers() -> None:
    """In a forked child: the handlers and the wake-up descriptor are those of its parent's loop."""
    if not _replaced:
        return
    for number, handler in _replaced[0].items():
        is_trios = getattr(handler, "__module__", "").startswith("trio.")
        signal.signal(number, signal.default_int_handler if is_trios else handler)
    _replaced.clear()
    signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):  # pragma: no branch  # where there is fork
    os.register_at_fork(after_in_child=_give_back_handlers)


@ki_protected_context
async def stop_on_signals() -> AsyncGenerator[None]:  # noqa: ASYNC124  # a block of `async with`
    """
    Stop what runs in the block, in order, when SIGINT, SIGTERM, SIGHUP or SIGQUIT comes; for
    programs with a ``trio.run`` of their own, as ``candil.run`` does it by itself.

    The first signal cancels the block, so the trees in it stop in order; the block then raises
    ``StoppedBySignal``, a ``SystemExit``. A second one kills all processes, and leaves by
    ``os._exit`` what keeps the loop from running or still cleans up a second later. A signal that
    was ignored when the program began, as by ``nohup``, stays so. A child made by ``os.fork`` or
    ``multiprocessing`` gets the handlers of before.

    Raises:
        StoppedBySignal: A signal came; all in the block has been stopped. What the block raises by
            itself leaves it as itself.

        RuntimeError: It was entered in another thread than the main one, where no signals come.

    Cancellation:
        As of any block.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "candil.stop_on_signals() was entered outside of the main thread, which alone gets "
            "signals. Enter it there, or stop the tree of this thread yourself"
        )
    signals = StopSignals(get_runtime(), trio.CancelScope())
    leaving.save_terminal()
    with take_signals(signals), signals.scope:
        yield
    if signals.signal is not None:
        raise StoppedBySignal(signals.signal)
