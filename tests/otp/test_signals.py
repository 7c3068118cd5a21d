"""exit and trap_exit as a program uses them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Exit, ExitSignal, Killed, NoProc
from tests.otp.bodies import clean_up, end_of, wait_for_ever


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


async def test_exit_returns_at_once() -> None:
    """The target ends at its next checkpoint, and its cleanup runs after that."""
    log: list[str] = []

    async with candil.open_node():
        pid = candil.spawn(clean_up, log)
        await wait_all_tasks_blocked()
        assert candil.exit(pid, "boom") is None
        assert pid.process is not None
        assert not candil.is_alive(pid)
        assert [] == log

        assert Exit("boom") == await end_of(pid)
        assert ["clean"] == log


async def test_exit_works_in_a_task_that_is_no_process() -> None:
    """The signal then comes from nobody."""
    async with trio.open_nursery() as nursery:
        target, trapping = await nursery.start(_tree_of_two)
        candil.exit(target, "boom")
        candil.exit(trapping, "boom")

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
            candil.exit(name, "boom")

            assert Exit("boom") == await end_of(pid)


@pytest.mark.parametrize("target", [None, "nobody", candil.Name("nobody"), candil.Via("no", 1)])
async def test_exit_of_a_name_that_nobody_holds_raises_noproc(target: Any) -> None:
    """As OTP's badarg does."""
    async with candil.open_node():
        with pytest.raises(NoProc):
            candil.exit(target, "boom")


async def test_exit_of_oneself_takes_effect_at_the_next_checkpoint() -> None:
    """Nothing after that runs."""
    log = []

    async def ends_itself(reason: str) -> None:
        candil.exit(candil.self(), reason)
        log.append("before")
        await trio.lowlevel.checkpoint()
        log.append("after")

    async with candil.open_node():
        assert Exit("boom") == await end_of(candil.spawn(ends_itself, "boom"))
        assert Killed() == await end_of(candil.spawn(ends_itself, "kill"))
        assert ["before", "before"] == log


async def test_exit_of_oneself_while_trapping_is_a_message() -> None:
    """A process that traps gets its own signal, with itself as the sender."""
    async with candil.open_node():
        candil.trap_exit(True)
        candil.exit(candil.self(), "boom")

        assert ExitSignal(candil.self(), Exit("boom")) == await candil.receive()


# --- exit in every callback of a server whose child ends slowly or calls it back ------------------


async def _calls_its_parent(parent: candil.Pid[Any], answers: list[object]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            answers.append(await candil.call(parent, "name"))


class Parent(candil.GenServer):
    """Starts a helper, and ends it in the callback that the test chooses."""

    def __init__(self, where: str, answers: list[object]) -> None:
        self.where = where
        self.answers = answers

    def init(self) -> None:
        candil.trap_exit(True)
        self.helper = candil.spawn_link(_calls_its_parent, candil.self(), self.answers)

    def end(self, where: str) -> None:
        if where == self.where:
            candil.exit(self.helper, "boom")

    @candil.handle_call
    def name(self) -> str:
        return "parent"

    @candil.handle_call
    async def called(self) -> str:
        self.end("call")
        await trio.lowlevel.checkpoint()
        return "done"

    @candil.handle_call
    def called_in_place(self) -> str:
        self.end("call in place")
        return "done"

    @candil.handle_cast
    async def told(self) -> None:
        await trio.lowlevel.checkpoint()
        self.end("cast")

    async def handle_info(self, message: object) -> None:
        self.end("info" if message == "now" else "exit signal")
        if message == "go on":
            candil.continue_with()

    async def handle_continue(self, _argument: object) -> None:
        self.end("continue")

    async def terminate(self, _reason: candil.ExitReason) -> None:
        self.end("terminate")


@pytest.mark.parametrize(
    "where", ["call", "call in place", "cast", "info", "continue", "terminate", "another process"]
)
async def test_exit_in_any_callback_does_not_hold_up_its_server(
    where: str, autojump_clock: MockClock
) -> None:
    """Not even when the one that ends calls that server in its cleanup."""
    answers: list[object] = []
    async with candil.open_node(log=False):
        pid = await candil.start(Parent, where, answers)
        await wait_all_tasks_blocked()
        with trio.fail_after(20):
            assert await Parent.called(pid) == "done"
            assert await Parent.called_in_place(pid) == "done"
            Parent.told(pid)
            candil.send(pid, "now")
            candil.send(pid, "go on")
            if where == "another process":
                candil.exit(next(iter(pid.process.links)).pid, "boom")
            if where != "terminate":
                await wait_all_tasks_blocked()
                assert ["parent"] == answers
            await candil.stop(pid)


async def test_exit_in_terminate_lets_a_tree_close_however_long_it_may_take(
    autojump_clock: MockClock,
) -> None:
    """``shutdown=math.inf`` waits for the server, and the server for nothing."""
    child = candil.child_spec(Parent, "terminate", [], shutdown=math.inf)
    with trio.fail_after(20):
        async with candil.open_supervisor([child], log=False):
            pass
