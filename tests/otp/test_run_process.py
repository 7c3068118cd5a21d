"""Real programs, real signals, real exit codes."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

PRELUDE = """
import atexit, math, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, which is inherited
import trio
import candil
from candil._otp.processes import node as node_module
from candil._otp.applications import run as run_module, stop_signals as signals_module
from candil._otp.processes import watchdog as watchdog_module

signals_module.SECOND_SIGNAL_SECONDS = 60.0  # what has to happen before is not a matter of time

def say(text):
    print(text, flush=True)

atexit.register(print, "atexit")

class Child(candil.GenServer):
    def __init__(self, label, hang=0.0):
        self.label, self.hang = label, hang
    def init(self):
        candil.trap_exit(True)
        say(f"start {self.label}")
    async def terminate(self, reason):
        say(f"terminate {self.label}")
        await trio.sleep(self.hang)
        say(f"done {self.label}")

def child(label, hang=0.0, **options):
    return candil.child_spec(Child, label, hang, id=label, **options)

async def ready():
    say("ready")
    await trio.sleep_forever()
"""


class Program:
    """A running Python program, read line by line."""

    def __init__(self, source):
        text = textwrap.dedent(PRELUDE) + textwrap.dedent(source)
        self.popen = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", text],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def read_until(self, line):
        """Read its output up to a line; gives all of it."""
        lines = []
        while not lines or lines[-1] != line:
            read = self.popen.stdout.readline()
            assert read, (lines, self.popen.stderr.read())
            lines.append(read.rstrip("\n"))
        return lines

    def end(self):
        """Wait for its end; gives its code, and the rest of what it said."""
        out, err = self.popen.communicate(timeout=20)
        return self.popen.returncode, out.splitlines(), err


@pytest.fixture
def program():
    """Start programs; none of them outlives the test."""
    programs = []

    def start(source):
        programs.append(Program(source))
        return programs[-1]

    yield start
    for one in programs:
        one.popen.kill()
        one.popen.communicate()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
)
def test_a_signal_stops_the_program_in_order(program, number, code):
    """Children in reverse, exit handlers after them, nothing on stderr."""
    it = program("""
        watchdog_module.BLOCKED_AFTER = 3600.0  # a machine that pauses says nothing, either
        candil.run([child("a"), child("b"), candil.child_spec(ready)])
    """)
    it.read_until("ready")
    it.popen.send_signal(number)

    order = ["terminate b", "done b", "terminate a", "done a", "atexit"]
    assert it.end() == (code, order, "")


def test_a_second_signal_ends_a_program_whose_terminate_hangs(program):
    """At once, but through the exit handlers; the code is the first signal's."""
    it = program("""
        tree = [child("h", 600.0, shutdown=math.inf), candil.child_spec(ready)]
        candil.run(tree, log=False)
    """)
    it.read_until("ready")
    it.popen.send_signal(signal.SIGTERM)
    it.read_until("terminate h")
    it.popen.send_signal(signal.SIGINT)

    assert it.end() == (143, ["atexit"], "candil: second signal: stopping at once (SIGINT)\n")


def test_a_signal_while_a_terminate_hangs_within_its_time_is_waited_for(program):
    """One signal gives every child the seconds of its spec, and not more."""
    it = program('candil.run([child("h", 600.0, shutdown=0.2), candil.child_spec(ready)])')
    it.read_until("ready")
    it.popen.send_signal(signal.SIGTERM)

    assert it.end()[:2] == (143, ["terminate h", "atexit"])


def test_a_signal_while_the_tree_starts_stops_the_program(program):
    """Nothing hangs, and those that were up have run their terminate."""
    it = program("""
        class Slow(candil.GenServer):
            async def init(self):
                say("starting")
                await trio.sleep_forever()

        candil.run([child("a"), child("b"), Slow], log=False)
    """)
    it.read_until("starting")
    it.popen.send_signal(signal.SIGTERM)

    order = ["terminate b", "done b", "terminate a", "done a", "atexit"]
    assert it.end() == (143, order, "")


def test_a_task_that_will_not_end_is_left_behind_with_70(program):
    """Told in plain words; the stack of the task is in the log."""
    it = program("""
        async def stubborn():
            with trio.CancelScope(shield=True):
                say("ready")
                await trio.sleep_forever()

        node_module.CLOSE_SECONDS = 0.2
        candil.run([candil.child_spec(stubborn, shutdown="brutal_kill")])
    """)
    it.read_until("ready")
    it.popen.send_signal(signal.SIGTERM)
    code, _, err = it.end()

    assert code == 70
    assert "candil: a task would not end; leaving without it" in err
    assert "in stubborn" in err


