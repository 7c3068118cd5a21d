"""open_node: a block that hosts processes, and ends them all when it is left."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Exit, ExitSignal, Normal, Shutdown
from candil.otp import _node
from candil.otp._runtime import current_process, get_runtime
from tests.otp.bodies import crash, do_nothing, end_of, leave, trap, wait_for_ever

# --- leaving


async def test_leaving_the_block_ends_its_processes_with_shutdown() -> None:
    """Whether they are linked to it or not."""
    with _ends() as ends:
        async with candil.open_node():
            candil.spawn(wait_for_ever)
            candil.spawn_link(wait_for_ever)
            await wait_all_tasks_blocked()

    assert [Shutdown(), Shutdown()] == [ends[label] for label in ends if label != "block"]


class _Ends(dict[str, candil.ExitReason]):
    """Who ended with what, by pid's label and number, in order."""

    def __call__(self, event: object) -> None:
        if isinstance(event, candil.ProcessExited):
            label = event.pid.label
            self[label if label == "block" else f"{label} {event.pid.id}"] = event.reason


class _ends:  # noqa: N801  # reads as a function
    def __enter__(self) -> _Ends:
        self.ends = _Ends()
        self.manager = candil.subscribe(self.ends)
        self.manager.__enter__()
        return self.ends

    def __exit__(self, *error: object) -> None:
        self.manager.__exit__(*error)


async def test_processes_clean_up_before_the_block_is_left() -> None:
    """Shielded cleanup takes the time that it needs."""
    log = []

    async def cleans_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                for _ in range(5):
                    await trio.lowlevel.checkpoint()
            log.append("clean")

    async with candil.open_node():
        candil.spawn(cleans_up)
        await wait_all_tasks_blocked()
        log.append("body")

    assert ["body", "clean"] == log


async def test_a_linked_process_that_traps_is_told_of_the_blocks_end() -> None:
    """As a child of any parent is."""
    log: list[object] = []

    async def traps() -> None:
        candil.trap_exit(True)
        log.append(await candil.receive())

    async with candil.open_node():
        me = candil.self()
        candil.spawn_link(traps)
        await wait_all_tasks_blocked()

    assert [ExitSignal(me, Shutdown())] == log


async def test_a_process_that_ignores_the_shutdown_is_killed_after_five_seconds(
    autojump_clock: MockClock,
) -> None:
    """The block cannot be held open by one that traps and does not listen."""
    with _ends() as ends:
        async with candil.open_node():
            candil.spawn(trap, candil.self())
            await wait_all_tasks_blocked()
            started = trio.current_time()
    assert _node.CLOSE_SECONDS == pytest.approx(trio.current_time() - started)
    assert candil.Killed() in ends.values()


async def test_processes_spawned_while_the_block_is_left_are_ended_too(
    autojump_clock: MockClock,
) -> None:
    """Cleanup code may start helpers; they do not outlive the block."""
    helpers = []

    async def spawns_in_cleanup() -> None:
        try:
            await trio.sleep_forever()
        finally:
            helpers.append(candil.spawn(wait_for_ever))

    async with candil.open_node():
        candil.spawn(spawns_in_cleanup)
        await wait_all_tasks_blocked()

    assert [None] == [helper.process for helper in helpers]


@pytest.mark.parametrize("count", [0, 1, 3, 2500])
async def test_any_number_of_processes_is_ended(count: int) -> None:
    """In batches, so that others run in between."""
    async with candil.open_node() as node:
        for _ in range(count):
            candil.spawn(wait_for_ever)

    assert {} == node.processes


async def test_a_process_that_ended_by_itself_is_not_waited_for() -> None:
    """Nor told anything."""
    async with candil.open_node() as node:
        assert Normal() == await end_of(candil.spawn(do_nothing))
        assert {} == node.processes


async def _spawns() -> None:
    candil.spawn(wait_for_ever, name="late")


async def _starts() -> None:
    await candil.start(candil.GenServer, name="late")


@pytest.mark.parametrize("spawn", [_spawns, _starts])
async def test_a_block_that_was_left_hosts_nobody(spawn: Any) -> None:
    """Code that kept running in its context is told so, and no name is left taken."""
    async with trio.open_nursery() as nursery:
        async with candil.open_node() as node:
            proceed = trio.Event()
            nursery.start_soon(_uses_the_block_afterwards, proceed, spawn)
        proceed.set()

    assert {} == node.processes
    assert candil.whereis("late") is None


async def _uses_the_block_afterwards(proceed: trio.Event, spawn: Any) -> None:
    await proceed.wait()
    with pytest.raises(RuntimeError, match="has ended; it hosts no new processes"):
        await spawn()


# --- cancellation


