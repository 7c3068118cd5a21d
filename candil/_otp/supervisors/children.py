"""
The children of one supervisor: who they are, and starting and stopping them.

1. Children are found by id and by pid in dictionaries: a restart costs the same among ten and among
   ten thousand.
2. A child that was found dead while it was to be stopped ended for a reason of its own: its exit
   signal, which still waits in the mailbox, tells it. OTP: ``unlink_flush``.
3. What goes wrong is reported here, once, with OTP's context for it.

Not here: whether and which children are started again (``supervisor.py``, ``strategy.py``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, final

import attrs
import trio

from candil._otp.behaviours.errors import StartError
from candil._otp.processes.process import Process, join, kill, send_exit, unlink_processes
from candil._otp.supervisors.child import (
    Child,
    is_expected,
    start_child_process,
    stop_child_process,
)
from candil._otp.values.errors import NoProc
from candil._otp.values.events import ChildStarted, SupervisorReport
from candil._otp.values.exit_reasons import SHUTDOWN, ExitReason
from candil._otp.values.messages import ExitSignal
from candil._otp.values.names import typed_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from candil._otp.supervisors.child_spec import ChildSpec
    from candil._otp.supervisors.supervisor_spec import SupervisorSpec
    from candil._otp.values.pids import Pid


@final
@attrs.frozen
class ChildInfo:
    """
    One child, as ``which_children`` lists it.

    Attributes:
        id: Its id; ``None`` under simple_one_for_one.

        child: Its pid, ``None`` while it is stopped, or ``"restarting"``.

        type: ``"worker"`` or ``"supervisor"``.
    """

    id: object
    child: Pid[Any] | Literal["restarting"] | None
    type: str


@final
@attrs.frozen
class ChildCounts:
    """
    How many children a supervisor has.

    Attributes:
        specs: Child specs, running or not; 1 under simple_one_for_one.

        active: Living child processes.

        supervisors: Children of type supervisor, running or not.

        workers: Children of type worker, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


