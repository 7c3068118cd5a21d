"""What belongs to one run: its events, and the turns of what is done in place."""

from __future__ import annotations

import contextlib

import pytest
import trio

import candil
from candil import Exit, Normal
from candil._otp.processes import runtime as runtime_module
from candil._otp.processes.runtime import Runtime
from tests.otp.bodies import do_nothing, end_of, leave


async def test_events_tell_of_every_start_and_end() -> None:
    """With parent and reason, at the moment they happen."""
    events: list[object] = []
    async with candil.open_node(log=False):
        with candil.subscribe(events.append):
            pid = candil.spawn(leave, "boom")
            assert [candil.ProcessStarted(pid, candil.self())] == events
            await end_of(pid)

        assert candil.ProcessExited(pid, Exit("boom")) == events[-1]
        candil.spawn(do_nothing)
        assert 2 == len(events)


async def test_a_subscriber_that_raises_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged; the other subscribers and the process go on."""
    events: list[object] = []

    def broken(event: object) -> None:
        raise ZeroDivisionError

    async with candil.open_node(log=False):
        with candil.subscribe(broken), candil.subscribe(events.append):
            assert Normal() == await end_of(candil.spawn(do_nothing))

    assert 2 == len(events)
    assert "failed on a ProcessStarted" in caplog.text


async def test_anything_can_be_an_event() -> None:
    """Programs may put their own into the stream."""
    events: list[object] = []
    with candil.subscribe(events.append):
        candil.emit("mine")
    candil.emit("nobody listens")

    assert ["mine"] == events


async def test_one_function_may_subscribe_twice() -> None:
    """Each subscription ends by itself."""
    events: list[object] = []
    listen = events.append
    with candil.subscribe(listen):
        with candil.subscribe(listen):
            candil.emit(1)
        candil.emit(2)

    assert [1, 1, 2] == events


async def test_a_subscription_does_not_copy_the_others() -> None:
    """Three thousand of them cost three thousand steps."""
    subscribers = runtime_module.get_runtime().subscribers
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(candil.subscribe(print))
            assert subscribers is runtime_module.get_runtime().subscribers
        assert 100 == len(subscribers)

    assert subscribers is runtime_module.get_runtime().subscribers
    assert {} == subscribers


async def test_a_subscriber_may_subscribe_and_leave_while_an_event_is_told() -> None:
    """All who were there when the event happened get it, and no one else."""
    got: list[object] = []
    stack = contextlib.ExitStack()

    def joins_and_leaves(event: object) -> None:
        got.append(("first", event))
        stack.close()
        stack.enter_context(candil.subscribe(lambda event: got.append(("new", event))))

    stack.enter_context(candil.subscribe(joins_and_leaves))
    with candil.subscribe(lambda event: got.append(("second", event))):
        candil.emit(1)
        candil.emit(2)
    stack.close()

    assert [("first", 1), ("second", 1), ("second", 2), ("new", 2)] == got


# --- turns


async def _steps_taken(runtime: Runtime, turns: int, seconds: float = 0.0) -> int:
    """Count how often another task runs while this one takes *turns* of so many *seconds*."""
    steps = 0

    async def counts() -> None:
        nonlocal steps
        while True:
            steps += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(counts)
        for _ in range(turns):
            runtime.inline_calls += 1
            runtime.inline_seconds += seconds
            await runtime.checkpoint_if_due()
        taken = steps
        nursery.cancel_scope.cancel()
    return taken


async def test_others_run_after_a_hundred_turns_in_place() -> None:
    """Not at each, which would cost what running in place saves."""
    assert 0 == await _steps_taken(Runtime(1), runtime_module.MAX_INLINE_CALLS - 1)
    assert 3 == pytest.approx(
        await _steps_taken(Runtime(1), 3 * runtime_module.MAX_INLINE_CALLS), abs=1
    )


async def test_others_run_sooner_when_the_turns_are_long() -> None:
    """A millisecond of handlers is enough."""
    assert 0 == await _steps_taken(Runtime(1), 5)
    assert 5 == pytest.approx(
        await _steps_taken(Runtime(1), 5, runtime_module.MAX_INLINE_SECONDS), abs=1
    )


async def test_each_turn_in_place_looks_at_cancellation() -> None:
    """Though others do not run at each."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await Runtime(1).checkpoint_if_due()

    assert scope.cancelled_caught
