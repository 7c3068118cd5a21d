"""
The supervisor: a server whose state is its children. OTP: ``supervisor``.

1. A child's exit is one message, handled to its end before the next: siblings that died meanwhile
   are found dead, not counted twice.
2. A failed restart is tried again by a message of the supervisor to itself, so that it goes on
   answering in between.
3. Children are found by id and by pid in dictionaries: a restart costs the same among ten and among
   ten thousand.
4. An exit of a pid that is no child's (any more) is ignored.

Not here: the rules of strategies and intensity (``_strategy.py``), one child's start and stop
(``_child.py``).
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Any, Literal, final

import attrs
import trio

from candil.otp._child import Child, start_child_process, stop_child_process
from candil.otp._child_spec import (
    ChildSpec,
    StartFunction,
    SupervisorSpec,
    as_child_spec,
    children_mistakes,
    instance_mistakes,
)
from candil.otp._errors import (
    AlreadyStarted,
    CandilError,
    ChildAlreadyPresent,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    RestartIntensityExceeded,
    SimpleOneForOneError,
    SpecError,
    StartError,
    brief,
)
from candil.otp._events import ChildStarted, SupervisorReport
from candil.otp._exit import KILLED, SHUTDOWN, Crashed, Exit, ExitReason, Shutdown, is_abnormal
from candil.otp._gen_server import GenServer, stop_self
from candil.otp._handlers import handle_call
from candil.otp._messages import ExitSignal
from candil.otp._names import Server, typed_key
from candil.otp._pid import Pid, is_pid
from candil.otp._process import join, kill, post, send_exit, unlink_processes
from candil.otp._signals import trap_exit
from candil.otp._spawn import own_process
from candil.otp._start import server_of
from candil.otp._strategy import RestartWindow, restart_group

HISTORY = 10


@final
@attrs.define(eq=False)
class TryAgain:
    """
    A supervisor's message to itself: start this child again. ``counted`` when that crash was
    counted already.
    """

    child: Child
    counted: bool


@final
@attrs.frozen
class Refusal:
    """An answer that the client raises: the supervisor itself goes on."""

    error: Exception


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
class Supervisor(GenServer):
    """
    A process that starts, watches, restarts and stops other processes. Made from a
    ``SupervisorSpec``.

    Talk to it with ``start_child``, ``which_children`` and their neighbours.
    """

    __candil_called_off_in_order__ = True

    def __init__(self, spec: SupervisorSpec) -> None:
        self.spec = spec
        self.children: dict[object, Child] = {}
        self.by_pid: dict[Pid[Any], Child] = {}
        self.retried: dict[Pid[Any], Child] = {}  # by its last pid, all that a template's child has
        self.window = RestartWindow(spec.max_restarts, spec.max_seconds)
        self.history: deque[tuple[object, ExitReason]] = deque(maxlen=HISTORY)
        self.own = own_process("Supervisor")
        if not self.simple:
            self.children = {typed_key(child.id): Child(child) for child in spec.children}

    @property
    def simple(self) -> bool:
        """Whether children are made from one template."""
        return self.spec.strategy == "simple_one_for_one"

    # --- callbacks

    async def init(self) -> None:
        """
        Start all children in order; if one fails, stop those that run, in reverse, and fail as it
        did. If the start is called off, stop them so as well.
        """
        trap_exit(True)
        try:
            await self._start_group(list(self.children.values()))
        except StartError as error:
            await self._stop_group(list(self.children.values()))
            stop_self(
                Shutdown(("failed_to_start_child", error.child_id, error.reason), cause=error)
            )
        except trio.Cancelled:
            if self.own.exiting != KILLED:  # its start was called off
                with trio.CancelScope(shield=True):  # each child has its own time
                    await self._stop_group(list(self.children.values()))  # noqa: ASYNC102
            raise

    async def handle_info(self, message: object) -> None:
        """Deal with a child's exit, or try again to start one; anything else is dropped."""
        if type(message) is ExitSignal:
            child = None if message.pid is None else self.by_pid.pop(message.pid, None)
            if child is not None:
                await self._child_exited(child, message.reason)
        elif type(message) is TryAgain and message.child.restarting:
            self._cancel_timer(message.child)
            if message.counted:
                await self._restart_now(message.child)
            else:
                await self._restart(message.child, message.child.failure)

    async def terminate(self, _reason: ExitReason) -> None:
        """Stop all children: in reverse start order, or all at once if they are of one template."""
        if self.simple:
            await self._stop_at_once(list(self.children.values()))
        else:
            await self._stop_group(list(self.children.values()))

    async def code_change(self, _old_version: object, extra: object) -> None:
        """
        Take a new ``SupervisorSpec`` as *extra*: its flags, its specs by id; running children keep
        their pids. OTP: ``code_change``.
        """
        if (
            not isinstance(extra, SupervisorSpec)
            or (extra.strategy == "simple_one_for_one") != self.simple
        ):
            raise SpecError(
                [f"code_change: a SupervisorSpec of the same kind is needed, got {brief(extra)}"]
            )
        if not self.simple:
            old, self.children = self.children, {}
            for spec in extra.children:
                child = old.pop(typed_key(spec.id), None) or Child(spec)
                child.spec = spec
                self.children[typed_key(spec.id)] = child
            self.children.update(old)
        for child in self.children.values() if self.simple else ():
            child.spec = extra.children[0]
        self.spec = extra
        self.window.max_restarts = extra.max_restarts
        self.window.max_seconds = extra.max_seconds

    # --- a child has ended

    async def _child_exited(self, child: Child, reason: ExitReason) -> None:
        restart = child.spec.restart
        if restart == "permanent" or (restart == "transient" and is_abnormal(reason)):
            self._report("child_terminated", reason, child)
            await self._restart(child, reason)
            return
        if is_abnormal(reason):
            self._report("child_terminated", reason, child)
        self._forget(child)
        if child.spec.significant and self._shuts_down_with(child):
            stop_self(SHUTDOWN)

    def _shuts_down_with(self, child: Child) -> bool:
        if self.spec.auto_shutdown != "all_significant":
            return self.spec.auto_shutdown == "any_significant"
        others = (
            other
            for other in self.children.values()
            if other is not child and other.spec.significant
        )
        return not any(other.pid is not None or other.restarting for other in others)

    async def _restart(self, child: Child, reason: ExitReason) -> None:
        """Count a restart, and do it, put it off, or give up."""
        now = trio.current_time()
        self.history.append((child.spec.id, reason))
        if not self.window.add(now):
            self._give_up(child, reason)
            return
        delay = self._delay(child, now)
        if delay > 0:
            await self._put_off(child, delay)
        else:
            await self._restart_now(child)

    def _give_up(self, child: Child, reason: ExitReason) -> None:
        self._report("shutdown", reason, child)
        self._forget(child)
        error = RestartIntensityExceeded(
            self._shown(),
            child.spec.id,
            reason,
            restarts=self.window.count,
            max_restarts=self.spec.max_restarts,
            max_seconds=self.spec.max_seconds,
            history=self.history,
        )
        error.__cause__ = _cause_of(reason)
        stop_self(Shutdown(cause=error))

    def _delay(self, child: Child, now: float) -> float:
        backoff = child.spec.backoff
        if backoff is None:
            return 0.0
        if now - child.started_at >= backoff.reset_after:
            child.crashes = 0
        child.started_at = math.inf  # while its starts fail it is not stable, however long ago
        delay = backoff.delay(child.crashes, random.random())  # noqa: S311  # jitter, not a secret
        child.crashes += 1
        return delay

    async def _put_off(self, child: Child, delay: float) -> None:
        """Stop those that go with it now, and start them all later; meanwhile go on answering."""
        self._mark_restarting(child)
        others = [other for other in self._group_of(child) if other is not child]
        await self._stop_group(others)
        child.timer = self.own.node.timers.call_later(
            delay, lambda: post(self.own, TryAgain(child, counted=True))
        )

    async def _restart_now(self, child: Child) -> None:
        """Stop and start what the strategy says; if a start fails, try again later."""
        if self.spec.strategy in ("one_for_one", "simple_one_for_one"):
            await self._restart_one(child)
            return
        group = self._group_of(child)
        child.pid = None
        child.restarting = False
        await self._stop_group(group)
        remaining = [other for other in group if self._is_present(other)]
        try:
            await self._start_group(remaining)
        except StartError as error:
            self._try_again(self.children[typed_key(error.child_id)], error)

    async def _restart_one(self, child: Child) -> None:
        child.pid = None
        try:
            await self._start(child)
        except StartError as error:
            self._try_again(child, error)

    def _try_again(self, child: Child, error: StartError) -> None:
        self._mark_restarting(child)
        child.failure = error.reason
        post(self.own, TryAgain(child, counted=False))

    def _mark_restarting(self, child: Child) -> None:
        child.pid = None
        child.restarting = True
        if self.simple and child.last_pid is not None:
            self.retried[child.last_pid] = child

    def _unmark_restarting(self, child: Child) -> None:
        child.restarting = False
        if child.last_pid is not None:
            self.retried.pop(child.last_pid, None)

    def _group_of(self, child: Child) -> list[Child]:
        if self.spec.strategy in ("one_for_one", "simple_one_for_one"):
            return [child]
        return restart_group(self.spec.strategy, list(self.children.values()), child)

    # --- starting and stopping

    async def _start_group(self, group: list[Child]) -> None:
        for child in group:
            await self._start(child)

    async def _start(self, child: Child) -> None:
        """
        Start one child; one that wants to be ignored is kept without a process, unless it is
        temporary.
        """
        try:
            pid = await start_child_process(self.own, child)
        except StartError as error:
            self._report("start_error", error.reason, child)
            raise
        self._unmark_restarting(child)
        child.started_at = trio.current_time()
        child.pid = pid
        if pid is not None:
            child.last_pid = pid
            self.by_pid[pid] = child
            if self.own.runtime.subscribers:
                self.own.runtime.emit(ChildStarted(self._shown(), child.spec.id, pid))
        elif child.spec.restart == "temporary" or self.simple:
            self._remove(child)

    async def _stop_group(self, group: list[Child]) -> None:
        """Stop children one after the other, the last started first; temporary ones are dropped."""
        for child in reversed(group):
            await self._stop(child)

    async def _stop(self, child: Child) -> None:
        self._cancel_timer(child)
        if child.pid is not None:
            self.by_pid.pop(child.pid, None)
            problem = await stop_child_process(self.own, child)
            if problem is not None:
                self._report("shutdown_error", problem, child)
        self._forget(child)

    def _cancel_timer(self, child: Child) -> None:
        if child.timer is not None:
            child.timer.cancel()
            child.timer = None

    async def _stop_at_once(self, children: list[Child]) -> None:
        """Signal all children of a template together, and give them one time to end."""
        running = [
            child.pid.process
            for child in children
            if child.pid is not None and child.pid.process is not None
        ]
        budget = self.spec.children[0].shutdown
        for process in running:
            unlink_processes(self.own, process)
            if budget == "brutal_kill":
                kill(process)
            else:
                send_exit(process, self.own.pid, SHUTDOWN)
        deadline = float("inf") if budget == "brutal_kill" else trio.current_time() + budget
        for process in running:
            if not await join(process, max(0.0, deadline - trio.current_time())):
                kill(process)
        for process in running:
            await join(process, float("inf"))

    def _forget(self, child: Child) -> None:
        """
        Note that the child has no process; a temporary one, or one of a template, is gone for good.
        """
        child.pid = None
        self._unmark_restarting(child)
        if child.spec.restart == "temporary" or self.simple:
            self._remove(child)

    def _remove(self, child: Child) -> None:
        self.children.pop(self._key(child), None)

    def _key(self, child: Child) -> object:
        return child if self.simple else typed_key(child.spec.id)

    def _is_present(self, child: Child) -> bool:
        return self.children.get(self._key(child)) is child

    def _shown(self) -> object:
        return self.own.registered or self.own.pid

    def _report(self, context: str, reason: ExitReason, child: Child) -> None:
        runtime = self.own.runtime
        if runtime.subscribers or runtime.log is not None:
            runtime.emit(SupervisorReport(self._shown(), context, reason, child.describe()))

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
        present = self.children.get(typed_key(spec.id))
        if present is not None:
            return Refusal(_present_error(present))
        child = self.children[typed_key(spec.id)] = Child(spec)
        return await self._start_first(child)

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
        child = Child(template, arguments=arguments)
        self.children[child] = child
        return await self._start_first(child)

    async def _start_first(self, child: Child) -> Pid[Any] | Refusal | None:
        try:
            await self._start(child)
        except StartError as error:
            self._remove(child)
            return Refusal(error)
        return child.pid

    @handle_call
    async def do_terminate_child(self, child_id: object) -> Refusal | None:
        """Stop a child; it stays as a stopped one unless it is temporary."""
        child = self._find(child_id)
        if not isinstance(child, Refusal | None):
            await self._stop(child)
            return None
        return child

    @handle_call
    async def do_restart_child(self, child_id: object) -> Pid[Any] | Refusal | None:
        """Start a stopped child again."""
        child = self._find_stopped(child_id)
        if isinstance(child, Refusal):
            return child
        try:
            await self._start(child)
        except StartError as error:
            return Refusal(error)
        return child.pid

    @handle_call
    def do_delete_child(self, child_id: object) -> Refusal | None:
        """Forget a stopped child."""
        child = self._find_stopped(child_id)
        if isinstance(child, Refusal):
            return child
        self._remove(child)
        return None

    @handle_call
    def do_which_children(self) -> list[ChildInfo]:
        """List the children, the last started first, as OTP does."""
        return [
            ChildInfo(
                None if self.simple else child.spec.id,
                "restarting" if child.restarting else child.pid,
                child.spec.type,
            )
            for child in reversed(self.children.values())
        ]

    @handle_call
    def do_count_children(self) -> ChildCounts:
        """Count the children."""
        children = self.children.values()
        active = sum(child.pid is not None and child.pid.process is not None for child in children)
        supervisors = sum(child.spec.type == "supervisor" for child in children)
        specs = 1 if self.simple else len(children)
        return ChildCounts(specs, active, supervisors, len(children) - supervisors)

    @handle_call
    def do_get_childspec(self, child_id: object) -> ChildSpec[Any] | Refusal:
        """Give a child's spec, by id or pid."""
        if self.simple and is_pid(child_id):
            found = self._find(child_id)
            return found if isinstance(found, Refusal) else self.spec.children[0]
        if self.simple:
            template = self.spec.children[0]
            return template if child_id == template.id else Refusal(ChildNotFound(child_id))
        by_pid = self.by_pid.get(child_id) if is_pid(child_id) else None
        child = by_pid or self._by_id(child_id)
        return Refusal(ChildNotFound(child_id)) if child is None else child.spec

    def _by_id(self, child_id: object) -> Child | None:
        try:
            return self.children.get(typed_key(child_id))
        except TypeError:  # it cannot be hashed, so it is nobody's id; no reason to crash
            return None

    def _find(self, child_id: object) -> Child | Refusal | None:
        """Find a child to stop; ``None`` means that there is nothing left to stop."""
        if not self.simple:
            child = self._by_id(child_id)
            return child if child is not None else Refusal(ChildNotFound(child_id))
        if not is_pid(child_id):
            return Refusal(SimpleOneForOneError(child_id))
        child = self.by_pid.get(child_id) or self.retried.get(child_id)
        if child is None and child_id.process is not None:
            return Refusal(ChildNotFound(child_id))
        return child

    def _find_stopped(self, child_id: object) -> Child | Refusal:
        if self.simple:
            return Refusal(SimpleOneForOneError(child_id))
        child = self._by_id(child_id)
        if child is None:
            return Refusal(ChildNotFound(child_id))
        if child.restarting:
            return Refusal(ChildRestarting(child_id))
        return Refusal(ChildRunning(child_id)) if child.pid is not None else child


@server_of.register(SupervisorSpec)
def _server_of_spec(spec: SupervisorSpec) -> tuple[type[Any], tuple[Any, ...], Server[Any] | None]:
    return Supervisor, (spec,), spec.name


def _present_error(child: Child) -> CandilError:
    if child.pid is not None:
        return AlreadyStarted(child.pid, Exit(("already_started", child.pid)), child.spec.id)
    if child.restarting:
        return ChildRestarting(child.spec.id)
    return ChildAlreadyPresent(child.spec.id)


def _cause_of(reason: ExitReason) -> BaseException | None:
    if isinstance(reason, Crashed):
        return reason.exception
    return reason.cause if isinstance(reason, Shutdown) else None
