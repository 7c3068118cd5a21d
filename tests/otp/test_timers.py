"""All deadlines of a node: one heap, and a queue for each timeout."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock

from candil._otp.processes.timers import _SLACK, Timer, Timers


@attrs.define(eq=False)
class Waiter:
    """Something that expires, and notes when."""

    log: list[Any]
    mark: object = None
    done: bool = False
    deadline: float = 0.0

    def expire(self) -> None:
        self.done = True
        self.log.append((self.mark, round(trio.current_time(), 6)))


def run(play: Any) -> Any:
    """Run *play* with timers, on a virtual clock that begins at 0."""

    async def main() -> Any:
        timers = Timers()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(timers.run)
            result = await play(timers)
            nursery.cancel_scope.cancel()
        return result

    return trio.run(main, clock=MockClock(autojump_threshold=0))


def test_timers_fire_in_the_order_of_their_deadlines() -> None:
    """Whatever the order they were made in."""

    async def play(timers: Timers) -> list[object]:
        log: list[object] = []
        for seconds in (3, 1, 2):
            timers.call_later(seconds, lambda seconds=seconds: log.append(seconds))
        await trio.sleep(2.5)
        assert [1, 2] == log
        await trio.sleep(1)
        return log

    assert [1, 2, 3] == run(play)


def test_a_timer_made_before_the_task_runs_fires_too() -> None:
    """Nothing depends on who is first."""

    async def main() -> list[str]:
        timers, log = Timers(), []
        timers.call_later(1, lambda: log.append("early"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(timers.run)
            await trio.sleep(2)
            nursery.cancel_scope.cancel()
        return log

    assert ["early"] == trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_sooner_timer_is_noticed_while_a_later_one_is_waited_for() -> None:
    """The wait is shortened."""

    async def play(timers: Timers) -> list[object]:
        log: list[object] = []
        timers.call_later(10, lambda: log.append("late"))
        await trio.sleep(1)
        timers.call_later(1, lambda: log.append(trio.current_time()))
        await trio.sleep(5)
        return log

    assert [pytest.approx(2)] == run(play)


def test_a_cancelled_timer_does_not_fire_and_may_be_cancelled_again() -> None:
    """Before and after its time."""

    async def play(timers: Timers) -> list[str]:
        log: list[str] = []
        timer = timers.call_later(1, lambda: log.append("no"))
        timer.cancel()
        await trio.sleep(2)
        timer.cancel()
        return log

    assert [] == run(play)


def test_a_timer_may_cancel_another_that_is_due_at_the_same_time() -> None:
    """The later one of the two is not called any more."""

    async def play(timers: Timers) -> list[str]:
        log: list[str] = []
        victims: list[Timer] = []
        timers.call_at(1, lambda: [victim.cancel() for victim in victims] and None)
        victims.append(timers.call_at(1, lambda: log.append("no")))
        await trio.sleep(2)
        return log

    assert [] == run(play)


def test_cancelled_timers_do_not_pile_up() -> None:
    """The heap is swept when half of it is empty, and what waits still fires."""

    async def play(timers: Timers) -> list[object]:
        log: list[object] = []
        timers.call_later(7, lambda: log.append("kept"))
        for _ in range(20 * _SLACK):
            timers.call_later(3600, lambda: log.append("no")).cancel()
        assert len(timers._heap) <= 2 * _SLACK
        await trio.sleep(8)
        return log

    assert ["kept"] == run(play)


def test_no_deadline_may_be_nan() -> None:
    """It would be in nobody's order."""

    async def play(timers: Timers) -> None:
        with pytest.raises(ValueError, match="NaN"):
            timers.call_at(float("nan"), lambda: None)
        assert [] == timers._heap

    run(play)


def test_what_is_done_does_not_expire() -> None:
    """Only who still waits is told."""

    async def play(timers: Timers) -> list[object]:
        log: list[object] = []
        waiters = [Waiter(log, mark) for mark in range(4)]
        for waiter in waiters:
            timers.expire_after(5, waiter)
        waiters[0].done = waiters[2].done = True
        await trio.sleep(6)
        return log

    assert [(1, 5), (3, 5)] == run(play)


def test_those_of_one_timeout_share_one_timer() -> None:
    """Whatever their number."""

    async def play(timers: Timers) -> list[object]:
        log: list[object] = []
        for mark in range(100):
            timers.expire_after(5, Waiter(log, mark))
            await trio.sleep(0.01)
        assert 1 == len([timer for timer in timers._heap if timer.callback])
        await trio.sleep(6)
        assert 0 == len([timer for timer in timers._heap if timer.callback])
        return log

    assert [(mark, round(5 + mark * 0.01, 6)) for mark in range(100)] == run(play)


def test_what_expires_may_add_to_the_same_queue() -> None:
    """Such as a start that times out, and has its process killed within the same time."""

    async def play(timers: Timers) -> list[object]:
        log: list[object] = []

        @attrs.define(eq=False)
        class Chain:
            left: int
            done: bool = False
            deadline: float = 0.0

            def expire(self) -> None:
                self.done = True
                log.append((self.left, trio.current_time()))
                if self.left:
                    timers.expire_after(1, Chain(self.left - 1))

        for _ in range(2 * _SLACK):
            timers.expire_after(1, Chain(2))
        await trio.sleep(1.5)
        assert 1 == len([timer for timer in timers._heap if timer.callback])
        await trio.sleep(5)
        return log

    count = 2 * _SLACK
    assert [(2, 1.0)] * count + [(1, 2.0)] * count + [(0, 3.0)] * count == run(play)


ops = st.lists(
    st.tuples(st.just("later"), st.integers(0, 6), st.booleans())
    | st.tuples(st.just("expire"), st.integers(1, 4), st.booleans())
    | st.tuples(st.just("sleep"), st.integers(1, 3), st.just(value=False)),
    max_size=40,
)


@given(ops)
def test_timers_agree_with_a_model(ops: list[tuple[str, int, bool]]) -> None:
    """Each fires once, at its time, unless it was undone before; ``True`` undoes it at once."""

    async def play(timers: Timers) -> list[object]:
        log: list[object] = []
        expected: list[object] = []
        for mark, (op, seconds, undone) in enumerate(ops):
            at = round(trio.current_time() + seconds, 6)
            if op == "sleep":
                await trio.sleep(seconds)
                continue
            waiter = Waiter(log, mark)
            if op == "expire":
                timers.expire_after(seconds, waiter)
                waiter.done = undone
            else:
                timer = timers.call_later(seconds, waiter.expire)
                if undone:
                    timer.cancel()
            if not undone:
                expected.append((mark, at))
        await trio.sleep(10)
        assert sorted(expected, key=str) == sorted(log, key=str)
        assert [at for _, at in log] == sorted(at for _, at in log)
        return log

    run(play)


def test_timers_keep_trios_real_time_too() -> None:
    """Reading trio's clock by a shortcut gives the same time."""

    async def main() -> float:
        timers, log = Timers(), []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(timers.run)
            started = trio.current_time()
            expired = trio.Event()

            @attrs.define(eq=False)
            class Sets:
                done: bool = False
                deadline: float = 0.0

                def expire(self) -> None:
                    log.append(trio.current_time() - started)
                    expired.set()

            timers.expire_after(0.02, Sets())
            with trio.fail_after(5):
                await expired.wait()
            nursery.cancel_scope.cancel()
        return log[0]

    assert trio.run(main) >= 0.02 - 1e-6
