"""Programs in poor surroundings: broken streams, debuggers, forks, and a trio.run of their own."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LONG = 60

PRELUDE = """
import os, signal, sys, time
import trio
import candil
from candil._otp.applications import run as run_module, stop_signals as signals_module

def note(text):
    os.write(int(os.environ["NOTES"]), f"{text}\\n".encode())

async def ready():
    note("ready")
    await trio.sleep_forever()

async def crash():
    raise RuntimeError("on fire")

async def stubborn():
    note("ready")
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()

async def hog():
    await trio.sleep(0.05)
    note("ready")
    while True:
        pass

class Refuses(candil.GenServer):
    def init(self):
        raise RuntimeError("on fire")

def one(function, **options):
    return [candil.child_spec(function, **options)]
"""


class Running:
    """A program, and what it notes on a pipe that is none of its standard streams."""

    def __init__(self, source: str, shell: str = "exec {}", **streams: Any) -> None:
        text = textwrap.dedent(PRELUDE) + textwrap.dedent(source)
        reader, writer = os.pipe()
        self.notes = os.fdopen(reader)
        command = shell.format('"$PYTHON" -W error -c "$SOURCE"')
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL) | streams
        self.popen = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=ROOT,
            env=os.environ | {"NOTES": str(writer), "PYTHON": sys.executable, "SOURCE": text},
            pass_fds=[writer],
            start_new_session=True,
            **streams,
        )
        os.close(writer)

    def wait_for(self, note: str) -> None:
        """Read notes until one is *note*."""
        for line in self.notes:
            if line.strip() == note:
                return
        raise AssertionError(f"it ended without {note!r}")

    def code(self) -> int:
        """Wait for the end, and give the exit code."""
        return self.popen.wait(LONG)


@pytest.fixture
def running() -> Iterator[Any]:
    """Start programs; none is left behind."""
    programs: list[Running] = []

    def start(*args: Any, **options: Any) -> Running:
        programs.append(Running(*args, **options))
        return programs[-1]

    yield start
    for program in programs:
        if program.popen.poll() is None:
            os.killpg(program.popen.pid, signal.SIGKILL)
        program.popen.wait()
        program.notes.close()


# --- streams --------------------------------------------------------------------------------------


def stalled() -> int:
    """Give the writing end of a pipe that is full, and that is never read."""
    _reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 1024)
    except BlockingIOError:
        os.set_blocking(writer, True)
    return writer


def broken() -> int:
    """Give the writing end of a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


SHELLS = {"full": "exec {} >/dev/full 2>/dev/full", "closed": "exec {} >&- 2>&-"}
PIPES = {"broken": broken, "stalled": stalled}
STREAMS = [*SHELLS, *PIPES]


def start_with(running: Any, streams: str, source: str) -> Running:
    """Start a program with poor stdout and stderr."""
    if streams in SHELLS:
        return running(source, SHELLS[streams])
    descriptor = PIPES[streams]()
    program = running(source, stdout=descriptor, stderr=descriptor)
    os.close(descriptor)
    return program


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("log", [True, False])
def test_exit_codes_hold_whatever_the_streams_do(running: Any, streams: str, log: bool) -> None:
    """Where nothing can be printed, the code is all that tells why."""
    log = log and streams != "stalled"  # a log that waits for its reader waits
    giving_up = start_with(running, streams, f"candil.run(one(crash), log={log})")
    failing = start_with(running, streams, f"candil.run([Refuses], log={log})")
    stopped = start_with(running, streams, f"candil.run(one(ready), log={log})")
    stopped.wait_for("ready")
    stopped.popen.send_signal(signal.SIGTERM)

    assert giving_up.code() == 3
    assert failing.code() == 1
    assert stopped.code() == 143


