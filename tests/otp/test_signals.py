"""exit, exit_nowait and trap_exit as a program uses them."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

import candil
from candil import Down, Exit, ExitSignal, Killed, NoProc
from candil._otp.processes.runtime import current_process
from tests.otp.bodies import clean_up, end_of, linger, trap, wait_for_ever


async def test_trap_exit_gives_what_it_was_before() -> None:
    """So that a library can put it back."""
    async with candil.open_node():
        assert candil.trap_exit(True) is False
        assert candil.trap_exit(True) is True
        assert candil.trap_exit(False) is True
        assert candil.process_info(candil.self()).trap_exit is False


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("trap_exit", lambda: candil.trap_exit(True)),
        ("link", lambda: candil.link(candil.Pid("local", 1, 1, "x"))),
        ("unlink", lambda: candil.unlink(candil.Pid("local", 1, 1, "x"))),
        ("monitor", lambda: candil.monitor("x")),
        ("demonitor", lambda: candil.demonitor(candil.Ref(1))),
        ("self", candil.self),
    ],
)
async def test_what_needs_a_process_says_so_in_a_task_that_is_none(name: str, act: Any) -> None:
    """The error names the function and where to call it."""
    with pytest.raises(RuntimeError, match=rf"candil\.{name}\(\) needs a process.*open_node"):
        act()


async def test_exit_returns_when_the_target_has_ended() -> None:
    """Its cleanup has run."""
    log = []

    async with candil.open_node():
        pid = candil.spawn(clean_up, log)
        await wait_all_tasks_blocked()
        await candil.exit(pid, "boom")

        assert ["clean"] == log
        assert pid.process is None


async def test_exit_returns_at_once_when_the_signal_does_not_end_the_target(
    autojump_clock: MockClock,
) -> None:
    """It was ignored, or has become a message."""
    async with candil.open_node():
        plain = candil.spawn(wait_for_ever)
        trapping = candil.spawn(trap, candil.self())
        await wait_all_tasks_blocked()
        with trio.fail_after(20):
            await candil.exit(plain, "normal")
            await candil.exit(trapping, "boom")

        assert candil.is_alive(plain)
        assert candil.is_alive(trapping)


async def test_exit_is_a_checkpoint_even_if_it_need_not_wait() -> None:
    """A request or an exit signal that is there already ends the wait, but others have a turn."""
    async with candil.open_node():
        candil.trap_exit(True)
        first, second = candil.spawn_link(wait_for_ever), candil.spawn(wait_for_ever)
        await candil.exit(first, "boom")
        assert 1 == candil.process_info(candil.self()).message_queue_len
        with assert_checkpoints():
            await candil.exit(second, "boom")


async def test_exit_works_in_a_task_that_is_no_process(
    autojump_clock: MockClock,
) -> None:
    """The signal then comes from nobody."""
    async with trio.open_nursery() as nursery:
        target, trapping = await nursery.start(_tree_of_two)
        await candil.exit(target, "boom")
        await candil.exit(trapping, "boom")

        assert not candil.is_alive(target)
        assert ExitSignal(None, Exit("boom")) == trapping.process.mailbox[0]
        nursery.cancel_scope.cancel()


async def _tree_of_two(task_status: Any) -> None:
    async def traps() -> None:
        candil.trap_exit(True)
        await trio.sleep_forever()

    async with candil.open_node():
        pids = candil.spawn(wait_for_ever), candil.spawn(traps)
        await wait_all_tasks_blocked()
        task_status.started(pids)
        await trio.sleep_forever()


async def test_exit_by_name() -> None:
    """str, Name and Via name a process as well as its pid does."""
    async with candil.open_node():
        for name in ("x", candil.Name("x"), candil.Via("x", 1)):
            pid = candil.spawn(wait_for_ever, name=name)
            await candil.exit(name, "boom")

            assert not candil.is_alive(pid)


@pytest.mark.parametrize("target", [None, "nobody", candil.Name("nobody"), candil.Via("no", 1)])
async def test_exit_of_a_name_that_nobody_holds_raises_noproc(target: Any) -> None:
    """As OTP's badarg does."""
    async with candil.open_node():
        with pytest.raises(NoProc):
            candil.exit_nowait(target, "boom")
        with pytest.raises(NoProc):
            await candil.exit(target, "boom")


async def test_exit_of_oneself_takes_effect_at_once() -> None:
    """Nothing after it runs."""
    log = []

    async def ends_itself(reason: str) -> None:
        await candil.exit(candil.self(), reason)
        log.append("went on")

    async with candil.open_node():
        assert Exit("boom") == await end_of(candil.spawn(ends_itself, "boom"))
        assert Killed() == await end_of(candil.spawn(ends_itself, "kill"))
        assert [] == log


