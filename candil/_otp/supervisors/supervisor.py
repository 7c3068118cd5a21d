"""
The supervisor: a server whose state is its children. OTP: ``supervisor``.

1. A child's exit is one message, handled to its end before the next: siblings that died meanwhile
   are found dead, not counted twice.
2. A failed restart is tried again by a message of the supervisor to itself, so that it goes on
   answering in between.
3. An exit of a pid that is no child's (any more) is ignored.

Not here: the rules of restarts (``restarts.py``, ``strategy.py``), how children are found
(``child_table.py``) and how they are started and stopped (``children.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import trio

from candil._otp.behaviours.errors import StartError
from candil._otp.behaviours.gen_server import GenServer, stop_self
from candil._otp.behaviours.handlers import handle_call
from candil._otp.behaviours.proc_lib import server_of
from candil._otp.processes.process import post
from candil._otp.processes.signals import trap_exit
from candil._otp.processes.spawn import own_process
from candil._otp.supervisors.child import Child, RetryRestart
from candil._otp.supervisors.children import ChildProcesses
from candil._otp.supervisors.dynamic_table import DynamicTable
from candil._otp.supervisors.errors import SpecError
from candil._otp.supervisors.ordered_table import OrderedTable
from candil._otp.supervisors.refusals import refuses
from candil._otp.supervisors.restarts import Restarts, delay_of, is_restarted
from candil._otp.supervisors.strategy import RestartWindow, restart_group
from candil._otp.supervisors.supervisor_spec import SupervisorSpec
from candil._otp.values.errors import short_repr
from candil._otp.values.events import Hint
from candil._otp.values.exit_reasons import (
    KILLED,
    SHUTDOWN,
    Exit,
    ExitReason,
    Shutdown,
    is_abnormal,
)
from candil._otp.values.messages import ExitSignal

if TYPE_CHECKING:
    from candil._otp.supervisors.child_spec import ChildSpec
    from candil._otp.supervisors.child_start import Started
    from candil._otp.supervisors.child_table import ChildCounts, ChildInfo, ChildTable
    from candil._otp.supervisors.strategy import AutoShutdown, Strategy
    from candil._otp.values.names import ServerName


@final
class Supervisor(GenServer):
    """
    A process that starts, watches, restarts and stops other processes. Made from a
    ``SupervisorSpec``.

    Talk to it with ``start_child``, ``which_children`` and their neighbours.
    """

    __candil_stops_in_order__ = True
    __candil_advice__ = (
        "That pid or name is a supervisor's, not a server's. It is talked to with "
        "candil.which_children, which tells the pids of its children, with start_child and the like"
    )

    def __init__(self, spec: SupervisorSpec) -> None:
        self.strategy: Strategy = spec.strategy
        self.auto_shutdown: AutoShutdown = spec.auto_shutdown
        self.window = RestartWindow(spec.max_restarts, spec.max_seconds)
        self.restarts = Restarts(self.window)
        self.own = own_process("Supervisor")
        self.children: ChildTable
        if spec.strategy == "simple_one_for_one":
            self.children = DynamicTable(spec.children[0])
        else:
            self.children = OrderedTable(spec.children)
        self.processes = ChildProcesses(self.own, self.children, spec.id)

    # --- callbacks

    async def init(self) -> None:
        """
        Start all children in order; if one fails, stop those that run, in reverse, and fail as it
        did. If the start is cancelled, stop them so as well.
        """
        trap_exit(True)
        try:
            await self._start_all_or_none()
            if self.own.exit_requested is not None:  # its start was cancelled just when all were up
                await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            if self.own.exit_requested != KILLED:  # its start was cancelled
                with trio.CancelScope(shield=True):  # each child has its own time
                    await self.processes.stop_all(self.children)  # noqa: ASYNC102
            raise

    async def _start_all_or_none(self) -> None:
        failed = await self.processes.start_all(self.children)
        if failed is not None:
            child, error = failed
            await self.processes.stop_all(self.children)
            detail = ("failed_to_start_child", child.spec.id, error.reason)
            stop_self(Shutdown(detail, cause=error))

    async def handle_info(self, message: object) -> None:
        """Deal with a child's exit, or try again to start one; anything else is dropped."""
        if type(message) is ExitSignal:
            child = None if message.pid is None else self.children.by_pid.pop(message.pid, None)
            if child is not None:
                await self._child_exited(child, message.reason)
        elif type(message) is not RetryRestart:
            kind = type(message).__name__
            hint = f"a supervisor got a {kind} message, which is not for it: it was dropped"
            self.own.runtime.emit(Hint(self.own.pid, hint))
        elif not message.cancelled:
            message.child.cancel_timer()
            if message.failure is None:
                await self._restart_now(message.child)
            else:
                await self._restart(message.child, message.failure)

    async def terminate(self, _reason: ExitReason) -> None:
        """Stop all children: in reverse start order, or all at once if they are of one template."""
        await self.processes.stop_every_child()

    async def code_change(self, _old_version: object, extra: object) -> None:
        """
        Take a new ``SupervisorSpec`` as *extra*: its flags, its specs by id; running children keep
        their pids. OTP: ``code_change``.
        """
        if not isinstance(extra, SupervisorSpec) or not self._has_same_table(extra):
            got = short_repr(extra)
            raise SpecError(
                [f"code_change: a SupervisorSpec of the same kind is needed, got {got}"]
            )
        self.children.change_specs(extra.children)
        self.strategy = extra.strategy
        self.auto_shutdown = extra.auto_shutdown
        self.window.max_restarts = extra.max_restarts
        self.window.max_seconds = extra.max_seconds

    def _has_same_table(self, spec: SupervisorSpec) -> bool:
        dynamic = "simple_one_for_one"
        return (self.strategy == dynamic) == (spec.strategy == dynamic)

    # --- a child has ended

    async def _child_exited(self, child: Child, reason: ExitReason) -> None:
        if is_restarted(child.spec, reason):
            self.processes.report("child_terminated", reason, child)
            await self._restart(child, reason)
            return
        if is_abnormal(reason):
            self.processes.report("child_terminated", reason, child)
        self.processes.forget(child)
        if child.spec.significant and self._shuts_down_with(child):
            stop_self(SHUTDOWN)

    def _shuts_down_with(self, child: Child) -> bool:
        if self.auto_shutdown != "all_significant":
            return self.auto_shutdown == "any_significant"
        if any(other.spec.significant for other in self.children.by_pid.values()):
            return False
        coming = (
            other
            for late in self.children
            if late.restarting
            for other in self._restarting_with(late)
        )
        return not any(other is not child and other.spec.significant for other in coming)

    def _restarting_with(self, late: Child) -> list[Child]:
        """Return those that start together with a child that is being restarted."""
        return self._group_of(late) if late.spec.backoff is not None else [late]

    async def _restart(self, child: Child, reason: ExitReason) -> None:
        """Count a restart, and do it, delay it, or give up."""
        now = trio.current_time()
        if not self.restarts.count(child.spec.id, reason, now):
            self._give_up(child, reason)
            return
        delay = delay_of(child, now)
        if delay > 0:
            await self._delay_restart(child, delay)
        else:
            await self._restart_now(child)

    def _give_up(self, child: Child, reason: ExitReason) -> None:
        self.processes.report("shutdown", Exit("reached_max_restart_intensity"), child)
        self.processes.forget(child)
        error = self.restarts.error(self.processes.supervisor, child, reason)
        stop_self(Shutdown(cause=error))

    async def _delay_restart(self, child: Child, delay: float) -> None:
        """Stop those that go with it now, and start them all later; meanwhile go on answering."""
        self.children.mark_restarting(child)
        await self.processes.stop_all(
            other for other in self._group_of(child) if other is not child
        )
        again = RetryRestart(child)
        again.timer = child.timer = self.own.node.timers.call_later(
            delay, lambda: post(self.own, again)
        )

    async def _restart_now(self, child: Child) -> None:
        """Stop and start what the strategy says; if a start fails, try again later."""
        group = self._group_of(child)
        self.children.note_process_gone(child)
        await self.processes.stop_all(other for other in group if other is not child)
        failed = await self.processes.start_all(other for other in group if other in self.children)
        if failed is not None:
            late, error = failed
            self.children.mark_restarting(late)
            post(self.own, RetryRestart(late, error.reason))

    def _group_of(self, child: Child) -> list[Child]:
        return restart_group(self.strategy, self.children, child)

    # --- requests

    @handle_call
    @refuses
    async def do_start_child(self, wanted: object) -> Started:
        """
        Start one more child: of the template, with further arguments, or of a spec of its own.
        """
        child = self.children.new_child(wanted, self.auto_shutdown)
        self.children.add(child)
        try:
            return await self.processes.start(child)
        except StartError:
            self.children.remove(child)
            raise

    @handle_call
    @refuses
    async def do_terminate_child(self, child_id: object) -> None:
        """Stop a child; it stays as a stopped one unless it is temporary."""
        child = self.children.find(child_id)
        if child is not None:
            await self.processes.stop(child)

    @handle_call
    @refuses
    async def do_restart_child(self, child_id: object) -> Started:
        """Start a stopped child again."""
        return await self.processes.start(self.children.find_stopped(child_id))

    @handle_call
    @refuses
    async def do_delete_child(self, child_id: object) -> None:
        """Forget a stopped child."""
        self.children.remove(self.children.find_stopped(child_id))

    @handle_call
    def do_which_children(self) -> list[ChildInfo]:
        """List the children, the last started first, as OTP does."""
        return self.children.info()

    @handle_call
    def do_count_children(self) -> ChildCounts:
        """Count the children."""
        return self.children.counts()

    @handle_call
    def do_get_childspec(self, child_id: object) -> ChildSpec[Any] | None:
        """Return a child's spec, by id or pid; ``None`` if there is none."""
        return self.children.spec_of(child_id)

    @handle_call
    def do_get_limits(self) -> SupervisorSpec:
        """Return the restart limits as they are now, in a spec without children."""
        return SupervisorSpec(
            children=(),
            max_restarts=self.window.max_restarts,
            max_seconds=self.window.max_seconds,
        )


@server_of.register(SupervisorSpec)
def _server_of(
    spec: SupervisorSpec,
) -> tuple[type[GenServer], tuple[object, ...], ServerName[object] | None]:
    return Supervisor, (spec,), spec.name
