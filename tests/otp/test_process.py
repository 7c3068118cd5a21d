"""Exit signals, links and monitors: each rule of OTP's processes has a test named for it."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Crashed, Down, Exit, ExitSignal, Killed, NoProc, Normal, Shutdown
from candil.otp._parking import Slot
from candil.otp._process import join, kill
from candil.otp._request import Request
from tests.otp.bodies import crash, do_nothing, end_of, leave, trap, wait_for_ever

# --- exit signals


async def test_normal_from_another_process_is_ignored() -> None:
    """Only a process itself can end itself with exit(Pid, normal)."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        await candil.exit(pid, "normal")
        await wait_all_tasks_blocked()

        assert candil.is_alive(pid)


async def test_normal_sent_to_oneself_ends_the_process() -> None:
    """exit(self(), normal) is no exception to itself."""

    async def ends_itself() -> None:
        candil.exit_nowait(candil.self(), "normal")
        await trio.sleep_forever()

    async with candil.open_node():
        assert Normal() == await end_of(candil.spawn(ends_itself))


@pytest.mark.parametrize(
    "reason", [Shutdown(), Shutdown("x"), Killed(), NoProc(), Exit("boom"), Crashed(ValueError())]
)
async def test_any_other_reason_ends_a_process_that_does_not_trap(
    reason: candil.ExitReason,
) -> None:
    """It dies with exactly that reason."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        ref = candil.monitor(pid)
        await candil.exit(pid, reason)

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
        await candil.exit(pid, reason)

        assert ExitSignal(me, reason) == await candil.receive()
        assert candil.is_alive(pid)


async def test_kill_cannot_be_trapped_and_is_seen_as_killed() -> None:
    """Monitors and links learn of killed, not of kill."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(trap, candil.self())
        ref = candil.monitor(pid)
        await wait_all_tasks_blocked()
        await candil.exit(pid, "kill")

        assert Down(ref, pid, Killed()) == await candil.receive(Down)
        assert ExitSignal(pid, Killed()) == await candil.receive(ExitSignal)


async def test_killed_of_a_linked_process_can_be_trapped() -> None:
    """Only exit(Pid, kill) itself is beyond trapping; what it causes is an ordinary signal."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(wait_for_ever)
        await candil.exit(pid, "kill")

        assert ExitSignal(pid, Killed()) == await candil.receive()


async def test_killed_of_a_linked_process_ends_one_that_does_not_trap_with_killed() -> None:
    """The reason passes on unchanged."""
    async with candil.open_node():
        first = candil.spawn(wait_for_ever)

        async def linked() -> None:
            candil.link(first)
            await trio.sleep_forever()

        second = candil.spawn(linked)
        await wait_all_tasks_blocked()
        candil.exit_nowait(first, "kill")

        assert Killed() == await end_of(second)


async def test_a_signal_killed_sent_by_exit_is_an_ordinary_reason(
    autojump_clock: MockClock,
) -> None:
    """exit(Pid, killed) can be trapped: it is not kill."""
    async with candil.open_node():
        pid = candil.spawn(trap, candil.self())
        await wait_all_tasks_blocked()
        await candil.exit(pid, "killed")

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


# --- links


@pytest.mark.parametrize("first_dies", [True, False])
async def test_a_link_works_in_both_directions(first_dies: bool) -> None:
    """Whichever dies takes the other with it."""
    async with candil.open_node():
        other = candil.spawn(wait_for_ever)

        async def linked() -> None:
            candil.link(other)
            await trio.sleep_forever()

        one = candil.spawn(linked)
        await wait_all_tasks_blocked()
        dies, follows = (one, other) if first_dies else (other, one)
        candil.exit_nowait(dies, "boom")

        assert Exit("boom") == await end_of(follows)


async def test_linking_twice_is_linking_once() -> None:
    """One death is one exit message, and one unlink undoes all."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(wait_for_ever)
        candil.link(pid)
        candil.link(pid)
        await candil.exit(pid, "boom")

        assert ExitSignal(pid, Exit("boom")) == await candil.receive()
        with pytest.raises(candil.ReceiveTimeout):
            await candil.receive(timeout=0)


async def test_a_normal_end_does_not_disturb_a_link_that_does_not_trap() -> None:
    """A process may end when its work is done."""
    async with candil.open_node():
        pid = candil.spawn_link(do_nothing)

        assert Normal() == await end_of(pid)
        await trio.lowlevel.checkpoint()
        assert () == candil.process_info(candil.self()).links


