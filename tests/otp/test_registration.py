"""Names: one table, free at death, strict about what it takes."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import candil
from candil import Down, ExitSignal, RegistrationError
from tests.otp.bodies import do_nothing, end_of, exit_and_settle, linger, wait_for_ever


@pytest.mark.parametrize("name", ["worker", candil.Name("worker"), candil.Via("workers", 7)])
async def test_a_registered_process_is_found_until_it_is_unregistered(name: Any) -> None:
    """By each of the three forms."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        assert candil.whereis(name) is None
        candil.register(name, pid)

        assert pid is candil.whereis(name)
        candil.unregister(name)
        assert candil.whereis(name) is None
        assert candil.process_info(pid).registered_name is None
        assert () == candil.process_info(pid).via


@pytest.mark.parametrize("name", ["worker", candil.Name("worker"), candil.Via("workers", 7)])
async def test_registering_a_taken_name_is_refused(name: Any) -> None:
    """The holder keeps it, and the error says who it is."""
    async with candil.open_node():
        holder = candil.spawn(wait_for_ever, name=name)
        with pytest.raises(RegistrationError, match=rf"already taken by <Pid local\.{holder.id}"):
            candil.register(name, candil.spawn(wait_for_ever))

        assert holder is candil.whereis(name)


async def test_registering_a_named_process_again_is_refused() -> None:
    """One process has one plain name."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever, name="one")
        with pytest.raises(RegistrationError, match="already registered as 'one'"):
            candil.register("two", pid)
        with pytest.raises(RegistrationError, match="already registered as 'one'"):
            candil.register(candil.Name("two"), pid)

        assert candil.whereis("two") is None
        assert "one" == candil.process_info(pid).registered_name


async def test_a_process_may_have_any_number_of_via_names_beside_its_own() -> None:
    """A registry's keys are no names of OTP's table."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever, name="one")
        vias = [candil.Via("workers", key) for key in range(3)]
        for via in vias:
            candil.register(via, pid)

        assert [pid] * 4 == [candil.whereis(name) for name in ("one", *vias)]
        assert tuple(vias) == candil.process_info(pid).via


async def test_registering_a_dead_process_is_refused() -> None:
    """And one that was told to end counts as dead."""
    async with candil.open_node():
        dead = candil.spawn(do_nothing)
        await end_of(dead)
        dying = candil.spawn(wait_for_ever)
        candil.exit(dying, "boom")

        for pid in (dead, dying):
            with pytest.raises(RegistrationError, match="has ended"):
                candil.register("worker", pid)


async def test_an_empty_name_is_refused() -> None:
    """OTP's undefined: it could not be told from no name."""
    async with candil.open_node():
        for name in ("", candil.Name("")):
            with pytest.raises(RegistrationError, match="must not be empty"):
                candil.register(name, candil.self())


@pytest.mark.parametrize("name", ["nobody", candil.Name("nobody"), candil.Via("nobody", 1)])
async def test_unregistering_an_unknown_name_is_refused(name: Any) -> None:
    """As OTP's badarg."""
    async with candil.open_node():
        with pytest.raises(RegistrationError, match="no process is registered"):
            candil.unregister(name)


@pytest.mark.parametrize("name", ["nobody", candil.Name("nobody"), candil.Via("nobody", 1)])
async def test_sending_to_an_unknown_name_raises_and_casting_does_not(name: Any) -> None:
    """As OTP: ``!`` is badarg, gen_server:cast is ok."""
    async with candil.open_node():
        with pytest.raises(candil.NoProc):
            candil.send(name, "hello")
        candil.cast(name, "hello")


async def test_keys_of_a_via_compare_by_type_and_value() -> None:
    """1, 1.0 and True are three names, and taking one away leaves the others."""
    async with candil.open_node():
        keys = [1, 1.0, True, (1,), (True,)]
        pid = candil.spawn(wait_for_ever)
        for key in keys:
            candil.register(candil.Via("workers", key), pid)
        for left in range(len(keys) - 1, -1, -1):
            candil.unregister(candil.Via("workers", keys[left]))
            info = candil.process_info(pid)

            assert [repr(key) for key in keys[:left]] == [repr(via.key) for via in info.via]


