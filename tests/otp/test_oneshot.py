"""The direct hand-off: one waiter, one value or one error, resumed exactly once."""

from __future__ import annotations

import contextlib
import gc
import weakref
from typing import Any

import pytest
import trio
from trio.lowlevel import current_task, reschedule, wait_task_rescheduled
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from candil._otp.processes.oneshot import RESUMED, OneShot


async def test_trio_only_calls_unwrap_on_what_reschedule_is_given() -> None:
    """No outcome object is made per hand-off; a trio that asks for more must be noticed here."""
    calls = []

    class OnlyUnwrap:
        __slots__ = ()

        def unwrap(self) -> str:
            calls.append(trio.lowlevel.current_task())
            return "value"

    task = current_task()
    this: Any = OnlyUnwrap()

    async def wakes() -> None:
        reschedule(task, this)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wakes)
        value = await wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)

    assert "value" == value
    assert [task] == calls


async def test_an_unwrap_that_raises_does_so_in_the_task_that_waited() -> None:
    """So an error is handed over as a value is."""
    task = current_task()

    class Raises:
        def unwrap(self) -> None:
            raise ZeroDivisionError

    async def wakes() -> None:
        this: Any = Raises()
        reschedule(task, this)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wakes)
        with pytest.raises(ZeroDivisionError):
            await wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)


def test_wake_is_a_value_of_nothing() -> None:
    """It may be handed over any number of times."""
    assert RESUMED.unwrap() is None
    assert RESUMED.unwrap() is None


async def test_a_value_that_came_before_the_wait_is_given_after_a_checkpoint() -> None:
    """Waiting is always a checkpoint."""
    slot = OneShot[int]()
    slot.put(7)
    with assert_checkpoints():
        assert 7 == await slot.wait()


async def test_a_value_reaches_the_task_that_waits() -> None:
    """Without a channel between."""
    slot = OneShot[int]()
    got = []

    async def waits() -> None:
        got.append(await slot.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits)
        await wait_all_tasks_blocked()
        slot.put(7)

    assert [7] == got


@pytest.mark.parametrize("before", [True, False])
async def test_an_error_is_raised_in_the_task_that_waits(before: bool) -> None:
    """Whether it came before the wait or during it."""
    slot = OneShot[int]()
    if before:
        slot.fail(ZeroDivisionError())
    async with trio.open_nursery() as nursery:
        if not before:
            nursery.start_soon(_fail_later, slot)
        with pytest.raises(ZeroDivisionError):
            await slot.wait()


async def _fail_later(slot: OneShot[int]) -> None:
    await wait_all_tasks_blocked()
    slot.fail(ZeroDivisionError())


@pytest.mark.parametrize("waits", [True, False])
async def test_only_the_first_of_values_and_errors_counts(waits: bool) -> None:
    """A second hand-off would resume a task that waits for something else by then."""
    slot = OneShot[str]()

    async def fills() -> None:
        slot.put("first")
        slot.put("second")
        slot.fail(ZeroDivisionError())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fills)
        if not waits:
            await wait_all_tasks_blocked()
        assert "first" == await slot.wait()
        await trio.lowlevel.checkpoint()

    failed = OneShot[str]()
    failed.fail(ZeroDivisionError())
    failed.put("late")
    failed.fail(ValueError())
    with pytest.raises(ZeroDivisionError):
        await failed.wait()


async def test_a_cancelled_wait_drops_what_comes_later() -> None:
    """Nobody is resumed who is not waiting."""
    slot = OneShot[int]()
    with trio.move_on_after(0) as scope:
        await slot.wait()
    slot.put(7)
    slot.fail(ZeroDivisionError())

    assert scope.cancelled_caught
    assert slot.done
    assert slot.task is None
    assert slot.value is None


@pytest.mark.parametrize("put_first", [True, False])
async def test_a_value_and_a_cancellation_in_one_step_resume_once(put_first: bool) -> None:
    """Whichever is first wins, and the other does nothing."""
    slot = OneShot[int]()
    got = []

    async def waits() -> None:
        got.append(await slot.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits)
        await wait_all_tasks_blocked()
        if put_first:
            slot.put(7)
            nursery.cancel_scope.cancel()
        else:
            nursery.cancel_scope.cancel()
            slot.put(7)
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()

    assert ([7] if put_first else []) == got


async def test_a_raised_error_keeps_no_slot_alive() -> None:
    """No cycle of frame, traceback and slot is left to the garbage collector."""

    class Error(Exception):
        pass

    gc.collect()
    gc.disable()
    try:
        slot = OneShot[int]()
        error = Error()
        slot.fail(error)
        alive = weakref.ref(error)
        del error
        with contextlib.suppress(Error):
            await slot.wait()
        del slot
        await trio.lowlevel.checkpoint()

        assert alive() is None
    finally:
        gc.enable()


async def test_an_error_from_a_foreign_thread_raises_there_and_is_not_handed_over():
    """The task still waits, and what comes later reaches it."""
    slot = OneShot[int]()
    got: list[int] = []

    async def wait() -> None:
        got.append(await slot.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="from_thread"):
            await trio.to_thread.run_sync(slot.fail, ValueError())
        assert not slot.done
        slot.put(1)
    assert got == [1]