async def test_a_normal_end_reaches_a_link_that_traps() -> None:
    """Who traps is told of every end."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(do_nothing)

        assert ExitSignal(pid, Normal()) == await candil.receive()


async def test_linking_to_a_dead_process_raises_noproc_in_one_that_does_not_trap() -> None:
    """It must not go on as if the link were there."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        await end_of(pid)

        with pytest.raises(NoProc) as raised:
            candil.link(pid)
        assert pid is raised.value.target


async def test_linking_to_a_dead_process_sends_noproc_to_one_that_traps() -> None:
    """The link returns, and the exit message is there."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn(do_nothing)
        await end_of(pid)
        candil.link(pid)

        assert ExitSignal(pid, NoProc()) == await candil.receive()


async def test_linking_to_a_process_that_was_told_to_end_is_linking_to_a_dead_one() -> None:
    """In OTP it would be dead already."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        await wait_all_tasks_blocked()
        candil.exit_nowait(pid, "boom")

        with pytest.raises(NoProc):
            candil.link(pid)


async def test_linking_to_oneself_does_nothing() -> None:
    """No process can be its own neighbour."""
    async with candil.open_node():
        candil.link(candil.self())

        assert () == candil.process_info(candil.self()).links


async def test_after_unlink_no_exit_comes() -> None:
    """Neither as a message nor as a signal."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(wait_for_ever)
        candil.unlink(pid)
        await candil.exit(pid, "boom")

        with pytest.raises(candil.ReceiveTimeout):
            await candil.receive(timeout=0)


async def test_an_exit_that_came_before_unlink_stays_in_the_mailbox() -> None:
    """Unlink undoes the link, not the past."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(wait_for_ever)
        await candil.exit(pid, "boom")
        candil.unlink(pid)

        assert ExitSignal(pid, Exit("boom")) == await candil.receive()


# --- monitors


async def test_monitors_stack() -> None:
    """Two monitors give two Downs, each with its own reference."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        refs = {candil.monitor(pid), candil.monitor(pid)}
        await candil.exit(pid, "boom")
        downs = [await candil.receive(Down), await candil.receive(Down)]

        assert refs == {down.ref for down in downs}
        assert [(pid, Exit("boom"))] * 2 == [(down.pid, down.reason) for down in downs]


async def test_demonitor_stops_one_monitor_only() -> None:
    """The other still gives its Down."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        first, second = candil.monitor(pid), candil.monitor(pid)
        candil.demonitor(first)
        await candil.exit(pid, "boom")

        assert Down(second, pid, Exit("boom")) == await candil.receive()
        with pytest.raises(candil.ReceiveTimeout):
            await candil.receive(timeout=0)


async def test_demonitor_with_flush_removes_a_down_that_came_already() -> None:
    """And nothing else: other messages stay, in order."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        first, second = candil.monitor(pid), candil.monitor(pid)
        candil.send(candil.self(), "before")
        await candil.exit(pid, "boom")
        candil.send(candil.self(), "after")
        candil.demonitor(first, flush=True)

        assert "before" == await candil.receive()
        assert Down(second, pid, Exit("boom")) == await candil.receive()
        assert "after" == await candil.receive()


async def test_demonitor_without_flush_leaves_a_down_that_came_already() -> None:
    """It stops what is to come."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        ref = candil.monitor(pid)
        await candil.exit(pid, "boom")
        candil.demonitor(ref)

        assert Down(ref, pid, Exit("boom")) == await candil.receive()


async def test_monitoring_a_dead_process_gives_noproc_at_once() -> None:
    """A monitor never raises and never stays silent."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        await end_of(pid)
        ref = candil.monitor(pid)

        assert Down(ref, pid, NoProc()) == await candil.receive(timeout=0)


@pytest.mark.parametrize("name", ["nobody", candil.Name("nobody"), candil.Via("nobody", 1)])
async def test_monitoring_a_name_that_nobody_holds_gives_noproc_and_the_name(name: Any) -> None:
    """The Down shows what was asked for."""
    async with candil.open_node():
        ref = candil.monitor(name)

        assert Down(ref, name, NoProc()) == await candil.receive(timeout=0)


async def test_monitoring_by_name_watches_the_process_that_holds_it() -> None:
    """Later holders of the name are others."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever, name="someone")
        ref = candil.monitor("someone")
        candil.unregister("someone")
        candil.spawn(wait_for_ever, name="someone")
        await candil.exit(pid, "boom")

        assert Down(ref, pid, Exit("boom")) == await candil.receive()


