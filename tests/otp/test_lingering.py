"""Processes that were told to end and do not: they are reported, given up, or left behind."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Exit, Shutdown
from candil._otp.processes import node as node_module
from tests.otp.bodies import do_nothing, end_of, linger, noted_ends, wait_for_ever


async def test_a_killed_process_that_does_not_end_is_given_up_for_dead(
    autojump_clock: MockClock,
) -> None:
    """After half a second links and monitors go on without it, and its names are free."""
    events: list[object] = []
    done = trio.Event()

    with candil.subscribe(events.append):
        async with candil.open_node(log=False) as node:
            pid = candil.spawn(linger, done, name="stubborn")
            await wait_all_tasks_blocked()
            started = trio.current_time()
            ref = candil.monitor(pid)
            candil.exit(pid, "kill")

            assert candil.Down(ref, pid, candil.Killed()) == await candil.receive()
            assert node_module.ABANDON_SECONDS == pytest.approx(trio.current_time() - started)
            candil.spawn(do_nothing, name="stubborn")
            assert 1 == len(node.abandoned)
            done.set()
            await wait_all_tasks_blocked()
            assert {} == node.abandoned
    [report] = [event for event in events if isinstance(event, candil.ProcessLingers)]

    assert report.abandoned
    assert pid is report.pid
    assert "await done.wait()" in report.stack
    assert 1 == len([e for e in events if isinstance(e, candil.ProcessExited) and e.pid is pid])


async def test_a_process_that_takes_long_to_clean_up_is_reported_and_waited_for(
    autojump_clock: MockClock,
) -> None:
    """A signal other than kill lets the cleanup run to its end."""
    events: list[object] = []

    async def cleans_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)

    with candil.subscribe(events.append):
        async with candil.open_node(log=False):
            pid = candil.spawn(cleans_up)
            await wait_all_tasks_blocked()
            started = trio.current_time()
            candil.exit(pid, "boom")
            assert Exit("boom") == await end_of(pid)

            assert 3 == pytest.approx(trio.current_time() - started)
    [report] = [event for event in events if isinstance(event, candil.ProcessLingers)]

    assert (pid, Exit("boom"), node_module.LINGER_SECONDS, False) == (
        report.pid,
        report.reason,
        report.seconds,
        report.abandoned,
    )
    assert "await trio.sleep(3)" in report.stack


async def test_a_body_that_lingers_after_its_signal_is_reported_without_a_stack(
    autojump_clock: MockClock,
) -> None:
    """Its task is not a process's own, and is the one that would have to tell."""
    events: list[object] = []

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.exit(candil.self(), "boom")
            with trio.CancelScope(shield=True):
                await trio.sleep(1)

    with candil.subscribe(events.append), pytest.raises(candil.ProcessTerminated):
        await block()
    [report] = [event for event in events if isinstance(event, candil.ProcessLingers)]

    assert "block" == report.pid.label
    assert "" == report.stack


async def test_a_block_that_was_killed_and_lingers_is_given_up_and_still_left_in_order(
    autojump_clock: MockClock,
) -> None:
    """Others learn that it is dead; its processes are ended when its body leaves."""
    with noted_ends() as ends:

        async def block() -> None:
            async with candil.open_node(log=False) as node:
                candil.spawn(wait_for_ever)
                candil.exit(candil.self(), "kill")
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                assert candil.Killed() == node.opener.exit_reason

        with pytest.raises(candil.ProcessTerminated):
            await block()

    assert {candil.Killed(), Shutdown()} == set(ends.values())


@pytest.mark.parametrize("reason", ["boom", "kill"])
async def test_a_block_whose_body_has_left_does_not_linger_however_long_its_root_takes(
    reason: str, autojump_clock: MockClock
) -> None:
    """It waits for its tree to stop in order, and that is no fault of its body."""
    events: list[object] = []

    class Slow(candil.GenServer):
        def init(self) -> None:
            candil.trap_exit(True)

        async def terminate(self, reason: candil.ExitReason) -> None:
            await trio.sleep(3)

    async def block() -> None:
        async with candil.open_supervisor([candil.child_spec(Slow)], log=False):
            candil.exit(candil.self(), reason)
            await trio.sleep_forever()

    with candil.subscribe(events.append), pytest.raises(candil.ProcessTerminated):
        await block()

    assert [] == [event for event in events if isinstance(event, candil.ProcessLingers)]


async def test_a_program_may_choose_to_leave_without_a_task_that_will_not_end(
    autojump_clock: MockClock,
) -> None:
    """What run does with it is its own affair; here it lets the task go."""
    done = trio.Event()
    log = []

    def stuck() -> None:
        log.append(trio.current_time() - started)
        done.set()

    async with candil.open_node(log=False) as node:
        node.stuck = stuck
        pid = candil.spawn(linger, done)
        await wait_all_tasks_blocked()
        candil.exit(pid, "kill")
        assert candil.Killed() == await end_of(pid)
        started = trio.current_time()

    assert [pytest.approx(node_module.CLOSE_SECONDS)] == log


async def test_a_task_that_ends_late_after_all_is_not_left_behind(
    autojump_clock: MockClock,
) -> None:
    """Then there is nothing to be chosen."""
    log = []

    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(2)

    async with candil.open_node(log=False) as node:
        node.stuck = lambda: log.append("stuck")
        pid = candil.spawn(stubborn)
        await wait_all_tasks_blocked()
        candil.exit(pid, "kill")
        assert candil.Killed() == await end_of(pid)
        started = trio.current_time()

    assert [] == log
    assert trio.current_time() - started <= 6