async def test_cancelling_from_outside_cancels_the_body_and_stops_the_processes_in_order() -> None:
    """And only then does the cancellation go on."""
    log = []

    async def cleans_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                for _ in range(5):
                    await trio.lowlevel.checkpoint()
            log.append("process")

    with trio.CancelScope() as scope:
        try:
            async with candil.open_node():
                candil.spawn(cleans_up)
                await wait_all_tasks_blocked()
                scope.cancel()
                try:
                    await trio.sleep_forever()
                finally:
                    log.append("body")
        finally:
            log.append("block")

    assert scope.cancelled_caught
    assert ["body", "process", "block"] == log


async def test_a_process_does_not_notice_that_its_block_is_cancelled() -> None:
    """It gets a shutdown signal and not a foreign cancellation, so it may trap it."""
    got: list[object] = []

    async def traps() -> None:
        candil.trap_exit(True)
        got.append(await candil.receive())

    with trio.CancelScope() as scope:
        async with candil.open_node():
            candil.spawn_link(traps)
            await wait_all_tasks_blocked()
            scope.cancel()
            await trio.lowlevel.checkpoint()

    assert [Shutdown()] == [message.reason for message in got]


async def test_a_block_entered_in_a_cancelled_scope_is_left_at_the_first_checkpoint() -> None:
    """It neither hangs nor swallows the cancellation."""
    log = []
    with trio.fail_after(5), trio.CancelScope() as scope:
        scope.cancel()
        async with candil.open_node():
            log.append("entered")
            await trio.lowlevel.checkpoint()
            log.append("not here")

    assert scope.cancelled_caught
    assert ["entered"] == log


async def test_a_block_that_is_cancelled_while_it_is_left_finishes_its_processes_first() -> None:
    """Leaving is shielded."""
    log = []

    async def cleans_up(scope: trio.CancelScope) -> None:
        try:
            await candil.receive()
        finally:
            scope.cancel()
            with trio.CancelScope(shield=True):
                for _ in range(5):
                    await trio.lowlevel.checkpoint()
            log.append("clean")

    with trio.CancelScope() as scope:
        async with candil.open_node():
            pid = candil.spawn(cleans_up, scope)
            while candil.process_info(pid).status != "waiting":
                await trio.lowlevel.checkpoint()
        log.append("left")
        await trio.lowlevel.checkpoint()

    assert ["clean", "left"] == log
    assert scope.cancelled_caught


@pytest.mark.parametrize("checkpoints", range(6))
async def test_a_cancellation_at_any_checkpoint_of_a_busy_block_leaves_nothing(
    checkpoints: int,
) -> None:
    """No process, no name, no link, whatever was half done."""

    class Server(candil.GenServer):
        async def init(self) -> None:
            await trio.lowlevel.checkpoint()

        @candil.handle_call
        async def ask(self) -> str:
            await trio.lowlevel.checkpoint()
            return "answer"

    async def countdown(scope: trio.CancelScope) -> None:
        for _ in range(checkpoints):
            await trio.lowlevel.cancel_shielded_checkpoint()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(countdown, scope)
            async with candil.open_node() as node:
                pid = await candil.start_link(Server, name="server")
                await candil.call(pid, "ask")
                candil.monitor(pid)
                await candil.exit(pid, "shutdown")
                await candil.receive(int)

        assert scope.cancelled_caught
        assert {} == node.processes == node.runtime.names == node.runtime.nodes
        assert {} == node.block.links == node.block.monitors == node.block.watchers


# --- exceptions


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
async def test_an_exception_of_the_body_leaves_the_block_as_itself(error: BaseException) -> None:
    """The very object, in no group, after the processes have been stopped."""
    with _ends() as ends, pytest.raises(type(error)) as raised:
        await _raise_in_a_block(error)

    assert error is raised.value
    assert error.__context__ is None
    assert Shutdown() in ends.values()


async def _raise_in_a_block(error: BaseException) -> None:
    async with candil.open_node():
        candil.spawn(wait_for_ever)
        raise error


async def test_a_group_that_the_body_raises_is_not_wrapped_again() -> None:
    """It is the exception that it is."""
    group = ExceptionGroup("mine", [ValueError(), KeyError()])
    with pytest.raises(ExceptionGroup) as raised:
        await _raise_in_a_block(group)

    assert group is raised.value


async def test_a_crash_of_a_process_does_not_leave_the_block() -> None:
    """Let it crash: only links and monitors are told."""
    async with candil.open_node(log=False):
        pid = candil.spawn(crash, ValueError())
        await end_of(pid)


# --- the block is a process


async def test_the_blocks_task_is_a_process() -> None:
    """It has a pid, a mailbox and neighbours, and is the parent of what it starts."""
    async with candil.open_node(name="here") as node:
        me = candil.self()
        assert "<Pid here." in repr(me)
        assert "block" == me.label
        assert node.block is me.process
        pid = candil.spawn(wait_for_ever)

        assert me is candil.process_info(pid).parent
        assert candil.process_info(me).parent is None
        assert candil.is_alive(me)
    assert not candil.is_alive(me)
    assert me.process is None


