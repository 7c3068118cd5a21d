"""Exit signals to a server: those of its parent, of anybody else, and its own."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio
import trio.testing

import candil
from tests.otp.bodies import BOOM, end_of, wait_for_ever
from tests.otp.recorders import all_handled
from tests.otp.servers import AsyncRecorder, AsyncTrapper, Recorder, Trapper

# --- its parent's


async def child_of_another(
    kind: type[Recorder], log: list[Any]
) -> tuple[candil.Pid[Any], candil.Pid[Any]]:
    """Have a process start a server, and end with the reason that it is sent; give both."""
    block = candil.self()

    async def parent() -> None:
        candil.send(block, await candil.start_link(kind, log))
        raise candil.ProcessExit(await candil.receive())

    pid = candil.spawn(parent)
    return pid, await candil.receive(candil.Pid)


@pytest.mark.parametrize(
    "reason", [candil.Normal(), candil.Shutdown(), candil.Shutdown("x"), BOOM], ids=repr
)
async def test_a_parents_signal_ends_a_trapping_server_by_terminate(
    reason: candil.ExitReason,
) -> None:
    """Any reason does, also normal; it never gets to handle_info."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = await candil.start_link(Trapper, log)
        candil.exit(pid, reason)
        assert await candil.receive() == candil.ExitSignal(pid, reason)
    assert log == [("terminate", reason)]


@pytest.mark.parametrize("kind", [Trapper, AsyncTrapper])
@pytest.mark.parametrize("reason", [candil.Normal(), candil.Shutdown(), BOOM], ids=repr)
async def test_a_parents_death_ends_a_trapping_server_by_terminate(
    reason: candil.ExitReason, kind: type[Recorder]
) -> None:
    """The link's signal counts as the parent's own, also for a normal end."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        parent, child = await child_of_another(kind, log)
        candil.send(parent, reason)
        assert await end_of(child) == reason
    assert log == [("terminate", reason)]


@pytest.mark.parametrize("kind", [Recorder, AsyncRecorder])
async def test_a_parent_takes_a_server_that_does_not_trap_along(kind: type[Recorder]) -> None:
    """It dies of the same reason, as any linked process does, and terminate does not run."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        parent, child = await child_of_another(kind, log)
        candil.exit(parent, "boom")
        assert await end_of(child) == BOOM
    assert log == []


@pytest.mark.parametrize("kind", [Recorder, AsyncRecorder])
async def test_a_parent_that_ends_normally_leaves_its_server_alone(kind: type[Recorder]) -> None:
    """A link carries normal to those only who trap."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        parent, child = await child_of_another(kind, log)
        candil.send(parent, "normal")
        await end_of(parent)
        assert await Recorder.act(child, lambda: "alive") == "alive"
        assert log == []


# --- anybody's


@pytest.mark.parametrize("start", [candil.start, candil.start_link])
@pytest.mark.parametrize("reason", [candil.Shutdown(), BOOM], ids=repr)
async def test_a_signal_ends_a_server_that_does_not_trap_without_terminate(
    reason: candil.ExitReason, start: Any
) -> None:
    """Not even its parent's shutdown runs it; the reason is the signal's."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = await start(Recorder, log)
        ref = candil.monitor(pid)
        candil.exit(pid, reason)
        assert await candil.receive(candil.Down) == candil.Down(ref, pid, reason)
    assert log == []


@pytest.mark.parametrize("kind", [Recorder, Trapper])
@pytest.mark.parametrize("busy", [False, True])
async def test_a_kill_ends_any_server_without_terminate(kind: type[Recorder], busy: bool) -> None:
    """Trapping or not, idle or in the middle of a handler."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(kind, log)
        if busy:
            candil.cast(pid, wait_for_ever)
        await trio.testing.wait_all_tasks_blocked()
        candil.exit(pid, "kill")
        assert (await candil.receive(candil.Down)).reason == candil.Killed()
    assert log == []


@pytest.mark.parametrize("reason", [candil.Normal(), candil.Shutdown(), BOOM], ids=repr)
async def test_a_signal_of_anybody_else_is_a_message_for_a_server_that_traps(
    reason: candil.ExitReason,
) -> None:
    """Not even a shutdown ends it, if it is not the parent's."""

    async def stranger(target: candil.Pid[Any]) -> None:
        candil.exit(target, reason)

    async with candil.open_node(log=False):
        pid = await candil.start_link(Trapper)
        other = candil.spawn(stranger, pid)
        await end_of(other)
        assert await all_handled(pid) == [("info", candil.ExitSignal(other, reason))]


@pytest.mark.parametrize("reason", [candil.Normal(), candil.Shutdown(), BOOM], ids=repr)
async def test_a_server_that_was_started_without_a_link_has_no_parent(
    reason: candil.ExitReason,
) -> None:
    """Its starter's signal is like anybody else's."""
    async with candil.open_node(log=False):
        pid = await candil.start(Trapper)
        candil.exit(pid, reason)
        assert await all_handled(pid) == [("info", candil.ExitSignal(candil.self(), reason))]
        await candil.stop(pid)


