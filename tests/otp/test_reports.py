"""How reasons and events read: plain sentences of bounded length."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, strategies as st

import candil
from candil import Crashed, Exit, Killed, NoConnection, NoProcess, Normal, Shutdown
from candil._otp.values.reports import MAX_CAUSES, MAX_LEAVES, MAX_TEXT, leaves_of
from tests.otp.bodies import crash
from tests.otp.steps import counted_calls

PID = candil.Pid("local", 1, 7, "worker")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Normal(), "it ended normally"),
        (Shutdown(), "it was shut down"),
        (Shutdown("upgrade"), "it was shut down ('upgrade')"),
        (Killed(), "it was killed"),
        (NoProcess(), "there was no such process"),
        (NoConnection(), "its node cannot be reached"),
        (Crashed(ValueError("bad")), "it crashed with ValueError: bad"),
        (Crashed(ValueError()), "it crashed with ValueError"),
        (Exit("boom"), "it exited with 'boom'"),
        (
            Crashed(ExceptionGroup("g", [ValueError("a"), KeyError("b")])),
            "it crashed with ExceptionGroup of ValueError: a; KeyError: 'b'",
        ),
    ],
)
def test_a_reason_reads_as_a_phrase(reason: candil.ExitReason, text: str) -> None:
    """One line, in words."""
    assert text == candil.describe_reason(reason)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            candil.ProcessExited(PID, Exit("boom")),
            "<Pid local.7 worker> ended: it exited with 'boom'",
        ),
        (
            candil.SupervisorReport("root", "start_error", Exit("boom"), {"id": "a"}),
            "supervisor 'root': child 'a' did not start: it exited with 'boom'",
        ),
        (
            candil.SupervisorReport("root", "child_terminated", Killed(), {"id": "a"}),
            "supervisor 'root': child 'a' ended: it was killed",
        ),
        (
            candil.SupervisorReport("root", "shutdown_error", Killed(), {"id": "a"}),
            "supervisor 'root': child 'a' did not stop as it was told: it was killed",
        ),
        (
            candil.SupervisorReport("root", "shutdown", Killed(), {"id": "a"}),
            "supervisor 'root': gives up: child 'a' ended once too often",
        ),
        (
            candil.SupervisorReport("root", "other", Killed(), {}),
            "supervisor 'root': other of child None: it was killed",
        ),
        (
            candil.MailboxHigh(PID, 1025),
            (
                "<Pid local.7 worker> has 1025 messages waiting: "
                "it is slower than those who send to it"
            ),
        ),
        (candil.Hint(PID, "do that"), "<Pid local.7 worker>: do that"),
    ],
)
def test_an_event_reads_as_a_sentence(event: object, text: str) -> None:
    """Who, what and why."""
    assert text == candil.describe_event(event)


def test_a_blocked_loop_reads_with_its_stack_and_a_remedy() -> None:
    """Whether it is a process's code or not."""
    text = candil.describe_event(candil.LoopBlocked(PID, 0.35, "  the stack\n"))
    assert text.startswith("<Pid local.7 worker> has kept the event loop from running for 0.35 s.")
    assert text.endswith("\n  the stack")
    assert "trio.to_thread.run_sync" in text
    assert candil.describe_event(candil.LoopBlocked(None, 1, "")).startswith("some task has kept")


def test_a_lingering_process_reads_with_its_stack() -> None:
    """And whether it was given up."""
    for abandoned, words in [
        (False, "still runs 0.4 s after"),
        (True, "is given up for dead, though its task still runs 0.4 s after"),
    ]:
        event = candil.ProcessLingers(PID, Exit("boom"), 0.4, abandoned=abandoned, stack="  here\n")
        text = candil.describe_event(event)
        assert words in text
        assert text.endswith("\n  here")


def test_a_server_that_handled_nothing_has_no_last_message() -> None:
    """What is not known is not said."""
    crash = candil.CrashReport(None, "Counter(count=3)")
    text = candil.describe_event(candil.ProcessExited(PID, Exit("boom"), crash=crash))
    assert text == (
        "<Pid local.7 worker> ended: it exited with 'boom'\n  its state: Counter(count=3)"
    )


def test_everyday_events_have_no_text() -> None:
    """A caller can tell by None that there is nothing to report."""
    for event in (
        candil.ProcessStarted(PID, None),
        candil.ProcessExited(PID, Normal()),
        object(),
    ):
        assert candil.describe_event(event) is None


def test_a_crash_reads_with_the_traceback_of_the_exception() -> None:
    """So that the log alone leads to the line."""
    with pytest.raises(ValueError, match="reason") as raised:
        raise ValueError("the reason")
    text = candil.describe_event(candil.ProcessExited(PID, Crashed(raised.value)))

    assert "Traceback (most recent call last):" in text
    assert 'raise ValueError("the reason")' in text


