"""
Processes: a mailbox, an exit reason, and the signals between them.

1. A process is told to end at most once: ``exiting`` is set, its scope is cancelled, and whatever
   its cleanup raises, that reason stands. It has ended when ``reason`` is set; its task may take
   some checkpoints from the one to the other.
2. At its end, in this order and without a checkpoint between: its names are free, subscribers see
   ``ProcessExited``, its callers get their error, links their signal, monitors their ``Down``.
3. Signals never recurse: a signal only cancels or posts, so ten thousand linked processes die in
   ten thousand short steps.
4. Whoever resumes a parked process clears ``parked`` first.

Not here: how a process is made (``_spawn.py``), the loop of a server
(``_server_loop.py``).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast, final

import attrs
import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from candil.otp._errors import LeakedCancellation, ProcessExit
from candil.otp._events import MailboxHigh, ProcessExited
from candil.otp._exit import (
    KILL,
    KILLED,
    NORMAL,
    SHUTDOWN,
    Crashed,
    ExitReason,
    Normal,
    Shutdown,
    as_exit_reason,
    is_abnormal,
)
from candil.otp._exit_errors import ServerExited
from candil.otp._messages import Down, ExitSignal
from candil.otp._nurseries import leave_nurseries
from candil.otp._parking import WAKE, Slot
from candil.otp._request import Request
from candil.otp._runtime import current_process, outside_of_trio

if TYPE_CHECKING:
    from candil.otp._names import Server, Via
    from candil.otp._node import Node
    from candil.otp._patience import Alarm
    from candil.otp._pid import Pid, Ref
    from candil.otp._runtime import Runtime
    from candil.otp._timers import Timer

T = TypeVar("T")

Body = Callable[..., Awaitable[object]]

HIGH_WATER = 1024


@final
@attrs.define(eq=False, repr=False)
class Process:
    """The record of one process; lives as long as the process does."""

    pid: Pid[Any]
    node: Node
    runtime: Runtime
    parent: Pid[Any] | None  # not its record, which would keep that of its parent, and so on
    scope: trio.CancelScope
    task: Task | None = None
    mailbox: deque[object] = attrs.field(factory=deque[object])
    parked: Task | None = None
    taken: int = 0  # grows with each message taken by choice: who counts the seen looks anew
    ready: bool = False  # a server's, between two messages: a plain-def handler may run at once
    trap_exit: bool = False
    exiting: ExitReason | None = None
    ended_by: Pid[Any] | None = None  # whose signal told it to end, if it was a process's
    verdict: ExitReason | None = None  # why its code says it ends, where it says so without raising
    reason: ExitReason | None = None
    links: dict[Process, None] = attrs.field(factory=dict["Process", None])
    monitors: dict[Ref, Process] = attrs.field(factory=dict["Ref", "Process"])
    watchers: dict[Ref, tuple[Process, Server[Any]]] = attrs.field(
        factory=dict["Ref", "tuple[Process, Server[Any]]"]
    )
    names: list[object] = attrs.field(factory=list[object])
    registered: str | None = None
    via: list[Via[Any]] = attrs.field(factory=list["Via[Any]"])
    owed: dict[Request[Any], None] = attrs.field(factory=dict["Request[Any]", None])
    joining: dict[Slot[bool], None] = attrs.field(factory=dict["Slot[bool]", None])
    settling: list[Slot[bool]] | None = None
    handling: Request[Any] | None = None  # what the server has taken and not settled yet
    alarm: Alarm | None = None  # for those who wait for it until then, see _patience.py
    alarm_at: float = math.inf
    high_water: int = HIGH_WATER
    server: Any = None

    def __repr__(self) -> str:
        return f"<Process of {self.pid}>"

    @property
    def alive(self) -> bool:
        """Whether it runs and was not told to end."""
        return self.reason is None and self.exiting is None

    def abort_park(self, _raise_cancel: object) -> Abort:
        """Let a cancellation end ``park``."""
        self.parked = None
        self.ready = False
        return Abort.SUCCEEDED


# --- mailbox --------------------------------------------------------------------------


def post(process: Process, message: object) -> None:
    """Put *message* into the mailbox and wake the process if it waits for one."""
    task = process.parked
    if task is not None:
        try:
            reschedule(task, WAKE)  # first: in a foreign thread it raises, and nothing has changed
        except RuntimeError:
            raise outside_of_trio() from None
        process.parked = None
        process.ready = False
        process.mailbox.append(message)
        return
    process.mailbox.append(message)
    if len(process.mailbox) > process.high_water:
        process.high_water *= 2
        process.runtime.emit(MailboxHigh(process.pid, len(process.mailbox)))


async def park(process: Process) -> None:
    """
    Wait until something is posted. The mailbox must have been looked at since the last checkpoint.
    """
    if process.parked is not None:
        message = f"another task already waits for messages of {process.pid}"
        raise trio.BusyResourceError(message)
    process.parked = current_task()
    await wait_task_rescheduled(process.abort_park)


def wake(process: Process) -> None:
    """Resume the process from ``park`` without a message."""
    task = process.parked
    if task is not None:
        reschedule(task, WAKE)  # first: in a foreign thread it raises, and nothing has changed
        process.parked = None
        process.ready = False


# --- signals --------------------------------------------------------------------------


def send_exit(process: Process, sender: Pid[Any] | None, reason: ExitReason) -> None:
    """Do what OTP's ``exit/2`` does to the receiver."""
    if reason == KILL:
        kill(process, sender)
    elif not process.alive:
        return
    elif process.trap_exit:
        post(process, ExitSignal(sender, reason))
    elif not isinstance(reason, Normal) or sender is process.pid:
        tell_to_end(process, reason, sender)


