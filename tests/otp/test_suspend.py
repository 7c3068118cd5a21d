"""Suspended servers: what waits, what ends them all the same, and changes of their code."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Down, ExitSignal, Killed, Normal, Shutdown, sys
from tests.otp.bodies import BOOM, end_of
from tests.otp.hosted import hosted
from tests.otp.servers import AsyncCodeChanger, CodeChanger, StateRecorder, TrappingStateRecorder
from tests.otp.workers import Boom

# --- messages wait


class Sifting(candil.GenServer):
    """Takes what it finds in its mailbox when its code is changed, and then waits."""

    def __init__(self, go_on: trio.Event) -> None:
        self.go_on = go_on

    async def code_change(self, _old_version: object, _extra: object) -> None:
        for _ in range(3):
            await candil.receive(str, timeout=0)
        await self.go_on.wait()

    def handle_info(self, message: object) -> None:
        """Take whatever comes."""


@hosted
async def test_a_resume_is_found_though_messages_before_it_were_taken_out() -> None:
    """A callback that receives moves all that is behind, and nothing of it is passed over."""
    go_on = trio.Event()
    pid = await candil.start(Sifting, go_on)
    await sys.suspend(pid)
    for _ in range(3):
        candil.send(pid, "taken out")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sys.change_code, pid)
        await wait_all_tasks_blocked()
        nursery.start_soon(sys.resume, pid)
        await wait_all_tasks_blocked()
        go_on.set()
        nursery.cancel_scope.deadline = trio.current_time() + 20

    assert not (await sys.statistics(pid)).suspended


@hosted
async def test_a_suspended_server_handles_nothing_until_it_is_resumed() -> None:
    """Then everything in its order: casts, messages, calls."""
    log: list[Any] = []
    pid = await candil.start(StateRecorder, log)
    await sys.suspend(pid)
    StateRecorder.note(pid, 1)
    candil.send(pid, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(candil.call, pid, "echo", 3)
        await wait_all_tasks_blocked()
        StateRecorder.note(pid, 4)
        await wait_all_tasks_blocked()
        assert [] == log
        await sys.resume(pid)
    await wait_all_tasks_blocked()

    assert [1, 2, ("echo", 3), 4] == log


@hosted
async def test_a_call_to_a_suspended_server_expires_and_is_handled_later(
    autojump_clock: MockClock,
) -> None:
    """The plain handler too, which its caller would else run in place."""
    log: list[Any] = []
    pid = await candil.start(StateRecorder, log)
    await sys.suspend(pid)
    with pytest.raises(candil.CallTimeout):
        await candil.call(pid, "echo", 1, timeout=2)
    assert [] == log
    await sys.resume(pid)

    assert 2 == await candil.call(pid, "echo", 2)
    assert [("echo", 1), ("echo", 2)] == log


@hosted
async def test_what_came_before_the_suspension_is_handled() -> None:
    """The request keeps its place in the mailbox."""
    log: list[Any] = []
    pid = await candil.start(StateRecorder, log)
    StateRecorder.note(pid, 1)
    await sys.suspend(pid)

    assert [1] == log


@hosted
async def test_suspending_twice_is_suspending_once() -> None:
    """One resume ends it; one more changes nothing."""
    pid = await candil.start(StateRecorder)
    await sys.suspend(pid)
    await sys.suspend(pid)
    await sys.resume(pid)
    assert 1 == await candil.call(pid, "echo", 1)
    await sys.resume(pid)

    assert 2 == await candil.call(pid, "echo", 2)


@hosted
async def test_a_suspended_server_still_answers_about_itself() -> None:
    """Requests pass the messages that wait, and these keep their order."""
    log: list[Any] = []
    pid = await candil.start(StateRecorder, log)
    await sys.suspend(pid)
    for number in range(3):
        StateRecorder.note(pid, number)
        assert log is (await sys.get_state(pid)).log
        assert number + 1 == (await sys.statistics(pid)).message_queue_len
    await sys.resume(pid)
    await wait_all_tasks_blocked()

    assert [0, 1, 2] == log


@hosted
async def test_anothers_exit_waits_for_the_resumption() -> None:
    """It is a message like any other."""
    log: list[Any] = []
    pid = await candil.start_link(TrappingStateRecorder, log)
    await sys.suspend(pid)
    stranger = candil.spawn(_signals, pid)
    StateRecorder.note(pid, 1)
    await end_of(stranger)
    StateRecorder.note(pid, 2)
    assert [] == log
    await sys.resume(pid)
    await candil.call(pid, "echo")
    assert [1, ExitSignal(stranger, BOOM), 2, ("echo", None)] == log


async def _signals(pid: candil.Pid[Any]) -> None:
    await wait_all_tasks_blocked()
    candil.exit(pid, "boom")


@hosted
async def test_a_server_that_was_suspended_in_a_callback_still_does_what_that_asked_for() -> None:
    """It continues first, and is suspended then."""
    log: list[Any] = []
    pid = await candil.start(StateRecorder, log)
    async with trio.open_nursery() as nursery:
        StateRecorder.do(pid, lambda: candil.continue_with("more"))
        nursery.start_soon(sys.suspend, pid)
        await wait_all_tasks_blocked()
    StateRecorder.note(pid, "queued")
    await wait_all_tasks_blocked()

    assert [("continue", "more")] == log


@hosted
async def test_a_supervisor_can_be_asked_too() -> None:
    """It is a server like any other: suspended, it restarts nobody until it is resumed."""
    top = await candil.start_link(
        candil.supervisor_spec([candil.child_spec(StateRecorder, name="recorder")]),
    )
    await sys.suspend(top)
    pid = candil.whereis("recorder")
    assert pid is not None
    candil.exit(pid, "boom")
    await wait_all_tasks_blocked()
    assert None is candil.whereis("recorder")
    await sys.resume(top)
    await wait_all_tasks_blocked()

    assert candil.whereis("recorder") not in {None, pid}


# --- it ends all the same


@hosted
async def test_a_suspended_server_can_be_stopped() -> None:
    """Its terminate runs; what had queued up is not handled."""
    log: list[Any] = []
    pid, ref = await candil.start_monitor(StateRecorder, log)
    await sys.suspend(pid)
    StateRecorder.note(pid, "queued")
    await candil.stop(pid, "shutdown")

    assert Down(ref, pid, Shutdown()) == await candil.receive()
    assert [("terminate", Shutdown())] == log


@hosted
@pytest.mark.parametrize("reason", [Shutdown(), Normal(), BOOM], ids=repr)
async def test_a_parents_death_ends_a_suspended_server(reason: candil.ExitReason) -> None:
    """OTP's suspend_loop: terminate runs, before all that waits."""
    log: list[Any] = []
    block = candil.self()

    async def parent() -> None:
        candil.send(block, await candil.start_link(TrappingStateRecorder, log))
        raise candil.ProcessExit(await candil.receive())

    parents_pid = candil.spawn(parent)
    pid: candil.Pid[Any] = await candil.receive(candil.Pid)
    ref = candil.monitor(pid)
    await sys.suspend(pid)
    candil.exit(pid, "another's shutdown")
    StateRecorder.note(pid, "queued")
    candil.send(parents_pid, reason)

    assert Down(ref, pid, reason) == await candil.receive()
    assert [("terminate", reason)] == log


