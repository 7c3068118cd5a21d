"""Exit signals and exit reasons: each rule of OTP's processes has a test named for it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Crashed, Down, Exit, ExitSignal, Killed, NoProcess, Normal, Shutdown
from tests.otp.bodies import (
    be_linked,
    crash,
    do_nothing,
    end_of,
    exit_and_settle,
    leave,
    trap,
    wait_for_ever,
)

# --- signals


async def test_normal_from_another_process_is_ignored() -> None:
    """Only a process itself can end itself with exit(Pid, normal)."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        await exit_and_settle(pid, "normal")
        await wait_all_tasks_blocked()

        assert candil.is_alive(pid)


async def test_normal_sent_to_oneself_ends_the_process() -> None:
    """exit(self(), normal) is no exception to itself."""

    async def ends_itself() -> None:
        candil.exit(candil.self(), "normal")
        await trio.sleep_forever()

    async with candil.open_node():
        assert Normal() == await end_of(candil.spawn(ends_itself))


@pytest.mark.parametrize(
    "reason",
    [Shutdown(), Shutdown("x"), Killed(), NoProcess(), Exit("boom"), Crashed(ValueError())],
)
async def test_any_other_reason_ends_a_process_that_does_not_trap(
    reason: candil.ExitReason,
) -> None:
    """It dies with exactly that reason."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        ref = candil.monitor(pid)
        await exit_and_settle(pid, reason)

        assert Down(ref, pid, reason) == await candil.receive()


@pytest.mark.parametrize(
    "reason", [Normal(), Shutdown(), Killed(), Exit("boom"), Crashed(ValueError())]
)
async def test_a_process_that_traps_gets_a_message_even_for_normal(
    reason: candil.ExitReason,
    autojump_clock: MockClock,
) -> None:
    """The message names the sender and carries the reason."""
    async with candil.open_node():
        me = candil.self()
        pid = candil.spawn(trap, me)
        await wait_all_tasks_blocked()
        await exit_and_settle(pid, reason)

        assert ExitSignal(me, reason) == await candil.receive()
        assert candil.is_alive(pid)


async def test_kill_cannot_be_trapped_and_is_seen_as_killed() -> None:
    """Monitors and links learn of killed, not of kill."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(trap, candil.self())
        ref = candil.monitor(pid)
        await wait_all_tasks_blocked()
        await exit_and_settle(pid, "kill")

        assert Down(ref, pid, Killed()) == await candil.receive(Down)
        assert ExitSignal(pid, Killed()) == await candil.receive(ExitSignal)


async def test_killed_of_a_linked_process_can_be_trapped() -> None:
    """Only exit(Pid, kill) itself is beyond trapping; what it causes is an ordinary signal."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(wait_for_ever)
        await exit_and_settle(pid, "kill")

        assert ExitSignal(pid, Killed()) == await candil.receive()


async def test_killed_of_a_linked_process_ends_one_that_does_not_trap_with_killed() -> None:
    """The reason passes on unchanged."""
    async with candil.open_node():
        first = candil.spawn(wait_for_ever)

        second = candil.spawn(be_linked, first)
        await wait_all_tasks_blocked()
        candil.exit(first, "kill")

        assert Killed() == await end_of(second)


async def test_a_signal_killed_sent_by_exit_is_an_ordinary_reason(
    autojump_clock: MockClock,
) -> None:
    """exit(Pid, killed) can be trapped: it is not kill."""
    async with candil.open_node():
        pid = candil.spawn(trap, candil.self())
        await wait_all_tasks_blocked()
        await exit_and_settle(pid, "killed")

        assert ExitSignal(candil.self(), Killed()) == await candil.receive()


async def test_a_process_that_exits_with_kill_itself_sends_links_a_trappable_kill() -> None:
    """exit(kill) is not exit(Pid, kill): a link that traps lives on and sees kill."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(leave, "kill")

        assert ExitSignal(pid, Exit("kill")) == await candil.receive()


async def test_a_process_linked_to_one_that_exits_with_kill_dies_of_kill() -> None:
    """Its reason is kill, and not killed."""
    async with candil.open_node():

        async def linked() -> None:
            candil.spawn_link(leave, "kill")
            await trio.sleep_forever()

        assert Exit("kill") == await end_of(candil.spawn(linked))


# --- reasons


async def test_a_return_is_seen_as_normal() -> None:
    """DOWN's reason for a function that returns."""
    async with candil.open_node():
        assert Normal() == await end_of(candil.spawn(do_nothing))


@pytest.mark.parametrize("term", ["normal", "shutdown", "boom", ("shutdown", 1), 7, Exit("x")])
async def test_exit_with_a_term_is_seen_as_that_term(term: object) -> None:
    """A raised ProcessExit(term) is OTP's exit(Term)."""
    async with candil.open_node():
        assert candil.as_exit_reason(term) == await end_of(candil.spawn(leave, term))


@pytest.mark.parametrize("error", [ValueError("x"), ExceptionGroup("g", [KeyError("y")])])
async def test_an_exception_is_seen_as_a_crash_with_that_exception(error: Exception) -> None:
    """The monitor gets the very object, with its traceback."""
    async with candil.open_node():
        reason = await end_of(candil.spawn(crash, error))

        assert isinstance(reason, Crashed)
        assert error is reason.exception
        assert error.__traceback__ is not None