async def test_monitoring_a_process_that_is_ending_gives_its_own_reason() -> None:
    """It has not ended yet, so its Down is still to come."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        await wait_all_tasks_blocked()
        candil.exit_nowait(pid, "boom")

        assert Exit("boom") == await end_of(pid)


async def test_a_monitor_of_oneself_watches_nobody() -> None:
    """Nobody would be left to get its Down, so there is only a reference."""
    async with candil.open_node():
        ref = candil.monitor(candil.self())
        info = candil.process_info(candil.self())
        candil.demonitor(ref, flush=True)

        assert info is not None
        assert () == info.monitors == info.monitored_by


async def test_a_monitor_of_ones_own_name_watches_nobody() -> None:
    """It is the same process, however it is called."""
    async with candil.open_node():
        candil.register("me", candil.self())
        candil.monitor("me")
        info = candil.process_info("me")

        assert info is not None
        assert () == info.monitors == info.monitored_by


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
        candil.exit_nowait(pid, "kill")

        assert Killed() == await end_of(pid)


# --- order


async def test_messages_from_one_process_to_another_arrive_in_order() -> None:
    """Whatever else runs, a pair keeps its order; signals of exit are in line with messages."""

    async def sender(to: candil.Pid[Any], mark: str) -> None:
        for number in range(50):
            candil.send(to, (mark, number))
            if random.random() < 0.5:
                await trio.lowlevel.checkpoint()
        candil.exit_nowait(to, mark)

    async with candil.open_node():
        candil.trap_exit(True)
        for mark in "abc":
            candil.spawn(sender, candil.self(), mark)
        got: dict[str, list[object]] = {"a": [], "b": [], "c": []}
        for _ in range(153):
            message = await candil.receive()
            if isinstance(message, ExitSignal):
                got[message.reason.term].append("exit")
            else:
                got[message[0]].append(message[1])

        assert [[*range(50), "exit"]] * 3 == list(got.values())


async def test_a_message_sent_before_the_death_comes_before_the_down() -> None:
    """So whoever waits for either can tell which was first."""

    async def says_goodbye(to: candil.Pid[Any]) -> None:
        candil.send(to, "goodbye")

    async with candil.open_node():
        _, ref = candil.spawn_monitor(says_goodbye, candil.self())

        assert "goodbye" == await candil.receive()
        assert ref is (await candil.receive(Down)).ref


async def test_the_exit_signal_of_a_link_comes_before_the_down_of_a_monitor() -> None:
    """Whoever has both learns of a death in this order, whichever came first."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid, first = candil.spawn_monitor(wait_for_ever)
        candil.link(pid)
        second = candil.monitor(pid)
        await candil.exit(pid, "boom")

        assert [
            ExitSignal(pid, Exit("boom")),
            Down(first, pid, Exit("boom")),
            Down(second, pid, Exit("boom")),
        ] == [await candil.receive() for _ in range(3)]


# --- names


@pytest.mark.parametrize("told_by", ["monitor", "link", "event"])
async def test_a_name_is_free_before_anybody_learns_of_the_death(told_by: str) -> None:
    """So a restart never finds its own name taken."""
    seen: list[object] = []

    def look(event: object) -> None:
        if isinstance(event, candil.ProcessExited):
            seen.append(candil.whereis("worker"))

    async with candil.open_node():
        candil.trap_exit(True)
        spawn = candil.spawn_link if told_by == "link" else candil.spawn
        pid = spawn(wait_for_ever, name="worker")
        with candil.subscribe(look):
            if told_by == "monitor":
                candil.monitor(pid)
            candil.exit_nowait(pid, "boom")
            if told_by == "event":
                await wait_all_tasks_blocked()
            else:
                await candil.receive((Down, ExitSignal))

        assert [None] == seen
        candil.register("worker", candil.spawn(wait_for_ever))


# --- how a process ends


async def test_a_process_that_was_told_to_end_before_it_ran_never_runs() -> None:
    """It has the reason that it was told."""
    ran = []

    async def never() -> None:
        ran.append(1)

    async with candil.open_node():
        pid = candil.spawn(never)
        candil.exit_nowait(pid, "boom")

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
        candil.exit_nowait(pid, "first")
        candil.exit_nowait(pid, "second")

        assert Exit("first") == await end_of(pid)


async def test_a_process_that_returns_after_it_was_told_to_end_has_the_reason_it_was_told() -> None:
    """A signal that came before the end wins."""

    async def ends_in_time() -> None:
        with trio.CancelScope(shield=True):
            await candil.receive()

    async with candil.open_node():
        pid = candil.spawn(ends_in_time)
        await wait_all_tasks_blocked()
        candil.exit_nowait(pid, "boom")
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
        candil.exit_nowait(pid, "boom")
        candil.exit_nowait(pid, "kill")
        candil.exit_nowait(pid, "kill")
        done.set()

        assert Killed() == await end_of(pid)


