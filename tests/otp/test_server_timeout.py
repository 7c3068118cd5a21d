"""set_timeout: the Timeout message of a server that gets no other for so long."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
import trio.testing

import candil
from candil import sys
from tests.otp.bodies import BOOM
from tests.otp.recorders import all_handled, every_callback
from tests.otp.servers import Recorder

FIRED = ("info", candil.Timeout())


@every_callback
async def test_a_timeout_fires_once_if_no_message_comes(
    act: Any, autojump_clock: trio.testing.MockClock
) -> None:
    """After just so many seconds, and never again by itself."""
    async with candil.open_node(log=False):
        pid = await candil.start(Recorder)
        act(pid, lambda: candil.set_timeout(10))
        await fires_in_ten_seconds(pid)


@pytest.mark.parametrize("way", ["in place", "mailbox", "async", "callback"])
async def test_a_call_may_set_a_timeout(way: str, autojump_clock: trio.testing.MockClock) -> None:
    """It runs from the end of the handler on, wherever that ran."""
    async with candil.open_node(log=False):
        pid = await candil.start(Recorder)
        await trio.testing.wait_all_tasks_blocked()
        if way == "mailbox":
            Recorder.told_async(pid, lambda: None)
        ask = {"async": Recorder.act, "callback": candil.call}.get(way, Recorder.act_at_once)
        assert await ask(pid, lambda: candil.set_timeout(10) or "answered") == "answered"
        await fires_in_ten_seconds(pid)


async def fires_in_ten_seconds(pid: candil.Pid[Recorder]) -> None:
    """See a timeout come once, ten seconds from now."""
    assert pid.process is not None
    log = pid.process.behaviour.instance.log
    await trio.sleep(9.9)
    assert log == []
    await trio.sleep(0.2)
    assert log == [FIRED]
    await trio.sleep(1000)
    assert log == [FIRED]


async def test_init_and_continue_may_set_a_timeout(autojump_clock: trio.testing.MockClock) -> None:
    """OTP's {ok, S, Timeout}; a continue may start one of its own, and clears what was set."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        await candil.start(Recorder, log, lambda: candil.set_timeout(1))
        await trio.sleep(1.5)
        assert log == [FIRED]
        pid = await candil.start(Recorder, log)
        candil.send(pid, lambda: candil.continue_with(lambda: candil.set_timeout(1)))
        await trio.sleep(1.5)
        assert log == [FIRED, FIRED]

        def both() -> None:
            candil.set_timeout(1)
            candil.continue_with("cleared")

        candil.send(pid, both)
        await trio.sleep(1.5)
        assert log == [FIRED, FIRED, ("continue", "cleared")]


