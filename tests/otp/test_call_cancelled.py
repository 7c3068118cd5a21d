"""Callers, starters and stoppers that are cancelled: what goes on, and what is left behind."""

from __future__ import annotations

import math
from typing import Any

import trio
import trio.testing

import candil
from candil import sys
from candil._otp.processes.runtime import get_runtime
from tests.otp.scripted import driver, own_record
from tests.otp.servers import ScriptedServer


async def test_a_cancelled_caller_does_not_disturb_the_server(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The request is handled to its end, and its answer is dropped."""
    async with candil.open_node(log=False):
        ask = await driver()
        with trio.move_on_after(1) as scope:
            await ScriptedServer.sleep.within(math.inf)(ask.pid, 10)
        assert scope.cancelled_caught
        await trio.sleep(20)
        assert ask.instance.log == ["slept"]
        assert not ask.process.pending
        assert not own_record().mailbox
        assert await ScriptedServer.echo(ask.pid, 1) == 1


async def test_a_cancelled_caller_runs_no_handler_in_place() -> None:
    """A call is a checkpoint: cancellation is looked at before a handler runs, each time."""
    async with candil.open_node(log=False):
        ask = await driver()
        with trio.CancelScope() as scope:
            assert await ScriptedServer.echo(ask.pid, 1) == 1
            scope.cancel()
            await ScriptedServer.echo(ask.pid, 2)
        assert scope.cancelled_caught
        assert ask.instance.log == [("echo", 1)]


async def test_a_call_in_a_loop_of_calls_in_place_can_be_cancelled() -> None:
    """A task that does nothing but call a plain handler is still cancelled from outside."""
    async with candil.open_node(log=False):
        ask = await driver()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 0)

                async def cancel() -> None:
                    scope.cancel()

                nursery.start_soon(cancel)
                while True:
                    await ScriptedServer.echo(ask.pid)
        assert scope.cancelled_caught


# --- at any checkpoint


def cancelled_at(step: int, scenario: Any) -> tuple[bool, Any]:
    """
    Run *scenario* under a virtual clock, cancelling it when its task has parked for the *step*-th
    time.
    """

    class Cutter(trio.abc.Instrument):
        task: trio.lowlevel.Task | None = None
        scope: trio.CancelScope | None = None
        count = 0

        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            if task is self.task:
                self.count += 1
                if self.count == step and self.scope is not None:
                    self.scope.cancel()

    cutter = Cutter()

    async def main() -> Any:
        async with candil.open_node(log=False):

            async def victim() -> None:
                with trio.CancelScope() as cutter.scope:
                    cutter.task = trio.lowlevel.current_task()
                    await scenario()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(victim)
            cutter.task = None
            with trio.CancelScope():
                await trio.testing.wait_all_tasks_blocked()
            node = own_record().node
            return {
                "processes": [
                    process for process in node.processes if process.registered != "permanent"
                ],
                "names": set(get_runtime().names) - {"permanent"},
                "owed": [list(process.pending) for process in node.processes if process.pending],
                "exit_waiters": [
                    list(process.exit_waiters) for process in node.processes if process.exit_waiters
                ],
                "links": list(own_record().links),
            }

    left = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[cutter])
    return cutter.count >= step, left


def sweep(scenario: Any) -> int:
    """
    Cancel *scenario* at every checkpoint; whatever happens, nothing is left behind. Gives how many
    there were.
    """
    step = 1
    while True:
        reached, left = cancelled_at(step, scenario)
        assert not any(left.values()), (step, left)
        if not reached:
            return step - 1
        step += 1


def test_a_call_that_is_cancelled_anywhere_leaves_nothing_behind() -> None:
    """No request stays owed, whichever checkpoint the cancellation hits."""

    async def scenario() -> None:
        with trio.CancelScope(shield=True):
            pid = candil.whereis("permanent") or await candil.start(
                ScriptedServer, name="permanent"
            )
        await ScriptedServer.echo(pid)
        await ScriptedServer.sleep(pid, 1)
        with trio.move_on_after(1):
            await ScriptedServer.later(pid)
        with trio.CancelScope():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ScriptedServer.sleep, pid, 1)
                nursery.start_soon(ScriptedServer.echo, pid)
                nursery.start_soon(sys.get_state, pid)
        await sys.statistics(pid)

    assert sweep(scenario) > 5


def test_a_start_that_is_cancelled_anywhere_leaves_nothing_behind() -> None:
    """No process, no name and no link stays, whichever checkpoint the cancellation hits."""

    class Slow(candil.GenServer):
        async def init(self) -> None:
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            await trio.sleep(1)

    async def scenario() -> None:
        for start in (candil.start, candil.start_link, candil.start_monitor):
            pid: Any = None
            try:
                pid = await start(Slow, name="slow")
                pid = pid[0] if isinstance(pid, tuple) else pid
            finally:
                if pid is not None:
                    with trio.CancelScope(shield=True):
                        await candil.stop(pid)

    assert sweep(scenario) > 3


def test_a_stop_that_is_cancelled_anywhere_still_stops() -> None:
    """Only the wait for the end is cancelled, not the end."""

    class Slow(candil.GenServer):
        async def terminate(self, reason: object) -> None:
            for _ in range(3):
                await trio.lowlevel.checkpoint()

    async def scenario() -> None:
        with trio.CancelScope(shield=True):
            pid = await candil.start(Slow)
        await candil.stop(pid)

    step, reached = 1, True
    while reached:
        reached, left = cancelled_at(step, scenario)
        assert not left["exit_waiters"], step
        assert not left["processes"], step
        step += 1
    assert step > 2