async def test_a_dead_process_can_be_signalled_in_any_way_without_effect() -> None:
    """Pids outlive their processes."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        await end_of(pid)
        record = pid.process
        for reason in ("normal", "boom", "kill"):
            candil.exit_nowait(pid, reason)
            await candil.exit(pid, reason)
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
        await candil.exit(pid, "shutdown")

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
        candil.exit_nowait(pid, "kill")
        candil.exit_nowait(pid, "boom")
        await candil.exit(friend, "boom")
        done.set()
        await end_of(pid)

        assert [0] == got


async def test_links_of_a_process_that_is_ending_do_not_reach_it_again() -> None:
    """Two linked processes that are told to end both end with their own reasons."""
    async with candil.open_node():
        one = candil.spawn(wait_for_ever)

        async def linked() -> None:
            candil.link(one)
            await trio.sleep_forever()

        two = candil.spawn(linked)
        await wait_all_tasks_blocked()
        refs = {candil.monitor(one): Exit("one"), candil.monitor(two): Exit("two")}
        candil.exit_nowait(one, "one")
        candil.exit_nowait(two, "two")
        for _ in range(2):
            down = await candil.receive(Down)
            assert refs[down.ref] == down.reason


# --- requests that are owed


async def test_a_call_that_waits_in_a_mailbox_learns_of_the_death() -> None:
    """A caller never hangs because the process it asked is gone."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        await wait_all_tasks_blocked()
        candil.send_after(pid, "later", 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_exited, pid, Exit("boom"))
            await wait_all_tasks_blocked()
            candil.exit_nowait(pid, "boom")


async def test_a_call_that_was_received_and_forgotten_learns_of_the_death() -> None:
    """Taking a call out of the mailbox is a debt."""

    async def forgets() -> None:
        await candil.receive(candil.Call)
        await trio.sleep_forever()

    async with candil.open_node():
        pid = candil.spawn(forgets)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_exited, pid, Killed())
            await wait_all_tasks_blocked()
            candil.exit_nowait(pid, "kill")


async def _expect_exited(pid: candil.Pid[Any], reason: candil.ExitReason) -> None:
    with pytest.raises(candil.ServerExited) as raised:
        await candil.call(pid, "ask", timeout=60)
    assert reason == raised.value.reason


async def test_a_plain_process_can_answer_calls_and_owes_nothing_afterwards() -> None:
    """The table of debts does not grow with every answer."""

    async def answers() -> None:
        while True:
            request = await candil.receive(candil.Call)
            request.reply((request.request, request.pid))

    async with candil.open_node():
        pid = candil.spawn(answers)
        for number in range(100):
            assert (number, candil.self()) == await candil.call(pid, number)

        assert {} == pid.process.owed


async def test_a_caller_that_gave_up_is_not_owed_an_answer() -> None:
    """Its cancellation settles the debt."""
    async with candil.open_node():
        received = trio.Event()

        async def forgets() -> None:
            await candil.receive(candil.Call)
            received.set()
            await trio.sleep_forever()

        pid = candil.spawn(forgets)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(candil.call, pid, "ask")
            await received.wait()
            assert 1 == len(pid.process.owed)
            nursery.cancel_scope.cancel()

        assert {} == pid.process.owed


async def test_a_call_that_was_given_up_before_it_was_received_is_no_debt() -> None:
    """The late answer is dropped."""
    async with candil.open_node():
        received = trio.Event()

        async def answers_late() -> None:
            with trio.CancelScope(shield=True):
                await candil.receive(str)
            request = await candil.receive(candil.Call)
            assert {} == candil.self().process.owed
            request.reply("too late")
            request.reply("and twice")
            request.refuse(ValueError())
            received.set()

        pid = candil.spawn(answers_late)
        with trio.move_on_after(0) as scope:
            await candil.call(pid, "ask")
        candil.send(pid, "go on")
        await received.wait()

        assert scope.cancelled_caught


async def test_a_request_can_be_refused_with_an_error_of_ones_own() -> None:
    """It is raised at whoever waits."""

    async def refuses() -> None:
        request = await candil.receive(candil.Call)
        request.refuse(ZeroDivisionError("no"))

    async with candil.open_node():
        with pytest.raises(ZeroDivisionError, match="no"):
            await candil.call(candil.spawn(refuses), "ask")


