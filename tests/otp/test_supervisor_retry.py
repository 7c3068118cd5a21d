"""Restarts that fail: tried again by a message, counted, and called off."""

import pytest
import trio

import candil

from .workers import (
    Boom,
    Journal,
    Worker,
    end,
    pid_of,
    settle,
    shown,
    worker,
)


async def test_a_failed_restart_is_tried_again_and_counted():
    """Two failures and a success are three restarts."""
    journal = Journal()
    specs = [worker("a", journal, script=["ok", "e1", "e2", "ok"])]
    async with candil.open_supervisor(specs, max_restarts=3, log=False) as sup:
        await end(sup, "a")

        assert journal.take() == ["start a", "terminate a boom", "fail a", "fail a", "start a"]
        assert (await candil.sys.get_state(sup)).window.count == 3


async def test_a_child_that_never_starts_again_ends_its_supervisor():
    """A crash and max_restarts=3 are exactly three attempts."""
    journal = Journal()
    specs = [worker("a", journal, script=["ok", *["e"] * 9]), worker("b", journal)]
    async with candil.open_node(log=False):
        sup = await candil.start(candil.supervisor_spec(specs))
        await end(sup, "a")

        assert not candil.is_alive(sup)
        assert journal[2:] == ["terminate a boom", *["fail a"] * 3, "terminate b shutdown"]


class Door:
    """A start function that fails until it is opened; each try waits to be let through."""

    def __init__(self):
        self.open = True
        self.tries = 0
        self.knocked = trio.Event()

    async def __call__(self):
        self.tries += 1
        if not self.open:
            self.knocked.set()
            await trio.lowlevel.checkpoint()
            raise Boom
        return await candil.start_link(Worker, "d", Journal(), [], True, 0.0, "")

    def spec(self, **options):
        return candil.child_spec(candil.StartFunction(self), id="d", **options)


async def test_a_supervisor_goes_on_answering_while_a_restart_fails():
    """Each attempt is a message to itself, so that others get in between."""
    door = Door()
    specs = [worker("a", Journal()), door.spec()]
    async with candil.open_supervisor(specs, max_restarts=10_000, log=False) as sup:
        door.open = False
        candil.exit(await pid_of(sup, "d"), "kill")
        await door.knocked.wait()

        assert await shown(sup) == {"d": "restarting", "a": "up"}
        assert await candil.count_children(sup) == candil.ChildCounts(2, 1, 0, 2)
        for refused in (candil.restart_child, candil.delete_child):
            with pytest.raises(candil.ChildRestarting):
                await refused(sup, "d")
        with pytest.raises(candil.ChildAlreadyPresent):
            await candil.start_child(sup, door.spec())
        assert await candil.start_child(sup, worker("b", Journal())) is not None
        door.open = True
        await settle()
        assert await shown(sup) == {"b": "up", "d": "up", "a": "up"}


async def test_terminate_child_ends_the_attempts():
    """The child is stopped then, and can be restarted by hand or deleted."""
    door = Door()
    async with candil.open_supervisor([door.spec()], max_restarts=10_000, log=False) as sup:
        door.open = False
        candil.exit(await pid_of(sup, "d"), "kill")
        await door.knocked.wait()
        await candil.terminate_child(sup, "d")
        tries = door.tries
        await settle()

        assert door.tries == tries
        assert await shown(sup) == {"d": "stopped"}
        door.open = True
        assert await candil.restart_child(sup, "d") is not None
