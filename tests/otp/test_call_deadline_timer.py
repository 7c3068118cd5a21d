"""What it costs that those who wait for a process are told in time: one timer, and no memory."""

import gc
import math
import weakref
from random import Random

import pytest
import trio
import trio.testing

import candil
from candil._otp.processes import call_deadlines as call_deadlines_module


class Slow(candil.GenServer):
    """Answers after a while, by itself or later."""

    @candil.handle_call
    async def after(self, seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    @candil.handle_call
    def later(self) -> candil.Deferred[None]:
        return candil.Deferred()


def process_of(pid):
    """Give the record of a process."""
    assert pid.process is not None
    return pid.process


def timers_of(pid):
    """Give the timers that are set in the node of a process."""
    return [timer for timer in process_of(pid).node.timers._heap if timer.callback is not None]


async def give_up_at(log, pid, timeout, request="after", *args):
    """Call, and note when that was given up."""
    with pytest.raises(candil.CallTimeout):
        await candil.call(pid, request, *args, timeout=timeout)
    log.append((timeout, trio.current_time()))


async def test_callers_who_come_while_others_wait_are_told_too(autojump_clock):
    """With a shorter time than theirs, with the same, and with a longer one."""
    log = []
    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up_at, log, pid, 5, "after", 1000)
            for timeout in (1, 5, 9):
                await trio.sleep(1)
                nursery.start_soon(give_up_at, log, pid, timeout, "after", 1000)

    assert log == [(1, 2), (5, 5), (5, 7), (9, 12)]


@pytest.mark.parametrize("seed", range(20))
async def test_whenever_they_come_all_are_told_in_time(seed, autojump_clock):
    """Many come while some have been told already and others still wait."""
    log, due = [], []
    random = Random(seed)
    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                await trio.sleep(random.choice([0, 0.5, 1, 4]))
                timeout = random.choice([1, 2, 3, 10, 30, 100])
                due.append((timeout, trio.current_time() + timeout))
                request = random.choice([("after", 1000), ("later",)])
                nursery.start_soon(give_up_at, log, pid, timeout, *request)

    assert sorted(log) == sorted(due)


async def test_answers_that_are_owed_run_out_as_well(autojump_clock):
    """They are in no mailbox any more."""
    log = []
    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up_at, log, pid, 4, "later")
            await trio.sleep(1)
            nursery.start_soon(give_up_at, log, pid, 1, "later")

    assert log == [(1, 2), (4, 4)]


async def test_a_thousand_calls_set_one_timer(autojump_clock):
    """One after the other, and all at once."""
    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        before = len(timers_of(pid))
        for _ in range(1000):
            await Slow.after(pid, 0)
        assert len(timers_of(pid)) == before + 1
        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(Slow.after, pid, 0)
        assert len(timers_of(pid)) == before + 1
        await trio.sleep(6)
        assert len(timers_of(pid)) == before


async def test_a_call_without_an_end_sets_none(autojump_clock):
    """``math.inf`` waits for ever."""
    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        before = len(timers_of(pid))
        await candil.call(pid, "after", 1, timeout=math.inf)
        assert len(timers_of(pid)) == before


async def test_a_thousand_calls_that_run_out_one_by_one_are_looked_through_once(
    autojump_clock, monkeypatch
):
    """An overloaded server does not pay for its mailbox with each caller who gives up."""
    looks = []
    waiting_for = call_deadlines_module._waiting_for
    monkeypatch.setattr(
        call_deadlines_module,
        "_waiting_for",
        lambda process: looks.append(1) or waiting_for(process),
    )
    log = []
    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(give_up_at, log, pid, 5 + number / 100, "after", 1000)

    assert len(log) == 1000
    assert len(looks) <= 3


async def test_an_answered_call_is_not_kept():
    """Nor what it carried: its timer belongs to the server."""

    class Cargo:
        pass

    class Porter(candil.GenServer):
        @candil.handle_call
        async def take(self, cargo: Cargo) -> Cargo:
            await trio.lowlevel.checkpoint()
            return cargo

    async with candil.open_node(log=False):
        pid = await candil.start(Porter)
        kept = []
        for _ in range(100):
            cargo = Cargo()
            kept.append(weakref.ref(cargo))
            await Porter.take(pid, cargo)
            del cargo
        await trio.testing.wait_all_tasks_blocked()  # trio itself holds the last one until then
        gc.collect()
        assert sum(cargo() is not None for cargo in kept) == 0


async def test_a_dead_server_leaves_no_timer():
    """Its callers were told; what it was is forgotten at once."""
    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        before = len(timers_of(pid))
        process = process_of(pid)
        await Slow.after(pid, 0)
        assert len(timers_of(pid)) == before + 1
        await candil.stop(pid)
        left = [timer for timer in process.node.timers._heap if timer.callback is not None]
        assert len(left) == before
