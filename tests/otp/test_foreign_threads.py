"""Threads that trio does not run in: told to take the way through ``trio.from_thread``."""

import asyncio
from collections.abc import Callable

import pytest
import trio

import candil


class Plain(candil.GenServer):
    """Counts what it is sent."""

    def __init__(self) -> None:
        self.count = 0

    @candil.handle_call
    async def counted(self) -> int:
        return self.count

    def handle_info(self, _message: object) -> None:
        self.count += 1


async def test_a_send_from_a_foreign_thread_raises_and_breaks_nothing():
    """The server still wakes for the next message."""
    async with candil.open_node(log=False):
        pid = await candil.start(Plain)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match=r"another thread goes through trio\.from_thread"):
            await trio.to_thread.run_sync(candil.send, pid, 1)
        assert 0 == await Plain.counted(pid)
        await trio.to_thread.run_sync(trio.from_thread.run_sync, candil.send, pid, 2)
        assert 1 == await Plain.counted(pid)


async def test_an_exit_from_a_foreign_thread_raises_and_has_not_happened():
    """And says how it is done."""
    async with candil.open_node(log=False):
        pid = await candil.start(Plain)
        with pytest.raises(RuntimeError, match="from_thread"):
            await trio.to_thread.run_sync(candil.exit, pid, "boom")
        assert candil.is_alive(pid)
        await trio.to_thread.run_sync(trio.from_thread.run_sync, candil.exit, pid, "boom")
        await trio.testing.wait_all_tasks_blocked()
        assert not candil.is_alive(pid)


@pytest.mark.parametrize(
    "act",
    [
        lambda: candil.whereis("plain"),
        lambda: candil.send("plain", 1),
        lambda: candil.cast("plain", 1),
        lambda: candil.spawn(trio.sleep_forever),
        lambda: candil.emit("event"),
    ],
)
async def test_who_uses_a_name_in_a_foreign_thread_is_told_the_way(act):
    """In words of candil's, which trio's own cannot give."""
    async with candil.open_node(log=False):
        await candil.start(Plain, name="plain")
        with pytest.raises(RuntimeError, match=r"another thread goes through trio\.from_thread"):
            await trio.to_thread.run_sync(act)


def test_a_program_of_asyncio_is_told_that_candil_is_of_trio():
    """By whatever it tries first."""

    async def opens():
        async with candil.open_supervisor([Plain]):
            pass

    async def calls():
        await Plain.counted("plain")

    for main in (opens, calls):
        with pytest.raises(RuntimeError, match=r"trio\.run\(main\), not with asyncio\.run"):
            asyncio.run(main())


class Desk(candil.GenServer):
    """Answers later, in the two ways there are."""

    def __init__(self) -> None:
        self.answer = candil.Deferred[str]()
        self.callers: list[candil.Call] = []

    @candil.handle_call
    def ask(self) -> candil.Deferred[str]:
        return self.answer

    def handle_call(self, _request: object, caller: candil.Call) -> object:
        self.callers.append(caller)
        return candil.NO_REPLY


async def _ask(desk: candil.Pid[Desk], way: str, answers: list[object]) -> None:
    asked = Desk.ask(desk) if way == "deferred" else candil.call(desk, "other", timeout=1)
    try:
        answers.append(await asked)
    except candil.CallTimeout as error:
        answers.append(error)


async def _reply_of(desk: candil.Pid[Desk], way: str) -> Callable[[str], None]:
    state = await candil.sys.get_state(desk)
    return state.answer.reply if way == "deferred" else state.callers[0].reply


@pytest.mark.parametrize("way", ["deferred", "caller"])
async def test_a_reply_from_a_foreign_thread_raises_and_has_not_happened(way):
    """The caller still waits, and a later reply reaches it."""
    answers: list[object] = []
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        desk = await candil.start(Desk)
        nursery.start_soon(_ask, desk, way, answers)
        await trio.testing.wait_all_tasks_blocked()
        reply = await _reply_of(desk, way)
        with pytest.raises(RuntimeError, match=r"another thread goes through trio\.from_thread"):
            await trio.to_thread.run_sync(reply, "wrong")
        assert answers == []
        await trio.to_thread.run_sync(trio.from_thread.run_sync, reply, "right")
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["right"]


async def test_a_reply_from_a_foreign_thread_leaves_the_timeout(mock_clock):
    """The caller's time still runs out."""
    answers: list[object] = []
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        desk = await candil.start(Desk)
        nursery.start_soon(_ask, desk, "caller", answers)
        await trio.testing.wait_all_tasks_blocked()
        reply = await _reply_of(desk, "caller")
        with pytest.raises(RuntimeError, match="from_thread"):
            await trio.to_thread.run_sync(reply, "wrong")
        assert answers == []
        mock_clock.jump(2)
        await trio.testing.wait_all_tasks_blocked()
        assert [type(answer) for answer in answers] == [candil.CallTimeout]


async def test_a_deferred_that_no_call_has_yet_refuses_a_foreign_thread_too():
    """The thread would race with the handler that is about to return it."""
    answer = candil.Deferred[int]()
    with pytest.raises(RuntimeError, match="from_thread"):
        await trio.to_thread.run_sync(answer.reply, 1)
    answer.reply(2)
    assert answer.abandoned


async def test_one_deferred_for_many_callers_answers_none_from_a_foreign_thread():
    """Not even the first of them; afterwards it answers all."""
    answers: list[object] = []
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        desk = await candil.start(Desk)
        for _ in range(3):
            nursery.start_soon(_ask, desk, "deferred", answers)
        await trio.testing.wait_all_tasks_blocked()
        reply = await _reply_of(desk, "deferred")
        with pytest.raises(RuntimeError, match="from_thread"):
            await trio.to_thread.run_sync(reply, "wrong")
        reply("right")
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["right"] * 3
