"""What a receive costs: messages that are looked at, and passes through the scheduler."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, NoReturn

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import candil
from candil._otp.processes import runtime as runtime_module
from tests.otp.steps import counted_steps


class NotIndexed(deque[object]):
    """A mailbox whose messages may be iterated over, but not indexed: that is a walk for each."""

    def __getitem__(self, _index: Any) -> NoReturn:
        raise AssertionError("indexed")


class Looks:
    """A matcher that counts what it is shown."""

    def __init__(self, wanted: object) -> None:
        self.wanted = wanted
        self.count = 0

    def __call__(self, message: object) -> bool:
        self.count += 1
        return message == self.wanted


def fill(count: int) -> None:
    """Put numbers into the own mailbox, which from now on must not be indexed."""
    candil.self().process.mailbox = NotIndexed(range(count))


# --- selective receive


@pytest.mark.parametrize("match", [str, (bytes, str), lambda message: message == "x"])
async def test_a_receive_behind_many_messages_reads_each_once(match: Any) -> None:
    """The time grows with the mailbox, and not with its square."""
    async with candil.open_node(log=False):
        fill(10_000)
        candil.send(candil.self(), "x")

        assert "x" == await candil.receive(match)
        assert 10_000 == candil.process_info(candil.self()).message_queue_len


async def test_a_waiting_receive_looks_only_at_what_is_new() -> None:
    """It remembers what it has seen, however often it is woken."""
    async with candil.open_node(log=False):
        fill(1000)
        looks = Looks("x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(candil.receive, looks)
            for burst in (1, 2, 10):
                await wait_all_tasks_blocked()
                for number in range(burst):
                    candil.send(candil.self(), number)
            await wait_all_tasks_blocked()
            assert 1013 == looks.count
            candil.send(candil.self(), "x")

        assert 1014 == looks.count
        assert list(range(3)) == [await candil.receive() for _ in range(3)]


async def test_the_first_message_is_taken_without_a_look_at_the_others() -> None:
    """So a mailbox is drained in a time that grows with it."""
    async with candil.open_node(log=False):
        fill(1000)
        looks = Looks(0)
        assert 0 == await candil.receive(looks)
        assert 1 == looks.count


async def test_a_matcher_may_send_to_its_own_process_and_fail() -> None:
    """What it sent is in the mailbox, and its own error is what the receiver gets."""
    async with candil.open_node(log=False):
        fill(2)

        def fails(message: object) -> bool:
            candil.send(candil.self(), "sent")
            raise RuntimeError(message)

        with pytest.raises(RuntimeError, match="0"):
            await candil.receive(fails)
        assert [0, 1, "sent"] == [await candil.receive() for _ in range(3)]


async def test_a_matcher_that_sends_is_shown_that_too() -> None:
    """The mailbox grows while it is read, and each message is looked at once."""
    async with candil.open_node(log=False):
        fill(3)
        shown: list[object] = []

        def sends(message: object) -> bool:
            shown.append(message)
            if message in (0, 2):
                candil.send(candil.self(), f"for {message}")
            return message == "for 2"

        assert "for 2" == await candil.receive(sends)
        assert [0, 1, 2, "for 0", "for 2"] == shown


# --- passes through the scheduler


async def test_a_receive_that_waited_is_resumed_once() -> None:
    """Its wait was the checkpoint; a second would cost more than all else."""

    async def echo(to: candil.Pid[Any]) -> None:
        while True:
            candil.send(to, await candil.receive())

    async with candil.open_node():
        pid = candil.spawn(echo, candil.self())
        await wait_all_tasks_blocked()
        with counted_steps() as steps:
            for number in range(100):
                candil.send(pid, number)
                assert number == await candil.receive()

    assert 100 == steps.count


@pytest.mark.parametrize(("seconds", "expected"), [(math.inf, 10), (0.0, 1000)])
async def test_a_receive_that_need_not_wait_lets_others_run_when_its_turn_is_over(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: int
) -> None:
    """After a hundred messages, or after a millisecond, whichever is first."""
    monkeypatch.setattr(runtime_module, "MAX_INLINE_SECONDS", seconds)
    async with candil.open_node(log=False):
        fill(1000)
        with counted_steps() as steps:
            for number in range(1000):
                assert number == await candil.receive()

    assert expected <= steps.count <= expected + 1


async def test_a_look_for_a_message_that_is_not_there_lets_others_run() -> None:
    """A loop that polls does not hold up the program."""
    async with candil.open_node():
        for _ in range(3):
            with trio.testing.assert_checkpoints(), pytest.raises(candil.ReceiveTimeout):
                await candil.receive(timeout=0)


async def test_each_receive_looks_at_cancellation() -> None:
    """Also one that lets no others run."""
    async with candil.open_node(log=False):
        fill(20)
        for _ in range(5):
            await candil.receive()
        with trio.CancelScope() as scope:
            scope.cancel()
            await candil.receive()

        assert scope.cancelled_caught
        assert 5 == await candil.receive()
