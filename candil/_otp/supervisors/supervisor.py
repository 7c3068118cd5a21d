"""
The supervisor: a server whose state is its children. OTP: ``supervisor``.

1. A child's exit is one message, handled to its end before the next: siblings that died meanwhile
   are found dead, not counted twice.
2. A failed restart is tried again by a message of the supervisor to itself, so that it goes on
   answering in between.
3. An exit of a pid that is no child's (any more) is ignored.

Not here: the rules of strategies and intensity (``strategy.py``), the table of children and how
they are started and stopped (``children.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import attrs
import trio

from candil._otp.behaviours.errors import AlreadyStarted, StartError
from candil._otp.behaviours.gen_server import GenServer, stop_self
from candil._otp.behaviours.handlers import handle_call
from candil._otp.behaviours.proc_lib import server_of
from candil._otp.processes.process import post
from candil._otp.processes.signals import trap_exit
from candil._otp.processes.spawn import own_process
from candil._otp.supervisors.child import Child, RetryRestart
from candil._otp.supervisors.child_spec import ChildSpec, StartFunction, instance_mistakes
from candil._otp.supervisors.children import ChildCounts, ChildInfo, Children
from candil._otp.supervisors.errors import (
    ChildAlreadyPresent,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    SimpleOneForOneError,
    SpecError,
)
from candil._otp.supervisors.restarts import Restarts, delay_of, is_restarted
from candil._otp.supervisors.strategy import RestartWindow, restart_group
from candil._otp.supervisors.supervisor_spec import SupervisorSpec, as_child_spec, children_mistakes
from candil._otp.values.errors import CandilError, short_repr
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
from candil._otp.values.names import typed_key
from candil._otp.values.pids import Pid, is_pid

if TYPE_CHECKING:
    from candil._otp.values.names import ServerName


@final
@attrs.frozen
class Refusal:
    """An answer that the client raises: the supervisor itself goes on."""

    error: Exception


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
        self.spec = spec
        self.window = RestartWindow(spec.max_restarts, spec.max_seconds)
        self.restarts = Restarts(self.window)
        self.own = own_process("Supervisor")
        self.children = Children(self.own, spec)

    @property
    def simple(self) -> bool:
        """Whether children are made from one template."""
        return self.children.simple

    # --- callbacks

    async def init(self) -> None:
        """
        Start all children in order; if one fails, stop those that run, in reverse, and fail as it
        did. If the start is called off, stop them so as well.
        """
        trap_exit(True)
        try:
            await self._start_all_or_none()
            if (
                self.own.exit_requested is not None
            ):  # its start was called off just when all were up
                await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            if self.own.exit_requested != KILLED:  # its start was called off
                with trio.CancelScope(shield=True):  # each child has its own time
                    await self.children.stop_all(self.children)  # noqa: ASYNC102
            raise

    async def _start_all_or_none(self) -> None:
        try:
            await self.children.start_all(self.children)
        except StartError as error:
            await self.children.stop_all(self.children)
            stop_self(
                Shutdown(("failed_to_start_child", error.child_id, error.reason), cause=error)
            )

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
        if self.simple:
            await self.children.stop_at_once(self.spec.children[0].shutdown)
        else:
            await self.children.stop_all(self.children)

    async def code_change(self, _old_version: object, extra: object) -> None:
        """
        Take a new ``SupervisorSpec`` as *extra*: its flags, its specs by id; running children keep
        their pids. OTP: ``code_change``.
        """
        if (
            not isinstance(extra, SupervisorSpec)
            or (extra.strategy == "simple_one_for_one") != self.simple
        ):
            got = short_repr(extra)
            raise SpecError(
                [f"code_change: a SupervisorSpec of the same kind is needed, got {got}"]
            )
        self.children.change_specs(extra.children)
        self.spec = extra
        self.window.max_restarts = extra.max_restarts
        self.window.max_seconds = extra.max_seconds

    # --- a child has ended

    async def _child_exited(self, child: Child, reason: ExitReason) -> None:
        if is_restarted(child.spec, reason):
            self.children.report("child_terminated", reason, child)
            await self._restart(child, reason)
            return
        if is_abnormal(reason):
            self.children.report("child_terminated", reason, child)
        self.children.forget(child)
        if child.spec.significant and self._shuts_down_with(child):
            stop_self(SHUTDOWN)

    def _shuts_down_with(self, child: Child) -> bool:
        if self.spec.auto_shutdown != "all_significant":
            return self.spec.auto_shutdown == "any_significant"
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
        """Give those that start together with a child that is being restarted."""
        return self._group_of(late) if late.spec.backoff is not None else [late]

    async def _restart(self, child: Child, reason: ExitReason) -> None:
        """Count a restart, and do it, put it off, or give up."""
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
        self.children.report("shutdown", Exit("reached_max_restart_intensity"), child)
        self.children.forget(child)
        error = self.restarts.error(self.children.supervisor, child, reason)
        stop_self(Shutdown(cause=error))

    async def _delay_restart(self, child: Child, delay: float) -> None:
        """Stop those that go with it now, and start them all later; meanwhile go on answering."""
        self.children.mark_restarting(child)
        others = [other for other in self._group_of(child) if other is not child]
        await self.children.stop_all(others)
        again = RetryRestart(child)
        again.timer = child.timer = self.own.node.timers.call_later(
            delay, lambda: post(self.own, again)
        )

    async def _restart_now(self, child: Child) -> None:
        """Stop and start what the strategy says; if a start fails, try again later."""
        if self.spec.strategy in ("one_for_one", "simple_one_for_one"):
            await self._restart_one(child)
            return
        group = self._group_of(child)
        child.pid = None
        child.restarting = False
        await self.children.stop_all(group)
        remaining = [other for other in group if other in self.children]
        try:
            await self.children.start_all(remaining)
        except StartError as error:
            failed = self.children.get(error.child_id)
            assert failed is not None
            self._retry_restart(failed, error)

    async def _restart_one(self, child: Child) -> None:
        child.pid = None
        try:
            await self.children.start_all([child])
        except StartError as error:
            self._retry_restart(child, error)

    def _retry_restart(self, child: Child, error: StartError) -> None:
        self.children.mark_restarting(child)
        post(self.own, RetryRestart(child, error.reason))

    def _group_of(self, child: Child) -> list[Child]:
        if self.spec.strategy in ("one_for_one", "simple_one_for_one"):
            return [child]
        return restart_group(self.spec.strategy, list(self.children), child)

    # --- requests

    @handle_call
    async def do_start_child(self, wanted: Any) -> Pid[Any] | Refusal | None:
        """
        Start one more child: of the template, with further arguments, or of a spec of its own.
        """
        if self.simple:
            return await self._start_instance(wanted)
        try:
            spec: Any = as_child_spec(wanted)
        except SpecError as error:
            return Refusal(error)
        mistakes = children_mistakes((spec,), self.spec.strategy, self.spec.auto_shutdown)
        if mistakes:
            return Refusal(SpecError(mistakes))
        present = self.children.get(spec.id)
        if present is not None:
            return Refusal(_present_error(present))
        return await self._start_first(Child(spec))

    async def _start_instance(self, extra: Any) -> Pid[Any] | Refusal | None:
        if not isinstance(extra, list | tuple):
            mistake = (
                "a simple_one_for_one supervisor starts children of its template; give a "
                "list of further arguments"
            )
            return Refusal(SpecError([mistake]))
        template = self.spec.children[0]
        more: tuple[Any, ...] = tuple(extra)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        if not isinstance(template.target, type | StartFunction):  # whose start would succeed
            mistakes = instance_mistakes(template, more)
            if mistakes:
                return Refusal(SpecError(mistakes))
        arguments = ((*template.args, *more), template.kwargs)
        return await self._start_first(Child(template, arguments=arguments))

    async def _start_first(self, child: Child) -> Pid[Any] | Refusal | None:
        self.children.add(child)
        try:
            await self.children.start(child)
        except StartError as error:
            self.children.remove(child)
            return Refusal(error)
        return child.pid

    @handle_call
    async def do_terminate_child(self, child_id: object) -> Refusal | None:
        """Stop a child; it stays as a stopped one unless it is temporary."""
        child = self._find(child_id)
        if not isinstance(child, Refusal | None):
            await self.children.stop(child)
            return None
        return child

    @handle_call
    async def do_restart_child(self, child_id: object) -> Pid[Any] | Refusal | None:
        """Start a stopped child again."""
        child = self._find_stopped(child_id)
        if isinstance(child, Refusal):
            return child
        try:
            await self.children.start(child)
        except StartError as error:
            return Refusal(error)
        return child.pid

    @handle_call
    def do_delete_child(self, child_id: object) -> Refusal | None:
        """Forget a stopped child."""
        child = self._find_stopped(child_id)
        if isinstance(child, Refusal):
            return child
        self.children.remove(child)
        return None

    @handle_call
    def do_which_children(self) -> list[ChildInfo]:
        """List the children, the last started first, as OTP does."""
        return self.children.info()

    @handle_call
    def do_count_children(self) -> ChildCounts:
        """Count the children."""
        return self.children.counts()

    @handle_call
    def do_get_childspec(self, child_id: object) -> ChildSpec[Any] | Refusal:
        """Give a child's spec, by id or pid."""
        if self.simple and is_pid(child_id):
            found = self._find(child_id)
            return found if isinstance(found, Refusal) else self.spec.children[0]
        if self.simple:
            template = self.spec.children[0]
            return (
                template
                if typed_key(child_id) == typed_key(template.id)
                else Refusal(ChildNotFound(child_id))
            )
        by_pid = self.children.by_pid.get(child_id) if is_pid(child_id) else None
        child = by_pid or self.children.get(child_id)
        return Refusal(ChildNotFound(child_id)) if child is None else child.spec

    def _find(self, child_id: object) -> Child | Refusal | None:
        """Find a child to stop; ``None`` means that there is nothing left to stop."""
        if not self.simple:
            child = self.children.get(child_id)
            return child if child is not None else Refusal(ChildNotFound(child_id))
        if not is_pid(child_id):
            return Refusal(SimpleOneForOneError(child_id))
        child = self.children.by_pid.get(child_id) or self.children.retried.get(child_id)
        if child is None and child_id.process is not None:
            return Refusal(ChildNotFound(child_id))
        return child

    def _find_stopped(self, child_id: object) -> Child | Refusal:
        if self.simple:
            return Refusal(SimpleOneForOneError(child_id))
        child = self.children.get(child_id)
        if child is None:
            return Refusal(ChildNotFound(child_id))
        if child.restarting:
            return Refusal(ChildRestarting(child_id))
        return Refusal(ChildRunning(child_id)) if child.pid is not None else child


@server_of.register(SupervisorSpec)
def _server_of(spec: SupervisorSpec) -> tuple[type[Any], tuple[Any, ...], ServerName[Any] | None]:
    return Supervisor, (spec,), spec.name


def _present_error(child: Child) -> CandilError:
    if child.pid is not None:
        return AlreadyStarted(child.pid, Exit(("already_started", child.pid)), child.spec.id)
    return ChildAlreadyPresent(child.spec.id)
