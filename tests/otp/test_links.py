"""Links: whom a death takes along, and when."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import candil
from candil import Exit, ExitSignal, NoProc, NoProcess, Normal
from tests.otp.bodies import be_linked, do_nothing, end_of, exit_and_settle, wait_for_ever


@pytest.mark.parametrize("first_dies", [True, False])
async def test_a_link_works_in_both_directions(first_dies: bool) -> None:
    """Whichever dies takes the other with it."""
    async with candil.open_node():
        other = candil.spawn(wait_for_ever)

        one = candil.spawn(be_linked, other)
        await wait_all_tasks_blocked()
        dies, follows = (one, other) if first_dies else (other, one)
        candil.exit(dies, "boom")

        assert Exit("boom") == await end_of(follows)


async def test_linking_twice_is_linking_once() -> None:
    """One death is one exit message, and one unlink undoes all."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(wait_for_ever)
        candil.link(pid)
        candil.link(pid)
        await exit_and_settle(pid, "boom")

        assert ExitSignal(pid, Exit("boom")) == await candil.receive()
        with pytest.raises(candil.ReceiveTimeout):
            await candil.receive(timeout=0)


async def test_a_normal_end_does_not_disturb_a_link_that_does_not_trap() -> None:
    """A process may end when its work is done."""
    async with candil.open_node():
        pid = candil.spawn_link(do_nothing)

        assert Normal() == await end_of(pid)
        await trio.lowlevel.checkpoint()
        assert () == candil.process_info(candil.self()).links


async def test_a_normal_end_reaches_a_link_that_traps() -> None:
    """Who traps is told of every end."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn(candil.receive)
        candil.link(pid)
        candil.send(pid, "go on, and end")

        assert ExitSignal(pid, Normal()) == await candil.receive()


async def test_linking_to_a_dead_process_raises_noproc_in_one_that_does_not_trap() -> None:
    """It must not go on as if the link were there."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        await end_of(pid)

        with pytest.raises(NoProc) as raised:
            candil.link(pid)
        assert pid is raised.value.target


async def test_linking_to_a_dead_process_sends_noproc_to_one_that_traps() -> None:
    """The link returns, and the exit message is there."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn(do_nothing)
        await end_of(pid)
        candil.link(pid)

        assert ExitSignal(pid, NoProcess()) == await candil.receive()


async def test_linking_to_a_process_that_was_told_to_end_is_linking_to_a_dead_one() -> None:
    """In OTP it would be dead already."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        await wait_all_tasks_blocked()
        candil.exit(pid, "boom")

        with pytest.raises(NoProc):
            candil.link(pid)


async def test_linking_to_oneself_does_nothing() -> None:
    """No process can be its own neighbour."""
    async with candil.open_node():
        candil.link(candil.self())

        assert () == candil.process_info(candil.self()).links


async def test_after_unlink_no_exit_comes() -> None:
    """Neither as a message nor as a signal."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(wait_for_ever)
        candil.unlink(pid)
        await exit_and_settle(pid, "boom")

        with pytest.raises(candil.ReceiveTimeout):
            await candil.receive(timeout=0)


async def test_an_exit_that_came_before_unlink_stays_in_the_mailbox() -> None:
    """Unlink undoes the link, not the past."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(wait_for_ever)
        await exit_and_settle(pid, "boom")
        candil.unlink(pid)

        assert ExitSignal(pid, Exit("boom")) == await candil.receive()


async def test_a_signal_in_flight_does_not_reach_a_process_that_unlinks_in_time() -> None:
    """Signals take effect at once, so there is no flight."""

    async def unlinks(other: candil.Pid[Any]) -> None:
        candil.link(other)
        candil.unlink(other)
        candil.exit(other, "boom")
        await trio.sleep_forever()

    async with candil.open_node():
        other = candil.spawn(wait_for_ever)
        pid = candil.spawn(unlinks, other)
        await end_of(other)
        await wait_all_tasks_blocked()

        assert candil.is_alive(pid)


@pytest.mark.parametrize("function", [candil.link, candil.unlink])
@pytest.mark.parametrize("wrong", [None, "worker", candil.Name("worker")], ids=repr)
async def test_only_a_pid_can_be_linked(function: Any, wrong: Any) -> None:
    """The error says how to find the pid of a name."""
    async with candil.open_node():
        with pytest.raises(
            TypeError, match=rf"^{function.__name__} takes the pid.*whereis\(name\)"
        ):
            function(wrong)
