"""A nursery that outlives the callback which opened it: refused, and it harms nobody else."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import candil
from candil import Crashed, Down, NurseryLeftOpen
from tests.otp.bodies import end_of, wait_for_ever

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Keeper(candil.GenServer):
    """Keeps nurseries over callbacks, as it should not."""

    def __init__(self) -> None:
        self.stack = AsyncExitStack()
        self.left: list[str] = []

    async def works(self, name: str) -> None:
        """Be a task of such a nursery."""
        try:
            await trio.sleep_forever()
        finally:
            self.left.append(name)

    async def connect(self, count: int = 1) -> None:
        """Enter what nothing leaves."""
        for number in range(count):
            nursery = await self.stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(self.works, f"task {number}")
            await wait_all_tasks_blocked()

    @candil.handle_call
    async def ask(self) -> str:
        await self.connect()
        return "answer"

    @candil.handle_call
    async def fail(self, error: Exception) -> None:
        await self.connect()
        raise error

    @candil.handle_call
    def ping(self) -> str:
        return "pong"

    async def handle_cast(self, message: object) -> None:
        await self.connect()

    async def handle_info(self, message: object) -> None:
        await self.connect()

    async def handle_continue(self, argument: object) -> None:
        await self.connect()


async def continues(server: candil.Pid[Keeper]) -> None:
    """Have it run handle_continue."""
    await candil.sys.replace_state(server, go_on)


def go_on(keeper: Keeper) -> Keeper:
    """Ask for a handle_continue."""
    candil.continue_with("go on")
    return keeper


async def calls(server: candil.Pid[Keeper]) -> None:
    """Have it answer a call."""
    assert await Keeper.ask(server) == "answer"


async def casts(server: candil.Pid[Keeper]) -> None:
    """Have it take a cast."""
    candil.cast(server, "cast")


async def sends(server: candil.Pid[Keeper]) -> None:
    """Have it take a message."""
    candil.send(server, "message")


@pytest.mark.parametrize("provoke", [calls, casts, sends, continues])
async def test_a_server_whose_callback_leaves_a_nursery_open_crashes_alone(
    provoke: Callable[[Any], Awaitable[None]],
) -> None:
    """It is restarted, its task is cancelled, and its neighbour notices nothing."""
    keepers: list[Keeper] = []

    class Noted(Keeper):
        def __init__(self) -> None:
            super().__init__()
            keepers.append(self)

    children = [candil.child_spec(Noted, name="keeper"), candil.child_spec(wait_for_ever, name="b")]
    with trio.fail_after(20):
        async with candil.open_supervisor(children, log=False):
            server, neighbour = candil.whereis("keeper"), candil.whereis("b")
            candil.monitor(server)
            await provoke(server)
            down = await candil.receive(Down)

            assert isinstance(down.reason.exception, NurseryLeftOpen)
            assert keepers[0].left == ["task 0"]
            await candil.wait_for("keeper")
            assert await candil.call("keeper", "ping") == "pong"
            assert neighbour is candil.whereis("b")


@pytest.mark.parametrize("count", [1, 2])
async def test_a_server_whose_init_leaves_a_nursery_open_does_not_start(count: int) -> None:
    """The starter is told why; the tasks have ended by then, those of the innermost first."""
    keepers: list[Keeper] = []

    class Connects(Keeper):
        async def init(self) -> None:
            keepers.append(self)
            await self.connect(count)

    async with candil.open_node(log=False) as node:
        with pytest.raises(candil.StartError) as caught:
            await candil.start_link(Connects)

        assert isinstance(caught.value.__cause__, NurseryLeftOpen)
        assert "Connects left a nursery open" in str(caught.value)
        assert keepers[0].left == [f"task {number}" for number in reversed(range(count))]
        assert {} == node.processes


async def test_terminate_may_still_leave_it() -> None:
    """As after any crash; it is not left twice."""
    reasons: list[candil.ExitReason] = []

    class Tidy(Keeper):
        async def terminate(self, reason: candil.ExitReason) -> None:
            reasons.append(reason)
            for task in trio.lowlevel.current_task().child_nurseries:
                task.cancel_scope.cancel()
            await self.stack.aclose()

    async with candil.open_node(log=False):
        server = await candil.start(Tidy)
        candil.monitor(server)
        await Keeper.ask(server)
        down = await candil.receive(Down)

    assert isinstance(down.reason.exception, NurseryLeftOpen)
    assert reasons == [down.reason]


async def test_a_terminate_that_leaves_one_open_makes_a_crash_of_a_normal_end() -> None:
    """It is the last callback, and no other."""

    class Connects(Keeper):
        async def terminate(self, reason: candil.ExitReason) -> None:
            await self.connect()

    async with candil.open_node(log=False):
        server = await candil.start(Connects)
        with pytest.raises(candil.ServerExited) as caught:
            await candil.stop(server)

    assert isinstance(caught.value.reason.exception, NurseryLeftOpen)


async def test_what_a_handler_raised_stays_the_reason() -> None:
    """The nursery is a fault beside it."""
    error = ValueError("x")
    async with candil.open_node(log=False):
        server = await candil.start(Keeper)
        with pytest.raises(candil.ServerExited) as caught:
            await Keeper.fail(server, error)

    assert Crashed(error) == caught.value.reason


async def test_what_a_task_of_the_nursery_raises_is_the_reason() -> None:
    """It cancelled the callback, as a nursery does."""
    error = ValueError("x")

    async def fails() -> None:
        raise error

    async def body() -> None:
        nursery = await trio.open_nursery().__aenter__()
        nursery.start_soon(fails)
        await trio.sleep_forever()

    async with candil.open_node(log=False):
        neighbour = candil.spawn(wait_for_ever)
        reason = await end_of(candil.spawn(body))

        assert isinstance(reason, Crashed)
        assert [error] == list(reason.exception.exceptions)
        assert candil.is_alive(neighbour)


async def test_a_ctrl_c_in_a_task_of_the_nursery_stops_the_tree_in_order() -> None:
    """It is no crash, and nobody is restarted."""
    interrupt = KeyboardInterrupt()
    starts: list[object] = []

    async def is_interrupted() -> None:
        raise interrupt

    async def body() -> None:
        starts.append("body")
        nursery = await trio.open_nursery().__aenter__()
        nursery.start_soon(is_interrupted)
        await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt) as caught:
        async with candil.open_supervisor([candil.child_spec(body)], log=False):
            await trio.sleep_forever()

    assert interrupt is caught.value
    assert starts == ["body"]


async def test_a_nursery_that_the_callback_cancelled_is_no_better() -> None:
    """The Cancelled of it is no leak of somebody else's."""

    async def body() -> None:
        nursery = await trio.open_nursery().__aenter__()
        nursery.cancel_scope.cancel()
        await trio.sleep_forever()

    async with candil.open_node(log=False):
        neighbour = candil.spawn(wait_for_ever)
        reason = await end_of(candil.spawn(body))

        assert isinstance(reason, Crashed)
        assert isinstance(reason.exception, NurseryLeftOpen)
        assert candil.is_alive(neighbour)