@hosted
async def test_a_parents_signal_ends_a_suspended_server() -> None:
    """As its death does, and what is queued ahead is not handled."""
    log: list[Any] = []
    pid = await candil.start_link(TrappingStateRecorder, log)
    await sys.suspend(pid)
    candil.send(pid, "queued")
    candil.exit(pid, "shutdown")

    assert ExitSignal(pid, Shutdown()) == await candil.receive()
    assert [("terminate", Shutdown())] == log


@hosted
async def test_a_signal_ends_a_suspended_server_that_does_not_trap() -> None:
    """Suspension is no protection."""
    pid, ref = await candil.start_monitor(StateRecorder)
    await sys.suspend(pid)
    candil.exit(pid, "boom")

    assert Down(ref, pid, BOOM) == await candil.receive()


@hosted
async def test_a_suspended_server_can_be_killed() -> None:
    """And its queued callers are told."""
    pid = await candil.start(TrappingStateRecorder)
    await sys.suspend(pid)

    async def ask() -> None:
        with pytest.raises(candil.ServerExited) as caught:
            await StateRecorder.echo(pid, 1)
        assert Killed() == caught.value.reason

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        candil.exit(pid, "kill")


# --- changes of its code


@hosted
@pytest.mark.parametrize("cls", [CodeChanger, AsyncCodeChanger])
async def test_a_code_change_runs_in_a_suspended_server(cls: type[CodeChanger]) -> None:
    """With the version and the argument that it was given, as the server, before what waits."""
    log: list[Any] = []
    pid = await candil.start(cls, log)
    seen: list[object] = []
    await sys.suspend(pid)
    StateRecorder.note(pid, "queued")
    await sys.change_code(pid, ("1", 0), "extra")
    assert [(("1", 0), "extra")] == log
    await sys.change_code(pid, 2, lambda: seen.append(candil.self()))
    assert [pid] == seen
    await sys.resume(pid)
    await wait_all_tasks_blocked()

    assert "queued" == log[-1]


