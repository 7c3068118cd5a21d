"""
One child, as its supervisor knows it: its start and its end.

Not here: which child and when (``supervisor.py``), what its start does (``child_start.py``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

import attrs

from candil._otp.behaviours.errors import AlreadyStarted, StartError
from candil._otp.processes.process import Process, join, kill, send_exit, unlink_processes
from candil._otp.values.exit_reasons import (
    SHUTDOWN,
    ExitReason,
    Killed,
    is_abnormal,
    is_bare_shutdown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from candil._otp.processes.timers import Timer
    from candil._otp.supervisors.child_spec import ChildSpec
    from candil._otp.supervisors.child_start import Started
    from candil._otp.values.pids import Pid


@final
@attrs.define(eq=False)
class Child:
    """
    What a supervisor knows of one child.

    ``pid`` is ``None`` while it is stopped. A child that is being restarted has ``restarting`` set
    and no pid.

    ``arguments`` are those of a child of a template; the others have those of their specs.
    """

    spec: ChildSpec[object]
    pid: Pid[Any] | None = None
    arguments: tuple[tuple[object, ...], Mapping[str, object]] | None = None
    restarting: bool = False
    crashes: int = 0
    started_at: float = -math.inf
    timer: Timer | None = None
    last_pid: Pid[Any] | None = None

    async def start(self, own: Process) -> Started:
        """
        Start what the spec says, linked to the supervisor *own*.

        A temporary child lets go of its arguments then: it is never started again, and they may be
        large. OTP: supervisor's ``save_child``.

        Raises:
            StartError: It did not start; ``.child_id`` is this child's.
        """
        spec = self.spec
        args, kwargs = self.arguments or (spec.args, spec.kwargs)
        try:
            started = await spec.start.start(own, args, kwargs, spec.name)
        except AlreadyStarted as error:
            raise AlreadyStarted(
                error.pid, error.reason, spec.id, label=error.label, name=error.name
            ) from error
        except StartError as error:
            raise StartError(error.reason, spec.id, label=error.label) from error.__cause__
        if spec.restart == "temporary":
            self._drop_arguments()
        return started

    def change_spec(self, spec: ChildSpec[object]) -> None:
        """Take another spec of the same id, for the next start."""
        self.spec = spec
        if spec.restart == "temporary" and self.pid is not None:
            self._drop_arguments()

    def _drop_arguments(self) -> None:
        if self.arguments is not None:
            self.arguments = None
        elif self.spec.args or self.spec.kwargs:
            self.spec = attrs.evolve(self.spec, args=(), kwargs={})

    def cancel_timer(self) -> None:
        """Cancel a start that is delayed."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def describe(self) -> dict[str, object]:
        """Return the offender of a report."""
        spec = self.spec
        return {
            "id": spec.id,
            "pid": self.pid,
            "start": spec.target,
            "restart": spec.restart,
            "shutdown": spec.shutdown,
            "type": spec.type,
            "significant": spec.significant,
        }


@final
@attrs.define(eq=False)
class RetryRestart:
    """
    A supervisor's message to itself: start this child again.

    Attributes:
        child: Which.

        failure: Why its last start failed; ``None`` after a delay, when that has been counted.

        timer: What posted this, after a delay.
    """

    child: Child
    failure: ExitReason | None = None
    timer: Timer | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the child was stopped or started since, or is delayed anew."""
        delayed = self.timer is not None
        return not self.child.restarting or (delayed and self.timer is not self.child.timer)


async def stop_child_process(own: Process, child: Child) -> ExitReason | None:
    """
    End the child as its spec says, wait until it has ended, and give its reason.

    Gives ``None`` if it had ended before. OTP: supervisor's ``shutdown/1``.
    """
    process = None if child.pid is None else child.pid.process
    if process is None:
        return None
    unlink_processes(own, process)
    budget = child.spec.shutdown
    if budget == "brutal_kill":
        kill(process)
    else:
        send_exit(process, own.pid, SHUTDOWN)
        if await join(process, budget):
            return process.exit_reason
        kill(process)
    await join(process, math.inf)
    return process.exit_reason


def is_expected(reason: ExitReason, spec: ChildSpec[object]) -> bool:
    """Tell whether a child that was stopped ended as it should, which needs no report."""
    if isinstance(reason, Killed):
        return spec.shutdown == "brutal_kill"
    if is_bare_shutdown(reason) and spec.shutdown != "brutal_kill":
        return True
    return not is_abnormal(reason) and spec.restart != "permanent"
