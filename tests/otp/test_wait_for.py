"""wait_for: the next living holder of a name."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

import candil
from candil._otp.processes.runtime import current_process, get_runtime
from tests.otp.bodies import linger, wait_for_ever

NAMES = ["a", candil.Name("a"), candil.Via("a", 1)]


class Counter(candil.GenServer):
    """Counts from where it starts."""

    def __init__(self, start: int) -> None:
        self.value = start

    @candil.handle_call
    def increment(self) -> int:
        self.value += 1
        return self.value


class Slow(Counter):
    """Is up when the test says."""

    def __init__(self, start: int, up: trio.Event) -> None:
        super().__init__(start)
        self.up = up

    async def init(self) -> None:
        await self.up.wait()


def counters(**options: Any) -> Any:
    """Open a tree with one counter."""
    spec = candil.child_spec(Counter, 10, id="counter", name="counter")
    return candil.open_supervisor([spec], log=False, **options)


@pytest.mark.parametrize("name", NAMES, ids=repr)
async def test_a_living_holder_is_returned_at_once(name: Any) -> None:
    """After one checkpoint, whatever kind of name it is."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever, name=name)
        with assert_checkpoints():
            assert pid is await candil.wait_for(name)
        assert pid is await candil.wait_for(name, timeout=0)


@pytest.mark.parametrize("name", NAMES, ids=repr)
async def test_a_name_that_does_not_exist_yet_is_waited_for(name: Any) -> None:
    """By any number of tasks."""
    got: list[object] = []

    async def waits() -> None:
        got.append(await candil.wait_for(name))

    async with candil.open_node(), trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(waits)
        await wait_all_tasks_blocked()
        candil.spawn(wait_for_ever, name="another")
        await wait_all_tasks_blocked()
        assert [] == got
        pid = candil.spawn(wait_for_ever, name=name)
        await wait_all_tasks_blocked()

        assert [pid] * 3 == got
        assert {} == get_runtime().name_waiters


@pytest.mark.parametrize("reason", ["boom", "kill", "shutdown"])
async def test_after_exit_it_is_the_replacement_that_is_returned(reason: str) -> None:
    """The one that was told to end still holds the name for a moment."""
    async with counters(max_restarts=10):
        for _ in range(5):
            first = candil.whereis("counter")
            candil.exit("counter", reason)
            second = await candil.wait_for("counter")
            assert second is not first
            assert await Counter.increment("counter") == 11


async def test_a_task_that_is_no_process_may_wait_as_well() -> None:
    """As the code around a tree does."""
    async with counters():
        current_process.set(None)
        candil.exit("counter", "boom")
        await candil.wait_for("counter")
        assert await Counter.increment("counter") == 11


async def test_a_holder_that_cleans_up_for_long_is_not_returned(
    autojump_clock: MockClock,
) -> None:
    """Its replacement starts when it has ended, and is what is returned."""
    done = trio.Event()
    spec = candil.child_spec(linger, done, id="a", name="a")
    async with candil.open_supervisor([spec], log=False):
        first = candil.whereis("a")
        await wait_all_tasks_blocked()
        candil.exit("a", "boom")
        with pytest.raises(candil.WaitTimeout):
            await candil.wait_for("a", timeout=3)
        done.set()
        assert first is not await candil.wait_for("a")


async def test_a_signal_that_does_not_end_the_holder_leaves_it_to_be_returned() -> None:
    """It lives, so there is nothing to wait for."""

    async def traps() -> None:
        candil.trap_exit(True)
        await trio.sleep_forever()

    async with candil.open_node():
        pid = candil.spawn(traps, name="a")
        await wait_all_tasks_blocked()
        candil.exit("a", "boom")
        assert pid is await candil.wait_for("a")


async def test_a_holder_that_ends_before_the_waiter_runs_is_not_returned() -> None:
    """The waiter looks again, and waits for the one after it."""
    async with candil.open_node(), trio.open_nursery() as nursery:
        got: list[object] = []

        async def waits() -> None:
            got.append(await candil.wait_for("a"))

        nursery.start_soon(waits)
        await wait_all_tasks_blocked()
        candil.exit(candil.spawn(wait_for_ever, name="a"), "boom")
        await wait_all_tasks_blocked()
        assert [] == got
        pid = candil.spawn(wait_for_ever, name="a")
        await wait_all_tasks_blocked()
        assert [pid] == got


