"""Starting a program, signalling its process group, and reaping all that is left of it."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys

from .commands import Launch

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CAN_PRCTL = sys.platform == "linux"
CAN_PEEK = hasattr(os, "waitid")  # not on macOS before Python 3.13
CANNOT_EXECUTE = 127
LIBC = ctypes.CDLL(None) if CAN_PRCTL else None


def prctl(option: int, value: int) -> None:
    """Set an option of this process, where the kernel has such."""
    if LIBC is not None:
        LIBC.prctl(option, value, 0, 0, 0)


def start(launch: Launch, output: int) -> tuple[int, int]:
    """
    Start a program in a group of its own, whose output goes to *output*.

    Returns:
        Its process id and an errno: 0 for success.

    Raises:
        OSError: There are too many processes or files.
    """
    read, write = os.pipe()  # closed by a successful exec, so the end of the file means success
    guard = os.getpid()
    try:
        pid = os.fork()
        if pid == 0:
            exec_child(launch, output, write, guard)
    except OSError:
        os.close(read)
        raise
    finally:
        os.close(write)
    answer = os.read(read, 16)
    os.close(read)
    if answer:
        os.waitpid(pid, 0)
    return pid, int(answer or 0)


def exec_child(launch: Launch, output: int, errors: int, guard: int) -> None:
    """Turn the forked child into the program; never returns."""
    error = errno.ESRCH
    try:
        os.setpgid(0, 0)  # not setsid: on a busy machine that alone can wait for some milliseconds
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and that is inherited
        os.dup2(output, 1)
        os.dup2(output, 2)
        if os.getppid() == guard:
            change_directory(launch.folder)
            os.execve(launch.words[0], launch.words, launch.environment)  # noqa: S606 - no shell is the point
    except OSError as failure:
        error = failure.errno or errno.EIO
    finally:
        os.write(errors, b"%d" % error)
        os._exit(CANNOT_EXECUTE)


def change_directory(folder: bytes) -> None:
    """Change to *folder*; where that is gone or closed, stay, as candil itself does."""
    try:
        os.chdir(folder)
    except OSError:
        pass


def apply(signals: bytes, leader: int) -> None:
    """Carry out the letters that candil has written."""
    if b"T" in signals:
        kill_group(leader, signal.SIGTERM)
    if b"K" in signals:
        kill_group(leader, signal.SIGKILL)


def kill_group(leader: int, number: int) -> None:
    """Send a signal to the program's process group, if there still is one."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        pass


def reap(leader: int) -> int | None:
    """Reap the dead children; return the wait status of the program if it is one of them."""
    while True:
        if CAN_PEEK and dead_child() == leader:
            # Until the leader is reaped no other group can get its number.
            kill_group(leader, signal.SIGKILL)
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == leader:
            if not CAN_PEEK:
                kill_group(leader, signal.SIGKILL)
            return status
        if not pid:
            return None


def dead_child() -> int:
    """Return the process id of a child that has ended and is not reaped yet; 0 if none has."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0


def kill_rest() -> bool:
    """Reap what is dead and kill what is left below the guard; return whether nothing is."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    for pid in children():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return False


def children() -> list[int]:
    """Return the process ids of the guard's children: what fled from the program's group."""
    mine = str(os.getpid())
    return [pid for pid in all_pids() if parent(pid) == mine]


def all_pids() -> list[int]:
    """Return every process id; none where the system does not list them, or has no files left."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def parent(pid: int) -> str:
    """Return the parent of *pid* in digits; nothing for a process that is no more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The program's name stands in parentheses, and may itself contain parentheses.
            return file.read().rpartition(b")")[2].split()[1].decode()
    except OSError:
        return ""