async def test_exit_of_oneself_while_trapping_is_a_message() -> None:
    """A process that traps gets its own signal, with itself as the sender."""
    async with candil.open_node():
        candil.trap_exit(True)
        await candil.exit(candil.self(), "boom")

        assert ExitSignal(candil.self(), Exit("boom")) == await candil.receive()


async def test_a_cancelled_exit_has_sent_its_signal() -> None:
    """Only the wait ends, and leaves no trace at the target."""
    async with candil.open_node():
        done = trio.Event()
        pid = candil.spawn(linger, done)
        await wait_all_tasks_blocked()
        record = pid.process
        with trio.move_on_after(0) as scope:
            await candil.exit(pid, "boom")

        assert scope.cancelled_caught
        assert not record.exit_waiters
        assert Exit("boom") == record.exit_requested
        done.set()
        assert Exit("boom") == await end_of(pid)


async def test_two_processes_may_end_each_other() -> None:
    """Neither waits for the other for ever."""

    async def fights(other_of: dict[str, candil.Pid[Any]], other: str) -> None:
        await trio.lowlevel.checkpoint()
        await candil.exit(other_of[other], "boom")

    async with candil.open_node():
        pids: dict[str, candil.Pid[Any]] = {}
        pids["a"] = candil.spawn(fights, pids, "b")
        pids["b"] = candil.spawn(fights, pids, "a")
        for pid in pids.values():
            candil.monitor(pid)
        with trio.fail_after(20):
            ends = [(await candil.receive(Down)).reason for _ in pids]

        assert Exit("boom") in ends


async def test_exit_within_a_process_stops_waiting_when_somebody_asks_something_of_it() -> None:
    """A target whose cleanup calls whoever ends it does not deadlock."""

    async def calls_in_cleanup(ender: candil.Pid[Any], answers: list[object]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                answers.append(await candil.call(ender, "may I?"))

    async with candil.open_node():
        answers: list[object] = []
        pid = candil.spawn(calls_in_cleanup, candil.self(), answers)
        await wait_all_tasks_blocked()
        candil.send(candil.self(), "an ordinary message does not end the wait")
        with trio.fail_after(20):
            await candil.exit(pid, "boom")
        request = await candil.receive(candil.Call)
        request.reply("yes")
        await end_of(pid)

        assert ["yes"] == answers


async def test_exit_in_another_task_of_a_process_leaves_its_mailbox_alone() -> None:
    """Only the process's own task waits among its messages."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        got = []

        async def receives() -> None:
            got.append(await candil.receive(str))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receives)
            nursery.start_soon(candil.exit, pid, "boom")
            await wait_all_tasks_blocked()
            candil.send(candil.self(), "hello")

        assert ["hello"] == got
        assert not candil.is_alive(pid)


async def test_exit_in_a_process_whose_other_task_receives_waits_all_the_same() -> None:
    """The receiving task keeps the mailbox; exit waits beside it."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        await wait_all_tasks_blocked()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(candil.receive, str)
            await wait_all_tasks_blocked()
            await candil.exit(pid, "boom")
            assert not candil.is_alive(pid)
            candil.send(candil.self(), "done")


async def test_exit_of_a_child_waits_until_its_supervisor_has_dealt_with_it() -> None:
    """When it returns, the replacement is there."""
    async with candil.open_supervisor([candil.child_spec(wait_for_ever, id="a", name="a")]):
        first = candil.whereis("a")
        await candil.exit("a", "boom")
        second = candil.whereis("a")

        assert second is not None
        assert first is not second


async def test_exit_from_outside_waits_for_the_supervisor_as_well() -> None:
    """The same holds for a task that is no process."""

    async def outside(seen: list[object]) -> None:
        current_process.set(None)
        await candil.exit("a", "boom")
        seen.append(candil.whereis("a"))

    async with candil.open_supervisor([candil.child_spec(wait_for_ever, id="a", name="a")]):
        first = candil.whereis("a")
        seen: list[object] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outside, seen)

        assert [None] != seen
        assert [first] != seen


async def test_exit_returns_when_the_supervisor_gives_up() -> None:
    """It does not wait for a supervisor that has ended."""

    async def block() -> None:
        async with candil.open_supervisor(
            [candil.child_spec(wait_for_ever, id="a", name="a")], max_restarts=0
        ):
            await candil.exit("a", "boom")
            await trio.sleep_forever()

    with trio.fail_after(20), pytest.raises(candil.RestartIntensityExceeded):
        await block()