@pytest.mark.parametrize("name", [7, None, b"x", candil.Via("workers", [])])
async def test_what_is_no_name_is_refused_before_anything_happens(name: Any) -> None:
    """Nothing is registered, and nothing is spawned."""
    async with candil.open_node() as node:
        before = dict(node.processes)
        with pytest.raises(TypeError):
            candil.register(name, candil.self())
        with pytest.raises(TypeError):
            candil.whereis(name)
        if name is not None:
            with pytest.raises(TypeError):
                candil.spawn(wait_for_ever, name=name)

        assert before == node.processes
        assert candil.process_info(candil.self()).registered_name is None


async def test_a_pid_is_no_name() -> None:
    """Though most functions take either."""
    async with candil.open_node():
        with pytest.raises(TypeError):
            candil.register(candil.self(), candil.self())


async def test_a_name_is_held_until_the_process_has_really_ended() -> None:
    """One that is ending is not found, but its name is not free either."""
    async with candil.open_node():
        done = trio.Event()
        pid = candil.spawn(linger, done, name="worker")
        await wait_all_tasks_blocked()
        candil.exit(pid, "boom")

        assert candil.whereis("worker") is None
        with pytest.raises(RegistrationError, match="already taken"):
            candil.spawn(wait_for_ever, name="worker")
        done.set()
        await end_of(pid)
        candil.spawn(wait_for_ever, name="worker")


@pytest.mark.parametrize("told_by", ["monitor", "link", "event"])
async def test_a_name_is_free_before_anybody_learns_of_the_death(told_by: str) -> None:
    """So a restart never finds its own name taken."""
    seen: list[object] = []

    def look(event: object) -> None:
        if isinstance(event, candil.ProcessExited):
            seen.append(candil.whereis("worker"))

    async with candil.open_node():
        candil.trap_exit(True)
        spawn = candil.spawn_link if told_by == "link" else candil.spawn
        pid = spawn(wait_for_ever, name="worker")
        with candil.subscribe(look):
            if told_by == "monitor":
                candil.monitor(pid)
            candil.exit(pid, "boom")
            if told_by == "event":
                await wait_all_tasks_blocked()
            else:
                await candil.receive((Down, ExitSignal))

        assert [None] == seen
        candil.register("worker", candil.spawn(wait_for_ever))


async def test_all_names_are_free_after_a_death() -> None:
    """The plain one and every Via."""
    async with candil.open_node() as node:
        pid = candil.spawn(wait_for_ever, name="worker")
        candil.register(candil.Via("workers", 1), pid)
        await exit_and_settle(pid, "kill")

        assert {} == node.runtime.names


async def test_a_name_that_was_passed_on_is_not_freed_by_its_first_holder() -> None:
    """Unregister, register another, and the first may die without harm."""
    async with candil.open_node():
        first = candil.spawn(wait_for_ever, name="worker")
        candil.unregister("worker")
        second = candil.spawn(wait_for_ever, name="worker")
        await exit_and_settle(first, "boom")

        assert second is candil.whereis("worker")


async def test_the_block_itself_can_have_a_name() -> None:
    """It is a process like others, and its name goes with the block."""
    async with candil.open_node() as node:
        candil.register("main", candil.self())
        candil.send("main", "hello")

        assert "hello" == await candil.receive()
    assert {} == node.runtime.names
    assert candil.whereis("main") is None


async def test_a_name_is_taken_away_without_a_look_at_the_others() -> None:
    """So a process may hold ten thousand, each of them for a while."""
    compared = 0

    class Key:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return self.number

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

    async with candil.open_node():
        vias = [candil.Via("sessions", Key(number)) for number in range(300)]
        for via in vias:
            candil.register(via, candil.self())
        compared = 0
        for via in vias:
            candil.unregister(via)

        assert compared <= 2 * len(vias)
        assert () == candil.process_info(candil.self()).via