@hosted
async def test_a_server_that_runs_changes_no_code() -> None:
    """The error says what to do first."""
    log: list[Any] = []
    pid = await candil.start(CodeChanger, log, name="recorder")
    with pytest.raises(RuntimeError, match="suspend"):
        await sys.change_code("recorder")

    assert [] == log
    assert 1 == await candil.call(pid, "echo", 1)


@hosted
async def test_a_code_change_needs_its_callback() -> None:
    """OTP's {error, {'EXIT', undef}}; the server goes on as it was, still suspended."""
    pid = await candil.start(StateRecorder)
    await sys.suspend(pid)
    with pytest.raises(candil.UndefinedCallback) as caught:
        await sys.change_code(pid, 1)

    assert ("StateRecorder", "code_change", 1) == (
        caught.value.server,
        caught.value.callback,
        caught.value.message,
    )
    assert (await sys.statistics(pid)).suspended


@hosted
@pytest.mark.parametrize("cls", [CodeChanger, AsyncCodeChanger])
async def test_a_code_change_that_fails_is_the_askers_error(cls: type[CodeChanger]) -> None:
    """The server goes on."""
    pid = await candil.start(cls)
    await sys.suspend(pid)

    def fail() -> None:
        raise Boom

    with pytest.raises(Boom):
        await sys.change_code(pid, 1, fail)
    assert (await sys.statistics(pid)).suspended
    await sys.resume(pid)

    assert 1 == await candil.call(pid, "echo", 1)


@hosted
@pytest.mark.parametrize("cls", [CodeChanger, AsyncCodeChanger])
async def test_what_a_code_change_asks_for_does_not_end_the_suspension(
    cls: type[CodeChanger],
) -> None:
    """A continuation runs at once; what is queued waits until the server is resumed."""
    log: list[Any] = []
    pid = await candil.start(cls, log)
    await sys.suspend(pid)
    StateRecorder.note(pid, "queued")
    await sys.change_code(pid, 1, lambda: candil.continue_with("more"))
    await wait_all_tasks_blocked()
    assert (await sys.statistics(pid)).suspended
    assert [("continue", "more")] == log[1:]
    await sys.resume(pid)
    await wait_all_tasks_blocked()

    assert [("continue", "more"), "queued"] == log[1:]


@hosted
@pytest.mark.parametrize("cls", [CodeChanger, AsyncCodeChanger])
async def test_a_code_change_may_stop_its_server(cls: type[CodeChanger]) -> None:
    """Suspended as it is, it terminates; who asked has been answered."""
    pid, ref = await candil.start_monitor(cls)
    await sys.suspend(pid)
    await sys.change_code(pid, 1, lambda: candil.stop_self(BOOM))

    assert Down(ref, pid, BOOM) == await candil.receive()


@hosted
async def test_a_server_that_is_killed_in_a_code_change_is_the_error() -> None:
    """The request that it was at is owed as well as those that wait."""

    class Stuck(StateRecorder):
        """Never finishes its code change."""

        async def code_change(self, old_version: object, extra: object) -> None:
            await trio.sleep_forever()

    pid = await candil.start(Stuck)
    await sys.suspend(pid)

    async def ask() -> None:
        with pytest.raises(candil.ServerExited) as caught:
            await sys.change_code(pid)
        assert Killed() == caught.value.reason

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        candil.exit(pid, "kill")
