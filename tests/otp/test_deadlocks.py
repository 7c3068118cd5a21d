"""``await candil.exit`` waits for nobody who may wait for it."""

import pytest
import trio
import trio.testing

import candil
from candil._otp.processes import signals as signals_module


class Plain(candil.GenServer):
    """Does nothing."""

    @candil.handle_call
    def ping(self) -> str:
        return "pong"


class Killer(candil.GenServer):
    """Ends others when it is asked to."""

    @candil.handle_call
    async def end(self, target: str) -> str:
        await candil.exit(target, "boom")
        return "sent"


@pytest.fixture(autouse=True)
def limit(autojump_clock):
    """Let a hang show at once: nothing but a timeout is left to wait for."""


async def test_exit_does_not_wait_for_a_suspended_supervisor():
    """It deals with the exit when it is resumed, whenever that is."""
    async with candil.open_supervisor([candil.child_spec(Plain, name="a")], log=False) as sup:
        await candil.sys.suspend(sup)
        with trio.fail_after(5):
            await candil.exit("a", "boom")
        assert candil.whereis("a") is None
        await candil.sys.resume(sup)
        await trio.testing.wait_all_tasks_blocked()
        assert await Plain.ping("a") == "pong"


async def test_exit_returns_when_the_supervisor_is_suspended_meanwhile():
    """It waited for a reaction that will not come now."""
    finished = trio.Event()

    async def linger():
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await finished.wait()

    async with candil.open_supervisor([candil.child_spec(linger, name="a")], log=False) as sup:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(candil.exit, "a", "boom")
            await trio.testing.wait_all_tasks_blocked()
            await candil.sys.suspend(sup)
            finished.set()
            with trio.fail_after(5):
                await trio.testing.wait_all_tasks_blocked()
        await candil.sys.resume(sup)


async def test_exit_in_a_handler_does_not_wait_for_a_supervisor_that_waits_for_the_handler():
    """The supervisor starts a child, whose ``init`` calls the server that exits another child."""

    class Asks(candil.GenServer):
        async def init(self) -> None:
            assert await Killer.end("killer", "a") == "sent"

    async with candil.open_node(log=False):
        await candil.start(Killer, name="killer")
        children = [candil.child_spec(Plain, name="a"), candil.child_spec(Asks)]
        with trio.fail_after(2):
            sup = await candil.start(candil.supervisor_spec(children))
        await trio.testing.wait_all_tasks_blocked()
        assert await Plain.ping("a") == "pong"
        await candil.stop(sup)


async def test_exit_in_a_handler_does_not_wait_for_a_parent_that_waits_for_the_handler():
    """The parent is a plain server that called it."""

    class Parent(candil.GenServer):
        async def init(self) -> None:
            candil.trap_exit(True)
            await candil.start_link(Plain, name="a")

        @candil.handle_call
        async def work(self) -> str:
            return await Killer.end("killer", "a")

    async with candil.open_node(log=False):
        await candil.start(Killer, name="killer")
        parent = await candil.start(Parent)
        with trio.fail_after(2):
            assert await Parent.work(parent) == "sent"


async def test_a_suspended_supervisor_that_is_awake_for_a_moment_is_not_waited_for_either():
    """It looks at the message that woke it, and leaves it for later."""
    async with candil.open_supervisor([], log=False) as sup:
        await candil.sys.suspend(sup)
        candil.send(sup, "wakes it")
        with trio.fail_after(5):
            await signals_module._when_idle(sup.process).wait()
        await candil.sys.resume(sup)
