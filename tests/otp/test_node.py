"""open_node: a block that hosts processes, is one itself, and ends them all when it is left."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Exit, ExitSignal, Normal, Shutdown
from candil._otp.processes import node as node_module
from candil._otp.processes.runtime import current_process, get_runtime
from tests.otp.bodies import (
    clean_up,
    crash,
    do_nothing,
    end_of,
    leave,
    noted_ends,
    send_exit,
    trap,
    wait_for_ever,
)

# --- leaving


async def test_leaving_the_block_ends_its_processes_with_shutdown() -> None:
    """Whether they are linked to it or not."""
    with noted_ends() as ends:
        async with candil.open_node():
            candil.spawn(wait_for_ever)
            candil.spawn_link(wait_for_ever)
            await wait_all_tasks_blocked()

    assert [Shutdown(), Shutdown()] == [ends[label] for label in ends if label != "block"]


async def test_processes_clean_up_before_the_block_is_left() -> None:
    """Shielded cleanup takes the time that it needs."""
    log = []

    async with candil.open_node():
        candil.spawn(clean_up, log)
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
    with noted_ends() as ends:
        async with candil.open_node():
            candil.spawn(trap, candil.self())
            await wait_all_tasks_blocked()
            started = trio.current_time()
    assert node_module.CLOSE_SECONDS == pytest.approx(trio.current_time() - started)
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


# --- exceptions


OPENERS = [candil.open_node, lambda: candil.open_supervisor([candil.child_spec(wait_for_ever)])]


@pytest.mark.parametrize("opener", OPENERS, ids=["open_node", "open_supervisor"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        StopIteration(),
        StopAsyncIteration(),
        KeyboardInterrupt(),
        SystemExit(3),
        ExceptionGroup("mine", [ValueError(), KeyError()]),
    ],
    ids=repr,
)
async def test_an_exception_of_the_body_leaves_the_block_as_itself(
    error: BaseException, opener: Any
) -> None:
    """The very object, in no group but its own, after the processes have been stopped."""
    with noted_ends() as ends, pytest.raises(type(error)) as raised:
        async with opener():
            candil.spawn(wait_for_ever)
            raise error

    assert error is raised.value
    assert error.__context__ is None
    assert Shutdown() in ends.values()


async def test_a_crash_of_a_process_does_not_leave_the_block() -> None:
    """Let it crash: only links and monitors are told."""
    async with candil.open_node(log=False):
        pid = candil.spawn(crash, ValueError())
        await end_of(pid)


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


# --- the block is a process


async def test_the_blocks_task_is_a_process() -> None:
    """It has a pid, a mailbox and neighbours, and is the parent of what it starts."""
    async with candil.open_node(name="here") as node:
        me = candil.self()
        assert "<Pid here." in repr(me)
        assert "block" == me.label
        assert node.opener is me.process
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
            log.append(candil.spawn_link(leave, "boom"))
            try:
                await trio.sleep_forever()
            finally:
                log.append("cancelled")

    with pytest.raises(candil.ProcessTerminated, match="boom") as raised:
        await block()

    assert Exit("boom") == raised.value.reason
    assert "block" == raised.value.pid.label
    assert [raised.value.sender, "cancelled"] == log


async def test_a_block_that_a_crash_ended_is_chained_to_its_exception() -> None:
    """So that the traceback leads to the line that is at fault."""

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.spawn_link(fail)
            await trio.sleep_forever()

    async def fail() -> None:
        raise ValueError("boom")

    with pytest.raises(candil.ProcessTerminated) as raised:
        await block()

    assert isinstance(raised.value.reason, candil.Crashed)
    assert raised.value.__cause__ is raised.value.reason.exception


async def test_a_block_that_traps_exits_gets_messages_instead() -> None:
    """As every process."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = candil.spawn_link(leave, "boom")

        assert ExitSignal(pid, Exit("boom")) == await candil.receive()


@pytest.mark.parametrize("reason", ["kill", "boom", "shutdown", ("shutdown", "x")], ids=str)
async def test_the_block_can_be_ended_by_exit(reason: object) -> None:
    """From one of its processes."""

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.spawn(send_exit, candil.self(), reason)
            await trio.sleep_forever()

    with pytest.raises(candil.ProcessTerminated) as raised:
        await block()

    assert raised.value.sender is not None
    assert "send_exit" == raised.value.sender.label
    assert candil.as_exit_reason("killed" if reason == "kill" else reason) == raised.value.reason


async def test_an_exception_of_a_body_that_was_told_to_end_is_what_leaves() -> None:
    """It says more than the signal does."""

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.exit(candil.self(), "boom")
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

        assert candil.NoProcess() == await end_of(inner)


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
