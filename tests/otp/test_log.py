"""The log: what is worth a line, and how many lines."""

import logging
import sys

import pytest
import trio
from hypothesis import given, strategies as st

import candil
from candil._otp.processes.log import BURST, PER_SECOND, EventLog, RateLimiter
from tests.otp.bodies import BOOM, crash, do_nothing, end_of, leave

PID = candil.Pid("local", 1, 7, "worker")


@pytest.mark.parametrize(
    "event",
    [
        candil.ProcessExited(PID, BOOM),
        candil.SupervisorReport("root", "child_terminated", BOOM, {"id": "a"}),
        candil.LoopBlocked(PID, 0.35, "stack"),
        candil.ProcessLingers(PID, BOOM, 0.4, abandoned=False, stack="stack"),
        candil.MailboxHigh(PID, 1025),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_went_wrong_is_an_error_line(event: object, caplog: pytest.LogCaptureFixture) -> None:
    """In the logger candil, in the words of describe_event."""
    EventLog()(event)

    assert [("candil", logging.ERROR, candil.describe_event(event))] == caplog.record_tuples


def test_a_supervisors_report_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """What the child had to say at length it has said in the line of its own end."""
    why = candil.Crashed(ValueError("in short\nat length"))
    EventLog()(candil.SupervisorReport("root", "child_terminated", why, {"id": "a"}))

    text = caplog.records[0].getMessage()
    assert text == "supervisor 'root': child 'a' ended: it crashed with ValueError: in short"


def test_a_hint_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """It is allowed, and seldom meant."""
    with caplog.at_level(logging.INFO, "candil"):
        EventLog()(candil.Hint(PID, "do that instead"))

    assert [logging.INFO] == [record.levelno for record in caplog.records]


class Told(candil.Reportable):
    """An event of somebody's own."""

    def __init__(self, sentence: str | None) -> None:
        self.sentence = sentence

    def report(self) -> str | None:
        """Say it, if there is something to say."""
        return self.sentence


def test_an_event_with_words_of_its_own_is_an_error_line(caplog: pytest.LogCaptureFixture) -> None:
    """What stands on candil can be told without candil knowing it."""
    EventLog()(Told("the roof leaks"))

    assert [("candil", logging.ERROR, "the roof leaks")] == caplog.record_tuples


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (
            candil.ChildStarted("root", "a", PID),
            logging.DEBUG,
            "supervisor 'root': child 'a' started as <Pid local.7 worker>",
        ),
        (
            candil.ChildStarted(PID, "a", PID, restarted=True, supervisor_id="pool"),
            logging.INFO,
            "supervisor 'pool' (<Pid local.7 worker>): child 'a' restarted as <Pid local.7 worker>",
        ),
        (
            candil.UnhandledMessage(PID, "Deaf", "'x'"),
            logging.WARNING,
            "<Pid local.7 worker> dropped a message, for Deaf has no handle_info() to take it: 'x'",
        ),
    ],
)
def test_starts_and_dropped_messages_are_lines_of_their_level(
    event: object, level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A start is for who looks closely, a restart for who looks, a lost message for everybody."""
    log = EventLog()
    with caplog.at_level(level, "candil"):
        log(event)
    assert caplog.record_tuples == [("candil", level, text)]
    assert candil.describe_event(event) == text
    caplog.clear()
    with caplog.at_level(level + 1, "candil"):
        log(event)
    assert caplog.record_tuples == []


def test_a_program_that_never_imports_logging_wants_no_details(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has set up no handler, and Python shows warnings and errors only."""
    assert isinstance(EventLog().writes("INFO"), bool)
    monkeypatch.delitem(sys.modules, "logging")
    assert not EventLog().writes("INFO")


def test_a_flood_of_warnings_hides_no_crash(caplog: pytest.LogCaptureFixture) -> None:
    """Each level has its own burst; starts, which nobody gets unasked, have no limit."""
    log = EventLog()
    with caplog.at_level(logging.DEBUG, "candil"):
        for number in range(2 * BURST):
            log(candil.UnhandledMessage(PID, "Deaf", str(number)))
            log(candil.ChildStarted("root", number, PID))
        log(candil.ProcessExited(PID, BOOM))
    levels = [record.levelno for record in caplog.records]
    assert levels.count(logging.WARNING) == BURST
    assert levels.count(logging.DEBUG) == 2 * BURST
    assert levels.count(logging.ERROR) == 1
    caplog.clear()
    log.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"{BURST} more reports were not written: too many at once"
    ]


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (
            candil.ProcessExited(
                PID,
                candil.Crashed(ValueError("x")),
                name=candil.Via("a", 7),
                crash=candil.CrashReport("cast note(1)", "Counter(count=3)", PID),
            ),
            {
                "event": "ProcessExited",
                "pid": "<Pid local.7 worker>",
                "label": "worker",
                "name": "Via(registry='a', key=7)",
                "reason": "crashed",
                "exception": "ValueError",
                "last_message": "cast note(1)",
                "state": "Counter(count=3)",
                "client": "<Pid local.7 worker>",
            },
        ),
        (
            candil.SupervisorReport(PID, "child_terminated", BOOM, {"id": 3, "pid": PID}, "pool"),
            {
                "event": "SupervisorReport",
                "supervisor": "<Pid local.7 worker>",
                "supervisor_id": "pool",
                "child_id": 3,
                "pid": "<Pid local.7 worker>",
                "label": "worker",
                "context": "child_terminated",
                "reason": "exit",
                "exception": None,
            },
        ),
        (
            candil.ChildStarted("root", "a", PID, restarted=True),
            {
                "event": "ChildStarted",
                "supervisor": "root",
                "supervisor_id": None,
                "child_id": "a",
                "pid": "<Pid local.7 worker>",
                "label": "worker",
                "restarted": True,
            },
        ),
        (
            candil.LoopBlocked(None, 0.35, "stack"),
            {"event": "LoopBlocked", "pid": None, "seconds": 0.35},
        ),
        (Told("the roof leaks"), {"event": "Told"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_record_carries_fields_that_a_program_can_read(
    event: object, fields: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    """Plain values, under names that no other record has."""
    with caplog.at_level(logging.DEBUG, "candil"):
        EventLog()(event)
    [record] = caplog.records
    found = {name: value for name, value in vars(record).items() if name.startswith("candil_")}
    assert found == {f"candil_{name}": value for name, value in fields.items()}


@pytest.mark.parametrize(
    "event",
    [
        Told(None),
        candil.ProcessStarted(PID, None),
        candil.ProcessExited(PID, candil.Normal()),
        candil.ProcessExited(PID, candil.Shutdown("why")),
        "an event of the program",
    ],
)
def test_everyday_business_is_no_line(event: object, caplog: pytest.LogCaptureFixture) -> None:
    """A tree that starts and stops says nothing."""
    with caplog.at_level(logging.DEBUG, "candil"):
        EventLog()(event)

    assert [] == caplog.records


def test_a_storm_is_counted_and_the_count_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand crashes are a burst of lines, and a number in front of the next one."""
    now = 1000.0
    monkeypatch.setattr("candil._otp.processes.log.time.monotonic", lambda: now)
    log = EventLog()
    for _ in range(1000):
        log(candil.ProcessExited(PID, BOOM))
    assert BURST == len(caplog.records)

    caplog.clear()
    now += 1
    log(candil.ProcessExited(PID, BOOM))

    assert [f"{1000 - BURST} more reports were not written: too many at once"] == [
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    ]
    caplog.clear()
    log(candil.ProcessExited(PID, BOOM))
    assert [logging.ERROR] == [record.levelno for record in caplog.records]


@given(st.lists(st.floats(0, 10), max_size=200))
def test_never_more_lines_than_the_allowance(pauses: list[float]) -> None:
    """Within any time t there are at most burst + t * per_second."""
    allowance = RateLimiter()
    now, written = 100.0, []
    for pause in pauses:
        now += pause
        if allowance.take(now):
            written.append(now)

    for index, first in enumerate(written):
        for count, last in enumerate(written[index:], 1):
            assert count <= BURST + (last - first) * PER_SECOND + 1e-6
    assert len(pauses) == len(written) + allowance.dropped


def test_the_allowance_comes_back() -> None:
    """Up to the burst, and no further."""
    allowance = RateLimiter(burst=2, per_second=1.0)
    assert [True, True, False] == [allowance.take(10) for _ in range(3)]
    assert [True, False] == [allowance.take(11) for _ in range(2)]
    assert [True, True, False] == [allowance.take(100) for _ in range(3)]


async def test_a_block_logs_the_crashes_of_its_processes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With traceback; and nothing about those that end well."""
    async with candil.open_node():
        await end_of(candil.spawn(do_nothing))
        await end_of(candil.spawn(leave, "shutdown"))
        assert [] == caplog.records
        await end_of(candil.spawn(crash, ValueError("the reason")))

    assert 1 == len(caplog.records)
    assert "crash> ended: it crashed with ValueError: the reason" in caplog.text
    assert "raise error" in caplog.text


async def test_a_block_may_keep_silent(caplog: pytest.LogCaptureFixture) -> None:
    """With log=False, events are for subscribers only."""
    async with candil.open_node(log=False):
        await end_of(candil.spawn(crash, ValueError()))

    assert [] == caplog.records


class Broken(logging.Handler):
    """A sink that fails."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error


@pytest.mark.parametrize("error", [OSError("disk full"), SystemExit(1)])
async def test_a_sink_that_fails_ends_nobody(error: BaseException) -> None:
    """Neither the process that is reported nor its tree."""
    sink = Broken(error)
    logger = logging.getLogger("candil")
    logger.addHandler(sink)
    try:
        async with candil.open_supervisor([candil.child_spec(do_nothing, id="idle")]) as sup:
            await end_of(candil.spawn(crash, ValueError()))
            assert candil.is_alive(sup)
    finally:
        logger.removeHandler(sink)


async def test_a_process_that_a_signal_ended_is_no_crash(caplog: pytest.LogCaptureFixture) -> None:
    """What it was linked to crashed, and is reported; OTP says nothing of the rest."""

    async def linked() -> None:
        candil.spawn_link(crash, ValueError("storm"))
        await trio.sleep_forever()

    async with candil.open_node():
        await end_of(candil.spawn(linked))

    assert ["crash"] == [
        name
        for record in caplog.records
        for name in ("linked", "crash")
        if f"{name}>" in record.getMessage().splitlines()[0]
    ]


async def test_reports_that_were_dropped_are_told_when_the_tree_has_ended(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to wait for the next report."""
    monkeypatch.setattr("candil._otp.processes.log.time.monotonic", lambda: 1000.0)
    async with candil.open_node():
        for _ in range(2 * BURST):
            await end_of(candil.spawn(crash, ValueError()))

    assert "more reports were not written" in caplog.records[-1].getMessage()


async def test_that_a_supervisor_gives_up_is_never_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many crashes were told before."""
    spec = candil.child_spec(crash, ValueError())
    with pytest.raises(candil.RestartIntensityExceeded):
        async with candil.open_supervisor([spec], max_restarts=3 * BURST, max_seconds=3600.0):
            await trio.sleep_forever()

    assert "gives up" in caplog.records[-1].getMessage()


async def test_a_subscriber_that_always_fails_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some lines tell enough."""
    monkeypatch.setattr("candil._otp.processes.runtime.time.monotonic", lambda: 1000.0)

    def fail(_event: object) -> None:
        raise SystemExit

    with candil.subscribe(fail):
        for _ in range(10 * BURST):
            candil.emit("an event")

    assert BURST == len(caplog.records)
