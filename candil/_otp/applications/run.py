"""
Running a tree as a whole program: trio, signals, exit code, last words. OTP: an application's
``start`` under ``erl``.

1. Signals are taken by a task, so none ever lands as a ``KeyboardInterrupt`` in the middle of
   somebody's code.
2. The first stops the tree in order; the second stops everything at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Unpack, final

import attrs
import trio

from candil._otp.applications.open import Tree, as_tree, open_tree
from candil._otp.behaviours.errors import CHAINED, StartError
from candil._otp.processes.event_stream import subscribe
from candil._otp.supervisors.errors import RestartIntensityExceeded
from candil._otp.values.events import SupervisorReport
from candil._otp.values.exit_errors import ProcessTerminated
from candil._otp.values.reason_summaries import summary_of
from candil._otp.values.reports import describe_event

if TYPE_CHECKING:
    from types import FrameType

    from candil._otp.processes.node import Node
    from candil._otp.supervisors.supervisor_spec import SupervisorOptions, SupervisorSpec

EXIT_FAILED = 1
EXIT_GAVE_UP = 3
EXIT_STUCK = 70
EXIT_BLOCKED = 71
EXIT_BY_SIGNAL = 128
SECOND_SIGNAL_SECONDS = 1.0
BLOCKED_SECONDS = 30.0

_SIGNALS = [
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    if (number := getattr(signal, name, None)) is not None
]


def run(tree: Tree, *, log: bool = True, **options: Unpack[SupervisorOptions]) -> None:
    """
    Run a supervision tree as the whole program: ``candil.run(tree)`` calls ``trio.run``.

    SIGINT, SIGTERM, SIGHUP and SIGQUIT stop the tree in order; a second one stops it at once. One
    that was ignored when the program began, as by ``nohup``, stays so.

    Where the program exits with 70 or 71, or a second signal finds the loop kept from running, or
    something that still cleans up a second later, it leaves by ``os._exit``: at once, with no
    ``finally`` and no ``atexit``.

    Args:
        tree: A ``SupervisorSpec``, or a list of children.

        log: Whether crashes and reports go to the logger ``candil``, which prints them to stderr
            unless it is configured.

        options: With a list of children, the options of ``supervisor_spec``.

    Returns:
        When the tree has ended by ``auto_shutdown``, or by ``candil.stop(candil.root())``.

    Raises:
        SpecError: The tree is wrong; nothing was started.

        RuntimeError: A trio program runs already, in which ``open_supervisor`` opens a tree.

        SystemExit: With a code that tells why: 130, 143, 129 or 131 after SIGINT, SIGTERM, SIGHUP
            or SIGQUIT; 3 when the root gave up; 1 when a child did not start, or the root was ended
            in another way; 70 when a task would not end; 71 when something kept the event loop from
            running for 30 s. What happened is told on stderr in plain words.
    """
    if trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "candil.run is a whole program, and a trio program is running already: in it use "
            "`async with candil.open_supervisor(tree)`, or nursery.start(candil.serve, tree)"
        )
    code = trio.run(_main, as_tree(tree, options), log)
    if code:
        raise SystemExit(code)


@final
@attrs.define(eq=False)
class _Program:
    """What the signals and the tree have to tell each other."""

    scope: trio.CancelScope
    last_report: SupervisorReport | None = None
    signal: int | None = None
    caught: int = 0
    stopping: bool = False
    node: Node | None = None
    last_resort: threading.Timer | None = None

    def note(self, event: object) -> None:
        if isinstance(event, SupervisorReport):
            self.last_report = attrs.evolve(event, reason=summary_of(event.reason))

    def stop(self, number: int) -> None:
        """Begin the orderly stop, or, the second time, end everything."""
        if not self.stopping:
            self.stopping = True
            self.signal = number
            self.scope.cancel()
            return
        _say(f"second signal: stopping at once ({signal.Signals(number).name})")
        if self.node is not None:
            self.node.kill_all()
        if self.last_resort is None:
            self.last_resort = threading.Timer(
                SECOND_SIGNAL_SECONDS, os._exit, [EXIT_BY_SIGNAL + number]
            )
            self.last_resort.daemon = True  # a program that ends by itself does not wait for it
            self.last_resort.start()

    def catch(self, number: int) -> None:
        """Count a signal, in its handler: the loop may be kept from ever hearing of it."""
        self.signal = self.signal or number
        self.caught += 1

    def while_blocked(self, seconds: float) -> None:
        """End the program for the loop, which something has kept from running for so long."""
        if self.caught > 1 and self.signal is not None:
            _leave(
                "second signal, and something keeps the program busy: leaving at once",
                EXIT_BY_SIGNAL + self.signal,
            )
        if seconds >= BLOCKED_SECONDS:
            _leave(f"the event loop has not run for {seconds:.0f} s", EXIT_BLOCKED)

    def host(self, node: Node) -> None:
        """Learn which node the tree is in, before anything runs there."""
        self.node = node
        node.stuck = _leave_stuck
        node.runtime.while_blocked = self.while_blocked

    def over(self) -> None:
        """Call off what would end the program: it ends by itself."""
        if self.last_resort is not None:
            self.last_resort.cancel()


async def _main(spec: SupervisorSpec, log: bool) -> int:  # noqa: FBT001  # positional through trio.run
    program = _Program(trio.CancelScope())
    async with trio.open_nursery() as nursery:
        if threading.current_thread() is threading.main_thread():
            await nursery.start(_take_signals, program)
        with subscribe(program.note):
            code = await _run_tree(spec, program, log=log)
        program.over()
        nursery.cancel_scope.cancel()
    return code


async def _take_signals(
    program: _Program, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    wanted = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    with trio.open_signal_receiver(*wanted) as signals:
        for number in wanted:
            _count(number, program)
        task_status.started()
        async for number in signals:
            program.stop(number)


def _count(number: int, program: _Program) -> None:
    """Have *program* count a signal before trio takes it."""
    take: Any = signal.getsignal(number)

    def handle(caught: int, frame: FrameType | None) -> None:
        program.catch(caught)
        take(caught, frame)

    signal.signal(number, handle)


async def _run_tree(spec: SupervisorSpec, program: _Program, *, log: bool) -> int:
    try:
        with program.scope:
            async with open_tree(spec, log=log, opened=program.host):
                await trio.sleep_forever()
    except RestartIntensityExceeded as error:
        _say(str(error))
        return EXIT_GAVE_UP
    except (StartError, ProcessTerminated) as error:
        _say(_last_words(error, program.last_report, log=log))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_BY_SIGNAL + signal.SIGINT
    return EXIT_BY_SIGNAL + program.signal if program.signal is not None else 0


def _last_words(error: Exception, report: SupervisorReport | None, *, log: bool) -> str:
    # The chain that the sentence points to is shown by the log alone.
    where = "The log shows where" if log else "With log=True the log shows where"
    words = str(error).replace(CHAINED, where)
    told = None if log or report is None else describe_event(report)  # else the log has it
    return words if told is None else f"{words}\n  last report: {told}"


def _leave_stuck() -> None:
    _leave("a task would not end; leaving without it", EXIT_STUCK)


def _leave(words: str, code: int) -> None:
    """End the program here and now, from whatever thread."""
    _say(words)
    sys.stderr.flush()
    os._exit(code)


def _say(text: str) -> None:
    print(f"candil: {text}", file=sys.stderr)  # noqa: T201  # the program's last words