async def test_exit_kill_is_seen_as_killed() -> None:
    """DOWN's reason for a killed process."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        candil.exit(pid, "kill")

        assert Killed() == await end_of(pid)


@pytest.mark.parametrize(
    ("reasons", "ended"),
    [(["normal"], candil.Normal()), (["boom"], candil.Exit("boom")), (["a", "b"], None)],
)
async def test_the_exit_of_a_task_of_a_process_is_the_exit_of_the_process(reasons, ended):
    """If it is the only one: its nursery puts it into a group, which is no reason of its own."""

    async def leave(reason):
        raise candil.ProcessExit(reason)

    async def body():
        async with trio.open_nursery() as outer, trio.open_nursery() as nursery:
            outer.start_soon(trio.lowlevel.checkpoint)
            for reason in reasons:
                nursery.start_soon(leave, reason)

    async with candil.open_node(log=False):
        candil.spawn_monitor(body)
        down = await candil.receive(candil.Down)
    if ended is None:
        assert isinstance(down.reason, candil.Crashed)
    else:
        assert down.reason == ended


# --- how a process ends


async def test_a_process_that_was_told_to_end_before_it_ran_never_runs() -> None:
    """It has the reason that it was told."""
    ran = []

    async def never() -> None:
        ran.append(1)

    async with candil.open_node():
        pid = candil.spawn(never)
        candil.exit(pid, "boom")

        assert Exit("boom") == await end_of(pid)
        assert [] == ran


async def test_the_first_reason_stands_whatever_comes_later() -> None:
    """Later signals, and what the cleanup raises, do not change why a process ended."""

    async def fails_in_cleanup() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError

    async with candil.open_node():
        pid = candil.spawn(fails_in_cleanup)
        await wait_all_tasks_blocked()
        candil.exit(pid, "first")
        candil.exit(pid, "second")

        assert Exit("first") == await end_of(pid)


async def test_a_process_that_returns_after_it_was_told_to_end_has_the_reason_it_was_told() -> None:
    """A signal that came before the end wins."""

    async def ends_in_time() -> None:
        with trio.CancelScope(shield=True):
            await candil.receive()

    async with candil.open_node():
        pid = candil.spawn(ends_in_time)
        await wait_all_tasks_blocked()
        candil.exit(pid, "boom")
        candil.send(pid, "go on")

        assert Exit("boom") == await end_of(pid)


async def test_kill_overrides_a_reason_that_has_not_come_into_effect() -> None:
    """A process that cleans up for too long is killed, and its links see that."""

    async def cleans_up(done: trio.Event) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await done.wait()

    async with candil.open_node():
        done = trio.Event()
        pid = candil.spawn(cleans_up, done)
        await wait_all_tasks_blocked()
        candil.exit(pid, "boom")
        candil.exit(pid, "kill")
        candil.exit(pid, "kill")
        done.set()

        assert Killed() == await end_of(pid)


async def test_a_dead_process_can_be_signalled_in_any_way_without_effect() -> None:
    """Pids outlive their processes."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        await end_of(pid)
        record = pid.process
        for reason in ("normal", "boom", "kill"):
            candil.exit(pid, reason)
            await exit_and_settle(pid, reason)
        candil.unlink(pid)
        candil.send(pid, "hello")

        assert record is None
        assert not candil.is_alive(pid)


async def test_a_process_ends_at_its_next_checkpoint_and_its_cleanup_runs() -> None:
    """A signal never interrupts in the middle of a line."""
    log = []

    async def careful() -> None:
        try:
            await trio.sleep_forever()
        finally:
            log.append("clean")

    async with candil.open_node():
        pid = candil.spawn(careful)
        await wait_all_tasks_blocked()
        await exit_and_settle(pid, "shutdown")

        assert ["clean"] == log


async def test_a_signal_to_a_process_that_is_ending_is_not_a_message() -> None:
    """Even when it traps exits: its mailbox is nobody's any more."""
    got = []

    async def lingers(done: trio.Event) -> None:
        candil.trap_exit(True)
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await done.wait()
            got.extend([candil.process_info(candil.self()).message_queue_len])

    async with candil.open_node():
        done = trio.Event()
        pid = candil.spawn(lingers, done)
        friend = candil.spawn(wait_for_ever)
        await wait_all_tasks_blocked()
        candil.exit(pid, "kill")
        candil.exit(pid, "boom")
        await exit_and_settle(friend, "boom")
        done.set()
        await end_of(pid)

        assert [0] == got


async def test_links_of_a_process_that_is_ending_do_not_reach_it_again() -> None:
    """Two linked processes that are told to end both end with their own reasons."""
    async with candil.open_node():
        one = candil.spawn(wait_for_ever)

        two = candil.spawn(be_linked, one)
        await wait_all_tasks_blocked()
        refs = {candil.monitor(one): Exit("one"), candil.monitor(two): Exit("two")}
        candil.exit(one, "one")
        candil.exit(two, "two")
        for _ in range(2):
            down = await candil.receive(Down)
            assert refs[down.ref] == down.reason
