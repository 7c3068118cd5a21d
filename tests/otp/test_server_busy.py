"""A server whose mailbox never gets empty: others run, and it can be ended."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio
import trio.testing

import candil
from candil import sys
from candil._otp.behaviours import loop as loop_module
from tests.otp.bodies import BOOM, exit_and_settle
from tests.otp.recorders import all_handled
from tests.otp.servers import Recorder


async def test_a_flooded_server_lets_other_tasks_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the clock after some messages, and gives way when its time is up."""
    clock = itertools.count(step=loop_module.LOOP_SECONDS / 2)
    monkeypatch.setattr(loop_module, "perf_counter", lambda: next(clock))
    turns = 0
    done = trio.Event()

    async def others() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await trio.lowlevel.checkpoint()

    async with candil.open_node(log=False):
        pid = await candil.start(Recorder)
        candil.spawn(others)
        for number in range(10_000):
            Recorder.told(pid, number)
        log = await all_handled(pid)
        done.set()
    assert log == [("told", number) for number in range(10_000)]
    looks = 10_000 / loop_module.LOOK_EVERY
    assert looks / 4 < turns < looks


async def test_a_flooded_server_can_still_be_ended() -> None:
    """One that sends to itself for ever never idles, and dies of a signal all the same."""

    def again() -> None:
        candil.send(candil.self(), again)

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Recorder)
        candil.send(pid, again)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        await exit_and_settle(pid, "boom")
        assert (await candil.receive(candil.Down)).reason == BOOM


async def test_a_server_with_much_to_do_handles_everything_in_order() -> None:
    """Ten thousand messages of all kinds, from several senders, each in the order of its sender."""

    class Collector(candil.GenServer):
        def __init__(self) -> None:
            self.log: list[tuple[int, int]] = []

        @candil.handle_call
        async def ask(self, sender: int, number: int) -> int:
            self.log.append((sender, number))
            return number

        @candil.handle_cast
        def tell(self, sender: int, number: int) -> None:
            self.log.append((sender, number))

        def handle_info(self, message: tuple[int, int]) -> None:
            self.log.append(message)

    async def sender(pid: candil.Pid[Collector], which: int) -> None:
        for number in range(0, 1000, 10):
            for offset in range(8):
                Collector.tell(pid, which, number + offset)
            candil.send(pid, (which, number + 8))
            assert await Collector.ask(pid, which, number + 9) == number + 9

    async with candil.open_node(log=False):
        pid = await candil.start(Collector)
        async with trio.open_nursery() as nursery:
            for which in range(10):
                nursery.start_soon(sender, pid, which)
        log = (await sys.get_state(pid)).log
    assert len(log) == 10_000
    for which in range(10):
        assert [number for who, number in log if who == which] == list(range(1000))


# --- what happens while it gives way


async def handled_when(event: Any) -> tuple[candil.Pid[Any], list[Any]]:
    """
    Send a server twenty messages, and let *event* happen while it gives way at the sixteenth.
    """
    checkpoint = loop_module.checkpoint
    happened = False

    async def turn() -> None:
        nonlocal happened
        if happened:
            await checkpoint()
        happened = True
        event(pid)

    log: list[Any] = []
    pid = await candil.start(Recorder, log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module, "LOOP_SECONDS", -1.0)
        patch.setattr(loop_module, "checkpoint", turn)
        for number in range(20):
            candil.send(pid, number)
        await trio.testing.wait_all_tasks_blocked()
    return pid, log


async def test_a_busy_server_that_is_ended_while_it_gives_way_handles_nothing_more() -> None:
    """The message whose turn it was stays unhandled, as all behind it."""
    async with candil.open_node(log=False):
        pid, log = await handled_when(lambda pid: candil.exit(pid, "kill"))
        assert candil.process_info(pid) is None
        assert log == [("info", number) for number in range(15)]


async def test_a_busy_server_may_find_its_mailbox_empty_after_it_gave_way() -> None:
    """Another task of the process may have received what was there."""
    async with candil.open_node(log=False):
        pid, log = await handled_when(lambda pid: pid.process.mailbox.clear())
        assert log == [("info", number) for number in range(15)]
        assert await Recorder.act(pid, lambda: "alive") == "alive"
        assert (await sys.statistics(pid)).messages_handled in (15, 16)
