"""
The guard: a small program between candil and one ``llama-server``, so that nothing is orphaned.

Run as ``python -I -S _guard.py CONTROL STATUS MANAGER PROGRAM [ARGUMENT ...]`` where CONTROL and
STATUS are numbers of inherited pipe ends and MANAGER is the process id of candil. It imports the
standard library only, and of that little: its start is a part of every start of an engine.

What it is told, on CONTROL: ``T`` sends SIGTERM to the engine's group, ``K`` sends SIGKILL; the
end of the file, which comes when candil ends in whatever way, is a ``K``.

What it tells, on STATUS, a JSON object on a line: ``started`` with the engine's process id or
``exec_failed`` with the errno; then ``exited`` with the raw wait status of the engine itself.
The guard's own end then says that nothing is left of the group.

Who dies with whom:

1. candil ends: the pipe ends. Should a forked copy of candil hold the other end, or the guard be
   stopped, the kernel's parent-death signal comes to help: it is SIGCONT, which wakes a stopped
   guard and makes it look who its parent is. (SIGKILL would end the guard sooner, and with it
   the only one who knows the engine's group: a process started by the engine would live on.)
2. The guard ends, by whatever signal: the engine has asked the kernel for SIGKILL at that moment.
3. The engine ends: the guard kills what is left of its group, and what fled from the group, which
   comes to the guard because it is the subreaper.

The parent-death signal follows the *thread* that started the process. So the guard starts the
engine from its only thread. candil for its part starts the guard from the thread of its event
loop: trio's own process functions use worker threads, which retire after 10 s, and a SIGKILL on
that occasion would end a healthy engine. SIGCONT is harmless even then.

Without ``prctl`` (macOS) 1 and 3 hold through the pipe, a look at the parent now and then, and
the process group; 2 does not hold for SIGKILL.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CAN_PRCTL = sys.platform == "linux"
CAN_PEEK = hasattr(os, "waitid")  # not on macOS before Python 3.13
HEEDED = (signal.SIGCHLD, signal.SIGCONT, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LOOK_EVERY_MS = None if CAN_PRCTL else 500
CANNOT_EXECUTE = 127


def main(arguments: list[str]) -> None:
    """Start the program, watch over it, and leave nothing of it behind."""
    control, status, manager = (int(word) for word in arguments[:3])
    os.set_inheritable(control, False)
    os.set_inheritable(status, False)
    wake = heed_signals()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
    if os.getppid() != manager:  # it ended before the line above could matter
        return
    engine, error = launch(arguments[3:])
    if error:
        tell(status, b'{"event": "exec_failed", "errno": %d}\n' % error)
        return
    tell(status, b'{"event": "started", "pid": %d}\n' % engine)
    ended = watch(control, wake, engine, manager)
    tell(status, b'{"event": "exited", "status": %d}\n' % ended)
    bury()


def heed_signals() -> int:
    """Have every heeded signal written to a pipe, and return the end to read it from."""
    wake, write = os.pipe()
    os.set_blocking(write, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in HEEDED:
        signal.signal(number, ignore)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the loop's thread may have blocked some
    return wake


def ignore(_number: int, _frame: object) -> None:
    """Do nothing: the number is on its way through the pipe."""


def prctl(option: int, value: int) -> None:
    """Set an option of this process, where the kernel knows such."""
    if CAN_PRCTL:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def launch(program: list[str]) -> tuple[int, int]:
    """Start *program* in a session of its own; return its process id and errno, 0 for success."""
    read, write = os.pipe()  # closed by a successful exec: the end of the file is the good news
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        become(program, write, guard)
    os.close(write)
    answer = os.read(read, 16)
    os.close(read)
    if answer:
        os.waitpid(pid, 0)
    return pid, int(answer or 0)


def become(program: list[str], report: int, guard: int) -> None:
    """Turn the forked child into *program*; never returns."""
    error = errno.ESRCH
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and that is inherited
        if os.getppid() == guard:
            os.execv(program[0], program)  # noqa: S606 - no shell is the point
    except OSError as failure:
        error = failure.errno or errno.EIO
    finally:
        os.write(report, b"%d" % error)
        os._exit(CANNOT_EXECUTE)


def watch(control: int, wake: int, engine: int, manager: int) -> int:
    """Carry out orders until the engine has ended; return its wait status."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poller.poll(LOOK_EVERY_MS)}
        if control in ready and not obey(control, engine):
            poller.unregister(control)
        told_to_end = wake in ready and heard_the_end(wake)
        if told_to_end or os.getppid() != manager:
            kill_group(engine, signal.SIGKILL)
        status = reap(engine)
        if status is not None:
            return status


def obey(control: int, engine: int) -> bool:
    """Carry out what is written on *control*; return False once it has ended."""
    orders = os.read(control, 64)
    if b"T" in orders:
        kill_group(engine, signal.SIGTERM)
    if b"K" in orders or not orders:
        kill_group(engine, signal.SIGKILL)
    return bool(orders)


def heard_the_end(wake: int) -> bool:
    """Read the signals that came, and tell whether one of them asks the guard itself to end."""
    numbers = set(os.read(wake, 4096))
    return bool(numbers & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def kill_group(leader: int, number: int) -> None:
    """Send a signal to the engine's process group, if there still is one."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        pass


def reap(engine: int) -> int | None:
    """Bury the dead children; return the wait status of the engine if it is one of them."""
    while True:
        if CAN_PEEK and a_dead_child() == engine:
            # While the leader is not buried nobody else can get its number as a group's.
            kill_group(engine, signal.SIGKILL)
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == engine:
            if not CAN_PEEK:
                kill_group(engine, signal.SIGKILL)
            return status
        if not pid:
            return None


def a_dead_child() -> int:
    """Return the process id of a child that has ended and is not buried yet, 0 if none has."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0


def bury() -> None:
    """Kill and bury every process that is left below the guard."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)
        except ProcessLookupError:
            continue
        except ChildProcessError:
            return


def children() -> list[int]:
    """Return the process ids of the guard's children: whoever fled from the engine's group."""
    mine = str(os.getpid())
    found: list[int] = []
    for name in os.listdir("/proc") if CAN_PRCTL else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    # The name of a program, in brackets, may hold anything, also brackets.
                    parent = file.read().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if parent == mine:
                found.append(int(name))
    return found


def tell(status: int, line: bytes) -> None:
    """Write a line to candil, which may be gone."""
    try:
        os.write(status, line)
    except OSError:
        pass


if __name__ == "__main__":
    code = 1
    try:
        main(sys.argv[1:])
        code = 0
    except Exception as problem:  # noqa: BLE001 - it goes into the engine's log
        sys.excepthook(type(problem), problem, problem.__traceback__)
        sys.stderr.flush()
    os._exit(code)  # quicker than Python's own farewell, for which candil would wait
