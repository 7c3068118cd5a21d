"""
Links, monitors and exit signals, as the current process uses them. OTP: ``erlang:link/1`` and its
neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from candil._otp.processes.process import (
    Process,
    add_monitor,
    link_processes,
    post,
    remove_monitor,
    send_exit,
    unlink_processes,
)
from candil._otp.processes.runtime import current_process, resolve
from candil._otp.processes.spawn import own_process
from candil._otp.values.arguments import check_flag, check_pid, check_ref
from candil._otp.values.errors import NoProc
from candil._otp.values.exit_reasons import NoProcess, as_exit_reason
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

    Raises:
        TypeError: It is neither ``True`` nor ``False``.
    """
    process = own_process("trap_exit")
    check_flag("the flag of trap_exit", flag)
    before, process.trap_exit = process.trap_exit, flag
    return before


def link(pid: Pid[object]) -> None:
    """
    Link this process to another: if either dies abnormally, the other gets its exit signal. Twice
    is once.

    Args:
        pid: The other process; what only has a name is found by ``whereis``.

    Raises:
        TypeError: It is no pid.

        NoProc: It has ended, and this process does not trap exits; one that does gets an
            ``ExitSignal`` with ``NoProcess()``.
    """
    own = own_process("link")
    check_pid("link", pid)
    other = pid.process
    if other is own:
        return
    if other is not None and other.alive:
        link_processes(own, other)
    elif own.trap_exit:
        post(own, ExitSignal(pid, NoProcess()))
    else:
        raise NoProc(pid, "link")


def unlink(pid: Pid[object]) -> None:
    """
    Undo a link. An ``ExitSignal`` that is in the mailbox already stays there.

    Args:
        pid: The other process.

    Raises:
        TypeError: It is no pid.
    """
    own = own_process("unlink")
    check_pid("unlink", pid)
    if pid.process is not None:
        unlink_processes(own, pid.process)


def monitor(target: Server[object]) -> Ref:
    """
    Watch a process: exactly one ``Down`` comes when it ends, at once if it has. Twice gives two.

    Args:
        target: A pid or a name; a process cannot watch itself: it would not be there to be told.

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
    post(own, Down(ref, target, NoProcess()))
    return ref


def demonitor(ref: Ref, *, flush: bool = False) -> None:
    """
    Stop watching.

    Args:
        ref: What ``monitor`` returned.

        flush: Whether a ``Down`` that came already is taken out of the mailbox too.

    Raises:
        TypeError: *ref* is no such reference, or *flush* neither ``True`` nor ``False``.
    """
    own = own_process("demonitor")
    check_ref("demonitor", ref)
    check_flag("flush of demonitor", flush)
    remove_monitor(own, ref)
    if flush:
        remove_messages(own, lambda message: isinstance(message, Down) and message.ref is ref)


def remove_messages(process: Process, unwanted: Callable[[object], bool]) -> None:
    """Drop what *unwanted* says from a mailbox, in place."""
    kept: Iterable[object] = [message for message in process.mailbox if not unwanted(message)]
    process.mailbox.clear()
    process.mailbox.extend(kept)
    process.removals += 1


def exit(target: Server[Any] | None, reason: object) -> None:  # OTP's name for it
    """
    Send an exit signal, and return at once. OTP: ``exit/2``.

    ``normal`` from another process is ignored unless trapped; ``kill`` cannot be trapped and ends
    it with ``Killed()``; any other reason ends a process at its next checkpoint, or reaches it as
    an ``ExitSignal`` if it traps exits. To wait for the end, ``monitor`` the process first; to wait
    for its replacement, ``await wait_for(name)`` afterwards.

    Args:
        target: A pid or name; one that has ended is ignored.

        reason: Anything that ``as_exit_reason`` takes.

    Raises:
        NoProc: *target* is ``None`` or a name that no process holds.

        RuntimeError: In a thread that trio does not run in; ``trio.from_thread.run_sync`` is the
            way from there.
    """
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "candil.exit() was called outside of trio's thread; from another thread call "
            "trio.from_thread.run_sync(candil.exit, target, reason)"
        )
    process = None if target is None else resolve(target)
    if process is not None:
        own = current_process.get()
        send_exit(process, own.pid if own else None, as_exit_reason(reason))
    elif type(target) is not Pid:
        raise NoProc(target, "exit")
