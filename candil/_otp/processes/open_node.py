"""
Opening a node in a trio program: the block, what leaves it, and how it closes.

1. The host of the node is a task in a nursery of the block, shielded from the block's surroundings.
2. A Ctrl-C leaves the block as itself, in no exception group.

Not here: the node (``node.py``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from trio.lowlevel import Abort, current_task, wait_task_rescheduled

from candil._otp.processes.interrupts import ki_protected_context
from candil._otp.processes.log import EventLog
from candil._otp.processes.node import Node
from candil._otp.processes.oneshot import OneShot
from candil._otp.processes.runtime import Runtime, current_process, get_runtime
from candil._otp.processes.watchdog import open_watchdog
from candil._otp.values.arguments import check_flag, check_text
from candil._otp.values.exit_errors import ProcessTerminated
from candil._otp.values.exit_reasons import ExitReason, Normal, Shutdown, cause_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from candil._otp.processes.process import Process

T = TypeVar("T")


async def _host(runtime: Runtime, name: str, started: OneShot[Node]) -> None:
    """Be the task that has the nursery of a node."""
    node: Node | None = None
    try:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                node = Node(name, runtime, nursery)
                nursery.start_soon(node.timers.run)
                started.put(node)
    finally:
        if node is not None:  # pragma: no branch  # nothing before it can fail
            node.host_ended.put(True)


async def _wait_in_any_case(
    slot: OneShot[T], interrupted: Callable[[KeyboardInterrupt], None] | None = None
) -> T:
    """
    Wait for *slot*, and let nothing end the wait.

    trio's own waits for a task to start or to end would raise a Ctrl-C in an exception group, and
    leave the host alone. Here *interrupted* gets it; without that it comes at the next checkpoint.
    """

    def stay(raise_cancel: Callable[[], Any]) -> Abort:  # never for a Cancelled: all is shielded
        if interrupted is not None:
            try:
                raise_cancel()
            except KeyboardInterrupt as interrupt:
                interrupted(interrupt)
        return Abort.FAILED

    if not slot.done:
        slot.task = current_task()
        await wait_task_rescheduled(stay)
    return slot.unwrap()


@ki_protected_context
async def open_node(*, name: str = "local", log: bool = True) -> AsyncGenerator[Node]:
    """
    Host processes while the block lasts, without a root supervisor.

    The block's task is itself a process, the parent of what it starts: it can link, monitor and
    receive. Leaving the block, or being cancelled, ends all its processes: what is linked to the
    block gets ``shutdown`` first, then everything else; what has not ended 5 s later is killed.

    Args:
        name: Shown in the pids of its processes.

        log: Whether crashes and reports also go to the logger ``candil``; at most some tens of
            lines a second.

    Raises:
        ProcessTerminated: An exit signal ended the block's own process, by a link or by ``exit``.

        TypeError: *name* is no string, or *log* neither ``True`` nor ``False``.

        KeyboardInterrupt: It was raised in one of the processes, or while the block closed; all
            have been stopped in order. An exception of the body is its ``__cause__``.

    Cancellation:
        The body is cancelled at once; the processes are stopped in order, shielded, and only then
        does the cancellation go on.
    """
    check_text("the name of open_node", name)
    check_flag("log of open_node", log)
    runtime = get_runtime()
    failure: BaseException | None = None
    with _logged(runtime, wanted=log), open_watchdog(runtime), trio.CancelScope() as shield:
        shield.shield = True  # cancelled between its start and here, the host would run for ever
        async with trio.open_nursery() as outer:
            started = OneShot[Node]()
            outer.start_soon(_host, runtime, name, started)
            node = await _wait_in_any_case(started)
            shield.shield = False
            runtime.nodes[node] = None
            block = node.opener = _adopt_block(node)
            outer_process = current_process.get()
            current_process.set(block)
            try:
                assert block.scope is not None
                with block.scope:
                    yield node
            except BaseException as error:  # noqa: ASYNC103, BLE001  # raised again below, outside the nursery, as itself
                failure = error
            finally:
                shield.shield = True
                await _close(node)  # noqa: ASYNC102  # shielded, or the wait of a live caller
                failure = _failure_of(node, failure)
                current_process.set(outer_process)
                runtime.nodes.pop(node, None)
    if failure is not None:
        try:
            raise failure
        finally:
            del failure


async def _close(node: Node) -> None:
    """End the node in order; a Ctrl-C that finds it waiting for that kills what still runs."""
    while True:
        try:
            await node.close()
            break
        except KeyboardInterrupt as interrupt:
            node.interrupted = node.interrupted or interrupt
            node.kill_all()
    await _wait_in_any_case(node.host_ended, node.interrupt)


def _failure_of(node: Node, of_body: BaseException | None) -> BaseException | None:
    """Return what leaves the block: a Ctrl-C before anything else, itself and in no group."""
    interrupt = node.interrupted
    if interrupt is None:
        return of_body or _why_ended(node)
    if isinstance(of_body, KeyboardInterrupt):
        return of_body
    if of_body is not None and not isinstance(of_body, trio.Cancelled):
        interrupt.__cause__ = interrupt.__cause__ or of_body
    return interrupt


@contextmanager
def _logged(runtime: Runtime, *, wanted: bool) -> Generator[None]:
    if not wanted:
        yield
        return
    log = runtime.log = runtime.log or EventLog()
    runtime.logged += 1
    try:
        yield
    finally:
        runtime.logged -= 1
        if runtime.logged == 0:
            log.close()
            runtime.log = None


def _adopt_block(node: Node) -> Process:
    block = node.new_process("block", None)
    block.task = trio.lowlevel.current_task()
    block.scope = trio.CancelScope()
    return block


def _why_ended(node: Node) -> BaseException | None:
    reason: ExitReason | None = node.opener.exit_requested
    if reason is None:
        return None
    if (
        node.root is not None
        and not node.opener_ended_first
        and node.root.exit_reason is reason
        and isinstance(reason, Normal | Shutdown)
    ):
        return reason.cause if isinstance(reason, Shutdown) else None
    error = ProcessTerminated(node.opener.pid, reason, node.opener.ended_by)
    error.__cause__ = cause_of(reason)
    return error
