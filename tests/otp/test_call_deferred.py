"""Answers that are given after the handler has returned, by whoever has them."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import trio
import trio.testing

import candil
from candil._otp.processes.process import Process
from tests.otp.bodies import BOOM
from tests.otp.scripted import WAYS, driver, own_record, record
from tests.otp.servers import ScriptedServer


@pytest.mark.parametrize("way", WAYS)
async def test_a_deferred_answer_reaches_the_caller_when_it_is_given(way: str) -> None:
    """
    The handler returns; the server handles other messages; the answer comes when somebody has it.
    """
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        ask = await driver(way)
        answers: list[object] = []

        async def wait() -> None:
            answers.append(await ask("later"))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert await ScriptedServer.echo(ask.pid, "meanwhile") == "meanwhile"
        assert answers == []
        assert not ask.instance.kept[0].abandoned
        ask.instance.kept[0].reply("at last")
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["at last"]
        assert ask.instance.kept[0].abandoned
        assert not ask.process.pending


class _Waiting:
    """Stands for a call; counts how often somebody looks whether it is done."""

    looks = 0

    @property
    def done(self) -> bool:
        type(self).looks += 1
        return False

    def attach(self, _process: object) -> None:
        """Do nothing."""


def test_thousands_may_wait_for_one_deferred() -> None:
    """Who comes does not have all looked through that wait already."""
    deferred, process = candil.Deferred[None](), cast("Process", None)
    for _ in range(1000):
        deferred.answers(cast("candil.Call", _Waiting()), process)

    assert _Waiting.looks < 3000


@pytest.mark.parametrize("way", WAYS)
async def test_a_deferred_that_has_its_value_already_answers_at_once(way: str) -> None:
    """reply() before the handler returns is as good as after it."""

    def answered(_: ScriptedServer) -> candil.Deferred[int]:
        deferred = candil.Deferred[int]()
        deferred.reply(1)
        deferred.reply(2)
        return deferred

    async with candil.open_node(log=False):
        ask = await driver(way)
        assert await ask("act", answered) == 1
        assert not ask.process.pending


async def test_a_deferred_may_be_answered_by_another_process() -> None:
    """Whoever holds it answers, and the server's own work goes on."""

    async def worker(deferred: candil.Deferred[str]) -> None:
        deferred.reply(repr(candil.self()))

    def delegate(_: ScriptedServer) -> candil.Deferred[str]:
        deferred = candil.Deferred[str]()
        candil.spawn(worker, deferred)
        return deferred

    async with candil.open_node(log=False):
        ask = await driver()
        assert "worker" in await ask("act", delegate)


async def test_one_deferred_may_answer_any_number_of_callers() -> None:
    """
    A handler that gives the same Deferred to all who ask has one answer for all, also for those who
    come late.
    """
    async with candil.open_node(log=False):
        ask = await driver()
        shared = candil.Deferred[str]()
        answers: list[str] = []

        async def wait() -> None:
            answers.append(await ask("act", lambda _: shared))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert not shared.abandoned
            shared.reply("for all")
        await wait()
        assert answers == ["for all"] * 4
        assert not ask.process.pending


async def test_a_deferred_is_abandoned_when_its_caller_has_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever works on the answer can see that nobody waits for it; the answer is dropped."""
    async with candil.open_node(log=False):
        ask = await driver()
        with pytest.raises(candil.CallTimeout):
            await ScriptedServer.later.within(1)(ask.pid)
        with trio.move_on_after(1):
            await ScriptedServer.later(ask.pid)
        assert [deferred.abandoned for deferred in ask.instance.kept] == [True, True]
        assert not ask.process.pending
        for deferred in ask.instance.kept:
            deferred.reply("too late")
        assert not own_record().mailbox
        assert await ScriptedServer.echo(ask.pid, 1) == 1


async def test_a_deferred_that_nobody_was_promised_is_not_abandoned() -> None:
    """Before the handler returns it nobody has had the chance to give up."""
    deferred = candil.Deferred[int]()
    assert not deferred.abandoned
    deferred.reply(1)
    assert deferred.abandoned


@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_may_stop_and_answer_later_or_never(way: str) -> None:
    """A Deferred of a server that stops is owed until the end, and then its caller is told."""
    async with candil.open_node(log=False):
        ask = await driver(way)
        with pytest.raises(candil.ServerExited) as caught:
            await candil.call(
                ask.pid, "act", lambda _: candil.stop_self(BOOM) or candil.Deferred[Any]()
            )
        assert caught.value.reason == BOOM


async def test_no_reply_leaves_the_answer_to_the_callers_handle() -> None:
    """OTP's noreply and reply(From, X), given by any process."""
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        ask = await driver()
        answers: list[object] = []

        async def wait() -> None:
            answers.append(await candil.call(ask.pid, "keep"))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        ask.instance.kept[0].reply("from the block")
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["from the block"]
        assert not ask.process.pending


@pytest.mark.parametrize("way", WAYS)
async def test_no_reply_of_a_decorated_handler_is_no_answer(
    way: str, autojump_clock: trio.testing.MockClock
) -> None:
    """The marker itself never reaches a client."""
    async with candil.open_node(log=False):
        ask = await driver(way)
        with pytest.raises(candil.CallTimeout):
            await ask("act", lambda _: candil.NO_REPLY, timeout=1)


def test_no_reply_prints_as_its_name() -> None:
    """It is seen in logs and tracebacks."""
    assert repr(candil.NO_REPLY) == "candil.NO_REPLY"


async def test_all_but_the_first_reply_are_dropped() -> None:
    """
    Twice from a handle, or a handle's reply before the handler's return value: the first counts.
    """

    class Hasty(candil.GenServer):
        def handle_call(self, request: object, caller: candil.Call) -> object:
            caller.reply("first")
            caller.reply("second")
            return "third" if request == "return" else candil.NO_REPLY

    async with candil.open_node(log=False):
        pid = await candil.start(Hasty)
        for request in ("return", "no reply"):
            assert await candil.call(pid, request, timeout=math.inf) == "first"
        assert not own_record().mailbox
        assert not record(pid).pending
