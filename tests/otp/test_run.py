"""A tree as the whole program: how it ends, with which code, and what it says last."""

import math
import os
import signal
import threading

import pytest
import trio

import candil
from candil._otp.applications import leaving, run as run_module, stop_signals as signals_module
from candil._otp.processes import node as node_module
from candil._otp.processes.runtime import Runtime
from tests.otp.bodies import exit_and_settle

from .workers import Journal, Worker, settle, worker, workers


def code_of(tree, **options):
    """Run a tree as a program would, and give the code that it ends with."""
    try:
        candil.run(tree, log=False, **options)
    except SystemExit as leaving:
        return leaving.code
    return 0


def script(function, *args):
    """Give a child that does what the test wants from within the tree; never restarted."""
    return candil.child_spec(function, *args, id="script", restart="temporary")


async def raise_signals(*numbers):
    """Send signals to this very program, each when the one before has been dealt with."""
    for number in numbers:
        signal.raise_signal(number)
        await settle()


async def from_outside(*numbers):
    """Send signals from a task that is in no tree."""
    trio.lowlevel.spawn_system_task(raise_signals, *numbers)


# --- the end of the tree --------------------------------------------------------------------------


def test_a_tree_that_ends_by_auto_shutdown_returns():
    """Its work is done: there is no code, and nothing to say."""
    journal = Journal()

    async def work():
        journal.append("work")

    job = candil.child_spec(work, restart="transient", significant=True)
    tree = [*workers("a", journal), job]
    assert candil.run(tree, log=False, auto_shutdown="all_significant") is None
    assert journal == ["start a", "work", "terminate a shutdown"]


def test_a_root_that_gives_up_is_3_and_a_plain_sentence(capsys):
    """Who gave up, after what, and what was allowed."""

    async def crash():
        raise RuntimeError("the GPU is on fire")

    tree = candil.supervisor_spec([candil.child_spec(crash)], name="root", max_restarts=2)

    assert code_of(tree) == run_module.EXIT_GAVE_UP == 3
    told = capsys.readouterr().err
    assert told.startswith("candil: supervisor 'root' gave up: 3 restarts within 5 s, 2 allowed.")
    assert "child 'crash'" in told
    assert "the GPU is on fire" in told


def test_a_child_that_does_not_start_is_1_and_names_it(capsys):
    """With the last report of a supervisor, which tells the same in other words."""
    journal = Journal()
    tree = [worker("a", journal), worker("b", journal, script=["e1"])]

    assert code_of(tree) == run_module.EXIT_FAILED == 1
    told = capsys.readouterr().err
    assert told.startswith("candil: child 'b' did not start")
    assert "last report: supervisor " in told
    assert journal == ["start a", "fail b", "terminate a shutdown"]


@pytest.mark.parametrize("log", [False, True])
def test_what_a_failed_start_crashed_with_is_where_the_last_words_say(log, capsys, caplog):
    """They show no chain of exceptions: the log has the traceback, if there is one."""

    class Broken(candil.GenServer):
        def init(self):
            raise ValueError("on fire")

    with pytest.raises(SystemExit):
        candil.run([Broken], log=log)

    told = capsys.readouterr().err
    assert "__cause__" not in told
    assert ("With log=True the log shows where" in told) is not log
    assert (". The log shows where" in told) is log
    assert ("Traceback" in caplog.text) is log


def test_a_root_whose_name_cannot_be_had_is_1_without_a_report(capsys):
    """No supervisor was there to report anything."""

    async def main():
        async with candil.open_supervisor([], name="root", log=False):
            return await run_module._main(candil.supervisor_spec([], name="root"), log=False)

    assert trio.run(main) == 1
    assert "last report" not in capsys.readouterr().err


def test_a_root_that_is_killed_is_1(capsys):
    """It was ended in another way than by giving up."""

    async def kill_root():
        await exit_and_settle("root", "kill")

    assert code_of([script(kill_root)], name="root") == 1
    error = capsys.readouterr().err
    assert "was ended by an exit signal from <Pid local.2 Supervisor>: it was killed" in error


def test_a_wrong_tree_starts_nothing():
    """The error leaves run as itself."""
    with pytest.raises(candil.SpecError):
        candil.run(["x"], log=False)


async def test_run_within_trio_names_what_opens_a_tree_there():
    """Trio would only say that there is one already."""
    with pytest.raises(
        RuntimeError, match=r"running already: in it use `async with candil\.open_s"
    ):
        candil.run([])