async def test_a_name_that_moves_to_another_process_is_found() -> None:
    """By unregister and register, without any death."""
    async with candil.open_node(), trio.open_nursery() as nursery:
        got: list[object] = []

        async def waits() -> None:
            got.append(await candil.wait_for("a"))

        other = candil.spawn(wait_for_ever)
        nursery.start_soon(waits)
        await wait_all_tasks_blocked()
        candil.register("a", other)
        await wait_all_tasks_blocked()
        assert [other] == got


async def test_a_server_is_found_while_it_starts_and_a_call_waits_for_its_init() -> None:
    """As with whereis: OTP registers a name before init."""
    up = trio.Event()
    async with candil.open_node(), trio.open_nursery() as nursery:

        async def starts() -> None:
            await candil.start(Slow, 10, up, name="counter")

        answers: list[int] = []

        async def asks() -> None:
            await candil.wait_for("counter")
            up.set()
            answers.append(await Slow.increment("counter"))

        nursery.start_soon(asks)
        await wait_all_tasks_blocked()
        nursery.start_soon(starts)
        await wait_all_tasks_blocked()
        assert [11] == answers


async def test_the_timeout_says_what_was_waited_for(autojump_clock: MockClock) -> None:
    """With the facts as attributes."""
    async with candil.open_node():
        started = trio.current_time()
        with pytest.raises(
            candil.WaitTimeout, match=r"no living process held the name 'a' within 2\.5 s\. Start"
        ) as raised:
            await candil.wait_for("a", timeout=2.5)

        assert 2.5 == pytest.approx(trio.current_time() - started)
        assert ("a", 2.5) == (raised.value.name, raised.value.timeout)
        assert {} == get_runtime().name_waiters


async def test_a_timeout_of_zero_looks_once() -> None:
    """And is a checkpoint either way."""
    async with candil.open_node():
        with assert_checkpoints(), pytest.raises(candil.WaitTimeout):
            await candil.wait_for("a", timeout=0)


async def test_a_cancelled_wait_leaves_no_trace() -> None:
    """Others that wait for the same name go on."""
    async with candil.open_node(), trio.open_nursery() as nursery:
        got: list[object] = []
        scopes = [trio.CancelScope() for _ in range(2)]

        async def waits(scope: trio.CancelScope) -> None:
            with scope:
                got.append(await candil.wait_for("a"))

        for scope in scopes:
            nursery.start_soon(waits, scope)
        await wait_all_tasks_blocked()
        scopes[0].cancel()
        await wait_all_tasks_blocked()
        assert 1 == len(get_runtime().name_waiters["a"])
        pid = candil.spawn(wait_for_ever, name="a")
        await wait_all_tasks_blocked()
        assert [pid] == got
        assert {} == get_runtime().name_waiters


async def test_an_outer_timeout_is_not_taken_for_its_own(autojump_clock: MockClock) -> None:
    """The outer scope's Cancelled goes on outwards."""
    async with candil.open_node():
        with trio.move_on_after(1) as scope:
            await candil.wait_for("a", timeout=5)
        assert scope.cancelled_caught


@pytest.mark.parametrize("timeout", [-1, math.nan, "1"])
async def test_a_timeout_must_be_a_time(timeout: Any) -> None:
    """As everywhere."""
    async with candil.open_node():
        with pytest.raises(ValueError, match="a timeout is 0 seconds or more"):
            await candil.wait_for("a", timeout=timeout)


async def test_what_is_no_name_is_refused() -> None:
    """A pid, which has no successor, and what is neither."""
    async with candil.open_node():
        with pytest.raises(TypeError, match=r"wait_for takes a name; <Pid .*Monitor it"):
            await candil.wait_for(candil.self())  # type: ignore[call-overload]
        for wrong in (None, 7):
            with pytest.raises(TypeError, match="a process is called by"):
                await candil.wait_for(wrong)  # type: ignore[call-overload]
