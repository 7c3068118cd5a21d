"""
The node: one nursery that holds all processes of a block, whatever the shape of their tree.

1. Who supervises whom is data (links), so a tree may be thousands of levels deep, and stops in the
   order that OTP fixes.
2. The nursery is shielded from the block's surroundings: being cancelled from outside reaches the
   block's body only, and becomes ``shutdown`` signals when the body has left.
3. The block's own task is a process too: the parent of what it starts, with a mailbox of its own.

Not here: how a block opens and closes one (``open_node.py``).
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any, final

import attrs
import trio

from candil._otp.processes.interrupts import run_user_code
from candil._otp.processes.oneshot import OneShot
from candil._otp.processes.process import Process, join, kill, request_exit, send_exit
from candil._otp.processes.runtime import Runtime, current_process, get_runtime, outside_of_trio
from candil._otp.processes.task import Body, finish, run_process
from candil._otp.processes.timers import Timers
from candil._otp.values.events import ProcessLingers, ProcessStarted
from candil._otp.values.exit_reasons import KILLED, SHUTDOWN, ExitReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LINGER_SECONDS = 0.4
ABANDON_SECONDS = 0.5
CLOSE_SECONDS = 5.0
CLOSE_BATCH = 500  # so many are asked to end before other tasks have their turn


@final
@attrs.define(eq=False)
class _Ending:
    """A process that was told to end: what happens if it takes its time."""

    process: Process
    overdue: Callable[[Process], None]
    deadline: float = 0.0

    @property
    def done(self) -> bool:
        process = self.process
        return process.exit_reason is not None or (
            process.node.closing and process is process.node.opener
        )

    def expire(self) -> None:
        self.overdue(self.process)


@final
@attrs.define(eq=False)
class Node:
    """Hosts the processes of one block."""

    name: str
    runtime: Runtime
    nursery: trio.Nursery
    timers: Timers = attrs.field(factory=Timers)
    processes: dict[Process, None] = attrs.field(factory=dict[Process, None])
    abandoned: dict[Process, None] = attrs.field(factory=dict[Process, None])
    opener: Process = attrs.field(init=False)
    root: Process | None = None
    interrupted: KeyboardInterrupt | None = None
    stuck: Callable[[], None] | None = None
    closing: bool = False
    opener_ended_first: bool = False  # its reason is its own, though the root's may be the same
    closed: bool = False
    host_ended: OneShot[bool] = attrs.field(factory=OneShot[bool])
    _emptied: OneShot[bool] | None = None

    def new_process(self, label: str, parent: Process | None) -> Process:
        """Make the record of a process; nothing runs yet."""
        pid = self.runtime.new_pid(self.name, label)
        made_by = None if parent is None else parent.pid
        process = Process(pid, self, self.runtime, made_by)
        pid.process = process
        return process

    def spawn(self, label: str, parent: Process | None, body: Body, *args: object) -> Process:
        """Start a process; it runs from the next checkpoint on."""
        process = self.new_process(label, parent)
        self.add(process)
        self.run(process, run_user_code, [(body, args)])
        return process

    def add(self, process: Process) -> None:
        """Let a process exist; it does not run yet."""
        if self.closed:
            raise RuntimeError(
                f"the tree of {self.opener.pid} has ended; it hosts no new processes"
            )
        self.processes[process] = None
        if self.runtime.subscribers:
            self.runtime.emit(ProcessStarted(process.pid, process.parent))

    def run(self, process: Process, body: Body, *args: object) -> None:
        """Let a process run, from the next checkpoint on."""
        self.nursery.start_soon(run_process, process, body, args, name=process.pid.label)

    def run_server(
        self, process: Process, body: Body, wait_for_work: Callable[[], Awaitable[None]]
    ) -> None:
        """Let a server that is up run, from the next checkpoint on."""
        self.nursery.start_soon(
            run_process, process, body, (), wait_for_work, name=process.pid.label
        )

    def process_ended(self, process: Process, reason: ExitReason) -> None:
        """
        Notice that a process has left ``processes``; when it was the root, the block ends too.
        """
        if process is self.root and self.opener.alive:
            request_exit(self.opener, reason, process.pid)
        if self._emptied is not None and not self.processes:
            self._emptied.put(True)

    def interrupt(self, interrupt: KeyboardInterrupt) -> None:
        """Stop everything in order, or, if that goes on, at once; the block raises *interrupt*."""
        if interrupt is self.interrupted:
            return
        self.interrupted = self.interrupted or interrupt
        if self.closing:
            self.kill_all()
        elif self.opener.alive:
            request_exit(self.opener, SHUTDOWN)

    def watch_ending(self, process: Process) -> None:
        """Report the process if it does not end soon."""
        self.timers.expire_after(LINGER_SECONDS, _Ending(process, self._soon_lingers))

    def watch_killed(self, process: Process) -> None:
        """Go on without the process if it does not end soon: nothing can make a trio task end."""
        self.timers.expire_after(ABANDON_SECONDS, _Ending(process, self._soon_abandon))

    def kill_all(self) -> None:
        """Kill every process, the newest first."""
        for process in reversed(list(self.processes)):
            kill(process)

    async def close(self) -> None:
        """End every process: the root in its own order, the rest at once. The body has left."""
        self.closing = True
        if self.root is not None and self.root.exit_reason is None:
            self.opener_ended_first = self.opener.exit_requested is not None
        self.abandoned.pop(self.opener, None)
        if self.root is not None and self.root.exit_reason is None:
            send_exit(self.root, self.opener.pid, SHUTDOWN)
            await join(self.root, float("inf"))
        if self.opener.exit_reason is None:
            finish(self.opener, self.opener.exit_requested or SHUTDOWN)
        for index, process in enumerate(reversed(list(self.processes))):
            if _is_owned(process):
                continue
            if process.trap_exit and process.behaviour is not None:
                process.behaviour.end(SHUTDOWN)  # it may have no parent whose signal it would heed
            else:
                send_exit(process, self.opener.pid, SHUTDOWN)
            if index % CLOSE_BATCH == CLOSE_BATCH - 1:
                await trio.lowlevel.checkpoint()
        while not await self._empty_within(CLOSE_SECONDS):
            self.kill_all()
        self.closed = True
        if self.abandoned and self.stuck is not None:
            self.timers.call_later(CLOSE_SECONDS, self.stuck)
        else:
            self.nursery.cancel_scope.cancel()

    def ended_after_all(self, process: Process) -> None:
        """Notice the end of a process that was given up; a node that waits for the last is done."""
        self.abandoned.pop(process, None)
        if self.closed and not self.abandoned:
            self.nursery.cancel_scope.cancel()

    async def _empty_within(self, seconds: float) -> bool:
        if not self.processes:
            return True
        self._emptied = OneShot[bool]()
        self.timers.call_later(seconds, lambda slot=self._emptied: slot.put(False))  # type: ignore[misc]
        return await self._emptied.wait()

    def _soon_lingers(self, process: Process) -> None:
        self._after_one_pass(process, self._lingers)

    def _soon_abandon(self, process: Process) -> None:
        self._after_one_pass(process, self._abandon)

    def _after_one_pass(self, process: Process, overdue: Callable[[Process], None]) -> None:
        """Wait for the scheduler's pass to end: among thousands, its turn may be still to come."""
        self.timers.call_later(
            0.0, lambda: None if process.exit_reason is not None else overdue(process)
        )

    def _lingers(self, process: Process) -> None:
        self._report(process, LINGER_SECONDS, abandoned=False)

    def _abandon(self, process: Process) -> None:
        self._report(process, ABANDON_SECONDS, abandoned=True)
        self.abandoned[process] = None
        if process.behaviour is not None:
            process.behaviour.attach_current()
        finish(process, KILLED)

    def _report(self, process: Process, seconds: float, *, abandoned: bool) -> None:
        reason = process.exit_requested or SHUTDOWN
        self.runtime.emit(ProcessLingers(process.pid, reason, seconds, abandoned, _stack(process)))


def _is_owned(process: Process) -> bool:
    """Tell whether a living process will end it: its supervisor, in its own order."""
    parent = None if process.parent is None else process.parent.process
    return parent is not None and parent in process.links


def _stack(process: Process) -> str:
    if process.task is None or process is process.node.opener:
        return ""
    frames = list(process.task.iter_await_frames())
    return "".join(traceback.StackSummary.extract(iter(frames)).format())


def current_node() -> Node:
    """Return the node that new processes of the current task belong to."""
    process: Any = current_process.get()
    if process is not None:
        if not trio.lowlevel.in_trio_run():  # a thread has its maker's context
            raise outside_of_trio()
        node: Node = process.node
        return node
    nodes = get_runtime().nodes
    if len(nodes) == 1:
        return next(iter(nodes))
    problem = "several trees are open" if nodes else "no tree is open in this trio.run"
    message = (
        f"{problem}: run this inside `async with candil.open_supervisor(...)` or "
        "`candil.open_node()`"
    )
    raise RuntimeError(message)