async def main_function():
    """Be what trio.run takes."""


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (lambda: main_function, "A tree is no main function: trio.run(main) runs one, and"),
        (main_function, "A tree is no main function: trio.run(main) runs one, and"),
        (lambda: Worker, "A child stands in a list, as in [Worker]"),
        (lambda: 7, "children: a list of child specs is needed, got 7"),
    ],
)
def test_what_is_no_tree_but_runs_is_told_where_it_belongs(wrong, advice):
    """A main function, its coroutine, which is closed, or a class."""
    wrong = wrong()
    with pytest.raises(candil.SpecError) as raised:
        candil.run(wrong, log=False)
    assert advice in str(raised.value)


def test_a_keyboard_interrupt_of_a_process_is_130():
    """The tree stops in order first."""
    journal = Journal()

    async def interrupts():
        raise KeyboardInterrupt

    assert code_of([*workers("a", journal), script(interrupts)]) == 130
    assert journal == ["start a", "terminate a shutdown"]


# --- signals --------------------------------------------------------------------------------------

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGQUIT: 131}


@pytest.mark.parametrize("number", CODES, ids=lambda number: signal.Signals(number).name)
def test_a_signal_stops_the_tree_in_order_and_is_the_code(number, capsys):
    """Children end in reverse; 128 and the signal's number tell what asked for it."""
    journal = Journal()
    tree = [*workers("ab", journal), script(raise_signals, number)]

    assert code_of(tree) == CODES[number]
    assert journal[2:] == ["terminate b shutdown", "terminate a shutdown"]
    assert capsys.readouterr().err == ""


def test_signal_handlers_are_those_of_before():
    """Whoever runs a tree within a larger program gets its handlers back."""
    before = {number: signal.getsignal(number) for number in CODES}
    code_of([script(raise_signals, signal.SIGTERM)])

    assert {number: signal.getsignal(number) for number in CODES} == before


class Leave:
    """Stands for ``os._exit``: notes the code, and lets go of the tasks that would not end."""

    def __init__(self):
        self.codes = []
        self.token = None
        self.event = None

    def __call__(self, code):
        self.codes.append(code)
        self.token.run_sync_soon(self.event.set)

    async def hang(self):
        """Do not end, whatever happens, until the program is left."""
        self.token = trio.lowlevel.current_trio_token()
        self.event = trio.Event()
        with trio.CancelScope(shield=True):
            await self.event.wait()


