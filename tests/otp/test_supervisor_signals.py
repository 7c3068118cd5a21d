"""Signals and messages that reach a supervisor, from whomever."""

from functools import partial

import pytest
import trio

import candil
from tests.otp.bodies import exit_and_settle

from .workers import Journal, Worker, is_gone, kill, pid_of, settle, shown, worker, workers

STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]


async def test_the_exit_of_a_stranger_is_ignored():
    """A supervisor traps exits, and drops those of processes that are no children of it."""
    async with candil.open_supervisor(workers("a", Journal()), log=False) as sup:

        async def stranger():
            candil.exit(sup, "shutdown")
            candil.link(sup)
            raise candil.ProcessExit("boom")

        candil.spawn(stranger)
        candil.send(sup, "something")
        await settle()

        assert await shown(sup) == {"a": "up"}


async def test_a_signal_from_outside_every_process_is_ignored():
    """It has no sender at all."""
    async with trio.open_nursery() as nursery:
        sup = await nursery.start(partial(candil.serve, workers("a", Journal()), log=False))
        candil.exit(sup, "boom")
        await settle()

        assert await shown(sup) == {"a": "up"}
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("reason", ["normal", "boom", "shutdown"])
async def test_the_exit_of_its_parent_ends_a_supervisor_with_that_reason(reason):
    """Even normal; its children are told shutdown."""
    journal = Journal()
    async with candil.open_node(log=False):
        started = []

        async def parent():
            spec = candil.supervisor_spec(workers("ab", journal))
            started.append(await candil.start_link(spec))
            raise candil.ProcessExit(reason)

        candil.trap_exit(True)
        candil.spawn(parent)
        await settle()
        assert is_gone(started[0])
        assert journal[2:] == ["terminate b shutdown", "terminate a shutdown"]


async def test_stop_ends_a_supervisor_with_the_reason_it_was_given():
    """Its children are told shutdown, whatever that reason is."""
    journal = Journal()
    async with candil.open_node(log=False):
        for reason in (candil.Normal(), candil.Exit("boom")):
            sup = await candil.start(candil.supervisor_spec(workers("a", journal)))
            await candil.stop(sup, reason)

        assert journal == ["start a", "terminate a shutdown"] * 2


async def test_a_killed_supervisor_stops_nothing_in_order():
    """Its children get its death by their links: those that trap run terminate, the rest die."""
    journal = Journal()
    async with candil.open_node(log=False):
        specs = [*workers("ab", journal), worker("n", journal, trap=False)]
        sup = await candil.start(candil.supervisor_spec(specs))
        pids = [info.child for info in await candil.which_children(sup)]
        await exit_and_settle(sup, "kill")
        await settle()

        assert sorted(journal[3:]) == ["terminate a killed", "terminate b killed"]
        assert all(is_gone(pid) for pid in pids)


async def test_a_supervisor_under_a_killed_one_stops_its_children_in_order():
    """It is told killed by the link, and ends with that; its own children are told shutdown."""
    journal = Journal()
    async with candil.open_supervisor([], log=False) as sup:
        inner = candil.supervisor_spec(workers("ab", journal), id="inner")
        middle = await candil.start_child(sup, candil.supervisor_spec([inner], id="middle"))
        candil.monitor(await pid_of(middle, "inner"))
        journal.take()
        await exit_and_settle(middle, "kill")
        down = await candil.receive(candil.Down)

        assert down.reason == candil.Killed()
        assert sorted(journal[:4]) == sorted(
            ["terminate b shutdown", "terminate a shutdown", "start a", "start b"]
        )


async def test_a_child_that_unlinked_itself_dies_unnoticed():
    """It is still listed, not counted as active, and can only be terminated."""

    class Loose(candil.GenServer):
        def init(self):
            process = candil.process_info(candil.self())
            for linked in process.links:
                candil.unlink(linked)

    async with candil.open_supervisor([Loose], log=False) as sup:
        await kill(sup, "Loose")

        assert await shown(sup) == {"Loose": "up"}
        assert await candil.count_children(sup) == candil.ChildCounts(1, 0, 0, 1)
        with pytest.raises(candil.ChildRunning):
            await candil.restart_child(sup, "Loose")
        await candil.terminate_child(sup, "Loose")
        assert await shown(sup) == {"Loose": "stopped"}
        await candil.restart_child(sup, "Loose")


async def test_a_child_may_ask_its_own_supervisor():
    """From a handler, not from init: the supervisor waits for that."""
    journal = Journal()
    async with candil.open_supervisor([worker("a", journal)], name="root", log=False) as sup:
        Worker.ask(await pid_of(sup, "a"), "root")
        await settle()

        assert journal[-1] == "asked a"


async def test_a_suspended_supervisor_restarts_nothing_until_it_is_resumed():
    """And it still stops in order when its parent ends."""
    journal = Journal()
    async with candil.open_supervisor(workers("ab", journal), log=False) as sup:
        pid = await pid_of(sup, "a")
        await candil.sys.suspend(sup)
        candil.exit(pid, "kill")
        await settle()
        assert journal.take() == ["start a", "start b"]

    assert journal == ["terminate b shutdown"]