@pytest.mark.parametrize("reason", [candil.Normal(), candil.Shutdown(), BOOM], ids=repr)
async def test_the_signal_of_who_monitors_a_server_from_its_start_is_its_parents(
    reason: candil.ExitReason,
) -> None:
    """OTP's start_monitor makes its caller the parent, as start_link does, only without a link."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Trapper, log)
        candil.exit(pid, reason)
        assert await candil.receive() == candil.Down(ref, pid, reason)
    assert log == [("terminate", reason)]


async def test_the_end_of_who_monitors_a_server_from_its_start_is_nothing_to_it() -> None:
    """There is no link: the parent's signal counts, its death does not."""

    async def parent(tell: candil.Pid[Any]) -> None:
        candil.send(tell, (await candil.start_monitor(Trapper))[0])

    async with candil.open_node(log=False):
        adult = candil.spawn(parent, candil.self())
        child = await candil.receive(candil.Pid)
        await end_of(adult)
        assert await all_handled(child) == []
        await candil.stop(child)


@pytest.mark.parametrize("reason", [candil.Normal(), candil.Shutdown(), BOOM], ids=repr)
async def test_a_server_without_a_parent_is_its_own(reason: candil.ExitReason) -> None:
    """OTP's start: an exit signal that a trapping server sends itself ends it by terminate."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid = await candil.start(Trapper, log)
        candil.monitor(pid)
        await Recorder.act_at_once(pid, lambda: candil.exit(pid, reason))
        assert (await candil.receive(candil.Down)).reason == reason
    assert log == [("terminate", reason)]


@pytest.mark.parametrize("kind", [Recorder, Trapper])
async def test_a_handler_that_links_takes_part_in_the_others_end(kind: type[Recorder]) -> None:
    """Without trapping the server dies of it, without terminate; trapping, it gets a message."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(kind, log)
        other = candil.spawn(wait_for_ever)
        await Recorder.act_at_once(pid, lambda: candil.link(other))
        candil.exit(other, "boom")
        if kind is Recorder:
            assert (await candil.receive(candil.Down)).reason == BOOM
            assert log == []
        else:
            await trio.testing.wait_all_tasks_blocked()
            assert await all_handled(pid) == [("info", candil.ExitSignal(other, BOOM))]
            await candil.stop(pid)


# --- in the middle of something


async def test_a_signal_from_within_ends_a_server_before_anything_else() -> None:
    """Nothing is handled after the process was told to end: no message, and no continue."""
    log: list[Any] = []

    def end() -> None:
        candil.exit(candil.self(), "boom")

    def end_and_go_on() -> None:
        end()
        candil.continue_with("never")

    def go_on_and_end() -> None:
        candil.continue_with(end_and_go_on)
        candil.continue_with("neither")

    async with candil.open_node(log=False):
        for action in (end, end_and_go_on, go_on_and_end):
            pid, _ = await candil.start_monitor(Recorder, log)
            candil.send(pid, action)
            candil.send(pid, "queued")
            assert (await candil.receive(candil.Down)).reason == BOOM
    assert log == []


@pytest.mark.parametrize(
    "error", [ValueError("x"), candil.ProcessExit("other"), SystemExit(1)], ids=repr
)
async def test_a_signal_stands_whatever_the_handler_it_cancels_raises(
    error: BaseException,
) -> None:
    """A process is told to end once: no other reason counts, and terminate does not run."""
    log: list[Any] = []

    async def clean_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise error

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Recorder, log)
        candil.cast(pid, clean_up)
        await trio.testing.wait_all_tasks_blocked()
        candil.exit(pid, "boom")
        assert (await candil.receive(candil.Down)).reason == BOOM
    assert log == []


async def test_a_handler_that_swallows_its_cancellation_is_the_last_one() -> None:
    """The loop itself notices that the process was told to end."""
    log: list[Any] = []

    async def swallow() -> None:
        with contextlib.suppress(trio.Cancelled):
            await trio.sleep_forever()

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Recorder, log)
        candil.cast(pid, swallow)
        candil.send(pid, "queued")
        await trio.testing.wait_all_tasks_blocked()
        candil.exit(pid, "boom")
        assert (await candil.receive(candil.Down)).reason == BOOM
    assert log == []


async def test_a_signal_that_comes_during_terminate_is_only_a_message_if_trapped() -> None:
    """Nobody reads it any more: the first reason stands."""
    go_on = trio.Event()

    class Patient(Trapper):
        async def terminate(self, reason: candil.ExitReason) -> None:
            await go_on.wait()

    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = await candil.start_link(Patient)
        candil.exit(pid, "shutdown")
        await trio.testing.wait_all_tasks_blocked()
        candil.exit(pid, "boom")
        await trio.testing.wait_all_tasks_blocked()
        assert candil.is_alive(pid)
        go_on.set()
        assert await candil.receive() == candil.ExitSignal(pid, candil.Shutdown())
