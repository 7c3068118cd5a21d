"""
Links, monitors and exit signals, as the current process uses them. OTP: ``erlang:link/1`` and its
neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import trio

from candil._otp.processes.oneshot import OneShot
from candil._otp.processes.process import (
    Process,
    add_monitor,
    link_processes,
    park,
    post,
    remove_monitor,
    send_exit,
    unlink_processes,
    unpark,
)
from candil._otp.processes.requests import Request
from candil._otp.processes.runtime import current_process, resolve
from candil._otp.processes.spawn import own_process
from candil._otp.values.errors import NoProc
from candil._otp.values.exit_reasons import as_exit_reason
from candil._otp.values.messages import Down, ExitSignal
from candil._otp.values.names import name_key
from candil._otp.values.pids import Pid, Ref, is_pid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from candil._otp.values.names import Server


def trap_exit(flag: bool) -> bool:  # noqa: FBT001  # OTP's process_flag(trap_exit, true) reads so
    """
    Choose whether exit signals reach this process as ``ExitSignal`` messages. OTP:
    ``process_flag(trap_exit, Flag)``.

    Args:
        flag: ``True`` to trap.

    Returns:
        What it was before.
    """
    process = own_process("trap_exit")
    before, process.trap_exit = process.trap_exit, flag
    return before


def link(pid: Pid[Any]) -> None:
    """
    Link this process to another: if either dies abnormally, the other gets its exit signal. Twice
    is once.

    Args:
        pid: The other process; what only has a name is found by ``whereis``.

    Raises:
        TypeError: It is no pid.

        NoProc: It has ended, and this process does not trap exits; one that does gets an
            ``ExitSignal`` with ``NoProc()``.
    """
    own = own_process("link")
    _check_pid("link", pid)
    other = pid.process
    if other is own:
        return
    if other is not None and other.alive:
        link_processes(own, other)
    elif own.trap_exit:
        post(own, ExitSignal(pid, NoProc()))
    else:
        raise NoProc(pid, "link")


def unlink(pid: Pid[Any]) -> None:
    """
    Undo a link. An ``ExitSignal`` that is in the mailbox already stays there.

    Args:
        pid: The other process.

    Raises:
        TypeError: It is no pid.
    """
    own = own_process("unlink")
    _check_pid("unlink", pid)
    if pid.process is not None:
        unlink_processes(own, pid.process)


def _check_pid(what: str, pid: object) -> None:
    if not is_pid(pid):
        raise TypeError(
            f"{what} takes the pid of a process; got {pid!r}. whereis(name) gives the pid of who "
            "holds a name, or None if nobody does"
        )


def monitor(target: Server[Any]) -> Ref:
    """
    Watch a process: exactly one ``Down`` comes when it ends, at once if it has. Twice gives two.

    Args:
        target: A pid or a name; this process itself is not watched, since nobody would be left.

    Returns:
        The reference that the ``Down`` will carry.

    Raises:
        TypeError: It is neither, as the ``None`` that ``whereis`` gives.
    """
    own = own_process("monitor")
    process = target.process if is_pid(target) else own.runtime.names.get(name_key(target))
    if process is own:
        return own.runtime.new_ref()
    if process is not None and process.exit_reason is None:
        return add_monitor(own, process, process.pid)
    ref = own.runtime.new_ref()
    post(own, Down(ref, target, NoProc()))
    return ref


def demonitor(ref: Ref, *, flush: bool = False) -> None:
    """
    Stop watching.

    Args:
        ref: What ``monitor`` returned.

        flush: Whether a ``Down`` that came already is taken out of the mailbox too.
    """
    own = own_process("demonitor")
    remove_monitor(own, ref)
    if flush:
        remove_messages(own, lambda message: isinstance(message, Down) and message.ref is ref)


def remove_messages(process: Process, unwanted: Callable[[object], bool]) -> None:
    """Drop what *unwanted* says from a mailbox, in place."""
    kept: Iterable[object] = [message for message in process.mailbox if not unwanted(message)]
    process.mailbox.clear()
    process.mailbox.extend(kept)
    process.removals += 1


def exit_nowait(target: Server[Any] | None, reason: object) -> None:
    """
    Send an exit signal, and return at once. OTP: ``exit/2``.

    ``normal`` from another process is ignored unless trapped; ``kill`` cannot be trapped and ends
    it with ``Killed()``; any other reason ends a process at its next checkpoint, or reaches it as
    an ``ExitSignal`` if it traps exits.

    Args:
        target: A pid or name; one that has ended is ignored.

        reason: Anything that ``as_exit_reason`` takes.

    Raises:
        NoProc: *target* is ``None`` or a name that nobody holds.

        RuntimeError: In a thread that trio does not run in; ``trio.from_thread.run_sync`` is the
            way from there.
    """
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "candil.exit_nowait() was called outside of trio's thread; from another thread call "
            "trio.from_thread.run_sync(candil.exit_nowait, target, reason)"
        )
    process = None if target is None else resolve(target)
    if process is not None:
        own = current_process.get()
        send_exit(process, own.pid if own else None, as_exit_reason(reason))
    elif type(target) is not Pid:
        raise NoProc(target, "exit")


async def exit(target: Server[Any] | None, reason: object) -> None:  # OTP's name for it
    """
    Send an exit signal and wait for what it does. OTP: ``exit/2``, which does not wait.

    Returns when the target has ended and its supervisor has dealt with that: restarted it, given
    up, or put the restart off; a suspended supervisor is not waited for. If the signal does not end
    the target, it returns at once. Within a process that somebody waits for, as in a call handler,
    it does not wait, or no longer: whoever waits may be the supervisor.

    Args:
        target: As for ``exit_nowait``.

        reason: As for ``exit_nowait``.

    Raises:
        NoProc: As for ``exit_nowait``.

    Cancellation:
        The signal has been sent; only the wait ends.
    """
    process = None if target is None else resolve(target)
    exit_nowait(target, reason)
    own = current_process.get()
    if process is None or process is own or process.alive or _has_waiting_caller(own):
        await trio.lowlevel.checkpoint()
        return
    ended = _slot_for_this_task()
    waiters = process.exit_waiters
    if waiters is None:
        waiters = process.exit_waiters = {}
    waiters[ended] = None
    try:
        await _wait_unless_wanted(ended)
    finally:
        waiters.pop(ended, None)
    supervisor = None if process.parent is None else process.parent.process
    if ended.done and supervisor is not None and supervisor.server is not None:
        await _wait_unless_wanted(_when_idle(supervisor))


def _has_waiting_caller(own: Process | None) -> bool:
    """Tell whether somebody waits for an answer of the process whose task this is."""
    return (
        own is not None
        and own.task is trio.lowlevel.current_task()
        and (own.current_request is not None or bool(own.pending))
    )


@final
class _OwnSlot(OneShot[bool]):
    """Filling it wakes the process that waits for it among its messages."""

    __slots__ = ("process",)

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process

    def put(self, value: bool) -> None:  # noqa: FBT001  # what it says is that it is filled
        """Fill it, and wake the process."""
        super().put(value)
        unpark(self.process)


def _slot_for_this_task() -> OneShot[bool]:
    own = current_process.get()
    if own is None or own.task is not trio.lowlevel.current_task() or own.parked is not None:
        return OneShot()  # another task waits among the messages, or none can
    return _OwnSlot(own)


def _when_idle(process: Process) -> OneShot[bool]:
    """Give a slot that is filled when the process has nothing more to do."""
    slot = _slot_for_this_task()
    loop = process.server
    suspended = loop is not None and loop.suspended and process.parked is not None
    if process.idle or suspended or process.exit_reason is not None:
        slot.put(True)
    else:
        process.idle_waiters = [*(process.idle_waiters or ()), slot]
    return slot


async def _wait_unless_wanted(slot: OneShot[bool]) -> None:
    """Wait for *slot*; in a process, not beyond the moment it gets a request or an exit signal."""
    if not isinstance(slot, _OwnSlot):
        await slot.wait()
        return
    own = slot.process
    waited = False
    while not slot.done and not any(
        isinstance(message, Request | ExitSignal) for message in own.mailbox
    ):
        await park(own)
        waited = True
    if not waited:
        await trio.lowlevel.checkpoint()