def test_a_process_that_blocks_the_loop_only_delays_the_signal(program):
    """It is not lost, and nothing else has to be sent."""
    it = program("""
        import time

        async def busy():
            say("ready")
            time.sleep(0.5)

        candil.run([candil.child_spec(busy, restart="temporary"), child("a")])
    """)
    it.read_until("ready")
    it.popen.send_signal(signal.SIGTERM)

    assert it.end()[0] == 143


def test_a_program_whose_root_gives_up_ends_with_3(program):
    """The last line on stderr says who gave up, and why."""
    it = program("""
        async def crash():
            raise RuntimeError("on fire")

        candil.run([child("a"), candil.child_spec(crash)], name="root")
    """)
    code, out, err = it.end()

    assert (code, out) == (3, ["start a", "terminate a", "done a", "atexit"])
    assert "candil: supervisor 'root' gave up: 4 restarts within 5 s, 3 allowed." in err
    assert "Traceback" in err  # the crashes themselves, in the log
    assert "RestartIntensityExceeded" not in err


def test_a_program_whose_child_does_not_start_ends_with_1(program):
    """It says which."""
    it = program("""
        class Bad(candil.GenServer):
            def init(self):
                raise RuntimeError("no such file")

        candil.run([child("a"), candil.child_spec(Bad, id="bad")], log=False)
    """)
    code, out, err = it.end()

    assert (code, out) == (1, ["start a", "terminate a", "done a", "atexit"])
    assert err.startswith("candil: child 'bad' did not start: ")
    assert "no such file" in err


def test_a_program_whose_work_is_done_ends_with_0(program):
    """By auto_shutdown, without a word."""
    it = program("""
        async def work():
            say("work")

        watchdog_module.BLOCKED_AFTER = 3600.0  # a machine that pauses says nothing, either
        job = candil.child_spec(work, restart="transient", significant=True)
        candil.run([child("a"), job], auto_shutdown="any_significant")
        say("after")
    """)

    lines = ["start a", "work", "terminate a", "done a", "after", "atexit"]
    assert it.end() == (0, lines, "")


def test_a_second_ctrl_c_ends_a_block_in_a_plain_trio_program(program):
    """Without run, Ctrl-C is a KeyboardInterrupt: the first stops in order, the second kills."""
    it = program("""
        async def main():
            async with candil.open_supervisor([child("h", 600.0, shutdown=math.inf)]):
                say("ready")
                await trio.sleep_forever()

        try:
            trio.run(main)
        except KeyboardInterrupt:
            say("interrupted")
    """)
    it.read_until("ready")
    it.popen.send_signal(signal.SIGINT)
    it.read_until("terminate h")
    it.popen.send_signal(signal.SIGINT)

    assert it.end()[:2] == (0, ["interrupted", "atexit"])


HOG = """
    async def hog():
        await trio.sleep(0.05)
        say("ready")
        while True:
            pass

    {before}
    candil.run([child("a"), candil.child_spec(hog)])
"""


def test_two_signals_end_a_program_whose_loop_is_kept_from_running(program):
    """Though no task can hear of them."""
    it = program(HOG.format(before=""))
    it.read_until("ready")
    it.popen.send_signal(signal.SIGTERM)
    it.popen.send_signal(signal.SIGINT)
    code, _, err = it.end()

    assert code in (130, 143)  # Python takes the lower number first when both have come
    assert "in hog" in err
    assert err.endswith("second signal, and something keeps the program busy: leaving at once\n")


def test_a_program_whose_loop_does_not_run_for_long_ends_with_71(program):
    """Its engines die with it, and whoever started it starts it again."""
    it = program(HOG.format(before="run_module.BLOCKED_SECONDS = 1.0"))
    it.read_until("ready")
    code, _, err = it.end()

    assert code == 71
    assert "candil: the event loop has not run for 1 s" in err


def test_a_signal_that_was_ignored_at_the_beginning_stays_so(program):
    """As ``nohup`` wants it."""
    it = program("""
        import os, signal

        async def hang_up():
            os.kill(os.getpid(), signal.SIGHUP)
            await trio.sleep(0.05)
            say("alive")
            os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        candil.run([candil.child_spec(hang_up, restart="temporary")])
    """)
    it.read_until("alive")

    assert it.end()[0] == 143