async def test_after_the_block_its_task_is_what_it_was_before() -> None:
    """No process, or the process that it was."""
    assert current_process.get() is None
    async with candil.open_node():
        outer = candil.self()
        async with candil.open_node():
            assert outer is not candil.self()
        assert outer is candil.self()
    assert current_process.get() is None


async def test_a_link_that_dies_ends_the_block_with_process_terminated() -> None:
    """The body is cancelled, and the block says why it ended."""
    log = []

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.spawn_link(leave, "boom")
            try:
                await trio.sleep_forever()
            finally:
                log.append("cancelled")

    with pytest.raises(candil.ProcessTerminated, match="boom") as raised:
        await block()

    assert Exit("boom") == raised.value.reason
    assert "block" == raised.value.pid.label
    assert ["cancelled"] == log


async def test_a_block_that_traps_exits_gets_messages_instead() -> None:
    """As every process."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = candil.spawn_link(leave, "boom")

        assert ExitSignal(pid, Exit("boom")) == await candil.receive()


@pytest.mark.parametrize(("reason", "seen"), [("kill", candil.Killed()), ("boom", Exit("boom"))])
async def test_the_block_can_be_ended_by_exit(reason: str, seen: candil.ExitReason) -> None:
    """From one of its processes."""

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.spawn(candil.exit, candil.self(), reason)
            await trio.sleep_forever()

    with pytest.raises(candil.ProcessTerminated) as raised:
        await block()

    assert seen == raised.value.reason


async def test_an_exception_of_a_body_that_was_told_to_end_is_what_leaves() -> None:
    """It says more than the signal does."""

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.exit_nowait(candil.self(), "boom")
            try:
                await trio.sleep_forever()
            finally:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()


async def test_monitors_of_the_block_learn_of_its_end() -> None:
    """Also those in other trees."""
    async with candil.open_node():
        async with candil.open_node():
            inner = candil.self()

        assert candil.NoProc() == await end_of(inner)


# --- several blocks


async def test_two_blocks_side_by_side_share_names_events_and_the_log() -> None:
    """The first to leave takes nothing from the other."""
    entered, left = trio.Event(), trio.Event()

    async def first() -> None:
        async with candil.open_node():
            candil.register("first", candil.self())
            entered.set()
            await candil.receive()
        left.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await entered.wait()
        async with candil.open_node() as node:
            runtime = node.runtime
            log, watch = runtime.log, runtime.watch
            candil.send("first", "leave")
            await left.wait()

            assert log is not None
            assert log is runtime.log
            assert watch is not None
            assert watch is runtime.watch
        assert runtime.log is None
        assert runtime.watch is None


async def test_a_block_without_log_does_not_take_the_log_of_another() -> None:
    """Nor does it start one."""
    async with candil.open_node(log=False) as node:
        assert node.runtime.log is None
        async with candil.open_node():
            assert node.runtime.log is not None
            async with candil.open_node(log=False):
                assert node.runtime.log is not None
        assert node.runtime.log is None


async def test_a_run_has_tables_of_its_own() -> None:
    """Nothing outlives trio.run."""

    async def incarnation() -> int:
        async with candil.open_node():
            candil.register("name", candil.self())
            return get_runtime().incarnation

    here = get_runtime().incarnation
    there = [await trio.to_thread.run_sync(trio.run, incarnation) for _ in range(2)]

    assert 3 == len({here, *there})


# --- processes that will not end


async def test_a_killed_process_that_does_not_end_is_given_up_for_dead(
    autojump_clock: MockClock,
) -> None:
    """After half a second links and monitors go on without it, and its names are free."""
    events: list[object] = []
    done = trio.Event()

    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await done.wait()

    with candil.subscribe(events.append):
        async with candil.open_node(log=False) as node:
            pid = candil.spawn(stubborn, name="stubborn")
            await wait_all_tasks_blocked()
            started = trio.current_time()
            ref = candil.monitor(pid)
            candil.exit_nowait(pid, "kill")

            assert candil.Down(ref, pid, candil.Killed()) == await candil.receive()
            assert _node.ABANDON_SECONDS == pytest.approx(trio.current_time() - started)
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
            await candil.exit(pid, "boom")

            assert 3 == pytest.approx(trio.current_time() - started)
    [report] = [event for event in events if isinstance(event, candil.ProcessLingers)]

    assert (pid, Exit("boom"), _node.LINGER_SECONDS, False) == (
        report.pid,
        report.reason,
        report.seconds,
        report.abandoned,
    )
    assert "await trio.sleep(3)" in report.stack


async def test_calls_to_a_process_that_is_given_up_get_its_reason(
    autojump_clock: MockClock,
) -> None:
    """The one in progress as well as those that wait behind it."""
    done = trio.Event()

    class Stubborn(candil.GenServer):
        @candil.handle_call
        async def ask(self) -> str:
            with trio.CancelScope(shield=True):
                await done.wait()
            return "too late"

    ends: list[object] = []

    async def asks(pid: candil.Pid[Stubborn]) -> None:
        try:
            await candil.call(pid, "ask", timeout=60)
        except candil.ServerExited as error:
            ends.append(error.reason)

    async with candil.open_node(log=False):
        pid = await candil.start(Stubborn)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asks, pid)
            nursery.start_soon(asks, pid)
            await wait_all_tasks_blocked()
            candil.exit_nowait(pid, "kill")
        assert [candil.Killed()] * 2 == ends
        done.set()


async def test_a_body_that_lingers_after_its_signal_is_reported_without_a_stack(
    autojump_clock: MockClock,
) -> None:
    """Its task is not a process's own, and is the one that would have to tell."""
    events: list[object] = []

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.exit_nowait(candil.self(), "boom")
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
    with _ends() as ends:

        async def block() -> None:
            async with candil.open_node(log=False) as node:
                candil.spawn(wait_for_ever)
                candil.exit_nowait(candil.self(), "kill")
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                assert candil.Killed() == node.block.reason

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
            candil.exit_nowait(candil.self(), reason)
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

    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await done.wait()

    def stuck() -> None:
        log.append(trio.current_time() - started)
        done.set()

    async with candil.open_node(log=False) as node:
        node.stuck = stuck
        pid = candil.spawn(stubborn)
        await wait_all_tasks_blocked()
        await candil.exit(pid, "kill")
        started = trio.current_time()

    assert [pytest.approx(_node.CLOSE_SECONDS)] == log


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
        await candil.exit(pid, "kill")
        started = trio.current_time()

    assert [] == log
    assert trio.current_time() - started <= 6