@pytest.mark.parametrize("streams", STREAMS)
def test_two_signals_end_a_program_whatever_its_streams_do(running: Any, streams: str) -> None:
    """It says that it stops at once, if it can."""
    it = start_with(running, streams, "candil.run(one(stubborn), log=False)")
    it.wait_for("ready")
    it.popen.send_signal(signal.SIGTERM)
    it.popen.send_signal(signal.SIGINT)

    assert it.code() in {130, 143}


@pytest.mark.parametrize("streams", STREAMS)
def test_the_watchdog_works_whatever_the_streams_do(running: Any, streams: str) -> None:
    """It leaves in the end, and at once after two signals, though its report cannot be written."""
    source = "run_module.BLOCKED_SECONDS = 1.0\ncandil.run(one(hog))"
    blocked = start_with(running, streams, source)
    signalled = start_with(running, streams, "candil.run(one(hog))")
    signalled.wait_for("ready")
    signalled.popen.send_signal(signal.SIGTERM)
    signalled.popen.send_signal(signal.SIGINT)

    assert signalled.code() in {130, 143}
    assert blocked.code() == 71


def test_a_program_piped_into_head_ends_with_its_own_code(running: Any) -> None:
    """Its output has no reader any more."""
    it = running(
        """
        async def prints():
            note("ready")
            print("line", flush=True)
            print("line")
            print("line", file=sys.stderr)
            await trio.sleep_forever()

        candil.run(one(prints), log=False)
        """,
        stdout=broken(),
        stderr=subprocess.DEVNULL,
    )
    it.wait_for("ready")
    assert it.code() == 3  # the child died of BrokenPipeError until its supervisor gave up


# --- forks ----------------------------------------------------------------------------------------

FORKS = {
    "os.fork": """
        def fork():
            child = os.fork()
            if child == 0:
                try:
                    note(f"child {os.getpid()}")
                    time.sleep(60)
                finally:
                    os._exit(9)
            return child
    """,
    "multiprocessing": """
        import multiprocessing

        def work():
            note(f"child {os.getpid()}")
            time.sleep(60)

        def fork():
            child = multiprocessing.get_context("fork").Process(target=work)
            child.start()
            return child.pid
    """,
}
HOW = {
    "run": "candil.run(one(forks))",
    "embedded": """
async def main():
    async with candil.stop_on_signals(), candil.open_supervisor(one(forks)):
        await trio.sleep_forever()

trio.run(main)
""",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("kind", FORKS)
@pytest.mark.parametrize("how", HOW)
def test_a_forked_child_dies_of_signals_as_any_program(
    running: Any, kind: str, how: str, number: signal.Signals
) -> None:
    """It has the handlers of before; and its parent goes on, and ends as it should."""
    source = (
        textwrap.dedent(FORKS[kind])
        + textwrap.dedent("""
        async def forks():
            child = fork()
            await trio.to_thread.run_sync(os.waitid, os.P_PID, child, os.WEXITED | os.WNOWAIT)
            note("reaped")
            await trio.sleep_forever()
    """)
        + HOW[how]
    )
    it = running(source)
    for line in it.notes:
        if line.startswith("child"):
            os.kill(int(line.split()[1]), number)
            break
    it.wait_for("reaped")
    it.popen.send_signal(signal.SIGTERM)
    assert it.code() == 143


# --- debuggers and terminals ----------------------------------------------------------------------


class Terminal:
    """A program whose terminal is a pty, with the test at its other end."""

    def __init__(self, source: str) -> None:
        text = textwrap.dedent(PRELUDE) + textwrap.dedent(source)
        reader, writer = os.pipe()
        self.child, self.master = pty.fork()
        if self.child == 0:
            os.environ["NOTES"] = str(writer)
            os.set_inheritable(writer, True)
            os.chdir(ROOT)
            os.execv(sys.executable, [sys.executable, "-c", text])  # noqa: S606  # pty.fork gives no choice
        os.close(writer)
        self.notes = os.fdopen(reader)
        self.seen = ""

    def read_until(self, text: str) -> None:
        """Read what the program shows until it has shown *text*."""
        while text not in self.seen:
            readable, _, _ = select.select([self.master], [], [], LONG)
            assert readable, f"it shows no {text!r}: {self.seen}"
            self.seen += os.read(self.master, 4096).decode()

    def echoes(self) -> bool:
        """Tell whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def code(self) -> int:
        """Wait for the end, and give the exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])

    def close(self) -> None:
        """Hang up."""
        os.close(self.master)
        self.notes.close()

    def code_after(self, number: signal.Signals) -> int:
        """Send a signal again and again: Python's prompt can miss one that comes as it begins."""
        while True:
            os.kill(self.child, number)
            select.select([self.master], [], [], 0.2)
            ended, status = os.waitpid(self.child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)