@pytest.fixture
def leave(monkeypatch):
    """Leave a program only in appearance, and soon."""
    leave = Leave()
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(signals_module, "SECOND_SIGNAL_SECONDS", 0.1)
    monkeypatch.setattr(node_module, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(node_module, "ABANDON_SECONDS", 0.05)
    return leave


def test_a_second_signal_ends_everything_at_once(capsys, leave, monkeypatch):
    """A terminate that hangs is killed; what ended by itself has the code of the first signal."""
    monkeypatch.setattr(signals_module, "SECOND_SIGNAL_SECONDS", 60.0)
    journal = Journal()
    tree = [
        worker("h", journal, hang=60.0, shutdown=math.inf, trap=True),
        script(from_outside, signal.SIGTERM, signal.SIGINT, signal.SIGINT),
    ]

    assert code_of(tree) == 143
    assert journal == ["start h", "terminate h shutdown"]
    assert "second signal: stopping at once (SIGINT)" in capsys.readouterr().err
    assert leave.codes == []


def test_a_second_signal_leaves_even_a_task_that_will_not_end(leave, monkeypatch):
    """Then the program is left from a thread, with the code of the second signal."""
    monkeypatch.setattr(node_module, "CLOSE_SECONDS", 60.0)
    tree = [
        candil.child_spec(leave.hang, id="hang", shutdown=math.inf),
        script(from_outside, signal.SIGTERM, signal.SIGINT),
    ]

    code_of(tree)
    assert leave.codes == [130]


def test_a_task_that_will_not_end_is_70(leave, capsys):
    """It is killed and given up; the program does not wait for it for ever."""
    tree = [
        candil.child_spec(leave.hang, id="hang", shutdown="brutal_kill"),
        script(raise_signals, signal.SIGTERM),
    ]

    code_of(tree)
    assert leave.codes == [run_module.EXIT_STUCK] == [70]
    assert "a task would not end; leaving without it" in capsys.readouterr().err


def test_a_task_that_ends_late_is_waited_for(leave, monkeypatch):
    """Given up is not forgotten: when it ends after all, the code is the ordinary one."""
    monkeypatch.setattr(node_module, "CLOSE_SECONDS", 60.0)
    given_up = trio.Event()

    def listen(event):
        if isinstance(event, candil.ProcessLingers) and event.abandoned:
            given_up.set()

    async def late():
        with candil.subscribe(listen), trio.CancelScope(shield=True):
            await given_up.wait()
            await settle()

    tree = [
        candil.child_spec(late, shutdown="brutal_kill"),
        script(raise_signals, signal.SIGTERM),
    ]

    assert code_of(tree) == 143
    assert leave.codes == []


def test_a_signal_while_a_child_starts_stops_those_that_run():
    """The start is called off; the code is the signal's."""
    journal = Journal()

    class Slow(candil.GenServer):
        async def init(self):
            signal.raise_signal(signal.SIGTERM)
            await trio.sleep_forever()

    assert code_of([*workers("ab", journal), Slow]) == 143
    assert journal[2:] == ["terminate b shutdown", "terminate a shutdown"]


def test_a_task_that_will_not_end_while_it_starts_is_70(leave):
    """From the first moment on, nothing can keep a program from ending."""

    class Stubborn(candil.GenServer):
        async def init(self):
            signal.raise_signal(signal.SIGTERM)
            await leave.hang()

    code_of([Stubborn])
    assert leave.codes == [70]


def test_a_second_signal_while_a_child_starts_kills(leave):
    """Even what is not up yet."""
    journal = Journal()

    class Stubborn(candil.GenServer):
        async def init(self):
            await from_outside(signal.SIGTERM, signal.SIGTERM)
            await leave.hang()

    code_of([worker("a", journal, hang=60.0), Stubborn])
    assert 143 in leave.codes
    assert "done a" not in journal


def test_signals_before_there_is_a_node_end_the_program_all_the_same(leave, capsys, monkeypatch):
    """The second begins the countdown, the third does not begin another."""
    monkeypatch.setattr(signals_module, "SECOND_SIGNAL_SECONDS", 60.0)
    program = signals_module.StopSignals(Runtime(1), trio.CancelScope(), 30.0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        program.stop(number)
    countdown = program.last_resort
    program.over()

    assert program.scope.cancel_called
    assert program.signal == signal.SIGTERM
    assert countdown is program.last_resort
    assert countdown.args == [130]
    assert capsys.readouterr().err.count("stopping at once") == 2


# --- where it runs --------------------------------------------------------------------------------


def test_outside_the_main_thread_a_tree_runs_without_signals():
    """Only the main thread can take signals; everything else is as it is there."""
    codes = []

    async def work():
        pass

    async def crash():
        raise RuntimeError

    def program(tree):
        codes.append(code_of(tree, auto_shutdown="any_significant", max_restarts=0))

    done = candil.child_spec(work, restart="temporary", significant=True)
    for tree in ([done], [candil.child_spec(crash)]):
        thread = threading.Thread(target=program, args=(tree,))
        thread.start()
        thread.join(10)

    assert codes == [0, 3]


def test_two_runs_share_no_names():
    """What one has registered, the next finds free."""

    async def work():
        pass

    done = candil.child_spec(work, name="same", restart="temporary", significant=True)
    for _ in range(2):
        assert code_of([done], name="root", auto_shutdown="any_significant") == 0


def test_the_last_words_log_nothing_by_themselves(caplog):
    """With log=True the reports go to the logger; the sentence on stderr comes on top."""

    async def crash():
        raise RuntimeError("on fire")

    with pytest.raises(SystemExit):
        candil.run([candil.child_spec(crash)], max_restarts=0)

    assert any("gives up" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("caught", "seconds", "code"),
    [(0, 29.0, None), (1, 29.0, None), (2, 0.5, 143), (0, 30.0, 71), (2, 30.0, 143)],
)
def test_while_the_loop_is_blocked_a_second_signal_or_half_a_minute_is_the_end(
    caught, seconds, code, monkeypatch
):
    """The watch's thread leaves, since no task can."""
    codes = []
    monkeypatch.setattr(leaving, "leave", lambda _words, code: codes.append(code))
    program = signals_module.StopSignals(Runtime(1), trio.CancelScope(), 30.0)
    for number in [signal.SIGTERM, signal.SIGINT][:caught]:
        program.catch(number)
    program.while_blocked(seconds)
    assert codes[:1] == ([] if code is None else [code])
