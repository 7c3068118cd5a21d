"""Starts that fail, take too long or are given up: why, and that they leave nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import BadReturnValue, Crashed, Down, Exit, Killed, Normal
from tests.otp.bodies import BOOM, raise_
from tests.otp.hosted import hosted
from tests.otp.starters import (
    Async,
    AsyncBroken,
    AsyncTrapping,
    Broken,
    Ending,
    Plain,
    Sleeper,
    Trapping,
    assert_nothing_is_left,
    both,
    every_start,
)
from tests.otp.workers import Boom

# --- init fails


class AsyncEnding(Ending, Async):
    """The same, as a task that its starter waits for."""

    init = Async.init


FAILURES: dict[str, tuple[Callable[[], Any], Any]] = {
    "raises": (lambda: raise_(Boom("init")), Boom),
    "stops": (lambda: candil.stop_self(BOOM), BOOM),
    "stops normally": (candil.stop_self, Normal()),
    "leaves": (lambda: raise_(candil.ProcessExit("boom")), BOOM),
    "leaves normally": (lambda: raise_(candil.ProcessExit), Normal()),
    "ignores": (lambda: candil.IGNORE, Normal()),
    "stops and ignores": (lambda: candil.stop_self(BOOM) or candil.IGNORE, BOOM),
    "speaks oddly": (lambda: ("ok", 1), BadReturnValue),
    "returns False": (lambda: False, BadReturnValue),
    "ends itself": (lambda: candil.exit(candil.self(), "boom"), BOOM),
    "ends itself and raises": (
        lambda: candil.exit(candil.self(), "boom") or raise_(Boom()),
        BOOM,
    ),
    "ends itself and ignores": (
        lambda: candil.exit(candil.self(), "boom") or candil.IGNORE,
        BOOM,
    ),
    "kills itself": (lambda: candil.exit(candil.self(), "kill"), Killed()),
    "leaves the program": (lambda: raise_(SystemExit(3)), SystemExit),
}


@both
@every_start
@pytest.mark.parametrize("trap", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
@hosted
async def test_a_failed_start_says_why_and_leaves_nothing(
    cls: type[Plain], start: Any, trap: bool, failure: str
) -> None:
    """No process, no name, no link, no Down and no ExitSignal at a starter, trapping or not."""
    act, reason = FAILURES[failure]
    candil.trap_exit(trap)
    with pytest.raises(candil.StartError) as caught:
        await start(cls, act, name="counter")
    assert None is candil.whereis("counter")

    if isinstance(reason, type):
        assert isinstance(caught.value.reason, Crashed)
        assert isinstance(caught.value.reason.exception, reason)
        assert caught.value.__cause__ is caught.value.reason.exception
    else:
        assert reason == caught.value.reason
        assert None is caught.value.__cause__
    assert cls.__name__ == caught.value.label
    await assert_nothing_is_left()
    assert candil.is_alive(candil.self())


@both
@every_start
@hosted
async def test_an_ignored_start_is_no_failure_of_anything(cls: type[Plain], start: Any) -> None:
    """OTP's ignore is an error of its own, whose reason is normal, unless init stopped too."""
    with pytest.raises(candil.StartIgnored, match=f"^{cls.__name__} did not start") as caught:
        await start(cls, lambda: candil.IGNORE, name="counter")
    assert Normal() == caught.value.reason
    await assert_nothing_is_left()

    with pytest.raises(candil.StartError) as caught:
        await start(cls, lambda: candil.stop_self(BOOM) or candil.IGNORE)
    assert not isinstance(caught.value, candil.StartIgnored)


@pytest.mark.parametrize("cls", [Broken, AsyncBroken])
@hosted
async def test_a_constructor_that_raises_is_the_reason(cls: type[Any]) -> None:
    """It runs in the new process, so its error is that process's end."""
    with pytest.raises(candil.StartError) as caught:
        await candil.start_link(cls, name="counter")

    assert isinstance(caught.value.__cause__, Boom)
    assert Crashed(caught.value.__cause__) == caught.value.reason
    await assert_nothing_is_left()


@both
@hosted
async def test_arguments_that_do_not_fit_the_constructor_are_its_error(cls: type[Plain]) -> None:
    """A TypeError inside the new process, not at the starter."""
    with pytest.raises(candil.StartError) as caught:
        await candil.start(cls, nonsense=1)

    assert isinstance(caught.value.__cause__, TypeError)


@both
@hosted
async def test_a_return_value_that_init_cannot_have_is_named(cls: type[Plain]) -> None:
    """BadReturnValue says which callback, and what it gave."""
    with pytest.raises(candil.StartError) as caught:
        await candil.start(cls, lambda: "garbage")

    error = caught.value.__cause__
    assert isinstance(error, candil.BadReturnValue)
    assert ("init", "garbage") == (error.callback, error.value)


