"""The guard's loop: one program after another, each watched until nothing of it is left."""

from __future__ import annotations

import os
import select
import signal
import time

from .children import (
    CAN_PRCTL,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    apply,
    kill_group,
    kill_rest,
    prctl,
    reap,
    start,
)
from .commands import Commands, Launch
from .log_file import LogFile
from .output import Output, Relay

HANDLED_SIGNALS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CHECK_MS = None if CAN_PRCTL else 500
REAP_MS = 50  # a process that fled is found by looking, and may have children that flee as well
MOST_LAST_CHUNKS = 64  # without a subreaper a process may be left that writes for ever
LOG_REPORT_SECONDS = 60.0  # a disk may fill up again and again, and candil read no report
CHUNK = 4096
STDOUT = 1


def main(arguments: list[str]) -> None:
    """Run one program after another, and leave nothing of any behind."""
    control, events, manager = (int(word) for word in arguments[:3])
    os.set_inheritable(control, False)
    os.set_inheritable(events, False)
    wake = handle_signals()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
    guard = Guard(Commands(control, manager), events, wake, Relay(STDOUT))
    while (launch := guard.next_launch()) is not None:
        guard.run(launch)


def handle_signals() -> int:
    """Have every handled signal written to a pipe, and return the end to read it from."""
    wake, write = os.pipe()
    os.set_blocking(write, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in HANDLED_SIGNALS:
        signal.signal(number, ignore)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # candil blocked some for the start
    return wake


def ignore(_number: int, _frame: object) -> None:
    """Do nothing: the number is on its way through the pipe."""


class Guard:
    """The guard: what it hears from, and what it tells."""

    def __init__(self, commands: Commands, events: int, wake: int, relay: Relay) -> None:
        self._commands = commands
        self._events = events
        self._wake = wake
        self._relay = relay
        self._output: Output | None = None
        self._next_log_report = 0.0

    def next_launch(self) -> Launch | None:
        """Wait for the next launch; return None when the guard is to end."""
        while not self._commands.stopping:
            launch = self._commands.take_launch()
            if launch is not None:
                return launch
            if not self._commands.stopping:
                self._wait(CHECK_MS)
        return None

    def run(self, launch: Launch) -> None:
        """Start a program, and return when nothing of it is left; report both."""
        try:
            read, write = os.pipe()
        except OSError as error:
            self._report(b'"start_failed", "errno": %d' % (error.errno or 0))
        else:
            os.set_blocking(read, False)
            log = LogFile(launch.log_path) if launch.log_path else None
            self._output = Output(read, self._relay, log)
            self._run_with(launch, write)
            self._finish()
        if not self._commands.stopping:
            self._report(b'"reaped"')

    def _run_with(self, launch: Launch, output: int) -> None:
        try:
            leader, error = start(launch, output)
        except OSError as problem:
            leader, error = 0, problem.errno or 0
        finally:
            os.close(output)
        if not leader or error:
            self._report(b'"start_failed", "errno": %d' % error)
            return
        self._report(b'"started", "pid": %d' % leader)
        self._report(b'"exited", "status": %d' % self._watch(leader))

    def _watch(self, leader: int) -> int:
        """Serve until the program has ended; return its wait status."""
        while True:
            apply(self._commands.take_signals(), leader)
            if self._commands.stopping:
                kill_group(leader, signal.SIGKILL)
            status = reap(leader)
            if status is not None:
                return status
            self._wait(CHECK_MS)

    def _finish(self) -> None:
        """Kill what is left of the program, and hand on the rest of what it wrote."""
        assert self._output is not None
        while not kill_rest():
            self._wait(REAP_MS)
        most = MOST_LAST_CHUNKS
        while most and self._read_output():
            most -= 1
        self._output.close()
        self._output = None
        while self._relay.is_behind and not self._commands.stopping:
            self._wait(CHECK_MS)
            self._commands.take_signals()  # those for a program that is dead

    def _wait(self, milliseconds: int | None) -> None:
        """Wait until something comes, and take it in."""
        ready = {fd for fd, _ in self._poller().poll(milliseconds)}
        if self._output is not None and self._output.source in ready:
            self._read_output()
        if self._relay.fd in ready:
            self._relay.flush()
        if self._commands.control in ready:
            self._commands.read()
        # Always: a signal may have come in the same moment as a command, and then it came first.
        self._drain_wake()
        self._commands.check_manager()

    def _poller(self) -> select.poll:
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if self._commands.control >= 0:
            poller.register(self._commands.control, select.POLLIN)
        if self._output is not None and self._output.source >= 0:
            poller.register(self._output.source, select.POLLIN)
        if self._relay.is_behind:
            poller.register(self._relay.fd, select.POLLOUT)
        return poller

    def _read_output(self) -> bool:
        """Take in some output; return whether there may be more."""
        assert self._output is not None
        more = self._output.source >= 0 and self._output.read()
        log = self._output.log
        if log is not None and log.error and time.monotonic() >= self._next_log_report:
            self._next_log_report = time.monotonic() + LOG_REPORT_SECONDS
            self._report(b'"log_failed", "errno": %d' % log.error)
        return more

    def _drain_wake(self) -> None:
        try:
            while len(os.read(self._wake, CHUNK)) == CHUNK:
                pass
        except BlockingIOError:
            pass

    def _report(self, event: bytes) -> None:
        """Write an event to candil, which may be gone."""
        try:
            os.write(self._events, b'{"event": %b}\n' % event)
        except OSError:
            pass
