"""Monitors: what their watcher is told, and when."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import candil
from candil import Down, Exit, ExitSignal, NoProcess
from tests.otp.bodies import do_nothing, end_of, exit_and_settle, leave, wait_for_ever

# --- monitor


async def test_monitors_stack() -> None:
    """Two monitors give two Downs, each with its own reference."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        refs = {candil.monitor(pid), candil.monitor(pid)}
        await exit_and_settle(pid, "boom")
        downs = [await candil.receive(Down), await candil.receive(Down)]

        assert refs == {down.ref for down in downs}
        assert [(pid, Exit("boom"))] * 2 == [(down.pid, down.reason) for down in downs]


async def test_monitoring_a_dead_process_gives_noproc_at_once() -> None:
    """A monitor never raises and never stays silent."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        await end_of(pid)
        ref = candil.monitor(pid)

        assert Down(ref, pid, NoProcess()) == await candil.receive(timeout=0)


@pytest.mark.parametrize("name", ["nobody", candil.Name("nobody"), candil.Via("nobody", 1)])
async def test_monitoring_a_name_that_nobody_holds_gives_noproc_and_the_name(name: Any) -> None:
    """The Down shows what was asked for."""
    async with candil.open_node():
        ref = candil.monitor(name)

        assert Down(ref, name, NoProcess()) == await candil.receive(timeout=0)


async def test_monitoring_by_name_watches_the_process_that_holds_it() -> None:
    """Later holders of the name are others."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever, name="someone")
        ref = candil.monitor("someone")
        candil.unregister("someone")
        candil.spawn(wait_for_ever, name="someone")
        await exit_and_settle(pid, "boom")

        assert Down(ref, pid, Exit("boom")) == await candil.receive()


async def test_monitoring_a_process_that_is_ending_gives_its_own_reason() -> None:
    """It has not ended yet, so its Down is still to come."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        await wait_all_tasks_blocked()
        candil.exit(pid, "boom")

        assert Exit("boom") == await end_of(pid)


async def test_a_monitor_of_oneself_watches_nobody() -> None:
    """Nobody would be left to get its Down, so there is only a reference."""
    async with candil.open_node():
        ref = candil.monitor(candil.self())
        info = candil.process_info(candil.self())
        candil.demonitor(ref, flush=True)

        assert info is not None
        assert () == info.monitors == info.monitored_by


async def test_a_monitor_of_ones_own_name_watches_nobody() -> None:
    """It is the same process, however it is called."""
    async with candil.open_node():
        candil.register("me", candil.self())
        candil.monitor("me")
        info = candil.process_info("me")

        assert info is not None
        assert () == info.monitors == info.monitored_by


async def test_a_message_sent_before_the_death_comes_before_the_down() -> None:
    """So whoever waits for either can tell which was first."""

    async def says_goodbye(to: candil.Pid[Any]) -> None:
        candil.send(to, "goodbye")

    async with candil.open_node():
        _, ref = candil.spawn_monitor(says_goodbye, candil.self())

        assert "goodbye" == await candil.receive()
        assert ref is (await candil.receive(Down)).ref


async def test_what_whereis_did_not_find_cannot_be_monitored() -> None:
    """Its Down could name nobody; a name can be monitored, also one that nobody holds."""
    nobody: Any = candil.whereis("nobody")
    async with candil.open_node():
        with pytest.raises(TypeError, match="got None, which whereis returns"):
            candil.monitor(nobody)


async def test_down_and_exit_signal_are_values() -> None:
    """A test can compare them whole."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        ref = candil.monitor(pid)

        assert Down(ref, pid, candil.Normal()) == await candil.receive()
        assert Down(ref, pid, candil.Normal()) != Down(candil.Ref(1), pid, candil.Normal())


async def test_a_watcher_that_ends_leaves_nothing_at_the_watched_process() -> None:
    """A server that is asked a million times has no million monitored_by."""
    async with candil.open_node():
        watched = candil.spawn(wait_for_ever)

        async def watches() -> None:
            candil.monitor(watched)

        await end_of(candil.spawn(watches))

        assert () == candil.process_info(watched).monitored_by


# --- demonitor


async def test_demonitor_stops_one_monitor_only() -> None:
    """The other still gives its Down."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        first, second = candil.monitor(pid), candil.monitor(pid)
        candil.demonitor(first)
        await exit_and_settle(pid, "boom")

        assert Down(second, pid, Exit("boom")) == await candil.receive()
        with pytest.raises(candil.ReceiveTimeout):
            await candil.receive(timeout=0)


async def test_demonitor_with_flush_removes_a_down_that_came_already() -> None:
    """And nothing else: other messages stay, in order."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        first, second = candil.monitor(pid), candil.monitor(pid)
        candil.send(candil.self(), "before")
        await exit_and_settle(pid, "boom")
        candil.send(candil.self(), "after")
        candil.demonitor(first, flush=True)

        assert "before" == await candil.receive()
        assert Down(second, pid, Exit("boom")) == await candil.receive()
        assert "after" == await candil.receive()


async def test_demonitor_without_flush_leaves_a_down_that_came_already() -> None:
    """It stops what is to come."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        ref = candil.monitor(pid)
        await exit_and_settle(pid, "boom")
        candil.demonitor(ref)

        assert Down(ref, pid, Exit("boom")) == await candil.receive()


async def test_a_demonitor_of_an_unknown_reference_is_harmless() -> None:
    """It may have been delivered or undone already."""
    async with candil.open_node():
        candil.demonitor(candil.Ref(0))
        candil.demonitor(candil.Ref(0), flush=True)


async def test_a_demonitor_leaves_nothing_at_the_watched_process() -> None:
    """Nor at the watcher."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        ref = candil.monitor(pid)

        assert (candil.self(),) == candil.process_info(pid).monitored_by
        candil.demonitor(ref)
        assert () == candil.process_info(pid).monitored_by
        assert () == candil.process_info(candil.self()).monitors


async def test_flushing_a_down_does_not_hide_messages_from_another_receive() -> None:
    """A receive that waits in another task of the process still sees what comes next."""
    async with candil.open_node():
        pid, ref = candil.spawn_monitor(leave, "boom")
        candil.send(candil.self(), "first")
        await wait_all_tasks_blocked()
        got = []

        async def receives() -> None:
            got.append(await candil.receive(int))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receives)
            await wait_all_tasks_blocked()
            candil.demonitor(ref, flush=True)
            candil.send(candil.self(), 7)
            with trio.move_on_after(20, shield=True):
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

        assert [7] == got
        assert "first" == await candil.receive()
        assert not candil.is_alive(pid)


async def test_the_exit_signal_of_a_link_comes_before_the_down_of_a_monitor() -> None:
    """Whoever has both learns of a death in this order, whichever came first."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid, first = candil.spawn_monitor(wait_for_ever)
        candil.link(pid)
        second = candil.monitor(pid)
        await exit_and_settle(pid, "boom")

        assert [
            ExitSignal(pid, Exit("boom")),
            Down(first, pid, Exit("boom")),
            Down(second, pid, Exit("boom")),
        ] == [await candil.receive() for _ in range(3)]