# --- many


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["chain", "star"])
async def test_ten_thousand_linked_processes_die_together(shape: str) -> None:
    """Signals do not recurse, and nothing is left in any table."""
    count = 10_000
    async with candil.open_node() as node:

        async def link_to(other: candil.Pid[Any] | None) -> None:
            if other is not None:
                candil.link(other)
            await trio.sleep_forever()

        pids = [candil.spawn(link_to, None)]
        for _ in range(count - 1):
            pids.append(candil.spawn(link_to, pids[-1] if shape == "chain" else pids[0]))
        await wait_all_tasks_blocked()
        records = [pid.process for pid in pids]
        ref = candil.monitor(pids[-1])
        await candil.exit(pids[0], "boom")

        assert Down(ref, pids[-1], Exit("boom")) == await candil.receive()
        assert {Exit("boom")} == {record.reason for record in records}
        assert not any(record.links or record.watchers or record.monitors for record in records)
        assert {} == node.processes


async def test_tables_of_links_and_monitors_are_empty_when_all_have_ended() -> None:
    """Processes that link, watch, unlink and die in any order leave nothing behind."""
    rng = random.Random(7)

    async with candil.open_node(log=False) as node:
        survivor = candil.self()
        candil.trap_exit(True)
        pids: list[candil.Pid[Any]] = []
        for _ in range(150):
            pids.append(candil.spawn(_busy, pids, rng.random()))
        records = [pid.process for pid in pids]
        for pid in pids:
            candil.link(pid)
            candil.monitor(pid)
        while node.processes:
            await candil.receive(timeout=5)

        for record in records:
            assert record.reason is not None
            assert {} == record.links == record.monitors == record.watchers == record.owed
        assert {} == survivor.process.links == survivor.process.monitors


async def _busy(others: list[candil.Pid[Any]], seed: float) -> None:
    own = random.Random(seed)
    candil.trap_exit(own.random() < 0.5)
    refs: list[candil.Ref] = []
    for _ in range(30):
        other = own.choice(others)
        match own.randrange(6):
            case 0:
                candil.link(other)
            case 1:
                candil.unlink(other)
            case 2:
                refs.append(candil.monitor(other))
            case 3 if refs:
                candil.demonitor(refs.pop(), flush=own.random() < 0.5)
            case 4:
                await candil.exit(other, own.choice(["normal", "boom", "kill"]))
            case _:
                await trio.lowlevel.checkpoint()


# --- the record itself


async def test_join_waits_for_the_end_of_a_process(autojump_clock: MockClock) -> None:
    """For so many seconds, or for ever; and at once when it has ended."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        process = pid.process
        started = trio.current_time()
        assert await join(process, 3) is False
        assert 3 == pytest.approx(trio.current_time() - started)
        candil.exit_nowait(pid, "boom")

        assert await join(process, 3) is True
        assert await join(process, 3) is True
        assert await join(process, math.inf) is True
        assert {} == process.joining


async def test_a_record_reads_as_the_process_it_is_of() -> None:
    """For those who debug candil itself."""
    async with candil.open_node() as node:
        assert f"<Process of {candil.self()}>" == repr(node.block)


async def test_killing_what_has_ended_does_nothing() -> None:
    """Its reason stands."""
    async with candil.open_node():
        pid = candil.spawn(leave, "boom")
        process = pid.process
        await end_of(pid)
        kill(process)

        assert Exit("boom") == process.reason
        assert process.exiting is None


async def test_any_request_learns_that_its_debtor_has_ended() -> None:
    """A bare one names neither target nor request; its error is chained to the crash still."""
    async with candil.open_node(log=False):
        error = ValueError("the reason")
        pid = candil.spawn(crash, error)
        request = Request[int]()
        request.owed_by(pid.process)
        with pytest.raises(candil.ServerExited) as raised:
            await request.wait()

        assert error is raised.value.__cause__
        assert Crashed(error) == raised.value.reason


async def test_a_request_that_was_answered_learns_nothing_of_its_debtors_end() -> None:
    """Even if the debt was never struck off."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        request = Request[int]()
        request.owed_by(pid.process)
        request.put(7)
        await candil.exit(pid, "boom")

        assert 7 == await request.wait()


async def test_those_who_wait_for_a_process_to_settle_are_told_when_it_ends() -> None:
    """An end settles everything."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        slot = Slot[bool]()
        pid.process.settling = [slot]
        await candil.exit(pid, "boom")

        assert await slot.wait() is True
