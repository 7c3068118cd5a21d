"""Stopping a server from outside, in its place in the queue."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
import trio.testing

import candil
from candil import sys
from tests.otp.bodies import BOOM, do_nothing, wait_for_ever


class Server(candil.GenServer):
    """Takes a while to end."""

    def __init__(self, seconds: float = 0, ends: Any = None) -> None:
        self.seconds = seconds
        self.ends = ends
        self.log: list[Any] = []

    @candil.handle_call
    async def stop_me(self, target: Any) -> None:
        await candil.stop(target)

    def handle_cast(self, message: object) -> None:
        self.log.append(message)

    @candil.handle_cast
    async def wait(self, event: trio.Event) -> None:
        await event.wait()

    async def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(reason)
        await trio.sleep(self.seconds)
        if self.ends is not None:
            raise self.ends


NAMES: list[Any] = ["server", candil.Name[Server]("server"), candil.Via[Server]("servers", 1)]


@pytest.mark.parametrize("name", [None, *NAMES], ids=repr)
async def test_stop_returns_when_the_server_has_ended(name: Any) -> None:
    """By pid or by any name; the default reason is normal."""
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Server, name=name)
        log = (await sys.get_state(pid)).log
        assert await candil.stop(pid if name is None else name) is None  # type: ignore[func-returns-value]
        assert candil.process_info(pid) is None
        assert log == [candil.Normal()]
        assert await candil.receive() == candil.Down(ref, pid, candil.Normal())


@pytest.mark.parametrize("term", ["shutdown", ("shutdown", "x"), "boom", BOOM, candil.Killed(), 7])
async def test_stop_takes_any_reason(term: object) -> None:
    """Terminate gets it, and it is how the process ends."""
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Server)
        log = (await sys.get_state(pid)).log
        await candil.stop(pid, term)
        assert log == [candil.as_exit_reason(term)]
        assert await candil.receive() == candil.Down(ref, pid, candil.as_exit_reason(term))


async def test_stop_keeps_its_place_in_the_queue() -> None:
    """What was sent before is handled, what comes after is not."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        log = (await sys.get_state(pid)).log
        busy = trio.Event()
        Server.wait(pid, busy)
        async with trio.open_nursery() as nursery:
            candil.cast(pid, "before")
            nursery.start_soon(candil.stop, pid)
            await trio.testing.wait_all_tasks_blocked()
            candil.cast(pid, "after")
            busy.set()
        assert log == ["before", candil.Normal()]


async def test_stop_waits_for_ever_by_default(autojump_clock: trio.testing.MockClock) -> None:
    """However long terminate takes."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server, 10_000)
        await candil.stop(pid)
        await candil.stop(await candil.start(Server, 10), timeout=11)


async def test_stop_of_another_server_from_within_a_callback() -> None:
    """A pid or a name always means that server, also inside of another."""
    async with candil.open_node(log=False):
        one, ref = await candil.start_monitor(Server)
        other = await candil.start(Server)
        await Server.stop_me(other, one)
        assert await candil.receive() == candil.Down(ref, one, candil.Normal())
        assert candil.is_alive(other)


async def test_the_end_of_a_linked_server_that_is_stopped_is_a_signal_to_its_parent() -> None:
    """As any end is, for a parent that traps."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = await candil.start_link(Server)
        await candil.stop(pid)
        assert await candil.receive() == candil.ExitSignal(pid, candil.Normal())


# --- it ends otherwise


@pytest.mark.parametrize("error", [candil.ProcessExit("other"), ValueError("other")])
async def test_stop_of_a_server_that_ends_otherwise_raises_its_reason(error: Exception) -> None:
    """Chained to the exception, if it was one."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server, ends=error)
        with pytest.raises(candil.ServerExited) as caught:
            await candil.stop(pid)
        assert (caught.value.target, caught.value.request) == (pid, "stop")
        assert caught.value.wanted == candil.Normal()
        assert "but not with Normal(), which stop asked for: it " in str(caught.value)
        if isinstance(error, candil.ProcessExit):
            assert caught.value.reason == candil.Exit("other")
            assert caught.value.__cause__ is None
        else:
            assert caught.value.reason == candil.Crashed(error)
            assert caught.value.__cause__ is error


async def test_stop_of_a_server_that_is_ended_first_raises_its_reason() -> None:
    """What comes while the request is in the queue may end it otherwise."""
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        pid = await candil.start(Server)
        Server.wait(pid, trio.Event())

        async def kill() -> None:
            await trio.testing.wait_all_tasks_blocked()
            candil.exit(pid, "kill")

        nursery.start_soon(kill)
        with pytest.raises(candil.ServerExited) as caught:
            await candil.stop(pid)
        assert caught.value.reason == candil.Killed()


async def test_several_may_stop_a_server_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """The first reason counts; who wanted another is told."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server, 10)
        outcomes: list[object] = []

        async def stop(reason: str) -> None:
            try:
                await candil.stop(pid, reason)
                outcomes.append((reason, None))
            except candil.ServerExited as error:
                outcomes.append((reason, error.reason))

        async with trio.open_nursery() as nursery:
            for reason in ("shutdown", "shutdown", "boom"):
                nursery.start_soon(stop, reason)
                await trio.testing.wait_all_tasks_blocked()
        shutdown = candil.Shutdown()
        assert sorted(outcomes, key=repr) == [
            ("boom", shutdown),
            ("shutdown", None),
            ("shutdown", None),
        ]