def signal_link(process: Process, dead: Pid[Any], reason: ExitReason) -> None:
    """
    Do what the death of a linked process does. A link's ``kill`` is an ordinary reason, unlike
    ``exit/2``'s.
    """
    if not process.alive:
        return
    if process.trap_exit:
        post(process, ExitSignal(dead, reason))
    elif not isinstance(reason, Normal):
        tell_to_end(process, reason, dead)


def tell_to_end(process: Process, reason: ExitReason, sender: Pid[Any] | None = None) -> None:
    """Have the process end with *reason* at its next checkpoint; its cleanup runs."""
    process.exiting = reason
    process.ended_by = sender
    process.ready = False
    process.node.watch_ending(process)
    process.scope.cancel()


def kill(process: Process, sender: Pid[Any] | None = None) -> None:
    """
    End the process whatever it traps. If it will not even be cancelled, the others stop waiting for
    it.
    """
    if process.reason is not None:
        return
    if process.exiting != KILLED:
        process.exiting = KILLED
        process.ended_by = sender
        process.ready = False
        process.node.watch_killed(process)
        process.scope.cancel()


# --- links and monitors ---------------------------------------------------------------


def link_processes(one: Process, other: Process) -> None:
    """Link two living processes; a second time changes nothing."""
    one.links[other] = None
    other.links[one] = None


def unlink_processes(one: Process, other: Process) -> None:
    """Undo ``link_processes``; an exit message that came already stays."""
    one.links.pop(other, None)
    other.links.pop(one, None)


def add_monitor(watcher: Process, target: Process, shown: Server[Any]) -> Ref:
    """Have *watcher* get a ``Down`` that shows *shown* when *target* ends."""
    ref = watcher.runtime.new_ref()
    watcher.monitors[ref] = target
    target.watchers[ref] = (watcher, shown)
    return ref


def remove_monitor(watcher: Process, ref: Ref) -> None:
    """Undo ``add_monitor``; a ``Down`` that came already stays."""
    target = watcher.monitors.pop(ref, None)
    if target is not None:
        target.watchers.pop(ref, None)


async def join(process: Process, timeout: float) -> bool:
    """Wait until the process has ended. Gives ``False`` if it has not within *timeout* seconds."""
    slot = Slot[bool]()
    timer: Timer | None = None
    if process.reason is not None:
        slot.put(True)
    else:
        process.joining[slot] = None
        if timeout != math.inf:
            timer = process.node.timers.call_later(timeout, lambda: slot.put(False))
    try:
        return await slot.wait()
    finally:
        process.joining.pop(slot, None)
        if timer is not None:
            timer.cancel()


# --- life and death -------------------------------------------------------------------


async def run_process(process: Process, body: Body, args: tuple[object, ...]) -> None:
    """Be the task of a process: run *body*, and let nothing but its exit reason out."""
    current_process.set(process)
    process.task = current_task()
    error: BaseException | None = None
    left: BaseException | None = None
    try:
        if process.exiting is None:
            with process.scope:
                try:
                    await body(*args)
                except BaseException as raised:  # noqa: ASYNC103  # kept as the reason, or raised later
                    interrupt = keyboard_interrupt_in(raised)
                    if interrupt is None:
                        raise
                    await _hold_interrupt(process, interrupt)  # noqa: ASYNC102  # shielded, or the wait of a live caller
                finally:
                    if process.task.child_nurseries:
                        left = await _leave(process, process.task)  # noqa: ASYNC102  # their tasks are cancelled
    except BaseException as raised:  # noqa: ASYNC103, BLE001  # whatever it is, it is this process's reason to end
        error = raised
    if left is not None and not _is_failure(error, process.verdict):
        error = left
    if process.reason is None:
        verdict = process.verdict if error is None else None
        finish(process, process.exiting or verdict or reason_of(error))
    else:  # it was abandoned, and everybody knows already
        process.node.ended_after_all(process)
    if isinstance(error, trio.Cancelled) and trio.current_effective_deadline() == -float("inf"):
        raise error  # the whole node is being cancelled, which only its own failure does


