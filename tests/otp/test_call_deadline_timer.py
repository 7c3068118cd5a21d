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
from tests.otp.bodies import exit_and_settle


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
    read = call_deadlines_module.DeadlineTimer._read
    monkeypatch.setattr(
        call_deadlines_module.DeadlineTimer,
        "_read",
        lambda timer: looks.append(1) or read(timer),
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


class Blob:
    """A large argument."""


@pytest.mark.parametrize("way", ["after", "later"])
async def test_what_was_answered_is_let_go_long_before_its_deadline(way, autojump_clock):
    """Neither its arguments nor its answer wait for an hour, whoever read the deadline before."""
    answered = []

    class Keeper(candil.GenServer):
        def __init__(self) -> None:
            self.deferred = []

        @candil.handle_call
        async def after(self, _blob: object) -> object:
            await trio.sleep(0.01)
            return Blob()

        @candil.handle_call
        def later(self, _blob: object) -> candil.Deferred[object]:
            self.deferred.append(candil.Deferred())
            return self.deferred[-1]

        @candil.handle_cast
        def answer(self) -> None:
            while self.deferred:
                self.deferred.pop().reply(Blob())

    async def ask(pid, blobs):
        blob = Blob()
        blobs.append(weakref.ref(blob))
        answer = await candil.call(pid, way, blob, timeout=3600)
        answered.append(weakref.ref(answer))

    async with candil.open_node(log=False):
        pid, blobs = await candil.start(Keeper), []
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(ask, pid, blobs)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(give_up_at, [], pid, 0.005, "after", None)  # all are read now
            await trio.sleep(10)
            Keeper.answer(pid)
        gc.collect()
        assert len(blobs) == 200
        assert [blob() for blob in (*blobs, *answered) if blob() is not None] == []
        entries = process_of(pid).deadline_timer._entries
        assert len(entries) <= 2


async def test_a_request_that_was_passed_on_is_let_go_when_one_of_two_servers_ends():
    """It has its answer then: the other one owes it no more."""

    async def hold() -> None:
        await candil.receive(candil.Call)
        await trio.sleep_forever()

    async def passing(to) -> None:
        candil.send(to, await candil.receive(candil.Call))
        await trio.sleep_forever()

    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        holder = candil.spawn(hold)
        first = candil.spawn(passing, holder)

        async def ask() -> None:
            with pytest.raises(candil.ServerExited):
                await candil.call(first, "anything")

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert len(process_of(holder).pending) == 1
        await exit_and_settle(first, "kill")
        assert process_of(holder).pending == {}


async def test_a_timeout_reads_no_message_twice(autojump_clock):
    """However many wait in the mailbox: each is looked at once, not once a timeout."""

    class Counting(Exception):
        """Never raised; its class counts who asks."""

    looks = 0

    class Message:
        """Counts how often it is asked what it is."""

        @property
        def __class__(self):
            nonlocal looks
            looks += 1
            return Counting

    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(candil.call, pid, "after", 1000)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(1000):
                candil.send(pid, Message())
            log = []
            for round_ in range(50):
                await give_up_at(log, pid, 0.01 * (1 + round_ % 3), "after", 1)
                if round_ == 0:
                    assert looks >= 1000
            assert looks < 2000
            assert len(log) == 50
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(10))
async def test_messages_taken_by_choice_hide_no_deadline(seed, autojump_clock):
    """A process that receives out of order, and a suspended server, are read again."""
    random = Random(seed)
    log, due = [], []

    async def choose() -> None:
        while True:
            await trio.sleep(random.choice([0.5, 1]))
            wanted = random.choice(["a", "b"])
            with pytest.raises(candil.ReceiveTimeout):
                while True:
                    await candil.receive(
                        lambda m, wanted=wanted: getattr(m, "request", m) == wanted, timeout=0
                    )

    async with candil.open_node(log=False):
        pid = candil.spawn(choose)
        async with trio.open_nursery() as nursery:
            for _ in range(60):
                await trio.sleep(random.choice([0, 0.25]))
                candil.send(pid, random.choice(["a", "b", "c"]))
                timeout = random.choice([1, 2, 3, 10])
                due.append((timeout, trio.current_time() + timeout))
                request = random.choice(["a", "b", "c"])
                nursery.start_soon(give_up_at, log, pid, timeout, request)
    assert sorted(log) == sorted(due)


async def test_a_suspended_server_s_callers_are_told_too(autojump_clock):
    """What is answered meanwhile was taken out of the middle of the mailbox."""
    log = []
    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        await candil.sys.suspend(pid)
        async with trio.open_nursery() as nursery:
            for timeout in (3, 1, 2):
                nursery.start_soon(give_up_at, log, pid, timeout, "after", 1)
                await trio.sleep(0.25)
                assert (await candil.sys.statistics(pid)).suspended
    assert log == [(1, 1.25), (2, 2.5), (3, 3)]


async def test_an_answered_call_among_many_that_wait_costs_nothing_later(autojump_clock):
    """What is left of it goes when its time has come, and the others are told in time."""
    log = []
    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up_at, log, pid, 1, "after", 6)
            for timeout in (2, 3, 8, 9, 10):
                nursery.start_soon(give_up_at, log, pid, timeout, "after", 10)
            with trio.move_on_after(5):
                await candil.call(pid, "after", 1, timeout=7)
    assert log == [(1, 1), (2, 2), (3, 3), (8, 8), (9, 9), (10, 10)]