@final
class Children:
    """
    The table of children, in start order.

    Args:
        own: The supervisor's process.

        spec: What it runs. Children of a template have no id, and come later.
    """

    def __init__(self, own: Process, spec: SupervisorSpec) -> None:
        self.own = own
        self.simple = spec.strategy == "simple_one_for_one"
        self.supervisor_id = spec.id
        self.by_pid: dict[Pid[Any], Child] = {}
        self.retried: dict[Pid[Any], Child] = {}  # by its last pid, all that a template's child has
        self._by_key: dict[object, Child] = {}
        if not self.simple:
            self._by_key = {typed_key(child.id): Child(child) for child in spec.children}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Child]:
        return iter(self._by_key.values())

    def __contains__(self, child: Child) -> bool:
        return self._by_key.get(self._key(child)) is child

    # --- the table

    def get(self, child_id: object) -> Child | None:
        """Find a child by its id."""
        try:
            return self._by_key.get(typed_key(child_id))
        except TypeError:  # it cannot be hashed, so it is nobody's id; no reason to crash
            return None

    def add(self, child: Child) -> None:
        """Add one more, as the last."""
        self._by_key[self._key(child)] = child

    def remove(self, child: Child) -> None:
        """Drop one for good."""
        self._by_key.pop(self._key(child), None)

    def forget(self, child: Child) -> None:
        """
        Note that the child has no process; a temporary one, or one of a template, is gone for good.
        """
        child.pid = None
        self._unmark_restarting(child)
        if child.spec.restart == "temporary" or self.simple:
            self.remove(child)

    def mark_restarting(self, child: Child) -> None:
        """Note that the child has no process, and will."""
        child.pid = None
        child.restarting = True
        if self.simple and child.last_pid is not None:
            self.retried[child.last_pid] = child

    def change_specs(self, specs: tuple[ChildSpec[Any], ...]) -> None:
        """Take new specs by id, in their order; children that have none keep theirs, at the end."""
        if self.simple:
            for child in self:
                child.spec = specs[0]
            return
        old, self._by_key = self._by_key, {}
        for spec in specs:
            key = typed_key(spec.id)
            child = old.pop(key) if key in old else Child(spec)
            child.spec = spec
            self.add(child)
        self._by_key.update(old)

    def info(self) -> list[ChildInfo]:
        """List the children, the last started first, as OTP does."""
        return [
            ChildInfo(
                None if self.simple else child.spec.id,
                "restarting" if child.restarting else child.pid,
                child.spec.type,
            )
            for child in reversed(self._by_key.values())
        ]

    def counts(self) -> ChildCounts:
        """Count the children."""
        active = sum(child.pid is not None and child.pid.process is not None for child in self)
        supervisors = sum(child.spec.type == "supervisor" for child in self)
        specs = 1 if self.simple else len(self)
        return ChildCounts(specs, active, supervisors, len(self) - supervisors)

    def _key(self, child: Child) -> object:
        return child if self.simple else typed_key(child.spec.id)

    def _unmark_restarting(self, child: Child) -> None:
        child.restarting = False
        if child.last_pid is not None:
            self.retried.pop(child.last_pid, None)

    # --- starting

    async def start(self, child: Child) -> None:
        """
        Start one child; one that wants to be ignored is kept without a process, unless it is
        temporary.

        Raises:
            StartError: It did not start. Whoever asked for it is told, and nobody else.
        """
        restarted = child.last_pid is not None
        pid = await start_child_process(self.own, child)
        self._unmark_restarting(child)
        child.started_at = trio.current_time()
        child.pid = pid
        if pid is not None:
            child.last_pid = pid
            self.by_pid[pid] = child
            self._report_start(child.spec.id, pid, restarted=restarted)
        elif child.spec.restart == "temporary" or self.simple:
            self.remove(child)

    async def start_all(self, group: Iterable[Child]) -> None:
        """
        Start children one after the other, as nobody but the supervisor wants it; stops at the
        first that does not start.

        Raises:
            StartError: It was reported.
        """
        for child in list(group):  # one that wants to be ignored may leave the table
            try:
                await self.start(child)
            except StartError as error:
                self.report("start_error", error.reason, child)
                raise

    # --- stopping

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
                self.by_pid.pop(pid, None)
                reason = await stop_child_process(self.own, child)
                if reason is None:
                    if pid not in dead:
                        dead = self._exits()
                    reason = dead.get(pid, NoProc())
                self._report_stop(reason, child)
            self.forget(child)

    async def stop_at_once(self, budget: float | Literal["brutal_kill"]) -> None:
        """Signal all children of a template together, and give them one time to end."""
        for child in self:
            child.cancel_timer()
        found = {child: child.pid.process for child in self if child.pid is not None}
        running = {child: process for child, process in found.items() if process is not None}
        for process in running.values():
            unlink_processes(self.own, process)
            if budget == "brutal_kill":
                kill(process)
            else:
                send_exit(process, self.own.pid, SHUTDOWN)
        deadline = math.inf if budget == "brutal_kill" else trio.current_time() + budget
        for process in running.values():
            if not await join(process, max(0.0, deadline - trio.current_time())):
                kill(process)
        for process in running.values():
            await join(process, math.inf)
        self._report_stops(
            {
                child: None if process is None else process.exit_reason
                for child, process in found.items()
            }
        )

    def _exits(self) -> dict[Pid[Any], ExitReason]:
        """Give the reasons of those whose exit signals wait in the mailbox."""
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
            reason = dead.get(child.pid, NoProc()) if known is None else known
            if not is_expected(reason, child.spec):
                odd.setdefault(_hashable(reason), (reason, []))[1].append(child)
        for reason, children in odd.values():
            self.report("shutdown_error", reason, children[0], pid=None, nb_children=len(children))


def _hashable(reason: ExitReason) -> object:
    """Give what stands for *reason* as a key: its term may be anything."""
    try:
        hash(reason)
    except TypeError:
        return id(reason)
    return reason