async def _leave(process: Process, task: Task) -> BaseException:
    left = await leave_nurseries(process, task)
    interrupt = keyboard_interrupt_in(left)
    if interrupt is not None:
        await _hold_interrupt(process, interrupt)
    return left


def _is_failure(error: BaseException | None, verdict: ExitReason | None) -> bool:
    """Tell whether the process ends with a fault of its own, worse than a nursery left open."""
    if error is None:
        return verdict is not None and is_abnormal(verdict)
    return not isinstance(error, trio.Cancelled)


async def _hold_interrupt(process: Process, interrupt: KeyboardInterrupt) -> None:
    """
    Have the whole node stop in order after a Ctrl-C, not just this process.

    Until its turn comes the process is kept, so that nobody restarts it.
    """
    process.trap_exit = False
    told = any(isinstance(message, ExitSignal) for message in process.mailbox)
    abandon_requests(process, Crashed(interrupt))
    process.node.interrupt(interrupt)
    if told:  # while it cleaned up: its turn has come already
        tell_to_end(process, SHUTDOWN)
    await trio.sleep_forever()


def keyboard_interrupt_in(error: BaseException) -> KeyboardInterrupt | None:
    """Find Ctrl-C in an error, or in the group that it came with."""
    if isinstance(error, KeyboardInterrupt):
        return error
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            found = keyboard_interrupt_in(part)  # pyright: ignore[reportUnknownArgumentType]
            if found is not None:
                return found
    return None


def reason_of(error: BaseException | None) -> ExitReason:
    """Give the reason of a process whose code ended with *error*, or without one."""
    if error is None:
        return NORMAL
    if isinstance(error, trio.Cancelled):
        leaked = LeakedCancellation()
        leaked.__cause__ = error
        return Crashed(leaked)
    lone = _without_groups(error)
    if isinstance(lone, ProcessExit):
        return as_exit_reason(lone.reason)
    if isinstance(lone, ServerExited) and lone.reason == SHUTDOWN:
        # OTP: {shutdown, {gen_server, call, [Server, Request]}}, an orderly end.
        return Shutdown(("call", lone.target, lone.request), cause=lone)
    return Crashed(error)


def _without_groups(error: BaseException) -> BaseException:
    """Give the one exception in a group of one: the nursery that it passed is no reason."""
    lone = error
    while isinstance(lone, BaseExceptionGroup):
        first, *others = cast("tuple[BaseException, ...]", lone.exceptions)
        if others:
            return error
        lone = first
    return lone


def finish(process: Process, reason: ExitReason) -> None:
    """Let a process have ended, and tell everybody who must know."""
    process.reason = reason
    process.ready = False
    pid = process.pid
    pid.process = None
    for name in process.names:
        process.runtime.names.pop(name, None)
    process.node.processes.pop(process, None)
    runtime = process.runtime
    if runtime.subscribers or (runtime.log is not None and is_abnormal(reason)):
        runtime.emit(ProcessExited(pid, reason, process.exiting is not None))
    if process.alarm is not None:
        process.alarm.cancel()
    abandon_requests(process, reason)
    _tell_links(process, reason)
    _tell_watchers(process, reason)
    for slot in process.joining:
        slot.put(True)
    settle(process)
    process.node.process_ended(process, reason)


def abandon_requests(process: Process, reason: ExitReason) -> None:
    """Tell everybody who waits for this process to answer that it will not."""
    owed, process.owed = process.owed, {}
    for request in owed:
        request.server_exited(reason)
    for message in process.mailbox:
        if isinstance(message, Request):
            message.server_exited(reason)
    process.mailbox.clear()


def _tell_links(process: Process, reason: ExitReason) -> None:
    for linked in process.links:
        linked.links.pop(process, None)
        signal_link(linked, process.pid, reason)
    process.links.clear()


def _tell_watchers(process: Process, reason: ExitReason) -> None:
    for ref, (watcher, shown) in process.watchers.items():
        del watcher.monitors[ref]
        post(watcher, Down(ref, shown, reason))
    process.watchers.clear()
    for ref, target in process.monitors.items():
        target.watchers.pop(ref, None)
    process.monitors.clear()


def settle(process: Process) -> None:
    """
    Tell those who wait for it that the process has dealt with all that was in its mailbox, or has
    ended.
    """
    settling, process.settling = process.settling, None
    for slot in settling or ():
        slot.put(True)