QUICK = """
    from candil._otp.processes import watchdog as watchdog_module
    watchdog_module.PERIOD, watchdog_module.BLOCKED_AFTER = 0.01, 0.05
    run_module.BLOCKED_SECONDS = 0.3
"""


def test_a_debugger_may_keep_the_loop_for_as_long_as_it_likes() -> None:
    """It is not reported, and the program is not ended; two signals end it all the same."""
    it = Terminal(
        QUICK
        + """
    async def debugged():
        breakpoint()
        note("went on")
        await trio.sleep_forever()

    candil.run(one(debugged))
    """
    )
    it.read_until("(Pdb)")
    select.select([it.master], [], [], 1.5)  # several times as long as a hog would have
    os.write(it.master, b"p 40 + 2\n")
    it.read_until("42")
    assert "LoopBlocked" not in it.seen
    assert "has not run" not in it.seen
    assert it.code_after(signal.SIGTERM) == 143
    assert it.echoes()
    it.close()


@pytest.mark.parametrize("how", ["71", "second signal", "last resort"])
def test_the_terminal_is_as_it_was_when_a_program_is_left_at_once(how: str) -> None:
    """However it is left, and whatever turned the echo off."""
    blocks = "stubborn_there" if how == "last resort" else "hogs"
    it = Terminal(
        (QUICK if how == "71" else "")
        + f"""
    import termios

    def no_echo():
        settings = termios.tcgetattr(0)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(0, termios.TCSANOW, settings)

    async def hogs():
        no_echo()
        note("ready")
        while True:
            pass

    async def stubborn_there():
        no_echo()
        await stubborn()

    candil.run(one({blocks}), log=False)
    """
    )
    if how != "71":
        it.notes.readline()
        assert not it.echoes()
        os.kill(it.child, signal.SIGTERM)
        os.kill(it.child, signal.SIGINT)
        if how == "last resort":  # both may be taken as one
            os.kill(it.child, signal.SIGTERM)
    assert it.code() in {71, 130, 143}
    assert it.echoes()
    it.close()


# --- a trio.run of one's own ----------------------------------------------------------------------

OWN = """
    class Child(candil.GenServer):
        def init(self):
            candil.trap_exit(True)

        async def terminate(self, reason):
            await trio.sleep(0)
            note("terminated")

    async def main():
        try:
            {block}
        finally:
            note("finally")

    trio.run(main)
"""
BLOCKS = {
    "open_supervisor": """
            async with candil.stop_on_signals():
                async with candil.open_supervisor([Child, *one(ready)]):
                    await trio.sleep_forever()
""",
    "serve": """
            async with candil.stop_on_signals(), trio.open_nursery() as nursery:
                await nursery.start(candil.serve, [Child, *one(ready)])
                await trio.sleep_forever()
""",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_program_of_its_own_is_stopped_in_order(
    running: Any, block: str, number: signal.Signals
) -> None:
    """It ends with 128 and the signal's number, without a traceback."""
    it = running(OWN.format(block=BLOCKS[block].strip()), stderr=subprocess.PIPE)
    it.wait_for("ready")
    it.popen.send_signal(number)
    it.wait_for("terminated")
    it.wait_for("finally")
    assert it.code() == 128 + number
    assert it.popen.stderr.read() == b""
    it.popen.stderr.close()