async def test_a_timeout_may_be_set_again_by_its_own_message(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """That is how a server does something every so often when it is idle."""

    class Ticker(candil.GenServer):
        def __init__(self) -> None:
            self.ticks = 0

        def init(self) -> None:
            candil.set_timeout(1)

        def handle_info(self, message: object) -> None:
            assert message == candil.Timeout()
            self.ticks += 1
            candil.set_timeout(1)

    async with candil.open_node(log=False):
        pid = await candil.start(Ticker)
        await trio.sleep(5.5)
        assert (await sys.get_state(pid)).ticks == 5


@pytest.mark.parametrize(
    "message",
    [
        lambda pid: candil.send(pid, "any"),
        lambda pid: candil.cast(pid, "any"),
        lambda pid: Recorder.told(pid, "any"),
        lambda pid: candil.call(pid, "any"),
        lambda pid: Recorder.act(pid, "any"),
        lambda pid: Recorder.act_at_once(pid, "any"),
    ],
    ids=["info", "cast", "told", "call", "async handler", "plain handler"],
)
async def test_any_message_clears_the_timeout(
    message: Any, autojump_clock: trio.testing.MockClock
) -> None:
    """A message of whatever kind, also a call; the callback must set it again."""
    async with candil.open_node(log=False):
        pid = await candil.start(Recorder, None, lambda: candil.set_timeout(10))
        await trio.sleep(9)
        waits = message(pid)
        if waits is not None:
            await waits
        await trio.sleep(100)
        log = await all_handled(pid)
        assert len(log) == 1
        assert log != [FIRED]


async def test_a_message_that_is_only_dropped_clears_the_timeout_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nobody handles it, but it came."""

    class Deaf(candil.GenServer):
        @candil.handle_cast
        def wait(self) -> None:
            candil.set_timeout(10)

    async with candil.open_node(log=False):
        pid = await candil.start(Deaf)
        Deaf.wait(pid)
        await trio.sleep(9)
        candil.send(pid, "dropped")
        await sys.get_state(pid)
        assert pid.process is not None
        assert pid.process.behaviour._timeout is None


async def test_timeouts_are_not_cumulative(autojump_clock: trio.testing.MockClock) -> None:
    """A callback that sets it again starts it in full; the last one counts."""

    def twice() -> None:
        candil.set_timeout(1)
        candil.set_timeout(10)

    async with candil.open_node(log=False):
        pid = await candil.start(Recorder)
        log = (await sys.get_state(pid)).log
        for _ in range(5):
            candil.send(pid, twice)
            await trio.sleep(9)
        assert log == []
        await trio.sleep(2)
        assert log == [FIRED]


async def test_a_system_message_starts_the_timeout_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As in OTP, where the loop is entered again with the same time."""
    async with candil.open_node(log=False):
        pid = await candil.start(Recorder, None, lambda: candil.set_timeout(10))
        await trio.sleep(8)
        log = (await sys.get_state(pid)).log
        await trio.sleep(9.9)
        assert log == []
        await trio.sleep(0.2)
        assert log == [FIRED]


async def test_a_suspended_servers_timeout_starts_when_it_is_resumed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It does not fire meanwhile, and then it takes its full time."""
    async with candil.open_node(log=False):
        pid = await candil.start(Recorder, None, lambda: candil.set_timeout(10))
        await sys.suspend(pid)
        await trio.sleep(100)
        log = (await sys.get_state(pid)).log
        await sys.resume(pid)
        await trio.sleep(9.9)
        assert log == []
        await trio.sleep(0.2)
        assert log == [FIRED]


async def test_a_queued_message_beats_a_timeout_of_zero() -> None:
    """With nothing queued it fires at once; with something, never."""
    async with candil.open_node(log=False):
        pid = await candil.start(Recorder)
        candil.send(pid, lambda: candil.set_timeout(0))
        candil.send(pid, "queued")
        await trio.testing.wait_all_tasks_blocked()
        log = (await sys.get_state(pid)).log
        assert log == [("info", "queued")]
        candil.send(pid, lambda: candil.set_timeout(0))
        while log[-1] != FIRED:
            await trio.lowlevel.checkpoint()


async def test_a_message_at_the_very_instant_of_the_timeout_comes_instead(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Once there is a message, the time that has run out counts for nothing."""
    async with candil.open_node(log=False):
        pid = await candil.start(Recorder, None, lambda: candil.set_timeout(10))
        await trio.testing.wait_all_tasks_blocked()
        candil.send_after(pid, "just now", 10)
        await trio.sleep(50)
        assert await all_handled(pid) == [("info", "just now")]


async def test_a_server_is_ended_while_its_timeout_is_pending(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its timer goes with it."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Recorder, log, lambda: candil.set_timeout(3))
        await trio.sleep(1)
        candil.exit(pid, "boom")
        assert (await candil.receive(candil.Down)).reason == BOOM
        await trio.sleep(10)
    assert log == []


async def test_an_infinite_timeout_never_fires(autojump_clock: trio.testing.MockClock) -> None:
    """OTP's infinity."""
    async with candil.open_node(log=False):
        pid = await candil.start(Recorder, None, lambda: candil.set_timeout(math.inf))
        await trio.sleep(10_000)
        assert await all_handled(pid) == []


@pytest.mark.parametrize("seconds", [-1, -0.001, -math.inf, math.nan, None])
async def test_a_server_timeout_that_is_no_time_is_a_value_error(seconds: Any) -> None:
    """Raised in the callback that asks, so a callback that lets it out crashes."""
    async with candil.open_node(log=False):
        pid = await candil.start(Recorder)
        with pytest.raises(candil.ServerExited) as caught:
            await Recorder.act(pid, lambda: candil.set_timeout(seconds))
        assert isinstance(caught.value.__cause__, ValueError)
        assert "0 seconds or more" in str(caught.value.__cause__)
