"""
The life of a process: the task that it is, why that ends, and who hears of it.

1. Nothing but its exit reason leaves a process: an exception would end the nursery of all.
2. At its end, in this order and without a checkpoint between: its names are free, subscribers see
   ``ProcessExited``, its callers get their error, links their signal, monitors their ``Down``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

import trio
from trio.lowlevel import Task, current_task

from candil._otp.processes.nurseries import leave_nurseries
from candil._otp.processes.process import Process, post, request_exit, signal_link
from candil._otp.processes.requests import Request
from candil._otp.processes.runtime import current_process
from candil._otp.values.errors import LeakedCancellation, ProcessExit
from candil._otp.values.events import ProcessExited
from candil._otp.values.exit_errors import ServerExited
from candil._otp.values.exit_reasons import (
    NORMAL,
    SHUTDOWN,
    Crashed,
    ExitReason,
    Shutdown,
    as_exit_reason,
    is_abnormal,
    is_bare_shutdown,
)
from candil._otp.values.messages import Down, ExitSignal
from candil._otp.values.reports import without_own_frames

Body = Callable[..., Awaitable[object]]


async def run_process(
    process: Process,
    body: Body,
    args: tuple[object, ...],
    wait_for_work: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """
    Be the task of a process: run *body*, and let nothing but its exit reason out.

    A server that is up already waits for its first message outside of every cancel scope, which
    costs more than all else of its start.
    """
    current_process.set(process)
    task = process.task = current_task()
    error: BaseException | None = None
    left: BaseException | None = None
    try:
        if wait_for_work is not None:
            await wait_for_work()
        if process.exit_requested is None:
            with trio.CancelScope() as process.scope:
                try:
                    await body(*args)
                except BaseException as raised:  # noqa: ASYNC103  # kept as the reason, or raised later
                    interrupt = keyboard_interrupt_in(raised)
                    if interrupt is None:
                        raise
                    await _hold_interrupt(process, interrupt)  # noqa: ASYNC102  # shielded, or the wait of a live caller
                finally:
                    if task.child_nurseries:
                        left = await _leave(process, task)  # noqa: ASYNC102  # their tasks are cancelled
    except BaseException as raised:  # noqa: ASYNC103, BLE001  # whatever it is, it is this process's reason to end
        error = raised
    if left is not None and not _is_failure(error, process.own_reason):
        error = left
    if process.exit_reason is None:
        own_reason = process.own_reason if error is None else None
        finish(process, process.exit_requested or own_reason or reason_of(error))
    else:  # it was abandoned, and everybody knows already
        process.node.ended_after_all(process)
    _let_go(process)
    if isinstance(error, trio.Cancelled) and trio.current_effective_deadline() == -float("inf"):
        raise error  # the whole node is being cancelled, which only its own failure does


def _let_go(process: Process) -> None:
    """Break the circles through an ended process: it is freed at once, without the collector."""
    process.task = None
    behaviour, process.behaviour = process.behaviour, None
    if behaviour is not None:
        behaviour.let_go()


async def _leave(process: Process, task: Task) -> BaseException:
    left = await leave_nurseries(process, task)
    interrupt = keyboard_interrupt_in(left)
    if interrupt is not None:
        await _hold_interrupt(process, interrupt)
    return left


def _is_failure(error: BaseException | None, own_reason: ExitReason | None) -> bool:
    """Tell whether the process ends with a fault of its own, worse than a nursery left open."""
    if error is None:
        return own_reason is not None and is_abnormal(own_reason)
    return not isinstance(error, trio.Cancelled)


async def _hold_interrupt(process: Process, interrupt: KeyboardInterrupt) -> None:
    """
    Have the whole node stop in order after a Ctrl-C, not just this process.

    Until its turn comes the process is kept, so that its supervisor does not restart it.
    """
    process.trap_exit = False
    told = any(isinstance(message, ExitSignal) for message in process.mailbox)
    fail_requests(process, Crashed(interrupt))
    process.node.interrupt(interrupt)
    if told:  # while it cleaned up: its turn has come already
        request_exit(process, SHUTDOWN)
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
    """Return the reason of a process whose code ended with *error*, or without one."""
    if error is None:
        return NORMAL
    if isinstance(error, trio.Cancelled):
        leaked = LeakedCancellation()
        leaked.__cause__ = error
        return Crashed(leaked)
    lone = _without_groups(error)
    if isinstance(lone, ProcessExit):
        return as_exit_reason(lone.reason)
    if isinstance(lone, ServerExited) and is_bare_shutdown(lone.reason):
        # OTP: {shutdown, {gen_server, call, [Server, Request]}}, an orderly end.
        return Shutdown(("call", lone.target, lone.request), cause=lone)
    error.__traceback__ = without_own_frames(error)
    return Crashed(error)


def _without_groups(error: BaseException) -> BaseException:
    """Return the one exception in a group of one: the nursery that it passed is no reason."""
    lone = error
    while isinstance(lone, BaseExceptionGroup):
        first, *others = cast("tuple[BaseException, ...]", lone.exceptions)
        if others:
            return error
        lone = first
    return lone


def finish(process: Process, reason: ExitReason) -> None:
    """Let a process have ended, and tell everybody who must know."""
    process.exit_reason = reason
    process.idle = False
    pid = process.pid
    pid.process = None
    for name in process.names or ():
        process.runtime.names.pop(name, None)
    process.node.processes.pop(process, None)
    runtime = process.runtime
    if runtime.subscribers or (runtime.log is not None and is_abnormal(reason)):
        signalled = process.exit_requested is not None
        runtime.emit(ProcessExited(pid, reason, signalled, process.name, process.crash))
    if process.deadline_timer is not None:
        process.deadline_timer.cancel()
        process.deadline_timer = None
    _end_message_timers(process)
    fail_requests(process, reason)
    process.current_request = None
    _signal_links(process, reason)
    _notify_monitors(process, reason)
    for slot in process.exit_waiters or ():
        slot.put(True)
    process.node.process_ended(process, reason)


def _end_message_timers(process: Process) -> None:
    timers, process.message_timers = process.message_timers, None
    for timer in timers or ():
        timer.end()


def fail_requests(process: Process, reason: ExitReason) -> None:
    """Tell everybody who waits for this process to answer that it will not."""
    pending, process.pending = process.pending, None
    for request in pending or ():
        request.server_exited(reason)
    for message in process.mailbox:
        if isinstance(message, Request):
            message.server_exited(reason)
    process.mailbox.clear()


def _signal_links(process: Process, reason: ExitReason) -> None:
    for linked in process.links:
        linked.links.pop(process, None)
        signal_link(linked, process.pid, reason)
    process.links.clear()


def _notify_monitors(process: Process, reason: ExitReason) -> None:
    monitored_by, process.monitored_by = process.monitored_by, None
    for ref, (watcher, shown) in (monitored_by or {}).items():
        assert watcher.monitors is not None
        del watcher.monitors[ref]
        post(watcher, Down(ref, shown, reason))
    monitors, process.monitors = process.monitors, None
    for ref, target in (monitors or {}).items():
        assert target.monitored_by is not None
        del target.monitored_by[ref]
