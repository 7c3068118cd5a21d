"""Processes together: the order of what they send, many at once, and the record of one."""

from __future__ import annotations

import gc
import math
import random
import weakref
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Down, Exit, ExitSignal
from candil._otp.processes.process import join, kill
from tests.otp.bodies import end_of, exit_and_settle, leave, wait_for_ever


async def test_messages_from_one_process_to_another_arrive_in_order() -> None:
    """Whatever else runs, a pair keeps its order; signals of exit are in line with messages."""

    async def sender(to: candil.Pid[Any], mark: str) -> None:
        for number in range(50):
            candil.send(to, (mark, number))
            if random.random() < 0.5:
                await trio.lowlevel.checkpoint()
        candil.exit(to, mark)

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


# --- records


async def test_a_process_that_lives_keeps_nothing_of_those_before_it() -> None:
    """Who hands over to the next and ends may be the thousandth; only its parent's pid is known."""
    tasks: list[weakref.ref[Any]] = []

    async def hand_over(left: int) -> None:
        tasks.append(weakref.ref(trio.lowlevel.current_task()))
        if left:
            candil.spawn(hand_over, left - 1)
        else:
            await trio.sleep_forever()

    async with candil.open_node():
        candil.spawn(hand_over, 20)
        await wait_all_tasks_blocked()
        gc.collect()

        assert 1 == sum(task() is not None for task in tasks)


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
        await exit_and_settle(pids[0], "boom")

        assert Down(ref, pids[-1], Exit("boom")) == await candil.receive()
        assert {Exit("boom")} == {record.exit_reason for record in records}
        assert not any(record.links or record.monitored_by or record.monitors for record in records)
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
            assert record.exit_reason is not None
            kept = [record.links, record.monitors, record.monitored_by, record.pending]
            assert not any(kept)
        assert not any([survivor.process.links, survivor.process.monitors])


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
                candil.exit(other, own.choice(["normal", "boom", "kill"]))
                await trio.lowlevel.checkpoint()
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
        candil.exit(pid, "boom")

        assert await join(process, 3) is True
        assert await join(process, 3) is True
        assert await join(process, math.inf) is True
        assert not process.exit_waiters


async def test_a_record_reads_as_the_process_it_is_of() -> None:
    """For those who debug candil itself."""
    async with candil.open_node() as node:
        assert f"<Process of {candil.self()}>" == repr(node.opener)


async def test_killing_what_has_ended_does_nothing() -> None:
    """Its reason stands."""
    async with candil.open_node():
        pid = candil.spawn(leave, "boom")
        process = pid.process
        await end_of(pid)
        kill(process)

        assert Exit("boom") == process.exit_reason
        assert process.exit_requested is None