def raised(error: Exception, cause: BaseException | None = None) -> Exception:
    """Give *error* with a traceback, raised from *cause*."""
    try:
        raise error from cause
    except type(error) as it:
        return it


CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"


def test_a_crash_reads_with_all_that_caused_it() -> None:
    """The first cause first, as Python shows them; what is to blame is often there."""
    first = raised(OSError("disk full"))
    error = raised(RuntimeError("no report"), raised(ValueError("no file"), first))
    text = candil.describe_event(candil.ProcessExited(PID, Crashed(error)))

    parts = text.split(CAUSED)
    for part, last in zip(
        parts, ["OSError: disk full", "ValueError: no file", "RuntimeError: no report"], strict=True
    ):
        assert part.rstrip().endswith(last)
        assert "Traceback (most recent call last):" in part


def test_what_was_being_handled_is_no_cause() -> None:
    """A handler may run where its caller stands, whose own troubles are not the server's."""
    error = raised(ValueError("of the server"))
    error.__context__ = context = KeyError("of the caller")
    error.__suppress_context__ = False

    assert "caller" not in candil.describe_event(candil.ProcessExited(PID, Crashed(error)))
    assert error.__context__ is context
    assert error.__suppress_context__ is False


def test_a_group_among_the_causes_reads_as_its_leaves() -> None:
    """With their own causes, and what the group itself was raised from."""
    first, second = OSError("first"), OSError("second")
    group = ExceptionGroup("g", [raised(ValueError("a"), first), ValueError("b")])
    error = raised(RuntimeError("last"), raised(group, second))
    text = candil.describe_event(candil.ProcessExited(PID, Crashed(error)))

    shown = ["OSError: second", "OSError: first", "ValueError: a", "ValueError: b", "RuntimeError"]
    assert shown == sorted(shown, key=lambda line: text.index(f"\n{line}"))
    assert text.count(CAUSED) == 3


def test_a_cause_that_several_share_is_shown_once() -> None:
    """As Python does; a circle ends as well."""
    cause = OSError("disk full")
    cause.__cause__ = ValueError("again")
    cause.__cause__.__cause__ = cause
    group = ExceptionGroup("g", [raised(ValueError(str(i)), cause) for i in range(5)])
    text = candil.describe_event(candil.ProcessExited(PID, Crashed(group)))

    assert text.count("\nOSError: disk full") == 1
    assert text.count("\nValueError: again") == 1
    assert text.count("\nValueError: 4") == 1


# --- strangers


