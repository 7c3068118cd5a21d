"""What candil uses of trio's inside is still so; each failure says which function depends on it."""

from __future__ import annotations

import sys
import threading
import time

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil._otp.processes import trio_internals


async def test_an_idle_loop_is_in_a_function_called_get_events() -> None:
    """Else the watchdog wakes an idle program ten times a second."""
    loop = threading.get_ident()

    def waits_for_it() -> list[str]:
        names: list[str] = []
        while len(names) < 500:
            frame = sys._current_frames()[loop]
            if trio_internals.is_idle_wait(frame):
                return []
            names.append(frame.f_code.co_name)
            time.sleep(0.01)
        return names

    names = await trio.to_thread.run_sync(waits_for_it)

    assert [] == names, f"trio waits in one of these now: mend is_idle_wait; {set(names)}"


async def test_trios_own_clock_is_called_system_clock() -> None:
    """And is perf_counter with an offset; timers read that, at a third of the cost."""
    clock = trio.lowlevel.current_clock()
    assert trio_internals.is_system_clock(clock), f"mend is_system_clock: {type(clock)}"
    before = clock.current_time() - time.perf_counter()
    await trio.sleep(0.01)
    after = clock.current_time() - time.perf_counter()

    assert before == pytest.approx(after, abs=1e-3), "mend timers._fast_clock: another base"


async def test_a_virtual_clock_is_not_trios_own(autojump_clock: MockClock) -> None:
    """It jumps, and timers ask it each time."""
    assert not trio_internals.is_system_clock(trio.lowlevel.current_clock())


async def test_the_list_of_open_nurseries_is_the_tasks_own() -> None:
    """A server looks at it after each callback, and must not copy it."""
    nurseries = trio_internals.open_nurseries(trio.lowlevel.current_task())
    before = list(nurseries)
    async with trio.open_nursery() as nursery:
        assert [*before, nursery] == nurseries, "mend open_nurseries: the list is a copy"

    assert before == nurseries


async def test_a_nursery_can_be_left_without_what_entered_it() -> None:
    """Its tasks are cancelled, and the task that was in it may end."""
    nurseries = trio_internals.open_nurseries(trio.lowlevel.current_task())
    before = list(nurseries)
    cleaned_up = False

    async def child() -> None:
        nonlocal cleaned_up
        try:
            await trio.sleep_forever()
        finally:
            cleaned_up = True

    nursery = await trio.open_nursery().__aenter__()
    nursery.start_soon(child)
    await wait_all_tasks_blocked()
    await trio_internals.leave_nursery(nursery)

    assert cleaned_up
    assert before == nurseries, "mend leave_nursery: trio still counts the nursery as open"
    with trio.move_on_after(0):  # the stack of cancel scopes is in order
        await trio.lowlevel.checkpoint()


async def test_the_running_process_is_found_from_a_frame() -> None:
    """The watchdog has nothing else, since it runs in another thread."""
    found = []

    async def deep(levels: int) -> None:
        if levels:
            await deep(levels - 1)
        else:
            found.append(trio_internals.running_process(sys._getframe()))

    async with candil.open_node():
        pid = candil.spawn(deep, 3)
        await wait_all_tasks_blocked()

    process, depth = found[0]
    assert process is not None, "no frame of candil has a local named process: mend run_process"
    assert pid is process.pid
    assert depth >= 4


def test_outside_of_every_process_none_is_found() -> None:
    """All frames are shown then."""
    process, depth = trio_internals.running_process(sys._getframe())

    assert process is None
    assert depth > 1
