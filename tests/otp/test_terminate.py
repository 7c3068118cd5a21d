"""terminate: when it runs, with which reason, and what is answered after it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio
import trio.testing

import candil
from tests.otp.bodies import BOOM, raise_
from tests.otp.recorders import every_callback
from tests.otp.servers import Bare, Recorder, Trapper


@every_callback
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), candil.Normal()),
        ((candil.Normal(),), candil.Normal()),
        ((candil.Shutdown("x"),), candil.Shutdown("x")),
        ((BOOM,), BOOM),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [Recorder, Trapper])
async def test_terminate_runs_when_the_server_stops_by_itself(
    kind: type[Recorder], arguments: Any, reason: candil.ExitReason, act: Any
) -> None:
    """
    Whichever callback stops it, trapping or not; what is queued is not handled, and a stop without
    a reason is normal.
    """
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(kind, log)
        act(pid, lambda: candil.stop_self(*arguments))
        candil.send(pid, "queued")
        assert (await candil.receive(candil.Down)).reason == reason
    assert log == [("terminate", reason)]


@pytest.mark.parametrize("kind", [Recorder, Trapper])
async def test_terminate_runs_when_the_server_is_stopped_from_outside(kind: type[Recorder]) -> None:
    """Trapping or not."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid = await candil.start(kind, log)
        await candil.stop(pid, BOOM)
    assert log == [("terminate", BOOM)]


async def test_what_terminate_returns_does_not_matter() -> None:
    """And it may be async, and see what the server sees."""

    class Polite(candil.GenServer):
        async def terminate(self, reason: candil.ExitReason) -> str:
            await trio.lowlevel.checkpoint()
            seen.append((candil.self(), reason))
            return "ignored"

    seen: list[Any] = []
    async with candil.open_node(log=False):
        pid = await candil.start(Polite)
        await candil.stop(pid)
        assert seen == [(pid, candil.Normal())]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError("x"), None), (candil.ProcessExit("other"), candil.Exit("other"))],
    ids=["crash", "exit"],
)
@pytest.mark.parametrize("way", ["stop", "crash", "from outside"])
async def test_what_terminate_raises_replaces_the_reason(
    way: str, error: Exception, reason: candil.ExitReason | None
) -> None:
    """As in OTP: the process exits with that instead."""

    class Clumsy(Bare):
        def terminate(self, reason: candil.ExitReason) -> None:
            raise error

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Clumsy)
        with contextlib.suppress(candil.ServerExited):
            if way == "from outside":
                await candil.stop(pid)
            else:
                end = candil.stop_self if way == "stop" else lambda: raise_(KeyError("y"))
                await Clumsy.act(pid, end)
        expected = candil.Crashed(error) if reason is None else reason
        assert (await candil.receive(candil.Down)).reason == expected


async def test_an_error_in_terminate_does_not_hide_the_crash_before_it():
    """OTP ends with the new reason; the old one is its context."""

    class Twice(candil.GenServer):
        @candil.handle_call
        def fail(self) -> None:
            raise ValueError("first")

        def terminate(self, reason: candil.ExitReason) -> None:
            raise TypeError("second")

    async with candil.open_node(log=False):
        with pytest.raises(candil.ServerExited) as raised:
            await Twice.fail(await candil.start(Twice))
    assert isinstance(raised.value.__cause__, TypeError)
    assert isinstance(raised.value.__cause__.__context__, ValueError)


@pytest.mark.parametrize("way", ["in place", "mailbox", "async", "callback"])
@pytest.mark.parametrize("fails", [False, True])
async def test_the_caller_of_a_call_that_stops_gets_its_reply_after_terminate(
    way: str, fails: bool
) -> None:
    """OTP's {stop, Reason, Reply, State}: terminate, even if it raises, the reply, the end."""
    log: list[Any] = []

    class Slow(Recorder):
        async def terminate(self, reason: candil.ExitReason) -> None:
            await trio.testing.wait_all_tasks_blocked()
            log.append(reason)
            if fails:
                raise candil.ProcessExit("other")

    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Slow)
        await trio.testing.wait_all_tasks_blocked()
        if way == "mailbox":
            candil.send(pid, "in the way")
        ask = {"async": Recorder.act, "callback": candil.call}.get(way, Recorder.act_at_once)
        log.append(await ask(pid, lambda: candil.stop_self(BOOM) or "answer"))
        reason = candil.Exit("other") if fails else BOOM
        assert await candil.receive(candil.Down) == candil.Down(ref, pid, reason)
    assert log == [BOOM, "answer"]


async def test_a_server_killed_during_terminate_takes_its_reply_with_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The caller of the handler that stopped gets the reason, and no answer."""

    class Slow(Bare):
        async def terminate(self, reason: candil.ExitReason) -> None:
            await trio.sleep(60)

    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        pid = await candil.start(Slow)

        async def kill() -> None:
            await trio.sleep(1)
            candil.exit(pid, "kill")

        nursery.start_soon(kill)
        with pytest.raises(candil.ServerExited) as caught:
            await Slow.act(pid, lambda: candil.stop_self() or "goodbye")
        assert caught.value.reason == candil.Killed()


async def test_terminate_may_wait_and_a_kill_ends_it() -> None:
    """Without the kill it takes what it takes; with it, the reason is the kill's."""

    class Endless(Bare):
        async def terminate(self, reason: candil.ExitReason) -> None:
            await trio.sleep_forever()

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Endless)
        with contextlib.suppress(candil.CallTimeout):
            await Endless.act.within(0)(pid, candil.stop_self)
        await trio.testing.wait_all_tasks_blocked()
        assert candil.is_alive(pid)
        candil.exit(pid, "kill")
        assert (await candil.receive(candil.Down)).reason == candil.Killed()