class Hostile(Exception):
    """An exception whose every method raises."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    def __repr__(self) -> str:
        raise ZeroDivisionError


class Unreadable(Exception):
    """An exception that even the traceback module cannot format."""

    @property
    def __notes__(self) -> list[str]:
        raise ZeroDivisionError


def test_an_exception_that_nobody_raised_is_shown_once() -> None:
    """It has no traceback; its text may be long, and have several lines."""
    text = candil.describe_event(candil.ProcessExited(PID, Crashed(ValueError("a\n" + 999 * "b"))))

    assert text == f"{PID} ended: it crashed with ValueError: a\n" + 999 * "b"


def test_an_exception_that_cannot_be_shown_is_shown_all_the_same() -> None:
    """A report must not crash its process a second time."""
    assert "Hostile: (its str raised ZeroDivisionError)" in candil.describe_reason(
        Crashed(Hostile())
    )
    assert "Hostile" in candil.describe_event(candil.ProcessExited(PID, Crashed(Hostile())))
    with pytest.raises(Unreadable) as raised:
        raise Unreadable("x")
    assert "Unreadable: x" in candil.describe_event(
        candil.ProcessExited(PID, Crashed(raised.value))
    )


def test_terms_and_ids_that_cannot_be_shown_are_shown_all_the_same() -> None:
    """Whatever a program uses for them."""
    assert "its repr raised" in candil.describe_reason(Exit(Hostile()))
    report = candil.SupervisorReport(Hostile(), "start_error", Exit(Hostile()), {"id": Hostile()})
    assert 3 == candil.describe_event(report).count("its repr raised")


# --- size


def nested(width: int, depth: int) -> Exception:
    """Give groups in groups."""
    group: Exception = ValueError("x" * 5000)
    for _ in range(depth):
        group = ExceptionGroup("g", [group] * width)
    return group


def test_a_group_of_ten_thousand_is_shown_as_its_first_ten() -> None:
    """In a text of at most 16,000 characters."""
    group = ExceptionGroup("g", [ValueError(f"leaf {i} " + "x" * 1000) for i in range(10_000)])
    text = candil.describe_event(candil.ProcessExited(PID, Crashed(group)))

    assert len(text) <= MAX_TEXT
    assert "leaf 9 " in text
    assert "leaf 10 " not in text
    assert len(candil.describe_reason(Crashed(group))) < 6000


def test_a_chain_of_ten_thousand_causes_is_shown_in_part() -> None:
    """Those next to the crash, in a text of at most 16,000 characters, and soon."""
    error = ValueError("0")
    for number in range(1, 10_000):
        error = raised(ValueError(f"number {number}."), error)
    text = candil.describe_event(candil.ProcessExited(PID, Crashed(error)))

    assert error.__cause__ is not None
    assert len(text) <= MAX_TEXT
    assert text.endswith("number 9999.")
    assert text.count(CAUSED) == MAX_CAUSES


def test_groups_of_ten_thousand_from_groups_of_ten_thousand_are_shown_soon() -> None:
    """No more is formatted than can be shown."""
    error: Exception = ValueError("last")
    for _ in range(30):
        leaves = [ValueError("x" * 100) for _ in range(1000)]
        error = raised(ExceptionGroup("g", leaves), error)
    leaves = [raised(ValueError(f"leaf {i} "), error) for i in range(10_000)]
    event = candil.ProcessExited(PID, Crashed(raised(ExceptionGroup("g", leaves), error)))
    with counted_calls() as calls:
        text = candil.describe_event(event)

    assert len(text) <= MAX_TEXT
    assert calls.count < 2 * len(leaves)


@pytest.mark.parametrize(("width", "depth"), [(1, 5000), (10, 4), (2, 12)])
def test_groups_in_groups_are_flattened(width: int, depth: int) -> None:
    """However deep, and without walking through all of them."""
    group = nested(width, depth)

    assert min(MAX_LEAVES, width**depth) == len(leaves_of(group))
    assert len(candil.describe_event(candil.ProcessExited(PID, Crashed(group)))) <= MAX_TEXT


@given(st.recursive(st.integers(), lambda parts: st.lists(parts, min_size=1, max_size=4)))
def test_the_leaves_of_a_group_come_in_order(tree: object) -> None:
    """As they stand in the group, depth first."""

    def build(tree: object) -> Exception:
        if isinstance(tree, list):
            return ExceptionGroup("g", [build(part) for part in tree])
        return ValueError(tree)

    def flat(tree: object) -> list[object]:
        return [leaf for part in tree for leaf in flat(part)] if isinstance(tree, list) else [tree]

    assert flat(tree)[:MAX_LEAVES] == [leaf.args[0] for leaf in leaves_of(build(tree))]


@pytest.mark.parametrize(
    "event",
    [
        candil.ProcessExited(PID, Crashed(ValueError("x" * 1_000_000))),
        candil.ProcessExited(PID, Exit("x" * 1_000_000)),
        candil.LoopBlocked(PID, 1, "  frame\n" * 100_000),
        candil.ProcessLingers(PID, Exit("x"), 1, abandoned=True, stack="  frame\n" * 100_000),
        candil.SupervisorReport(
            "x" * 100_000, "shutdown", Exit("x" * 100_000), {"id": "x" * 99_999}
        ),
        candil.Hint(PID, "x" * 100_000),
    ],
    ids=lambda event: type(event).__name__,
)
def test_no_report_is_longer_than_its_limit(event: object) -> None:
    """Beginning and end are kept: who it was, and the innermost frames."""
    text = candil.describe_event(event)

    assert len(text) <= MAX_TEXT
    assert text.startswith(("<Pid local.7 worker>", "supervisor"))


async def test_a_crash_is_shown_from_the_users_code_on(caplog: pytest.LogCaptureFixture) -> None:
    """The frames of the runtime above it tell nobody anything."""
    async with candil.open_node():
        candil.spawn_monitor(crash, ValueError("boom"))
        await candil.receive(candil.Down)

    (record,) = caplog.records
    code = crash.__code__
    assert record.getMessage().splitlines()[1:3] == [
        "Traceback (most recent call last):",
        f'  File "{code.co_filename}", line {code.co_firstlineno + 2}, in crash',
    ]


async def test_a_nested_supervisor_that_gives_up_is_told_down_to_where_it_began() -> None:
    """The last line of the program is enough."""
    inner = candil.supervisor_spec(
        [candil.child_spec(crash, ValueError("boom"), id="leaf")], max_restarts=1, id="inner"
    )
    with pytest.raises(candil.RestartIntensityExceeded) as raised:
        async with candil.open_supervisor([inner], max_restarts=0, name="root", log=False):
            await trio.sleep_forever()

    assert str(raised.value) == (
        "supervisor 'root' gave up: 1 restart within 5 s, 0 allowed. Last: child 'inner' ended: it "
        "gave up as well, at last since child 'leaf' ended: it crashed with ValueError: boom"
    )