# --- nobody to stop


async def test_stop_of_a_dead_or_unknown_server_raises_noproc() -> None:
    """And so does that of None, which whereis gives for an unknown name."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        await candil.stop(pid)
        for target in (pid, "nobody", candil.Name[Server]("nobody"), candil.Via[Server]("a", 1)):
            with trio.testing.assert_checkpoints(), pytest.raises(candil.NoProc) as caught:
                await candil.stop(target)
            assert (caught.value.target, caught.value.request) == (target, "stop")
        with pytest.raises(candil.NoProc, match="whereis gives"):
            candil.stop(candil.whereis("nobody"))  # type: ignore[arg-type]


async def test_stop_of_what_was_told_to_end_raises_noproc() -> None:
    """A server, or a plain process: it is as good as gone."""
    async with candil.open_node(log=False):
        for pid in (await candil.start(Server), candil.spawn(wait_for_ever)):
            await trio.testing.wait_all_tasks_blocked()
            candil.exit(pid, "boom")
            with pytest.raises(candil.NoProc):
                await candil.stop(pid)


async def test_stop_waits_for_a_plain_process_to_end_by_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It does not understand the request."""
    async with candil.open_node(log=False):
        await candil.stop(candil.spawn(do_nothing))
        with pytest.raises(candil.CallTimeout):
            await candil.stop(candil.spawn(wait_for_ever), timeout=1)


@pytest.mark.parametrize("by", ["pid", "name"])
async def test_a_server_that_waits_for_its_own_end_gets_calling_self(by: str) -> None:
    """As in OTP; stop_self(reason) is for that."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server, name="server")
        with pytest.raises(candil.ServerExited) as caught:
            await Server.stop_me(pid, pid if by == "pid" else "server")
        assert isinstance(caught.value.__cause__, candil.CallingSelf)


@pytest.mark.parametrize("target", [5, object, ("shutdown", "x"), ValueError(), BOOM], ids=repr)
async def test_stop_of_what_is_no_server_says_what_it_takes(target: Any) -> None:
    """Wherever it is called, and whether it is awaited or not."""
    with pytest.raises(TypeError, match=r"stop takes the pid or name of a server; .*stop_self"):
        candil.stop(target)


@pytest.mark.parametrize("reason", ["boom", BOOM, candil.Shutdown(), ("shutdown", "x")], ids=repr)
async def test_a_callback_that_means_itself_is_told_of_stop_self(reason: Any):
    """``candil.stop("boom")`` without ``await`` would do nothing at all."""

    class Confused(candil.GenServer):
        @candil.handle_call
        def end(self) -> None:
            candil.stop(reason)

    async with candil.open_node(log=False):
        with pytest.raises(candil.ServerExited) as raised:
            await Confused.end(await candil.start(Confused))
        advice = "To stop its own server a callback calls candil.stop_self(reason)"
        assert str(raised.value.__cause__).endswith(advice)
        assert str(raised.value).endswith(advice)


async def test_a_stop_that_nobody_awaits_stops_nobody():
    """Python warns of it."""

    class Confused(candil.GenServer):
        @candil.handle_call
        def end(self, target: Any) -> None:
            candil.stop(target)

    async with candil.open_node(log=False):
        pid = await candil.start(Confused, name="boom")
        for target in ("boom", pid):
            with pytest.warns(RuntimeWarning, match="stop.*never awaited"):
                await Confused.end(pid, target)
        assert candil.is_alive(pid)


# --- how long


async def test_stop_times_out_and_the_server_goes_on_ending(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """OTP: exit timeout, and the process keeps terminating."""
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Server, 10)
        started = trio.current_time()
        with pytest.raises(candil.CallTimeout) as caught:
            await candil.stop(pid, timeout=3)
        assert trio.current_time() - started == 3
        assert (caught.value.target, caught.value.request, caught.value.timeout) == (pid, "stop", 3)
        assert str(caught.value).startswith(f"{pid} has not ended within 3 s of stop.")
        assert candil.is_alive(pid)
        assert await candil.receive() == candil.Down(ref, pid, candil.Normal())
        assert trio.current_time() - started == 10


async def test_a_cancelled_stop_still_stops(autojump_clock: trio.testing.MockClock) -> None:
    """Only the wait for the end ends, whether it had begun or not."""
    async with candil.open_node(log=False):
        for seconds in (0, 1):
            pid, ref = await candil.start_monitor(Server, 10)
            with trio.move_on_after(seconds) as scope:
                await candil.stop(pid)
            assert scope.cancelled_caught
            assert await candil.receive() == candil.Down(ref, pid, candil.Normal())


@pytest.mark.parametrize("timeout", [-1, math.nan, None])
async def test_stop_with_a_timeout_that_is_no_time_stops_nothing(timeout: Any) -> None:
    """It is a ValueError before anything is sent."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        with pytest.raises(ValueError, match="a timeout is"):
            candil.stop(pid, timeout=timeout)
        assert (await sys.get_state(pid)).log == []


async def test_stopping_many_leaves_no_timer_that_matters(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A stop in time is not heard of again when its timeout comes."""
    async with candil.open_node(log=False):
        for _ in range(100):
            await candil.stop(await candil.start(Server), timeout=5)
        await trio.sleep(10)
        assert candil.is_alive(candil.self())
