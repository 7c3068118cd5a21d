"""Messages at intervals, until they are cancelled or their process ends."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from tests.otp.bodies import do_nothing, end, end_of, wait_for_ever


async def _ticks(seconds: float) -> int:
    """Count what comes within some seconds."""
    count = 0
    with trio.move_on_after(seconds):
        while True:
            await candil.receive()
            count += 1
    return count


async def test_an_interval_sends_until_it_is_cancelled(autojump_clock: MockClock) -> None:
    """The first one interval from now, then one each."""
    async with candil.open_node():
        started = trio.current_time()
        ref = candil.start_interval(candil.self(), "tick", 2)
        times = []
        for _ in range(3):
            await candil.receive()
            times.append(trio.current_time() - started)

        assert [2, 4, 6] == pytest.approx(times)
        await trio.sleep(0.5)
        assert 1.5 == pytest.approx(candil.cancel_timer(ref))
        await trio.sleep(10)
        assert 0 == candil.process_info(candil.self()).message_queue_len


# --- punctuality


async def test_a_busy_program_does_not_delay_an_interval(autojump_clock: MockClock) -> None:
    """Each is due one interval after the one before was due, not after it was sent."""
    async with candil.open_node():
        started = trio.current_time()
        candil.start_interval(candil.self(), "tick", 0.010)
        for number in range(1, 101):
            await candil.receive()
            assert 0.010 * number == pytest.approx(trio.current_time() - started)
            autojump_clock.jump(0.004)
            candil.send_after(candil.self(), "late", 0.0)  # its time passes while the loop is busy
            autojump_clock.jump(0.005)
            assert "late" == await candil.receive()


async def test_a_late_interval_does_not_delay_the_next(autojump_clock: MockClock) -> None:
    """A loop that is busy over the due time sends late, and is punctual again."""
    async with candil.open_node():
        started = trio.current_time()
        candil.start_interval(candil.self(), "tick", 1)
        await trio.sleep(0.9)
        autojump_clock.jump(0.6)
        await candil.receive()
        assert 1.5 == pytest.approx(trio.current_time() - started)
        await candil.receive()
        assert 2 == pytest.approx(trio.current_time() - started)


async def test_no_tick_is_left_out_when_the_loop_was_blocked(autojump_clock: MockClock) -> None:
    """Blocked for ten intervals, they come one after the other, as in Erlang."""
    async with candil.open_node():
        started = trio.current_time()
        candil.start_interval(candil.self(), "tick", 0.010)
        for number in range(1, 301):
            await candil.receive()
            if number % 50 == 0:
                autojump_clock.jump(0.100)

        assert 3.1 == pytest.approx(trio.current_time() - started)
        with pytest.raises(candil.ReceiveTimeout):  # the eleventh is due now, and no twelfth
            for _ in range(12):
                await candil.receive(timeout=0.001)


async def test_others_run_between_the_ticks_of_an_interval_below_the_clocks_resolution(
    autojump_clock: MockClock,
) -> None:
    """It does not stop the world."""
    async with candil.open_node(log=False):
        ref = candil.start_interval(candil.self(), "tick", 1e-20)
        for _ in range(10):
            assert "tick" == await candil.receive()
        candil.cancel_timer(ref)


# --- its process, as tests/conformance/test_intervals.py plays it on Erlang


async def test_an_interval_to_a_pid_ends_with_its_process(autojump_clock: MockClock) -> None:
    """A pid never comes back."""
    async with candil.open_node() as node:
        pid = candil.spawn(wait_for_ever)
        ref = candil.start_interval(pid, "tick", 1)
        await trio.sleep(1.5)
        await end(pid)
        await trio.sleep(1)

        assert candil.cancel_timer(ref) is None
        assert not any(timer.callback for timer in node.timers._heap if timer.deadline < 100)


async def test_an_interval_to_a_name_ends_with_its_holder(autojump_clock: MockClock) -> None:
    """The next holder starts one of its own, and would get two of each otherwise."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever, name="worker")
        ref = candil.start_interval("worker", "tick", 1)
        await trio.sleep(1.5)
        await end(pid)
        candil.register("worker", candil.self())

        assert 0 == await _ticks(5)
        assert candil.cancel_timer(ref) is None


async def test_an_interval_to_a_name_goes_to_its_holder_of_the_moment(
    autojump_clock: MockClock,
) -> None:
    """While the first holder lives, whatever it is called."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever, name="worker")
        ref = candil.start_interval("worker", "tick", 1)
        await trio.sleep(1.5)
        candil.unregister("worker")
        await trio.sleep(1)  # the tick of this second is dropped
        candil.register("worker", candil.self())

        assert 5 == await _ticks(5)
        assert 1 == candil.process_info(pid).message_queue_len
        await end(pid)
        assert 0 == await _ticks(5)
        assert candil.cancel_timer(ref) is None


async def test_an_interval_to_a_name_without_a_holder_never_begins(
    autojump_clock: MockClock,
) -> None:
    """Nor does one to a pid that has ended; OTP gives a reference all the same."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        await end_of(pid)
        refs = [candil.start_interval(target, "tick", 1) for target in ("worker", pid)]
        candil.register("worker", candil.self())

        assert 0 == await _ticks(5)
        assert [None, None] == [candil.cancel_timer(ref) for ref in refs]


async def test_a_subscriber_may_cancel_the_interval_that_fills_a_mailbox(
    autojump_clock: MockClock,
) -> None:
    """It is told while the timer fires, and that was the last message."""
    async with candil.open_node(log=False):
        pid = candil.spawn(wait_for_ever)
        await wait_all_tasks_blocked()
        ref = candil.start_interval(pid, "tick", 1)

        def stop(event: object) -> None:
            if isinstance(event, candil.MailboxHigh):
                candil.cancel_timer(ref)

        with candil.subscribe(stop):
            await trio.sleep(3000)

        assert 1025 == candil.process_info(pid).message_queue_len


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, None])
async def test_an_interval_needs_a_finite_length(seconds: Any) -> None:
    """One of zero would never end."""
    async with candil.open_node():
        with pytest.raises(ValueError, match="seconds"):
            candil.start_interval(candil.self(), "tick", seconds)
