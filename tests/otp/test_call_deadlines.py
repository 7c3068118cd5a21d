"""How long a caller waits, and what becomes of a request that it no longer waits for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
import trio.testing

import candil
from tests.otp.bodies import raise_
from tests.otp.scripted import WAYS, driver, own_record
from tests.otp.servers import AsyncScriptedServer, ScriptedServer


@pytest.mark.parametrize("typed", [True, False])
async def test_a_call_without_a_timeout_waits_five_seconds(
    typed: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """OTP's default, in both kinds of client; the error says who, what and how long."""
    async with candil.open_node(log=False):
        ask = await driver()
        started = trio.current_time()
        with pytest.raises(candil.CallTimeout, match="within 5 s") as caught:
            await (
                ScriptedServer.sleep(ask.pid, 60) if typed else candil.call(ask.pid, "sleep", 60)
            )
        assert trio.current_time() - started == 5.0
        assert (caught.value.target, caught.value.request, caught.value.timeout) == (
            ask.pid,
            "sleep",
            5.0,
        )
        assert not isinstance(caught.value, trio.TooSlowError)


async def test_a_call_with_an_infinite_timeout_waits_as_long_as_it_takes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """math.inf has no deadline."""
    async with candil.open_node(log=False):
        ask = await driver()
        assert await ScriptedServer.sleep.within(math.inf)(ask.pid, 1e6) == "slept"
        assert await candil.call(ask.pid, "sleep", 1e6, timeout=math.inf) == "slept"


async def test_a_timed_out_request_is_still_handled_and_its_reply_is_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """
    The server is not told of the timeout, and nothing of the late reply reaches the caller's
    mailbox.
    """
    async with candil.open_node(log=False):
        ask = await driver()
        with pytest.raises(candil.CallTimeout):
            await ScriptedServer.sleep.within(1)(ask.pid, 10)
        with pytest.raises(candil.CallTimeout):
            await ScriptedServer.echo.within(1)(ask.pid, "queued")
        await trio.sleep(20)
        assert ask.instance.log == ["slept", ("echo", "queued")]
        assert not own_record().mailbox
        assert not ask.process.pending


async def test_a_late_reply_never_reaches_the_mailbox(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """OTP's reply_by_alias: an answer to a call that has timed out vanishes."""
    async with candil.open_node(log=False):
        ask = await driver()
        with pytest.raises(candil.CallTimeout):
            await candil.call(ask.pid, "keep", timeout=1)
        ask.instance.kept[0].reply({"a": "payload"})
        await trio.sleep(1)
        assert not own_record().mailbox


async def test_a_timeout_of_zero_only_gets_what_is_there_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A plain handler of an idle server still answers; a busy server is not waited for."""
    async with candil.open_node(log=False):
        ask = await driver()
        assert await ScriptedServer.echo.within(0)(ask.pid, 1) == 1
        with pytest.raises(candil.CallTimeout):
            await ScriptedServer.sleep.within(0)(ask.pid, 1)


async def test_every_call_expires_at_its_own_time(autojump_clock: trio.testing.MockClock) -> None:
    """Whatever the number of different timeouts, and the order in which the calls were made."""
    expired: list[tuple[float, float]] = []
    seconds = [*range(1, 45), *range(60, 45, -1), 3, 3]

    async def ask_for(pid: candil.Pid[Any], timeout: float) -> None:
        with pytest.raises(candil.CallTimeout):
            await ScriptedServer.echo.within(timeout)(pid)
        expired.append((timeout, trio.current_time() - started))

    async with candil.open_node(log=False):
        ask = await driver()
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ScriptedServer.sleep.within(math.inf), ask.pid, 100)
            await trio.testing.wait_all_tasks_blocked()
            for timeout in seconds:
                nursery.start_soon(ask_for, ask.pid, timeout)
    assert sorted(timeout for timeout, _ in expired) == sorted(seconds)
    assert all(timeout == after for timeout, after in expired)


@pytest.mark.parametrize("way", WAYS)
async def test_a_deferred_that_is_never_answered_times_out(
    way: str, autojump_clock: trio.testing.MockClock
) -> None:
    """The deadline of the call holds for answers that come later, too."""
    async with candil.open_node(log=False):
        ask = await driver(way)
        started = trio.current_time()
        with pytest.raises(candil.CallTimeout):
            await ask("later", timeout=3)
        assert trio.current_time() - started == 3


@pytest.mark.parametrize("way", WAYS)
async def test_a_caller_waits_no_longer_than_its_timeout_for_a_crash(
    way: str, autojump_clock: trio.testing.MockClock
) -> None:
    """
    A slow terminate after a crash keeps a caller only as long as its timeout, however the handler
    ran.
    """

    class Slow(AsyncScriptedServer if way == "async" else ScriptedServer):  # type: ignore[misc]
        async def terminate(self, reason: object) -> None:
            await trio.sleep(60)

    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        if way == "mailbox":
            candil.send(pid, "in the way")
        started = trio.current_time()
        with pytest.raises(candil.CallTimeout):
            await candil.call(pid, "act", lambda _: raise_(ValueError("boom")), timeout=2)
        assert trio.current_time() - started == 2


@pytest.mark.parametrize("timeout", [-1, -0.001, -math.inf, math.nan, None, "5", 2j])
async def test_a_call_for_what_is_no_time_is_a_value_error(timeout: Any) -> None:
    """Whatever it is, it is told at once, and nothing is sent; a whole number is a time too."""
    async with candil.open_node(log=False):
        ask = await driver()
        with pytest.raises(ValueError, match="0 seconds or more, and math\\.inf waits"):
            candil.call(ask.pid, "echo", timeout=timeout)
        with pytest.raises(ValueError, match="a timeout is 0 seconds or more"):
            ScriptedServer.echo.within(timeout)
        assert ask.instance.log == []
        assert await candil.call(ask.pid, "echo", 1, timeout=5) == 1