async def test_a_plain_process_that_returns_with_a_nursery_open_crashes() -> None:
    """It says of which function."""

    async def forgetful() -> None:
        await trio.open_nursery().__aenter__()

    async with candil.open_node(log=False):
        reason = await end_of(candil.spawn(forgetful))

    assert isinstance(reason, Crashed)
    assert isinstance(reason.exception, NurseryLeftOpen)
    assert "forgetful" in reason.exception.label


@pytest.mark.parametrize("reason", ["boom", "kill"])
async def test_a_process_that_is_ended_with_a_nursery_open_has_the_reason_it_was_told(
    reason: str,
) -> None:
    """What it was in is left, and nobody else is harmed."""

    async def body() -> None:
        nursery = await trio.open_nursery().__aenter__()
        nursery.start_soon(trio.sleep_forever)
        await trio.sleep_forever()

    async with candil.open_node(log=False):
        neighbour, pid = candil.spawn(wait_for_ever), candil.spawn(body)
        candil.monitor(pid)
        await wait_all_tasks_blocked()
        candil.exit(pid, reason)
        down = await candil.receive(Down)

        assert candil.as_exit_reason("killed" if reason == "kill" else reason) == down.reason
        assert candil.is_alive(neighbour)


async def test_a_cancel_scope_that_is_left_open_harms_nobody_else() -> None:
    """Its deadline ends the server that entered it."""

    class Hasty(candil.GenServer):
        async def init(self) -> None:
            self.stack = AsyncExitStack()
            self.stack.enter_context(trio.CancelScope(relative_deadline=0.01))

    async with candil.open_node(log=False):
        neighbour, server = candil.spawn(wait_for_ever), await candil.start(Hasty)
        with trio.fail_after(20):
            reason = await end_of(server)

        assert isinstance(reason, Crashed)
        assert candil.is_alive(neighbour)
