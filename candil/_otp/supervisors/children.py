"""
Starting and stopping the children of one supervisor, one by one or in groups.

1. A child that was found dead while it was to be stopped ended for a reason of its own: its exit
   signal, which still waits in the mailbox, has it. OTP: ``unlink_flush``.
2. What goes wrong is reported here, once, with OTP's context for it.

Not here: how children are found (``child_table.py``), whether and which are started again
(``supervisor.py``, ``restarts.py``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

import trio

from candil._otp.behaviours.errors import StartError
from candil._otp.processes.process import Process, join, kill, send_exit, unlink_processes
from candil._otp.supervisors.child import Child, is_expected, stop_child_process
from candil._otp.supervisors.child_start import Started, StartedChild
from candil._otp.values.events import ChildStarted, ChildStopped, SupervisorReport
from candil._otp.values.exit_reasons import SHUTDOWN, ExitReason, NoProcess
from candil._otp.values.messages import ExitSignal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from candil._otp.supervisors.child_table import ChildTable
    from candil._otp.values.pids import Pid


@final
class ChildProcesses:
    """
    The processes of the children of one supervisor.

    Args:
        own: The supervisor's own process.

        table: Its children.

        supervisor_id: The id of the supervisor in its own supervisor, for reports.
    """

    def __init__(self, own: Process, table: ChildTable, supervisor_id: object) -> None:
        self.own = own
        self.supervisor_id = supervisor_id
        self.table = table

    # --- starting

    async def start(self, child: Child) -> Started:
        """
        Start one child, which a request asked for; one that wants to be ignored is kept without a
        process, unless it is temporary.

        Raises:
            StartError: It did not start; that is not reported.
        """
        restarted = child.last_pid is not None
        started = await child.start(self.own)
        pid = started.pid if isinstance(started, StartedChild) else started
        child.started_at = trio.current_time()
        self.table.note_started(child, pid)
        if pid is not None:
            self._report_start(child.spec.id, pid, restarted=restarted)
        return started

    async def start_all(self, group: Iterable[Child]) -> tuple[Child, StartError] | None:
        """
        Start children one after the other, by the supervisor's own decision.

        Returns:
            The first that did not start, and why, which was reported; the rest are not started.
            ``None`` if all are up.
        """
        for child in list(group):  # one that wants to be ignored may leave the table
            try:
                await self.start(child)
            except StartError as error:
                self.report("start_error", error.reason, child)
                return child, error
        return None

    # --- stopping

    def forget(self, child: Child) -> None:
        """Note that the child has no process and that no restart of it is due."""
        self.table.forget(child)
        runtime = self.own.runtime
        if runtime.subscribers:
            runtime.emit(ChildStopped(self.supervisor, child.spec.id))

    async def stop(self, child: Child) -> None:
        """Stop one child as its spec says, and forget its process."""
        await self.stop_all([child])

    async def stop_all(self, group: Iterable[Child]) -> None:
        """Stop children one after the other, the last started first."""
        dead: dict[Pid[Any], ExitReason] = {}
        for child in reversed(list(group)):
            child.cancel_timer()
            pid = child.pid
            if pid is not None:
                self.table.by_pid.pop(pid, None)
                reason = await stop_child_process(self.own, child)
                if reason is None:
                    if pid not in dead:
                        dead = self._exits()
                    reason = dead.get(pid, NoProcess())
                self._report_stop(reason, child)
            self.forget(child)

    async def stop_every_child(self) -> None:
        """Stop all children, in the way of their table."""
        if self.table.stops_together:
            await self._stop_together()
        else:
            await self.stop_all(self.table)

    async def _stop_together(self) -> None:
        """Signal all children, and then give each its time to end."""
        for child in self.table:
            child.cancel_timer()
        found = {child: child.pid.process for child in self.table if child.pid is not None}
        running = {child: process for child, process in found.items() if process is not None}
        for child, process in running.items():
            unlink_processes(self.own, process)
            if child.spec.shutdown == "brutal_kill":
                kill(process)
            else:
                send_exit(process, self.own.pid, SHUTDOWN)
        await self._join_together(running)
        self._report_stops(
            {
                child: None if process is None else process.exit_reason
                for child, process in found.items()
            }
        )

    async def _join_together(self, running: dict[Child, Process]) -> None:
        began = trio.current_time()
        for child, process in running.items():
            budget = child.spec.shutdown
            if budget != "brutal_kill" and not await join(
                process, max(0.0, began + budget - trio.current_time())
            ):
                kill(process)
        for process in running.values():
            await join(process, math.inf)

    def _exits(self) -> dict[Pid[Any], ExitReason]:
        """Return the reasons of those whose exit signals wait in the mailbox."""
        return {
            message.pid: message.reason
            for message in self.own.mailbox
            if type(message) is ExitSignal and message.pid is not None
        }

    # --- reports

    @property
    def supervisor(self) -> object:
        """What reports call the supervisor: its name, or its pid."""
        return self.own.registered or self.own.pid

    def report(self, context: str, reason: ExitReason, child: Child, **instead: object) -> None:
        """Tell that something went wrong with *child*, whose description *instead* may change."""
        runtime = self.own.runtime
        if runtime.subscribers or runtime.log is not None:
            offender = child.describe() | instead
            runtime.emit(
                SupervisorReport(self.supervisor, context, reason, offender, self.supervisor_id)
            )

    def _report_start(self, child_id: object, pid: Pid[Any], *, restarted: bool) -> None:
        runtime = self.own.runtime
        level = "INFO" if restarted else "DEBUG"
        if runtime.subscribers or (runtime.log is not None and runtime.log.writes(level)):
            runtime.emit(
                ChildStarted(self.supervisor, child_id, pid, restarted, self.supervisor_id)
            )

    def _report_stop(self, reason: ExitReason, child: Child) -> None:
        if not is_expected(reason, child.spec):
            self.report("shutdown_error", reason, child)

    def _report_stops(self, reasons: dict[Child, ExitReason | None]) -> None:
        """Report those of a template that ended oddly, together by reason, as OTP does."""
        dead = self._exits() if None in reasons.values() else {}
        odd: dict[object, tuple[ExitReason, list[Child]]] = {}
        for child, known in reasons.items():
            assert child.pid is not None
            reason = dead.get(child.pid, NoProcess()) if known is None else known
            if not is_expected(reason, child.spec):
                odd.setdefault(_hashable(reason), (reason, []))[1].append(child)
        for reason, children in odd.values():
            self.report("shutdown_error", reason, children[0], pid=None, nb_children=len(children))


def _hashable(reason: ExitReason) -> object:
    """Return what stands for *reason* as a key: its term may be anything."""
    try:
        hash(reason)
    except TypeError:
        return id(reason)
    return reason
