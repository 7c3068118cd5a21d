"""
The guard: a small program between candil and one ``llama-server``, so that nothing is orphaned.

Run as ``python -I -S program.py CONTROL STATUS MANAGER NAME`` where CONTROL and STATUS are numbers
of inherited pipe ends, MANAGER is the process id of candil, and NAME, which is there for ``ps``
only, says what it guards. It imports the standard library only, and of that little: its start is
a part of the first start of an engine. The later ones find it waiting, one program after another.

What it is told, on CONTROL: ``L``, the length of an order in digits, a line's end, and the order
(`Program`) launches a program; ``T`` sends SIGTERM to the engine's group, ``K`` sends SIGKILL, and
both mean nothing while there is none; the end of the file, which comes when candil ends in
whatever way, is a ``K``, and the guard's own end.

What it tells, on STATUS, a JSON object on a line: ``started`` with the engine's process id or
``exec_failed`` with the errno; then ``exited`` with the raw wait status of the engine itself; then
``reaped``: nothing is left of it, and the next may come. The guard's own end says so too.

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

Each order has the program's working directory and environment as candil has them at that moment.
What else a process inherits (limits, umask, niceness) is as it was when the guard was started.

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
HANDLED_SIGNALS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
LOOK_EVERY_MS = None if CAN_PRCTL else 500
CANNOT_EXECUTE = 127
CHUNK = 1 << 16
LIBC = ctypes.CDLL(None) if CAN_PRCTL else None


def main(arguments: list[str]) -> None:
    """Start one program after another, watch over each, and leave nothing of any behind."""
    control, status, manager = (int(word) for word in arguments[:3])
    os.set_inheritable(control, False)
    os.set_inheritable(status, False)
    wake = handle_signals()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
    commands = Commands(control, wake, manager)
    while (program := commands.next_program()) is not None:
        run(program, commands, status)
        reap_all()
        if not commands.stopping:
            report(status, b'{"event": "reaped"}\n')


def run(program: Program, commands: Commands, status: int) -> None:
    """Start *program*, and return when it has ended; tell both."""
    engine, error = launch(program)
    if error:
        report(status, b'{"event": "exec_failed", "errno": %d}\n' % error)
        return
    report(status, b'{"event": "started", "pid": %d}\n' % engine)
    ended = watch(engine, commands)
    report(status, b'{"event": "exited", "status": %d}\n' % ended)


class Program:
    """
    An order to launch: fields with a zero byte between, which none of them can hold.

    They are the working directory, the number of words, the words of the command line, and the
    variables of the environment as NAME=VALUE.
    """

    def __init__(self, order: bytes) -> None:
        self.folder, count, *rest = order.split(b"\0")
        self.words = rest[: int(count)]
        self.environment: dict[bytes, bytes] = {}
        for variable in rest[int(count) :]:
            name, _, value = variable.partition(b"=")
            self.environment[name] = value


class Commands:
    """What comes in: the commands of candil, and signals. ``stopping`` says that all is to end."""

    def __init__(self, control: int, wake: int, manager: int) -> None:
        self.control = control
        self.wake = wake
        self.manager = manager
        self.unread = b""
        self.stopping = os.getppid() != manager  # it ended before the kernel was asked to say so
        self.poller = select.poll()
        self.poller.register(control, select.POLLIN)
        self.poller.register(wake, select.POLLIN)

    def wait(self) -> None:
        """Wait until something comes, and take it in."""
        ready = {fd for fd, _ in self.poller.poll(LOOK_EVERY_MS)}
        if self.control in ready:
            data = os.read(self.control, CHUNK)
            self.unread += data
            if not data:
                self.poller.unregister(self.control)
                self.stopping = True
        # Always: a signal may have come in the same moment as the order, and then it came first.
        if stop_requested(self.wake) or os.getppid() != self.manager:
            self.stopping = True

    def signals(self) -> bytes:
        """Take what candil has written about the program that runs."""
        taken, self.unread = self.unread, b""
        return taken

    def next_program(self) -> Program | None:
        """Wait for the next order to launch; return None when all is to end."""
        while not self.stopping:
            program = self.take_program()
            if program is not None:
                return program
            self.wait()
        return None

    def take_program(self) -> Program | None:
        """Take an order to launch, if it has come in whole, and signals that came too late."""
        self.unread = self.unread.lstrip(b"TK")
        head, newline, rest = self.unread.partition(b"\n")
        length = int(head[1:]) if newline else 0
        if not newline or len(rest) < length:
            return None
        self.unread = rest[length:]
        return Program(rest[:length])


def handle_signals() -> int:
    """Have every heeded signal written to a pipe, and return the end to read it from."""
    wake, write = os.pipe()
    os.set_blocking(write, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in HANDLED_SIGNALS:
        signal.signal(number, ignore)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the loop's thread may have blocked some
    return wake


def ignore(_number: int, _frame: object) -> None:
    """Do nothing: the number is on its way through the pipe."""


def prctl(option: int, value: int) -> None:
    """Set an option of this process, where the kernel knows such."""
    if LIBC is not None:
        LIBC.prctl(option, value, 0, 0, 0)


def launch(program: Program) -> tuple[int, int]:
    """Start *program* in a group of its own; return its process id and errno, 0 for success."""
    read, write = os.pipe()  # closed by a successful exec: the end of the file is the good news
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        exec_child(program, write, guard)
    os.close(write)
    answer = os.read(read, 16)
    os.close(read)
    if answer:
        os.waitpid(pid, 0)
    return pid, int(answer or 0)


def exec_child(program: Program, errors: int, guard: int) -> None:
    """Turn the forked child into *program*; never returns."""
    error = errno.ESRCH
    try:
        os.setpgid(0, 0)  # not setsid: on a busy machine that alone can wait for some milliseconds
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and that is inherited
        if os.getppid() == guard:
            change_directory(program.folder)
            os.execve(program.words[0], program.words, program.environment)  # noqa: S606 - no shell is the point
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


def watch(engine: int, commands: Commands) -> int:
    """Carry out commands until the engine has ended; return its wait status."""
    while True:
        apply(commands.signals(), engine)
        if commands.stopping:
            kill_group(engine, signal.SIGKILL)
        status = reap(engine)
        if status is not None:
            return status
        commands.wait()


def apply(signals: bytes, engine: int) -> None:
    """Carry out what candil has written."""
    if b"T" in signals:
        kill_group(engine, signal.SIGTERM)
    if b"K" in signals:
        kill_group(engine, signal.SIGKILL)


def stop_requested(wake: int) -> bool:
    """Read the signals that came, and tell whether one of them asks the guard itself to end."""
    try:
        return not ENDING.isdisjoint(os.read(wake, 4096))
    except BlockingIOError:
        return False


def kill_group(leader: int, number: int) -> None:
    """Send a signal to the engine's process group, if there still is one."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        pass


def reap(engine: int) -> int | None:
    """Bury the dead children; return the wait status of the engine if it is one of them."""
    while True:
        if CAN_PEEK and dead_child() == engine:
            # While the leader is not buried nobody else can get its number as a group's.
            kill_group(engine, signal.SIGKILL)
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == engine:
            if not CAN_PEEK:
                kill_group(engine, signal.SIGKILL)
            return status
        if not pid:
            return None


def dead_child() -> int:
    """Return the process id of a child that has ended and is not buried yet, 0 if none has."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0


def reap_all() -> None:
    """Kill and reap every process that is left below the guard."""
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


def report(status: int, line: bytes) -> None:
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