@both
@hosted
async def test_the_name_is_free_before_the_starter_learns_of_the_failure(cls: type[Plain]) -> None:
    """So it can try again at once."""
    with pytest.raises(candil.StartIgnored):
        await candil.start(cls, lambda: candil.IGNORE, name="counter")

    pid = await candil.start(cls, name="counter")
    assert pid == candil.whereis("counter")


@pytest.mark.parametrize("cls", [Ending, AsyncEnding, Trapping, AsyncTrapping])
@pytest.mark.parametrize("failure", ["raises", "stops", "ignores", "speaks oddly"])
@hosted
async def test_terminate_does_not_run_for_a_server_that_did_not_come_up(
    failure: str, cls: type[Plain]
) -> None:
    """It was never a server."""
    log: list[Any] = []
    with pytest.raises(candil.StartError):
        await candil.start(cls, FAILURES[failure][0], log)

    assert [] == log


@both
@hosted
async def test_subscribers_see_a_failed_start_come_and_go(cls: type[Plain]) -> None:
    """ProcessStarted, then ProcessExited with the reason, and no ExitSignal between."""
    events: list[Any] = []
    with candil.subscribe(events.append), pytest.raises(candil.StartError):
        await candil.start_link(cls, lambda: candil.stop_self(BOOM))

    started, exited = events
    assert candil.ProcessStarted(started.pid, candil.self()) == started
    assert candil.ProcessExited(started.pid, BOOM) == exited


def test_ignore_is_shown_as_it_is_written() -> None:
    """In messages and tracebacks."""
    assert "candil.IGNORE" == repr(candil.IGNORE)


# --- a signal in init


@every_start
@pytest.mark.parametrize("shield", [False, True])
@pytest.mark.parametrize(
    ("cls", "signal", "reason"),
    [(Async, "boom", BOOM), (Async, "kill", Killed()), (AsyncTrapping, "kill", Killed())],
)
@hosted
async def test_a_server_that_is_ended_by_others_during_init_has_not_started(
    cls: type[Plain], signal: str, reason: candil.ExitReason, shield: bool, start: Any
) -> None:
    """Dead before the acknowledgement is an error with that reason, also if init still returns."""
    signalled = trio.Event()

    async def init() -> None:
        with trio.CancelScope(shield=shield):
            await signalled.wait()

    async def end_it() -> None:
        await wait_all_tasks_blocked()
        candil.exit("counter", signal)
        signalled.set()

    candil.spawn(end_it)
    with pytest.raises(candil.StartError) as caught:
        await start(cls, init, name="counter")

    assert reason == caught.value.reason
    await assert_nothing_is_left()


@hosted
async def test_a_parent_that_is_told_to_end_during_init_gives_the_start_up() -> None:
    """It is cancelled in its start, so nobody would ever learn of the server: it is killed."""
    log: list[Any] = []
    up = trio.Event()

    async def parent() -> None:
        await candil.start_link(AsyncTrapping, _after(up), log, name="counter")

    pid = candil.spawn(parent)
    await wait_all_tasks_blocked()
    child = candil.whereis("counter")
    assert child is not None
    ref = candil.monitor(child)
    candil.exit(pid, "boom")

    assert Down(ref, child, Killed()) == await candil.receive(Down)
    assert [] == log


def _after(up: trio.Event) -> Callable[[], Any]:
    async def wait() -> None:
        await up.wait()

    return wait


@both
async def test_ctrl_c_in_init_stops_everything_in_order(cls: type[Plain]) -> None:
    """The start fails, and the block ends with KeyboardInterrupt."""

    async def run() -> None:
        async with candil.open_node(log=False):
            with pytest.raises(candil.StartError) as caught:
                await candil.start(cls, lambda: raise_(KeyboardInterrupt()))
            assert isinstance(caught.value.__cause__, KeyboardInterrupt)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await run()


# --- init takes long


@every_start
@hosted
async def test_an_init_that_takes_too_long_is_killed(start: Any, autojump_clock: MockClock) -> None:
    """The starter learns of it once the process has ended, and nothing else reaches it."""
    for _ in range(2):
        events: list[Any] = []
        began = trio.current_time()
        with (
            candil.subscribe(events.append),
            pytest.raises(candil.StartTimeout, match=r"within 2\.5 s") as caught,
        ):
            await start(AsyncTrapping, trio.sleep_forever, name="counter", timeout=2.5)

        assert 2.5 == pytest.approx(trio.current_time() - began)
        assert (2.5, Exit("timeout")) == (caught.value.timeout, caught.value.reason)
        assert "AsyncTrapping" == caught.value.label
        assert isinstance(events[-1], candil.ProcessExited)
        assert Killed() == events[-1].reason
        await assert_nothing_is_left()