async def test_a_failure_of_the_node_itself_is_not_hidden() -> None:
    """A callback of a timer that raises is a mistake in candil, and everything is cancelled."""
    ends: list[object] = []

    async def block() -> None:
        async with candil.open_node(log=False) as node:
            candil.spawn(wait_for_ever)
            await wait_all_tasks_blocked()
            node.timers.call_later(0, lambda: ends[0])  # type: ignore[arg-type,return-value]
            await trio.sleep_forever()

    with trio.fail_after(5), pytest.raises(ExceptionGroup) as raised:
        await block()
    assert raised.group_contains(IndexError)


# --- the root


async def test_a_block_that_traps_exits_ends_with_its_root_all_the_same() -> None:
    """There would be nothing left to run for."""

    async def block() -> None:
        async with candil.open_supervisor(
            [candil.child_spec(leave, "boom")], max_restarts=0, log=False
        ):
            candil.trap_exit(True)
            await trio.sleep_forever()

    with trio.fail_after(20), pytest.raises(candil.RestartIntensityExceeded):
        await block()


async def test_servers_that_trap_and_have_no_parent_terminate_when_the_block_is_left() -> None:
    """The block speaks for the parent that they do not have."""
    log = []

    class Traps(candil.GenServer):
        def init(self) -> None:
            candil.trap_exit(True)

        def terminate(self, reason: candil.ExitReason) -> None:
            log.append(reason)

    async with candil.open_node():
        await candil.start(Traps)
        with trio.fail_after(20):
            await trio.lowlevel.checkpoint()

    assert [Shutdown()] == log


async def test_supervisors_that_have_no_parent_stop_their_children_in_their_own_order() -> None:
    """The block does not go over their heads."""
    log = []

    class Traps(candil.GenServer):
        def __init__(self, name: str) -> None:
            self.name = name

        def init(self) -> None:
            candil.trap_exit(True)

        async def terminate(self, reason: candil.ExitReason) -> None:
            await trio.lowlevel.checkpoint()
            log.append(self.name)

    names = ["a", "b", "c"]
    async with candil.open_node():
        children = [candil.child_spec(Traps, name, id=name) for name in names]
        await candil.start(candil.supervisor_spec(children))

    assert names[::-1] == log


# --- Ctrl-C under a plain trio.run


def test_a_ctrl_c_while_the_block_is_left_kills_what_still_runs() -> None:
    """Nobody has to wait for a process that ignores its shutdown."""
    left = threading.Event()

    def interrupt() -> None:
        left.wait(5)
        time.sleep(0.05)  # until the loop waits
        os.kill(os.getpid(), signal.SIGINT)

    async def main() -> None:
        async with candil.open_node(log=False):
            candil.spawn(trap, candil.self())
            await wait_all_tasks_blocked()
            left.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    thread.join()

    assert time.monotonic() - started < _node.CLOSE_SECONDS
