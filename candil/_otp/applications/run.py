"""
Running a tree as a whole program: trio, exit code, last words. OTP: an application's ``start``.

Not here: the signals (``stop_signals.py``), how words are written and the program left at once
(``leaving.py``).
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Unpack, final

import attrs
import trio

from candil._otp.applications import leaving
from candil._otp.applications.open import Tree, as_tree, open_tree
from candil._otp.applications.stop_signals import EXIT_BY_SIGNAL, StopSignals, take_signals
from candil._otp.behaviours.errors import CHAINED, StartError
from candil._otp.processes.event_stream import subscribe
from candil._otp.processes.runtime import get_runtime
from candil._otp.supervisors.errors import RestartIntensityExceeded
from candil._otp.values.events import SupervisorReport
from candil._otp.values.exit_errors import ProcessTerminated
from candil._otp.values.reports import describe_event

if TYPE_CHECKING:
    from candil._otp.processes.node import Node
    from candil._otp.supervisors.supervisor_spec import SupervisorOptions, SupervisorSpec

EXIT_FAILED = 1
EXIT_GAVE_UP = 3
EXIT_STUCK = 70
BLOCKED_SECONDS = 30.0


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
            running for 30 s. stderr says what happened, in plain words.
    """
    if trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "candil.run is a whole program, and a trio program is running already: in it use "
            "`async with candil.open_supervisor(tree)`, or nursery.start(candil.serve, tree)"
        )
    leaving.save_terminal()
    code = 0
    try:
        code = trio.run(_main, as_tree(tree, options), log)
    finally:
        # What a program has printed in vain is its own loss; a code that tells why stands.
        leaving.drop_unwritable(["stderr", "stdout"] if code else ["stderr"])
    if code:
        raise SystemExit(code)


@final
@attrs.define(eq=False)
class _LastReport:
    """The last report of a supervisor, for those who have no log."""

    report: SupervisorReport | None = None

    def __call__(self, event: object) -> None:
        if isinstance(event, SupervisorReport):
            self.report = event


async def _main(spec: SupervisorSpec, log: bool) -> int:  # noqa: FBT001  # positional through trio.run
    signals = StopSignals(get_runtime(), trio.CancelScope(), BLOCKED_SECONDS)
    last = _LastReport()
    with take_signals(signals), subscribe(last):
        return await _run_tree(spec, signals, last, log=log)


async def _run_tree(
    spec: SupervisorSpec, signals: StopSignals, last: _LastReport, *, log: bool
) -> int:
    try:
        with signals.scope:
            async with open_tree(spec, log=log, opened=_leave_when_stuck):
                await trio.sleep_forever()
    except RestartIntensityExceeded as error:
        leaving.say(str(error))
        return EXIT_GAVE_UP
    except (StartError, ProcessTerminated) as error:
        leaving.say(_last_words(error, last.report, log=log))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_BY_SIGNAL + signal.SIGINT
    return EXIT_BY_SIGNAL + signals.signal if signals.signal is not None else 0


def _leave_when_stuck(node: Node) -> None:
    node.stuck = lambda: leaving.leave("a task would not end; leaving without it", EXIT_STUCK)


def _last_words(error: Exception, report: SupervisorReport | None, *, log: bool) -> str:
    # The chain that the sentence points to is shown by the log alone.
    where = "The log shows where" if log else "With log=True the log shows where"
    words = str(error).replace(CHAINED, where)
    told = None if log or report is None else describe_event(report)  # else the log has it
    return words if told is None else f"{words}\n  last report: {told}"
