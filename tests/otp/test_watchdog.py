"""The loop watch: whoever keeps the loop from running is named while it does."""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trio

import candil
from candil._otp.processes import watchdog as watchdog_module
from candil._otp.processes.runtime import Runtime, current_process, get_runtime
from candil._otp.processes.watchdog import Watchdog
from tests.otp.bodies import end_of

LONG = 30.0
"""Seconds after which a test that has not seen what it waits for gives up."""

BLOCKED_AFTER = watchdog_module.BLOCKED_AFTER


@pytest.fixture(autouse=True)
def _as_in_life(_no_news_of_stalls: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a blocked loop is what is waited for."""
    monkeypatch.setattr(watchdog_module, "BLOCKED_AFTER", BLOCKED_AFTER)


noticed = threading.Lock()
"""Held as long as the log has not heard of a hog."""


def hog() -> None:
    """Do what no handler should, until it has been noticed, however slow the machine is."""
    released = noticed.acquire(timeout=LONG)
    assert released


class Ears(logging.Handler):
    """Lets a hog go when the log hears of it, which it does while it hogs, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "in hog" in record.getMessage():  # and no pause of the machine
            self.records.append(record)
            noticed.release()


@pytest.fixture
def heard() -> Iterator[list[logging.LogRecord]]:
    """What the log has heard of hogs."""
    ears = Ears()
    logger = logging.getLogger("candil")
    with noticed:
        logger.addHandler(ears)
        yield ears.records
        logger.removeHandler(ears)


class Server(candil.GenServer):
    """Hogs in every way that a server can."""

    @candil.handle_call
    def plain(self) -> None:
        hog()

    @candil.handle_call
    async def asynchronous(self) -> None:
        hog()

    @candil.handle_cast
    def cast(self) -> None:
        hog()


async def in_place(pid: candil.Pid[Server]) -> candil.Pid[Any]:
    """Hog as a plain handler that its caller runs."""
    await trio.testing.wait_all_tasks_blocked()  # the server is idle, so its caller runs it
    await Server.plain(pid)
    return pid


async def in_place_of_a_process(pid: candil.Pid[Server]) -> candil.Pid[Any]:
    """Hog as a plain handler that another process runs."""
    await trio.testing.wait_all_tasks_blocked()
    await end_of(candil.spawn(candil.call, pid, "plain"))
    return pid


async def by_message(pid: candil.Pid[Server]) -> candil.Pid[Any]:
    """Hog as an async handler."""
    await Server.asynchronous(pid)
    return pid


async def by_cast(pid: candil.Pid[Server]) -> candil.Pid[Any]:
    """Hog as a cast."""
    Server.cast(pid)
    await candil.sys.get_state(pid)
    return pid


async def in_a_plain_process(_: candil.Pid[Server]) -> candil.Pid[Any]:
    """Hog as a process of an async function."""

    async def hogs() -> None:
        await trio.lowlevel.checkpoint()
        hog()

    pid = candil.spawn(hogs)
    await end_of(pid)
    return pid


async def in_no_process(_: candil.Pid[Server]) -> None:
    """Hog as any task."""
    current_process.set(None)
    hog()


@pytest.mark.slow
@pytest.mark.parametrize(
    "hogs",
    [in_place, in_place_of_a_process, by_message, by_cast, in_a_plain_process, in_no_process],
)
async def test_a_hog_is_reported_within_half_a_second_with_pid_and_frame(
    hogs: Any, heard: list[logging.LogRecord]
) -> None:
    """While it still hogs; and the pid is the server's, also when its caller runs the handler."""
    events: list[candil.LoopBlocked] = []

    def listen(event: object) -> None:
        if isinstance(event, candil.LoopBlocked) and "in hog" in event.stack:
            events.append(event)

    with candil.subscribe(listen):
        async with candil.open_node():
            pid = await candil.start(Server)
            await trio.testing.wait_all_tasks_blocked()
            guilty = await hogs(pid)
            with trio.fail_after(LONG):
                while not events:
                    await trio.lowlevel.checkpoint()
    [event] = events
    [record] = heard

    assert guilty is event.pid
    assert event.stack.rstrip().endswith("noticed.acquire(timeout=LONG)")
    assert 0.2 <= event.seconds <= 0.5
    assert logging.ERROR == record.levelno
    assert candil.describe_event(event) == record.getMessage()


@pytest.mark.slow
async def test_one_long_hog_is_one_report_and_the_next_is_another(
    heard: list[logging.LogRecord],
) -> None:
    """Who is blocked for a minute is not told so each second."""
    async with candil.open_node():
        for reports in (1, 2):
            await trio.testing.wait_all_tasks_blocked()
            hog()
            time.sleep(3 * (watchdog_module.PERIOD + watchdog_module.BLOCKED_AFTER))  # noqa: ASYNC251  # it goes on

            assert reports == len(heard)


@pytest.mark.slow
async def test_a_subscriber_that_raises_on_a_report_does_not_end_the_program(
    heard: list[logging.LogRecord], caplog: pytest.LogCaptureFixture
) -> None:
    """It is called from the loop's own queue, where an exception would be trio's end."""
    seen = trio.Event()

    def broken(event: object) -> None:
        if isinstance(event, candil.LoopBlocked):
            seen.set()
            raise ZeroDivisionError

    with candil.subscribe(broken):
        async with candil.open_node():
            await trio.testing.wait_all_tasks_blocked()
            hog()
            with trio.fail_after(LONG):
                await seen.wait()
            await trio.lowlevel.checkpoint()

    assert "failed on a LoopBlocked" in caplog.text


class FakeToken:
    """A loop that is as alive as the test says."""

    def __init__(self, *, alive: bool = True, finished: bool = False) -> None:
        self.alive = alive
        self.finished = finished
        self.calls: list[Any] = []

    def run_sync_soon(self, function: Any, *args: Any, idempotent: bool = False) -> None:
        if self.finished:
            raise trio.RunFinishedError
        self.calls.append((function, args))
        if self.alive:
            function(*args)


def run_briefly(watch: Watchdog, until: Any = lambda: True) -> None:
    """Run *watch* in a thread for some periods, until something holds."""
    thread = threading.Thread(target=watch.run)
    thread.start()
    deadline = time.monotonic() + LONG
    time.sleep(0.05)
    while not until() and time.monotonic() < deadline:
        time.sleep(0.005)
    watch.stop()
    thread.join(LONG)
    assert not thread.is_alive()
    assert until()


def busy_thread() -> tuple[int, threading.Event]:
    """Give a thread whose innermost frame is not the loop's wait."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    return thread.ident, done


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything ten times as fast."""
    monkeypatch.setattr(watchdog_module, "PERIOD", 0.01)
    monkeypatch.setattr(watchdog_module, "BLOCKED_AFTER", 0.025)


def test_a_loop_that_waits_is_never_woken(quick: None) -> None:
    """An idle program costs nothing, and a virtual clock is not disturbed."""
    token = FakeToken()
    done = threading.Event()

    def get_events() -> None:  # as trio's own wait is called
        done.wait()

    thread = threading.Thread(target=get_events)
    thread.start()
    watch = Watchdog(Runtime(1), token, thread.ident)
    run_briefly_with_leaf(watch, thread.ident)
    done.set()
    thread.join()

    assert [] == token.calls


def run_briefly_with_leaf(watch: Watchdog, thread_id: int) -> None:
    """As the innermost frame of a waiting thread is in threading, look at get_events itself."""
    original = watchdog_module._frame_of

    def frame_of(ident: int) -> Any:
        frame = original(ident)
        while frame is not None and frame.f_code.co_name != "get_events":
            frame = frame.f_back
        return frame

    watchdog_module._frame_of = frame_of
    try:
        run_briefly(watch)
    finally:
        watchdog_module._frame_of = original


def test_a_loop_that_answers_is_not_reported(quick: None) -> None:
    """However busy it is."""
    token, (ident, done) = FakeToken(), busy_thread()
    run_briefly(Watchdog(Runtime(1), token, ident), lambda: len(token.calls) > 3)
    done.set()


def test_a_loop_that_does_not_answer_is_reported_once(quick: None) -> None:
    """Until it answers again."""
    events: list[object] = []
    token, (ident, done) = FakeToken(alive=False), busy_thread()
    runtime = Runtime(1, log=events.append)
    run_briefly(Watchdog(runtime, token, ident), lambda: events)
    done.set()

    assert 1 == len(events)
    assert 1 == len([call for call in token.calls if call[0] == runtime.notify_subscribers])


def test_the_watch_ends_with_the_run(quick: None) -> None:
    """Whether it notices at a look or at a report."""
    ident, done = busy_thread()
    watch = Watchdog(Runtime(1), FakeToken(finished=True), ident)
    thread = threading.Thread(target=watch.run)
    thread.start()
    thread.join(LONG)
    assert not thread.is_alive()
    watch._report()
    done.set()


def test_a_watch_that_was_stopped_reports_nothing() -> None:
    """Its block has been left, and the loop may be anywhere."""
    events: list[object] = []
    ident, done = busy_thread()
    watch = Watchdog(Runtime(1, log=events.append), FakeToken(), ident)
    watch.stop()
    watch._report()
    watch._wait_until_alive()
    done.set()
    gone = Watchdog(Runtime(1, log=events.append), FakeToken(), thread_id=-1)
    gone._report()

    assert gone._loop_waits()
    assert [] == events


async def test_there_is_one_thread_however_many_blocks_are_open_and_it_ends_with_them() -> None:
    """Nested or side by side."""
    async with candil.open_node():
        async with candil.open_node():
            assert 2 == get_runtime().watched
            watch = get_runtime().watch
        assert watch is get_runtime().watch
    assert get_runtime().watch is None
    assert watch._stopped.is_set()


@pytest.mark.slow
async def test_as_long_as_the_loop_is_blocked_the_program_may_act() -> None:
    """Again and again, with the seconds that it has lasted."""
    seconds: list[float] = []
    async with candil.open_node(log=False) as node:
        await trio.testing.wait_all_tasks_blocked()
        node.runtime.while_blocked = seconds.append
        deadline = time.monotonic() + LONG
        while len(seconds) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251  # as no handler should

    periods = [
        watchdog_module.BLOCKED_AFTER + periods * watchdog_module.PERIOD for periods in (2, 3, 4)
    ]
    assert periods == pytest.approx(seconds[:3])


# --- debuggers


def test_a_debugger_at_its_prompt_is_not_reported_and_its_time_does_not_count(quick: None) -> None:
    """Nor does the rest of that block; signals are looked for all the same."""
    events: list[object] = []
    seconds: list[float] = []
    done = threading.Event()
    names: dict[str, Any] = {"__name__": "pdb"}
    exec("def prompt(done): done.wait()", names)  # noqa: S102  # a frame of that module
    thread = threading.Thread(target=names["prompt"], args=[done])
    thread.start()
    runtime = Runtime(1, log=events.append, while_blocked=seconds.append)
    watch = Watchdog(runtime, FakeToken(alive=False), thread.ident)
    run_briefly(watch, lambda: len(seconds) > 3)
    done.set()
    thread.join()

    assert [] == events
    assert 1 == len(set(seconds))


@pytest.mark.parametrize(
    ("module", "function", "is_debugger"),
    [
        ("bdb", "trace_dispatch", True),
        ("_pydevd_bundle.pydevd_frame", "do_wait_suspend", True),
        ("code", "interact", True),
        ("code", "other", False),
        ("pdbx", "interact", False),
        ("candil", "run", False),
    ],
)
def test_debuggers_are_known_by_their_modules(
    module: str, function: str, is_debugger: bool
) -> None:
    """Those of the standard library, and those of editors."""
    names: dict[str, Any] = {"__name__": module, "sys": sys}
    exec(f"def {function}(): return sys._getframe()", names)  # noqa: S102  # a frame of that module
    assert watchdog_module._is_debuggers(names[function]()) is is_debugger


def test_a_report_for_which_there_is_no_thread_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch goes on."""

    def refuse(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    ident, done = busy_thread()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    token = FakeToken()
    Watchdog(Runtime(1, log=print), token, ident)._report()
    done.set()
    assert 1 == len(token.calls)


@pytest.mark.slow
def test_a_log_that_holds_up_its_writer_does_not_hold_up_the_watch(quick: None) -> None:
    """As a pipe does that is never read."""
    read = threading.Event()
    seconds: list[float] = []
    token, (ident, done) = FakeToken(alive=False), busy_thread()
    runtime = Runtime(1, log=lambda _: read.wait(LONG), while_blocked=seconds.append)
    run_briefly(Watchdog(runtime, token, ident), lambda: len(seconds) > 3)
    read.set()
    done.set()


# --- guest mode


@pytest.mark.slow
def test_an_idle_host_is_never_woken_and_a_busy_guest_is_watched() -> None:
    """In guest mode trio waits in another thread, and what wakes it wakes the host."""
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    outcomes: list[Any] = []
    woken: list[object] = []
    idle = threading.Event()
    reports: list[object] = []

    def wake(job: Any) -> None:
        woken.append(job)
        jobs.put(job)

    async def main() -> None:
        def listen(event: object) -> None:
            if isinstance(event, candil.LoopBlocked):
                reports.append(event)

        with candil.subscribe(listen):
            async with candil.open_node(log=False):
                asked: trio.Event = trio.Event()
                stop.append((trio.lowlevel.current_trio_token(), asked.set))
                idle.set()
                await asked.wait()
                deadline = time.monotonic() + LONG
                while not reports and time.monotonic() < deadline:
                    time.sleep(watchdog_module.PERIOD * 5)  # noqa: ASYNC251  # as no handler should
                    await trio.lowlevel.checkpoint()

    stop: list[Any] = []

    def look() -> None:
        assert idle.wait(LONG)
        time.sleep(watchdog_module.PERIOD)  # what it does before it waits
        before = len(woken)
        time.sleep(watchdog_module.PERIOD * 6)
        woken_while_idle.append(len(woken) - before)
        token, ask = stop[0]
        token.run_sync_soon(ask)

    woken_while_idle: list[int] = []
    looker = threading.Thread(target=look)
    looker.start()
    trio.lowlevel.start_guest_run(
        main,
        run_sync_soon_threadsafe=wake,
        run_sync_soon_not_threadsafe=jobs.put,
        done_callback=outcomes.append,
    )
    while not outcomes:
        jobs.get()()
    outcomes[0].unwrap()
    looker.join()

    assert [0] == woken_while_idle
    assert reports
