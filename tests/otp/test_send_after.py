"""Messages that are sent later, once; test_intervals.py has those that are sent again."""

from __future__ import annotations

import gc
import math
import weakref
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil._otp.processes.timers import _SLACK
from tests.otp.bodies import do_nothing, end, wait_for_ever


async def test_send_after_sends_at_its_time(autojump_clock: MockClock) -> None:
    """Seconds, on trio's clock."""
    async with candil.open_node():
        started = trio.current_time()
        candil.send_after(candil.self(), "second", 2.5)
        candil.send_after(candil.self(), "first", 1)

        assert "first" == await candil.receive()
        assert 1 == pytest.approx(trio.current_time() - started)
        assert "second" == await candil.receive()
        assert 2.5 == pytest.approx(trio.current_time() - started)


async def test_a_name_is_looked_up_when_the_time_comes(autojump_clock: MockClock) -> None:
    """So a timer follows a restarted process."""
    async with candil.open_node():
        candil.send_after("worker", "tick", 1)
        candil.register("worker", candil.self())

        assert "tick" == await candil.receive()


async def test_a_timer_for_nobody_is_dropped(autojump_clock: MockClock) -> None:
    """Neither a dead pid nor an unknown name is an error by then."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        candil.send_after(pid, "tick", 1)
        candil.send_after("nobody", "tick", 1)
        await trio.sleep(2)


async def test_a_cancelled_timer_sends_nothing_and_tells_what_was_left(
    autojump_clock: MockClock,
) -> None:
    """And a second time there is nothing to cancel."""
    async with candil.open_node():
        ref = candil.send_after(candil.self(), "tick", 5)
        await trio.sleep(2)

        assert 3 == pytest.approx(candil.cancel_timer(ref))
        assert candil.cancel_timer(ref) is None
        await trio.sleep(10)
        assert 0 == candil.process_info(candil.self()).message_queue_len


async def test_a_timer_that_has_fired_cannot_be_cancelled(autojump_clock: MockClock) -> None:
    """Its message stays in the mailbox."""
    async with candil.open_node():
        ref = candil.send_after(candil.self(), "tick", 1)
        await trio.sleep(2)

        assert candil.cancel_timer(ref) is None
        assert "tick" == await candil.receive(timeout=0)


async def test_a_timer_for_a_process_that_has_ended_has_nothing_left_to_cancel() -> None:
    """Its message would reach nobody; one for a name waits for whoever holds it by then."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever, name="worker")
        by_pid = candil.send_after(pid, "tick", 5)
        by_name = candil.send_after("worker", "tick", 5)
        await end(pid)
        afterwards = candil.send_after(pid, "tick", 5)

        assert candil.cancel_timer(by_pid) is None
        assert candil.cancel_timer(afterwards) is None
        assert candil.cancel_timer(by_name) is not None


async def test_timers_are_freed_when_their_process_ends() -> None:
    """A session that ends early leaves neither its message nor a timer until it is due."""

    class Message:
        pass

    async def session(messages: weakref.WeakSet[Message]) -> None:
        message = Message()
        messages.add(message)
        candil.send_after(candil.self(), message, 3600)
        candil.start_interval(candil.self(), message, 3600)
        await candil.receive("end".__eq__)

    async with candil.open_node() as node:
        messages: weakref.WeakSet[Message] = weakref.WeakSet()
        sessions = [candil.spawn(session, messages) for _ in range(500)]
        await wait_all_tasks_blocked()
        assert 500 == len(messages)
        assert 1000 == len(node.timers._heap)
        for pid in sessions:
            candil.send(pid, "end")
        await wait_all_tasks_blocked()
        gc.collect()

        assert 0 == len(messages)
        assert len(node.timers._heap) <= _SLACK


@pytest.mark.parametrize("make", [candil.send_after, candil.start_interval])
async def test_a_timer_that_is_done_keeps_no_message(make: Any) -> None:
    """A server may keep the reference for ever."""

    class Message:
        pass

    async with candil.open_node():
        message = Message()
        kept = weakref.ref(message)
        ref = make(candil.self(), message, 3600)
        del message
        assert kept() is not None
        candil.cancel_timer(ref)
        assert kept() is None


async def test_a_process_knows_its_own_timers_only_while_they_are_armed(
    autojump_clock: MockClock,
) -> None:
    """A server that sets one after the other does not pile them up."""
    async with candil.open_node() as node:
        for number in range(2 * _SLACK):
            candil.cancel_timer(candil.send_after(candil.self(), "never", 3600))
            candil.send_after(candil.self(), number, 0.001)
            assert number == await candil.receive()

        assert not candil.self().process.message_timers
        assert len(node.timers._heap) <= _SLACK


@pytest.mark.parametrize("wrong", [None, "tick"])
async def test_only_a_timer_can_be_cancelled(wrong: Any) -> None:
    """The error says where one comes from."""
    with pytest.raises(TypeError, match="cancel_timer takes what send_after or start_interval"):
        candil.cancel_timer(wrong)


async def test_a_timer_says_for_whom_it_is_and_not_what_it_sends() -> None:
    """Nor the whole heap of timers that it is in."""
    async with candil.open_node():
        own = candil.self()
        assert repr(candil.send_after(own, "secret", 5)) == f"<TimerRef to {own!r}>"
        interval = candil.start_interval("worker", "secret", 0.5)
        assert repr(interval) == "<TimerRef to 'worker', every 0.5 s>"


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan, None, "5"])
async def test_a_timer_needs_a_finite_time_to_come(seconds: Any) -> None:
    """What would never fire is a mistake."""
    async with candil.open_node():
        with pytest.raises(ValueError, match="finite number of seconds"):
            candil.send_after(candil.self(), "tick", seconds)


@pytest.mark.parametrize("timer", [candil.send_after, candil.start_interval])
async def test_a_timer_for_what_is_no_name_is_refused_when_it_is_made(timer: Any) -> None:
    """Raised later, it would hit everybody's timers."""
    async with candil.open_node():
        for wrong in (7, None, candil.Via("workers", [])):
            with pytest.raises(TypeError):
                timer(wrong, "tick", 1)


async def test_a_timer_outside_every_tree_is_refused() -> None:
    """Nobody would be there to fire it."""
    with pytest.raises(RuntimeError, match="no tree is open"):
        candil.send_after("worker", "tick", 1)
