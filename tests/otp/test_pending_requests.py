"""Requests that a process owes an answer to, and what those who wait for one are told."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import candil
from candil import Crashed, Exit, Killed, Normal
from candil._otp.processes.requests import Request
from tests.otp.bodies import crash, exit_and_settle, wait_for_ever


async def test_a_call_that_waits_in_a_mailbox_learns_of_the_death() -> None:
    """A caller never hangs because the process it asked is gone."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        await wait_all_tasks_blocked()
        candil.send_after(pid, "later", 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_exited, pid, Exit("boom"))
            await wait_all_tasks_blocked()
            candil.exit(pid, "boom")


@pytest.mark.parametrize("signal", ["boom", "kill", None])
async def test_a_call_that_was_received_and_forgotten_learns_of_the_death(
    signal: str | None,
) -> None:
    """Taking a call out of the mailbox is a debt, also of a process that then just returns."""

    async def forgets() -> None:
        await candil.receive(candil.Call)
        if signal is not None:
            await trio.sleep_forever()

    reasons = {"boom": Exit("boom"), "kill": Killed(), None: Normal()}
    async with candil.open_node():
        pid = candil.spawn(forgets)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_exited, pid, reasons[signal])
            await wait_all_tasks_blocked()
            if signal is not None:
                candil.exit(pid, signal)


async def _expect_exited(pid: candil.Pid[Any], reason: candil.ExitReason) -> None:
    with pytest.raises(candil.ServerExited) as raised:
        await candil.call(pid, "ask", timeout=60)
    assert reason == raised.value.reason


async def test_a_plain_process_can_answer_calls_and_owes_nothing_afterwards() -> None:
    """A call is a message like any other; the table of debts does not grow with every answer."""

    async def answers() -> None:
        while True:
            call = await candil.receive(candil.Call)
            call.reply((call.request, call.args, call.kwargs, call.pid))

    async with candil.open_node():
        pid = candil.spawn(answers)
        for number in range(100):
            expected = (number, (1,), {"two": 2}, candil.self())
            assert expected == await candil.call(pid, number, 1, two=2)

        assert not pid.process.pending


class _PassesOn(candil.GenServer):
    """Leaves every request to another process."""

    def __init__(self, to: candil.Pid[Any]) -> None:
        self.to = to

    def handle_call(self, _request: object, caller: candil.Call) -> object:
        candil.send(self.to, caller)
        return candil.NO_REPLY


class _Answers(candil.GenServer):
    """Answers a request with itself."""

    def handle_call(self, request: object, _caller: candil.Call) -> object:
        return request


@pytest.mark.parametrize("by_server", [True, False])
async def test_a_call_that_was_passed_on_is_owed_by_nobody_once_it_is_answered(
    by_server: bool,
) -> None:
    """Neither by who took it first, whoever gave the answer."""

    async def answers() -> None:
        while True:
            call = await candil.receive(candil.Call)
            call.reply(call.request)

    async with candil.open_node():
        to: candil.Pid[Any] = await candil.start(_Answers) if by_server else candil.spawn(answers)
        first = await candil.start(_PassesOn, to)
        for number in range(3):
            assert number == await candil.call(first, number)

        assert not first.process.pending
        assert not to.process.pending


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
            assert 1 == len(pid.process.pending)
            nursery.cancel_scope.cancel()

        assert not pid.process.pending


async def test_a_call_that_was_given_up_before_it_was_received_is_no_debt() -> None:
    """The late answer is dropped."""
    async with candil.open_node():
        received = trio.Event()

        async def answers_late() -> None:
            with trio.CancelScope(shield=True):
                await candil.receive(str)
            request = await candil.receive(candil.Call)
            assert not candil.self().process.pending
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


async def test_any_request_learns_that_its_debtor_has_ended() -> None:
    """A bare one names neither target nor request; its error is chained to the crash still."""
    async with candil.open_node(log=False):
        error = ValueError("the reason")
        pid = candil.spawn(crash, error)
        request = Request[int]()
        request.attach(pid.process)
        with pytest.raises(candil.ServerExited) as raised:
            await request.wait()

        assert error is raised.value.__cause__
        assert Crashed(error) == raised.value.reason


async def test_a_request_that_was_answered_learns_nothing_of_its_debtors_end() -> None:
    """Even if the debt was never struck off."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        request = Request[int]()
        request.attach(pid.process)
        request.put(7)
        await exit_and_settle(pid, "boom")

        assert 7 == await request.wait()