@hosted
async def test_a_start_that_expired_lasts_until_its_process_has_ended(
    autojump_clock: MockClock,
) -> None:
    """Then the name is free: a shielded cleanup holds both."""
    ended = []

    async def init() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.25)
            ended.append(trio.current_time())

    with pytest.raises(candil.StartTimeout):
        await candil.start_link(Async, init, name="counter", timeout=1)

    assert [trio.current_time()] == ended
    await assert_nothing_is_left()


@hosted
async def test_a_start_that_cannot_be_killed_is_given_up(
    autojump_clock: MockClock,
) -> None:
    """A shielded init keeps its starter half a second longer than the timeout, no more."""
    began = trio.current_time()
    with pytest.raises(candil.StartTimeout):
        await candil.start_link(Sleeper, 60, shield=True, name="server", timeout=3)

    assert 3 <= trio.current_time() - began <= 4
    assert None is candil.whereis("server")
    await trio.sleep(100)
    await assert_nothing_is_left()


@hosted
async def test_an_init_that_ends_between_timeout_and_kill_is_too_late(
    autojump_clock: MockClock,
) -> None:
    """A server that was told to end during its init is never reported as started."""
    with pytest.raises(candil.StartTimeout):
        await candil.start(Sleeper, 3.1, shield=True, timeout=3)

    await assert_nothing_is_left()


@hosted
async def test_an_init_within_its_time_is_left_alone(autojump_clock: MockClock) -> None:
    """The deadline ends with the start."""

    async def init() -> None:
        await trio.sleep(1)

    pid = await candil.start_link(Async, init, timeout=2)
    await trio.sleep(5)

    assert "pong" == await candil.call(pid, "ping")


@both
@pytest.mark.parametrize(
    "timeout",
    [-1, math.nan, None, Decimal(1), pytest.param(10**400, id="beyond all floats")],
)
@hosted
async def test_a_timeout_is_a_number_of_seconds(cls: type[Plain], timeout: Any) -> None:
    """Anything else, also what no clock can add, starts nothing."""
    with pytest.raises(ValueError, match="a timeout is"):
        await candil.start_link(cls, timeout=timeout)

    await assert_nothing_is_left()


# --- the starter gives up


@every_start
@hosted
async def test_a_start_that_is_cancelled_kills_its_process(start: Any) -> None:
    """Nobody else knows of it, and no signal of its end reaches the starter."""
    with trio.CancelScope() as scope:
        candil.spawn(_cancel_soon, scope)
        await start(AsyncTrapping, trio.sleep_forever, name="counter")

    assert scope.cancelled_caught
    await assert_nothing_is_left()


async def _cancel_soon(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_a_start_by_no_process_can_time_out_and_be_cancelled(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A task outside of the tree that starts something is nobody's parent, and kills it too."""
    opened, done = trio.Event(), trio.Event()

    async def outsider() -> None:
        await opened.wait()
        with pytest.raises(candil.StartTimeout):
            await candil.start(Sleeper, 60, name="server", timeout=3)
        assert candil.whereis("server") is None
        with trio.move_on_after(3):
            await candil.start(Sleeper, 60, name="server")
        await wait_all_tasks_blocked()
        assert candil.whereis("server") is None
        done.set()

    nursery.start_soon(outsider)
    async with candil.open_node(log=False):
        opened.set()
        await done.wait()
        await assert_nothing_is_left()


class _Nested(candil.GenServer):
    """Starts the next within its own start; the last never comes up."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    async def init(self) -> None:
        if self.depth:
            await candil.start_link(_Nested, self.depth - 1)
        else:
            await trio.sleep_forever()


@hosted
async def test_a_start_that_is_cancelled_may_be_hundreds_of_starts_deep() -> None:
    """What each of them gives up is no recursion: that would end the whole program."""
    with trio.CancelScope() as scope:
        candil.spawn(_cancel_soon, scope)
        await candil.start_link(_Nested, 500)

    assert scope.cancelled_caught
    await assert_nothing_is_left()


@both
@hosted
async def test_a_start_in_a_cancelled_scope_starts_nothing(cls: type[Plain]) -> None:
    """Not even a constructor runs."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await candil.start_link(cls, name="counter", constructor=lambda: pytest.fail("it ran"))

    assert scope.cancelled_caught
    await assert_nothing_is_left()
