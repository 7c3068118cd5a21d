"""
Calls and casts: the answer, the deadline, the death of the server, and handlers that run in the
caller's task.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import math
import weakref
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st

import candil
from candil import sys
from candil.otp import _runtime
from candil.otp._process import Process
from candil.otp._runtime import get_runtime

WAYS = ("in place", "mailbox", "async")
"""How a handler comes to run: in its caller's task, or as a message of the loop, plain or async."""

seen_by_server: contextvars.ContextVar[str] = contextvars.ContextVar(
    "seen_by_server", default="nothing"
)

BOOM = candil.Exit("boom")


class Bench(candil.GenServer):
    """A server that does what its caller says."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.kept: list[Any] = []

    def init(self) -> None:
        seen_by_server.set("the server's own")

    @candil.handle_call
    def echo(self, value: object = None) -> object:
        self.log.append(("echo", value))
        return value

    @candil.handle_call
    def act(self, action: Any) -> object:
        return action(self)

    @candil.handle_call
    async def wait(self, event: trio.Event, value: object = None) -> object:
        await event.wait()
        self.log.append(("waited", value))
        return value

    @candil.handle_call
    async def sleep(self, seconds: float) -> str:
        await trio.sleep(seconds)
        self.log.append("slept")
        return "slept"

    @candil.handle_call
    def later(self) -> candil.Deferred[Any]:
        deferred = candil.Deferred[Any]()
        self.kept.append(deferred)
        return deferred

    @candil.handle_cast
    def note(self, value: object) -> None:
        self.log.append(("note", value))

    def handle_call(self, request: Any, caller: candil.Call) -> object:
        if request == "keep":
            self.kept.append(caller)
            return candil.NO_REPLY
        if request == "who":
            return caller.pid
        return request

    def handle_cast(self, message: object) -> None:
        self.log.append(("cast", message))

    def handle_info(self, message: object) -> None:
        self.log.append(("info", message))

    def handle_continue(self, argument: object) -> None:
        self.log.append(("continue", argument))

    def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))


class AsyncBench(Bench):
    """The same, by async handlers: nothing of it runs in place."""

    @candil.handle_call
    async def echo(self, value: object = None) -> object:
        self.log.append(("echo", value))
        return value

    @candil.handle_call
    async def act(self, action: Any) -> object:
        return action(self)

    @candil.handle_call
    async def later(self) -> candil.Deferred[Any]:
        deferred = candil.Deferred[Any]()
        self.kept.append(deferred)
        return deferred


class Setting:
    """One server, and the way in which it is asked."""

    def __init__(self, way: str, pid: candil.Pid[Bench]) -> None:
        self.way = way
        self.pid = pid
        self.process = record(pid)
        self.instance: Bench = self.process.server.instance

    async def __call__(self, request: str, *args: Any, timeout: float = 5.0) -> Any:
        if self.way == "mailbox":
            candil.send(self.pid, "in the way")
        before = self.process.server.handled
        try:
            return await candil.call(self.pid, request, *args, timeout=timeout)
        finally:
            if request != "wait" and self.process.alive:
                assert (self.process.server.handled == before) is (self.way == "in place")


async def bench(way: str = "in place", *, link: bool = False) -> Setting:
    """Start a server that is asked in one of the WAYS, and waits for messages already."""
    start = candil.start_link if link else candil.start
    setting = Setting(way, await start(AsyncBench if way == "async" else Bench))
    await idle(setting.pid)
    return setting


async def idle(pid: candil.Pid[Any]) -> None:
    """Wait until a server waits for messages: from then on plain handlers run in place."""
    while pid.process is not None and not pid.process.ready:
        await trio.lowlevel.checkpoint()


def record(pid: candil.Pid[Any]) -> Process:
    """Give the record of a living process."""
    assert pid.process is not None
    return pid.process


class Steps(trio.abc.Instrument):
    """Counts how often one task is resumed."""

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task = task
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self.task


@contextlib.contextmanager
def counted_steps() -> Iterator[Steps]:
    """Count how often this task is resumed within the block."""
    steps = Steps(trio.lowlevel.current_task())
    trio.lowlevel.add_instrument(steps)
    try:
        yield steps
    finally:
        trio.lowlevel.remove_instrument(steps)


def own_record() -> Process:
    """Give the record of this task's process."""
    return record(candil.self())


# --- who is asked ---------------------------------------------------------------------

ADDRESSES: list[Any] = ["counter", candil.Name[Bench]("counter"), candil.Via[Bench]("benches", 7)]


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_gives_what_the_handler_returns(way: str) -> None:
    """Whichever way the handler runs, its return value is the answer."""
    async with candil.open_node(log=False):
        ask = await bench(way)
        assert await ask("echo", 1) == 1
        assert await ask("echo", None) is None
        assert await ask("act", type) is type(ask.instance)


@pytest.mark.parametrize("kind", [Bench, AsyncBench])
@pytest.mark.parametrize("name", ADDRESSES, ids=repr)
async def test_a_server_answers_under_any_kind_of_name(kind: type[Bench], name: Any) -> None:
    """A str, a Name and a Via all reach the server that was started with them, as its pid does."""
    async with candil.open_node(log=False):
        pid = await candil.start(kind, name=name)
        assert await Bench.echo(pid, 1) == 1
        assert await Bench.echo(name, 2) == 2
        assert await candil.call(name, "echo", value=3) == 3
        candil.cast(name, "note", 4)
        Bench.note(name, 5)
        candil.send(name, 6)
        assert await candil.call(name, "anything else") == "anything else"
        assert (await sys.get_state(name)).log[-3:] == [("note", 4), ("note", 5), ("info", 6)]


async def test_a_name_and_its_bare_string_are_the_same_name() -> None:
    """Name("x") and "x" find the same process."""
    async with candil.open_node(log=False):
        await candil.start(Bench, name=candil.Name("bench"))
        assert await Bench.echo("bench", 1) == 1


@pytest.mark.parametrize("name", ADDRESSES, ids=repr)
async def test_a_call_to_an_unknown_name_raises_noproc(name: Any) -> None:
    """Nobody there is NoProc at the caller, and it says who and what was asked."""
    async with candil.open_node(log=False):
        with pytest.raises(candil.NoProc) as caught:
            await candil.call(name, "echo", 1)
        assert (caught.value.target, caught.value.request) == (name, "echo")


async def test_a_call_to_a_dead_pid_raises_noproc() -> None:
    """A pid whose process has ended is nobody, and the failing call is still a checkpoint."""
    async with candil.open_node(log=False):
        ask = await bench()
        await candil.stop(ask.pid)
        with trio.testing.assert_checkpoints(), pytest.raises(candil.NoProc) as caught:
            await Bench.echo(ask.pid)
        assert caught.value.target is ask.pid


async def test_a_call_to_a_process_that_was_told_to_end_raises_noproc() -> None:
    """From the signal on nobody is there, although the cleanup may go on for a while."""
    async with candil.open_node(log=False):
        ask = await bench()
        candil.exit_nowait(ask.pid, "boom")
        with pytest.raises(candil.NoProc):
            await Bench.echo(ask.pid)


async def test_what_whereis_did_not_find_is_nobody() -> None:
    """A call of None raises NoProc, which says so; a cast never fails."""
    nobody: Any = candil.whereis("nobody")
    async with candil.open_node(log=False):
        with trio.testing.assert_checkpoints(), pytest.raises(candil.NoProc, match="whereis gives"):
            await candil.call(nobody, "echo", 1)
        with pytest.raises(candil.NoProc, match="whereis gives"):
            await Bench.echo(nobody)
        with pytest.raises(candil.NoProc, match="whereis gives"):
            await candil.sys.get_state(nobody)
        candil.cast(nobody, "echo")


@pytest.mark.parametrize("timeout", [-1, math.nan, None, "5", 2j])
async def test_a_call_for_what_is_no_time_is_a_value_error(timeout: Any) -> None:
    """Whatever it is, the error says what a timeout is; a whole number is one too."""
    async with candil.open_node(log=False):
        ask = await bench()
        with pytest.raises(ValueError, match="0 seconds or more, and math\\.inf waits"):
            candil.call(ask.pid, "echo", timeout=timeout)
        with pytest.raises(ValueError, match="a timeout is 0 seconds or more"):
            Bench.echo.within(timeout)
        assert await candil.call(ask.pid, "echo", 1, timeout=5) == 1


@pytest.mark.parametrize("target", [7, ("a", "b")])
async def test_what_is_no_pid_and_no_name_is_a_type_error(target: Any) -> None:
    """A wrong kind of target is the caller's own mistake."""
    async with candil.open_node(log=False):
        with pytest.raises(TypeError, match="a process is called by"):
            await candil.call(target, "echo")
        with pytest.raises(TypeError, match="a process is called by"):
            candil.cast(target, "echo")


async def test_a_call_by_name_finds_the_replacement_of_a_dead_server() -> None:
    """A name stands for whoever holds it now."""
    async with candil.open_node(log=False):
        first = await candil.start(Bench, name="bench")
        await candil.exit(first, "boom")
        second = await candil.start(Bench, name="bench")
        assert await candil.call("bench", "act", lambda _: candil.self()) is second


@pytest.mark.parametrize("by", ["pid", "name"])
async def test_a_server_that_calls_itself_gets_calling_self(by: str) -> None:
    """It would wait for its own answer for ever, so it is told at once, and lives on."""

    class Narcissus(candil.GenServer):
        @candil.handle_call
        async def look(self) -> object:
            target = candil.self() if by == "pid" else "narcissus"
            with pytest.raises(candil.CallingSelf, match="called itself") as caught:
                await candil.call(target, "look", timeout=math.inf)
            return caught.value.target == target

    async with candil.open_node(log=False):
        assert await Narcissus.look(await candil.start(Narcissus, name="narcissus"))
        assert await Narcissus.look("narcissus")


async def test_any_task_may_call_process_or_not(nursery: trio.Nursery) -> None:
    """A caller that is no process is asked for by no pid, and gets its answer all the same."""

    async def outsider(done: trio.Event) -> None:
        assert await candil.call("bench", "who") is None
        assert await candil.call("bench", "echo", 1) == 1
        done.set()

    async def insider(done: trio.Event) -> None:
        assert await candil.call("bench", "who") is candil.self()
        done.set()

    done = [trio.Event(), trio.Event()]
    opened = trio.Event()

    async def elsewhere() -> None:
        await opened.wait()
        await outsider(done[0])

    nursery.start_soon(elsewhere)
    async with candil.open_node(log=False):
        await candil.start(Bench, name="bench")
        opened.set()
        candil.spawn(insider, done[1])
        for event in done:
            await event.wait()


async def test_a_request_that_names_no_handler_goes_to_handle_call() -> None:
    """Any object may be a request; the callback gets it with the caller's handle."""
    async with candil.open_node(log=False):
        ask = await bench()
        assert await candil.call(ask.pid, ("get", 1)) == ("get", 1)
        assert await candil.call(ask.pid, "who") is candil.self()
        unhashable = {"a": [1]}
        assert await candil.call(ask.pid, unhashable) is unhashable


async def test_wrong_arguments_of_an_untyped_call_crash_the_server() -> None:
    """As a message that matches no clause does in OTP; the typed client asks first."""
    async with candil.open_node(log=False):
        ask = await bench()
        with pytest.raises(candil.ServerExited) as caught:
            await candil.call(ask.pid, "echo", 1, 2, 3)
        assert isinstance(caught.value.__cause__, TypeError)


# --- deadlines ------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [True, False])
async def test_a_call_without_a_timeout_waits_five_seconds(
    typed: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """OTP's default, in both kinds of client; the error says who, what and how long."""
    async with candil.open_node(log=False):
        ask = await bench()
        started = trio.current_time()
        with pytest.raises(candil.CallTimeout, match="within 5 s") as caught:
            await (Bench.sleep(ask.pid, 60) if typed else candil.call(ask.pid, "sleep", 60))
        assert trio.current_time() - started == 5.0
        assert (caught.value.target, caught.value.request, caught.value.timeout) == (
            ask.pid,
            "sleep",
            5.0,
        )
        assert not isinstance(caught.value, trio.TooSlowError)


async def test_a_call_with_an_infinite_timeout_waits_as_long_as_it_takes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """math.inf has no deadline."""
    async with candil.open_node(log=False):
        ask = await bench()
        assert await Bench.sleep.within(math.inf)(ask.pid, 1e6) == "slept"
        assert await candil.call(ask.pid, "sleep", 1e6, timeout=math.inf) == "slept"


async def test_a_timed_out_request_is_still_handled_and_its_reply_is_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """
    The server is not told of the timeout, and nothing of the late reply reaches the caller's
    mailbox.
    """
    async with candil.open_node(log=False):
        ask = await bench()
        with pytest.raises(candil.CallTimeout):
            await Bench.sleep.within(1)(ask.pid, 10)
        with pytest.raises(candil.CallTimeout):
            await Bench.echo.within(1)(ask.pid, "queued")
        await trio.sleep(20)
        assert ask.instance.log == ["slept", ("echo", "queued")]
        assert not own_record().mailbox
        assert not ask.process.owed


async def test_a_timeout_of_zero_only_gets_what_is_there_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A plain handler of an idle server still answers; a busy server is not waited for."""
    async with candil.open_node(log=False):
        ask = await bench()
        assert await Bench.echo.within(0)(ask.pid, 1) == 1
        with pytest.raises(candil.CallTimeout):
            await Bench.sleep.within(0)(ask.pid, 1)


async def test_every_call_expires_at_its_own_time(autojump_clock: trio.testing.MockClock) -> None:
    """Whatever the number of different timeouts, and the order in which the calls were made."""
    expired: list[tuple[float, float]] = []
    seconds = [*range(1, 45), *range(60, 45, -1), 3, 3]

    async def ask_for(pid: candil.Pid[Any], timeout: float) -> None:
        with pytest.raises(candil.CallTimeout):
            await Bench.echo.within(timeout)(pid)
        expired.append((timeout, trio.current_time() - started))

    async with candil.open_node(log=False):
        ask = await bench()
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Bench.sleep.within(math.inf), ask.pid, 100)
            await trio.testing.wait_all_tasks_blocked()
            for timeout in seconds:
                nursery.start_soon(ask_for, ask.pid, timeout)
    assert sorted(timeout for timeout, _ in expired) == sorted(seconds)
    assert all(timeout == after for timeout, after in expired)


@pytest.mark.parametrize("timeout", [-1, math.nan])
async def test_a_timeout_that_is_no_time_is_a_value_error_at_the_caller(timeout: float) -> None:
    """Nothing is sent with a deadline that cannot be."""
    async with candil.open_node(log=False):
        ask = await bench()
        with pytest.raises(ValueError, match="timeout"):
            candil.call(ask.pid, "echo", 1, timeout=timeout)
        with pytest.raises(ValueError, match="timeout"):
            Bench.echo.within(timeout)
        assert ask.instance.log == []


async def test_answered_calls_are_soon_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    """
    Few of the answered calls are kept until later ones sweep them, and none beyond its deadline.
    """

    class Cargo:
        """What a call carries."""

    async def carry() -> weakref.ref[Cargo]:
        cargo = Cargo()
        await AsyncBench.act(ask.pid, lambda _: cargo)
        return weakref.ref(cargo)

    async with candil.open_node(log=False):
        ask = await bench("async")
        carried = [await carry() for _ in range(2000)]
        gc.collect()
        assert sum(cargo() is not None for cargo in carried) <= 300
        await trio.sleep(6)
        await AsyncBench.echo(ask.pid)  # a server holds on to its last message until the next
        gc.collect()
        assert sum(cargo() is not None for cargo in carried) == 0


# --- deferred answers -----------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_a_deferred_answer_reaches_the_caller_when_it_is_given(way: str) -> None:
    """
    The handler returns; the server handles other messages; the answer comes when somebody has it.
    """
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        ask = await bench(way)
        answers: list[object] = []

        async def wait() -> None:
            answers.append(await ask("later"))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert await Bench.echo(ask.pid, "meanwhile") == "meanwhile"
        assert answers == []
        assert not ask.instance.kept[0].abandoned
        ask.instance.kept[0].reply("at last")
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["at last"]
        assert ask.instance.kept[0].abandoned
        assert not ask.process.owed


@pytest.mark.parametrize("way", WAYS)
async def test_a_deferred_that_has_its_value_already_answers_at_once(way: str) -> None:
    """reply() before the handler returns is as good as after it."""

    def answered(_: Bench) -> candil.Deferred[int]:
        deferred = candil.Deferred[int]()
        deferred.reply(1)
        deferred.reply(2)
        return deferred

    async with candil.open_node(log=False):
        ask = await bench(way)
        assert await ask("act", answered) == 1
        assert not ask.process.owed


async def test_a_deferred_may_be_answered_by_another_process() -> None:
    """Whoever holds it answers, and the server's own work goes on."""

    async def worker(deferred: candil.Deferred[str]) -> None:
        deferred.reply(repr(candil.self()))

    def delegate(_: Bench) -> candil.Deferred[str]:
        deferred = candil.Deferred[str]()
        candil.spawn(worker, deferred)
        return deferred

    async with candil.open_node(log=False):
        ask = await bench()
        assert "worker" in await ask("act", delegate)


async def test_one_deferred_may_answer_any_number_of_callers() -> None:
    """
    A handler that gives the same Deferred to all who ask has one answer for all, also for those who
    come late.
    """
    async with candil.open_node(log=False):
        ask = await bench()
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
        assert not ask.process.owed


async def test_a_deferred_is_abandoned_when_its_caller_has_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever works on the answer can see that nobody waits for it; the answer is dropped."""
    async with candil.open_node(log=False):
        ask = await bench()
        with pytest.raises(candil.CallTimeout):
            await Bench.later.within(1)(ask.pid)
        with trio.move_on_after(1):
            await Bench.later(ask.pid)
        assert [deferred.abandoned for deferred in ask.instance.kept] == [True, True]
        assert not ask.process.owed
        for deferred in ask.instance.kept:
            deferred.reply("too late")
        assert not own_record().mailbox
        assert await Bench.echo(ask.pid, 1) == 1


async def test_a_deferred_that_nobody_was_promised_is_not_abandoned() -> None:
    """Before the handler returns it nobody has had the chance to give up."""
    deferred = candil.Deferred[int]()
    assert not deferred.abandoned
    deferred.reply(1)
    assert deferred.abandoned


@pytest.mark.parametrize("way", WAYS)
async def test_a_deferred_that_is_never_answered_times_out(
    way: str, autojump_clock: trio.testing.MockClock
) -> None:
    """The deadline of the call holds for answers that come later, too."""
    async with candil.open_node(log=False):
        ask = await bench(way)
        started = trio.current_time()
        with pytest.raises(candil.CallTimeout):
            await ask("later", timeout=3)
        assert trio.current_time() - started == 3


async def test_no_reply_leaves_the_answer_to_the_callers_handle() -> None:
    """OTP's noreply and reply(From, X), given by any process."""
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        ask = await bench()
        answers: list[object] = []

        async def wait() -> None:
            answers.append(await candil.call(ask.pid, "keep"))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        ask.instance.kept[0].reply("from the block")
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["from the block"]
        assert not ask.process.owed


@pytest.mark.parametrize("way", WAYS)
async def test_no_reply_of_a_decorated_handler_is_no_answer(
    way: str, autojump_clock: trio.testing.MockClock
) -> None:
    """The marker itself never reaches a client."""
    async with candil.open_node(log=False):
        ask = await bench(way)
        with pytest.raises(candil.CallTimeout):
            await ask("act", lambda _: candil.NO_REPLY, timeout=1)
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
        assert not record(pid).owed


async def test_a_late_reply_never_reaches_the_mailbox(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """OTP's reply_by_alias: an answer to a call that has timed out vanishes."""
    async with candil.open_node(log=False):
        ask = await bench()
        with pytest.raises(candil.CallTimeout):
            await candil.call(ask.pid, "keep", timeout=1)
        ask.instance.kept[0].reply({"a": "payload"})
        await trio.sleep(1)
        assert not own_record().mailbox


async def test_several_calls_may_be_under_way_at_once() -> None:
    """OTP's send_request: tasks of one process ask in parallel, and each gets its own answer."""
    async with candil.open_node(log=False):
        ask = await bench()
        answers: dict[int, object] = {}

        async def wait(number: int) -> None:
            answers[number] = await candil.call(ask.pid, "keep")

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(wait, number)
                await trio.testing.wait_all_tasks_blocked()
            for number in (3, 0, 4, 1, 2):
                ask.instance.kept[number].reply(number * 10)
        assert answers == {number: number * 10 for number in range(5)}


# --- the server's death ---------------------------------------------------------------


class Outcome:
    """What a caller that waited was told."""

    error: candil.ServerExited | None = None

    async def of(self, request: Any, *args: Any) -> None:
        try:
            await request(*args)
        except candil.ServerExited as error:
            self.error = error


def raise_(error: BaseException) -> Any:
    """Raise, where Python wants an expression."""
    raise error


ENDS: dict[str, tuple[Any, Any]] = {
    "stops normal": (lambda _: candil.stop() or candil.NO_REPLY, candil.Normal()),
    "stops shutdown": (
        lambda _: candil.stop(candil.Shutdown()) or candil.NO_REPLY,
        candil.Shutdown(),
    ),
    "stops shutdown x": (
        lambda _: candil.stop(candil.Shutdown("x")) or candil.NO_REPLY,
        candil.Shutdown("x"),
    ),
    "stops boom": (lambda _: candil.stop(BOOM) or candil.NO_REPLY, BOOM),
    "exits boom": (lambda _: raise_(candil.ProcessExit("boom")), BOOM),
    "exits normal": (lambda _: raise_(candil.ProcessExit()), candil.Normal()),
    "exits kill": (lambda _: raise_(candil.ProcessExit("kill")), candil.Exit("kill")),
    "raises": (lambda _: raise_(ValueError("boom")), ValueError),
    "leaves the interpreter": (lambda _: raise_(SystemExit(3)), SystemExit),
    "raises what is no Exception": (lambda _: raise_(GeneratorExit()), GeneratorExit),
    "signals itself": (lambda _: candil.exit_nowait(candil.self(), "boom"), BOOM),
    "kills itself": (lambda _: candil.exit_nowait(candil.self(), "kill"), candil.Killed()),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ENDS)
async def test_a_server_that_dies_in_mid_call_tells_its_caller_why(end: str, way: str) -> None:
    """
    Its reason, also normal, reaches the caller as ServerExited, chained to the exception if there
    was one.
    """
    action, expected = ENDS[end]
    async with candil.open_node(log=False):
        ask = await bench(way)
        ref = candil.monitor(ask.pid)
        with pytest.raises(candil.ServerExited) as caught:
            await candil.call(ask.pid, "act", action, timeout=math.inf)
        down = await candil.receive(candil.Down)
        assert (down.ref, down.reason) == (ref, caught.value.reason)
        assert (caught.value.target, caught.value.request) == (ask.pid, "act")
        if isinstance(expected, type):
            assert isinstance(caught.value.reason, candil.Crashed)
            assert type(caught.value.reason.exception) is expected
            assert caught.value.__cause__ is caught.value.reason.exception
        else:
            assert caught.value.reason == expected
            assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("signal", "reason"),
    [("kill", candil.Killed()), ("shutdown", candil.Shutdown()), ("boom", BOOM)],
)
async def test_a_signal_that_ends_a_server_reaches_every_waiting_caller(
    signal: str, reason: candil.ExitReason
) -> None:
    """
    Whoever is being served, stands in the queue, or was promised an answer for later is told the
    same.
    """
    async with candil.open_node(log=False):
        ask = await bench()
        outcomes = {name: Outcome() for name in ("deferred", "kept", "current", "queued", "state")}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcomes["deferred"].of, Bench.later.within(math.inf), ask.pid)
            nursery.start_soon(outcomes["kept"].of, candil.call, ask.pid, "keep")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(
                outcomes["current"].of, Bench.wait.within(math.inf), ask.pid, trio.Event()
            )
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(outcomes["queued"].of, Bench.echo.within(math.inf), ask.pid)
            nursery.start_soon(outcomes["state"].of, sys.get_state, ask.pid)
            await trio.testing.wait_all_tasks_blocked()
            candil.exit_nowait(ask.pid, signal)
        for outcome in outcomes.values():
            assert outcome.error is not None
            assert outcome.error.reason == reason
        assert len({id(outcome.error) for outcome in outcomes.values()}) == len(outcomes)


async def test_a_crash_reaches_every_waiting_caller_chained_to_its_exception() -> None:
    """
    Those who were promised an answer, or stand in the queue, see the exception that they did not
    cause.
    """
    async with candil.open_node(log=False):
        ask = await bench()
        outcomes = {name: Outcome() for name in ("deferred", "current", "queued", "state")}
        bang = trio.Event()

        async def explode() -> None:
            with pytest.raises(candil.ServerExited) as caught:
                await candil.call(ask.pid, "wait", bang, timeout=math.inf)
            outcomes["current"].error = caught.value

        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcomes["deferred"].of, Bench.later.within(math.inf), ask.pid)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(explode)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(outcomes["queued"].of, Bench.echo.within(math.inf), ask.pid)
            nursery.start_soon(outcomes["state"].of, sys.get_state, ask.pid)
            await trio.testing.wait_all_tasks_blocked()
            ask.instance.log = None  # type: ignore[assignment]
            bang.set()
        errors = [outcome.error for outcome in outcomes.values()]
        causes = {id(error.__cause__) for error in errors if error is not None}
        assert None not in errors
        assert len(causes) == 1
        assert isinstance(errors[0] and errors[0].__cause__, AttributeError)


async def test_a_caller_is_told_even_if_the_killed_handler_ignores_its_cancellation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """
    When a killed process is given up after half a second, its caller is not left waiting for ever.
    """

    class Deaf(candil.GenServer):
        @candil.handle_call
        async def listen(self, until: trio.Event) -> str:
            with trio.CancelScope(shield=True):
                await until.wait()
            return "never heard"

    async with candil.open_node(log=False):
        pid = await candil.start(Deaf)
        release = trio.Event()
        outcome = Outcome()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome.of, Deaf.listen.within(math.inf), pid, release)
            await trio.testing.wait_all_tasks_blocked()
            candil.exit_nowait(pid, "kill")
        release.set()
        assert outcome.error is not None
        assert outcome.error.reason == candil.Killed()


async def test_a_value_returned_after_the_signal_that_ends_the_server_is_no_answer() -> None:
    """
    A process that was told to end says nothing more, though its handler was shielded long enough to
    return.
    """

    class Stubborn(candil.GenServer):
        @candil.handle_call
        async def work(self, go: trio.Event) -> str:
            with trio.CancelScope(shield=True):
                await go.wait()
            return "done"

    async with candil.open_node(log=False):
        pid = await candil.start(Stubborn)
        go = trio.Event()
        outcome = Outcome()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome.of, Stubborn.work, pid, go)
            await trio.testing.wait_all_tasks_blocked()
            candil.exit_nowait(pid, "boom")
            go.set()
        assert outcome.error is not None
        assert outcome.error.reason == BOOM


async def test_the_callers_of_a_handler_that_is_interrupted_are_told() -> None:
    """
    Ctrl-C in a handler ends the whole block in order, and nobody in it waits for the handler's
    answer.
    """
    for kind in (Bench, AsyncBench):
        outcome = Outcome()

        async def interrupted(kind: type[Bench] = kind, outcome: Outcome = outcome) -> None:
            async with candil.open_node(log=False):
                pid = await candil.start(kind)
                ask = kind.act.within(math.inf)
                await outcome.of(ask, pid, lambda _: raise_(KeyboardInterrupt()))
                await trio.sleep_forever()

        with pytest.raises(KeyboardInterrupt):
            await interrupted()
        assert outcome.error is not None
        assert isinstance(outcome.error.__cause__, KeyboardInterrupt)


# --- the caller's cancellation --------------------------------------------------------


async def test_a_cancelled_caller_does_not_disturb_the_server(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The request is handled to its end, and its answer is dropped."""
    async with candil.open_node(log=False):
        ask = await bench()
        with trio.move_on_after(1) as scope:
            await Bench.sleep.within(math.inf)(ask.pid, 10)
        assert scope.cancelled_caught
        await trio.sleep(20)
        assert ask.instance.log == ["slept"]
        assert not ask.process.owed
        assert not own_record().mailbox
        assert await Bench.echo(ask.pid, 1) == 1


async def test_a_cancelled_caller_runs_no_handler_in_place() -> None:
    """A call is a checkpoint: cancellation is looked at before a handler runs, each time."""
    async with candil.open_node(log=False):
        ask = await bench()
        with trio.CancelScope() as scope:
            assert await Bench.echo(ask.pid, 1) == 1
            scope.cancel()
            await Bench.echo(ask.pid, 2)
        assert scope.cancelled_caught
        assert ask.instance.log == [("echo", 1)]


async def test_a_call_in_a_loop_of_calls_in_place_can_be_cancelled() -> None:
    """A task that does nothing but call a plain handler is still cancelled from outside."""
    async with candil.open_node(log=False):
        ask = await bench()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 0)

                async def cancel() -> None:
                    scope.cancel()

                nursery.start_soon(cancel)
                while True:
                    await Bench.echo(ask.pid)
        assert scope.cancelled_caught


async def test_calls_in_place_let_other_tasks_run() -> None:
    """After a hundred of them, the scheduler has had its turn."""
    async with candil.open_node(log=False):
        ask = await bench()
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await trio.lowlevel.checkpoint()
            before = turns
            for _ in range(10 * _runtime.TURNS):
                await Bench.echo(ask.pid)
            assert turns - before >= 8
            nursery.cancel_scope.cancel()


async def test_slow_plain_handlers_let_other_tasks_run_sooner() -> None:
    """Handlers that take their time are counted by it, not by their number."""
    async with candil.open_node(log=False):
        ask = await bench()
        runtime = get_runtime()
        runtime.inline_turns = 0
        runtime.inline_seconds = 0.0
        with counted_steps() as steps:
            await Bench.echo(ask.pid)
            assert steps.count == 0
            runtime.inline_seconds = _runtime.SECONDS
            await Bench.echo(ask.pid)
            assert steps.count == 1
        assert runtime.inline_seconds < _runtime.SECONDS


async def test_a_server_that_dies_while_a_caller_gives_way_is_not_waited_for() -> None:
    """
    A call that lets others run before it acts finds out who is there afterwards: nobody, or the
    replacement.
    """
    async with candil.open_node(log=False):
        for by_name in (False, True):
            first = await candil.start(Bench, name="bench")
            await idle(first)
            replaced = trio.Event()

            async def replace(pid: candil.Pid[Any] = first, done: trio.Event = replaced) -> None:
                candil.exit_nowait(pid, "kill")
                while candil.process_info(pid) is not None:
                    await trio.lowlevel.checkpoint()
                await candil.start(Bench, name="bench")
                done.set()

            async def ask(
                target: Any = "bench" if by_name else first, done: trio.Event = replaced
            ) -> Any:
                get_runtime().inline_turns = _runtime.TURNS
                # the turn that the call gives to the others lasts until the replacement is up
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(_runtime, "checkpoint", done.wait)
                    return await candil.call(
                        target, "act", lambda _: candil.self(), timeout=math.inf
                    )

            async with trio.open_nursery() as nursery:
                nursery.start_soon(replace)
                if by_name:
                    assert await ask() is candil.whereis("bench")
                else:
                    with pytest.raises(candil.NoProc):
                        await ask()
            await candil.stop("bench")


async def test_a_server_that_gets_busy_while_a_caller_gives_way_is_asked_by_message() -> None:
    """What arrived in the meantime is handled first."""
    async with candil.open_node(log=False):
        ask = await bench()

        async def others_run() -> None:
            Bench.note(ask.pid, "first")

        get_runtime().inline_turns = _runtime.TURNS
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_runtime, "checkpoint", others_run)
            await Bench.echo(ask.pid, "second")
        assert ask.instance.log == [("note", "first"), ("echo", "second")]


def cancelled_at(step: int, scenario: Any) -> tuple[bool, Any]:
    """
    Run *scenario* under a virtual clock, cancelling it when its task has parked for the *step*-th
    time.
    """

    class Cutter(trio.abc.Instrument):
        task: trio.lowlevel.Task | None = None
        scope: trio.CancelScope | None = None
        count = 0

        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            if task is self.task:
                self.count += 1
                if self.count == step and self.scope is not None:
                    self.scope.cancel()

    cutter = Cutter()

    async def main() -> Any:
        async with candil.open_node(log=False):

            async def victim() -> None:
                with trio.CancelScope() as cutter.scope:
                    cutter.task = trio.lowlevel.current_task()
                    await scenario()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(victim)
            cutter.task = None
            with trio.CancelScope():
                await trio.testing.wait_all_tasks_blocked()
            node = own_record().node
            return {
                "processes": [
                    process for process in node.processes if process.registered != "permanent"
                ],
                "names": set(get_runtime().names) - {"permanent"},
                "owed": [list(process.owed) for process in node.processes if process.owed],
                "joining": [list(process.joining) for process in node.processes if process.joining],
                "links": list(own_record().links),
            }

    left = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[cutter])
    return cutter.count >= step, left


def sweep(scenario: Any) -> int:
    """
    Cancel *scenario* at every checkpoint; whatever happens, nothing is left behind. Gives how many
    there were.
    """
    step = 1
    while True:
        reached, left = cancelled_at(step, scenario)
        assert not any(left.values()), (step, left)
        if not reached:
            return step - 1
        step += 1


def test_a_call_that_is_cancelled_anywhere_leaves_nothing_behind() -> None:
    """No request stays owed, whichever checkpoint the cancellation hits."""

    async def scenario() -> None:
        with trio.CancelScope(shield=True):
            pid = candil.whereis("permanent") or await candil.start(Bench, name="permanent")
        await Bench.echo(pid)
        await Bench.sleep(pid, 1)
        with trio.move_on_after(1):
            await Bench.later(pid)
        with trio.CancelScope():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Bench.sleep, pid, 1)
                nursery.start_soon(Bench.echo, pid)
                nursery.start_soon(sys.get_state, pid)
        await sys.statistics(pid)

    assert sweep(scenario) > 5


def test_a_start_that_is_cancelled_anywhere_leaves_nothing_behind() -> None:
    """No process, no name and no link stays, whichever checkpoint the cancellation hits."""

    class Slow(candil.GenServer):
        async def init(self) -> None:
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            await trio.sleep(1)

    async def scenario() -> None:
        for start in (candil.start, candil.start_link, candil.start_monitor):
            pid: Any = None
            try:
                pid = await start(Slow, name="slow")
                pid = pid[0] if isinstance(pid, tuple) else pid
            finally:
                if pid is not None:
                    with trio.CancelScope(shield=True):
                        await candil.stop(pid)

    assert sweep(scenario) > 3


def test_a_stop_that_is_cancelled_anywhere_still_stops() -> None:
    """Only the wait for the end is cancelled, not the end."""

    class Slow(candil.GenServer):
        async def terminate(self, reason: object) -> None:
            for _ in range(3):
                await trio.lowlevel.checkpoint()

    async def scenario() -> None:
        with trio.CancelScope(shield=True):
            pid = await candil.start(Slow)
        await candil.stop(pid)

    step, reached = 1, True
    while reached:
        reached, left = cancelled_at(step, scenario)
        assert not left["joining"], step
        assert not left["processes"], step
        step += 1
    assert step > 2


# --- handlers that run in place -------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_sees_the_servers_context_and_pid_however_it_runs(way: str) -> None:
    """Also in its caller's task a handler is the server: its context variables, its self()."""
    async with candil.open_node(log=False):
        ask = await bench(way)
        seen_by_server.set("the caller's")
        assert await ask("act", lambda _: (seen_by_server.get(), candil.self())) == (
            "the server's own",
            ask.pid,
        )
        await ask("act", lambda _: seen_by_server.set("changed by a handler"))
        assert seen_by_server.get() == "the caller's"
        assert candil.self() is not ask.pid
        assert await ask("act", lambda _: seen_by_server.get()) == "changed by a handler"


async def test_a_process_spawned_by_a_handler_in_place_is_the_servers_child() -> None:
    """What a handler spawns belongs to the server, not to the caller whose task it ran in."""

    async def child() -> None:
        await trio.sleep_forever()

    async with candil.open_node(log=False):
        ask = await bench()
        info = candil.process_info(await ask("act", lambda _: candil.spawn_link(child)))
        assert info is not None
        assert (info.parent, info.links) == (ask.pid, (ask.pid,))


@pytest.mark.parametrize("way", WAYS)
async def test_a_crashing_handler_runs_terminate_and_takes_down_links_however_it_runs(
    way: str,
) -> None:
    """
    The crash is the server's: terminate gets the reason, links get the signal, the caller only its
    error.
    """
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        ask = await bench(way, link=True)
        pid = ask.pid
        with pytest.raises(candil.ServerExited) as caught:
            await candil.call(pid, "act", lambda _: raise_(ValueError("boom")))
        assert ask.instance.log[-1] == ("terminate", caught.value.reason)
        assert await candil.receive(candil.ExitSignal) == candil.ExitSignal(
            pid, caught.value.reason
        )
        with pytest.raises(candil.NoProc):
            await Bench.echo(pid)


@pytest.mark.parametrize("way", WAYS)
async def test_a_caller_waits_no_longer_than_its_timeout_for_a_crash(
    way: str, autojump_clock: trio.testing.MockClock
) -> None:
    """
    A slow terminate after a crash keeps a caller only as long as its timeout, however the handler
    ran.
    """

    class Slow(AsyncBench if way == "async" else Bench):  # type: ignore[misc]
        async def terminate(self, reason: object) -> None:
            await trio.sleep(60)

    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        if way == "mailbox":
            candil.send(pid, "in the way")
        started = trio.current_time()
        with pytest.raises(candil.CallTimeout):
            await candil.call(pid, "act", lambda _: raise_(ValueError("boom")), timeout=2)
        assert trio.current_time() - started == 2


async def test_a_crash_in_place_leaves_the_caller_as_it_was() -> None:
    """The caller may catch its error and go on; nothing of the server's end clings to it."""
    async with candil.open_node(log=False):
        ask = await bench()
        for _ in range(2):
            ask = await bench()
            with pytest.raises(candil.ServerExited):
                await Bench.act(ask.pid, lambda _: raise_(KeyError("k")))
        await trio.lowlevel.checkpoint()
        assert candil.is_alive(candil.self())


async def test_calls_in_place_keep_their_order_with_casts_and_messages() -> None:
    """What a caller sent before its call is handled before it."""
    async with candil.open_node(log=False):
        ask = await bench()
        for number in range(3):
            Bench.note(ask.pid, number)
            candil.send(ask.pid, number)
            await Bench.echo(ask.pid, number)
        expected = [(what, number) for number in range(3) for what in ("note", "info", "echo")]
        assert ask.instance.log == expected


@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_may_cast_to_its_own_server(way: str) -> None:
    """The cast is handled next, before anything a caller sends after its answer."""
    async with candil.open_node(log=False):
        ask = await bench(way)

        def cast(server: Bench) -> str:
            Bench.note(candil.self(), "to myself")
            return "answered"

        assert await ask("act", cast) == "answered"
        await Bench.echo(ask.pid, "after")
        assert [entry for entry in ask.instance.log if entry[0] != "info"] == [
            ("note", "to myself"),
            ("echo", "after"),
        ]


@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_that_stops_answers_after_terminate_has_run(way: str) -> None:
    """OTP's {stop, Reason, Reply, State}: terminate, then the reply, then the end."""
    async with candil.open_node(log=False):
        ask = await bench(way)
        ref = candil.monitor(ask.pid)
        assert await ask("act", lambda _: candil.stop(BOOM) or "goodbye") == "goodbye"
        assert ask.instance.log[-1] == ("terminate", BOOM)
        assert await candil.receive(candil.Down) == candil.Down(ref, ask.pid, BOOM)


@pytest.mark.parametrize("way", WAYS)
async def test_calls_behind_the_one_that_stops_get_its_reason(way: str) -> None:
    """Nothing is handled after the call that stops the server."""
    async with candil.open_node(log=False):
        ask = await bench(way)
        outcome = Outcome()

        async def ask_behind() -> None:
            with contextlib.suppress(candil.NoProc):  # when the server was faster
                await outcome.of(Bench.echo, ask.pid)

        def stop(_: Bench) -> str:
            nursery.start_soon(ask_behind)
            candil.send(ask.pid, "never seen")
            candil.stop(BOOM)
            return "goodbye"

        async with trio.open_nursery() as nursery:
            assert await ask("act", stop) == "goodbye"
        assert outcome.error is None or outcome.error.reason == BOOM
        assert ask.instance.log[-1] == ("terminate", BOOM)
        assert ("info", "never seen") not in ask.instance.log
        assert ("echo", None) not in ask.instance.log


@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_may_continue(way: str) -> None:
    """The continuation runs before whatever comes after the answer."""
    async with candil.open_node(log=False):
        ask = await bench(way)
        assert await ask("act", lambda _: candil.continue_with("c") or "answered") == "answered"
        await Bench.echo(ask.pid, "after")
        assert [entry for entry in ask.instance.log if entry[0] != "info"] == [
            ("continue", "c"),
            ("echo", "after"),
        ]


@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_may_set_a_timeout(
    way: str, autojump_clock: trio.testing.MockClock
) -> None:
    """The timeout runs from the end of the handler on."""
    async with candil.open_node(log=False):
        ask = await bench(way)
        assert await ask("act", lambda _: candil.set_timeout(3) or "answered") == "answered"
        await trio.sleep(2.9)
        assert ("info", candil.Timeout()) not in ask.instance.log
        await trio.sleep(0.2)
        assert ask.instance.log[-1] == ("info", candil.Timeout())


@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_may_stop_and_answer_later_or_never(way: str) -> None:
    """A Deferred of a server that stops is owed until the end, and then its caller is told."""
    async with candil.open_node(log=False):
        ask = await bench(way)
        with pytest.raises(candil.ServerExited) as caught:
            await candil.call(ask.pid, "act", lambda _: candil.stop(BOOM) or candil.Deferred[Any]())
        assert caught.value.reason == BOOM


async def test_a_server_with_a_timeout_pending_is_asked_by_message(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A call clears the timeout, so that it may not go behind the loop's back."""
    async with candil.open_node(log=False):
        ask = await bench()
        await Bench.act(ask.pid, lambda _: candil.set_timeout(3))
        await Bench.echo(ask.pid)
        await trio.sleep(10)
        assert ("info", candil.Timeout()) not in ask.instance.log


class Script(candil.GenServer):
    """Does what a random script says, by plain handlers."""

    def __init__(self, history: list[Any]) -> None:
        self.history = history
        self.deferred: candil.Deferred[Any] | None = None

    def do(self, what: str, number: int) -> Any:  # noqa: C901  # one case for each word
        self.history.append((what, number))
        match what:
            case "raise":
                raise ValueError(number)
            case "exit":
                raise candil.ProcessExit(number)
            case "stop":
                candil.stop(candil.Exit(number))
            case "continue":
                candil.continue_with(number)
            case "timeout":
                candil.set_timeout(number)
            case "cast":
                candil.cast(candil.self(), "tell", "echo", number + 100)
            case "send":
                candil.send(candil.self(), number + 100)
            case "defer":
                self.deferred = candil.Deferred[Any]()
                return self.deferred
            case "resolve" if self.deferred is not None:
                self.deferred.reply(number)
            case "signal":
                candil.exit_nowait(candil.self(), number)
            case _:
                pass
        return number

    @candil.handle_call
    def ask(self, what: str, number: int) -> Any:
        return self.do(what, number)

    @candil.handle_cast
    def tell(self, what: str, number: int) -> None:
        if (
            what != "signal"
        ):  # a plain cast handler may be followed by others before the signal takes effect
            self.do(what, number)

    def handle_info(self, message: object) -> None:
        self.history.append(("info", message))

    def handle_continue(self, argument: object) -> None:
        self.history.append(("continued", argument))

    def terminate(self, reason: candil.ExitReason) -> None:
        self.history.append(("terminate", shown(reason)))


class AsyncScript(Script):
    """The same by async handlers, so that nothing runs in place."""

    @candil.handle_call
    async def ask(self, what: str, number: int) -> Any:
        return self.do(what, number)


def shown(reason: candil.ExitReason) -> object:
    """Crashes of two runs are other objects; what they say is the same."""
    return repr(reason)


WORDS = (
    "echo",
    "echo",
    "raise",
    "exit",
    "stop",
    "continue",
    "timeout",
    "cast",
    "send",
    "defer",
    "resolve",
    "signal",
)
STEPS = st.lists(
    st.tuples(st.sampled_from(("ask", "tell", "pause")), st.sampled_from(WORDS), st.integers(0, 3)),
    max_size=12,
)


def play(kind: type[Script], script: list[tuple[str, str, int]]) -> tuple[list[Any], list[Any]]:
    """Give what the server did, in order, and what its callers got, whoever of them was first."""
    history: list[Any] = []
    answers: list[Any] = []

    async def ask(what: str, number: int) -> None:
        try:
            answers.append((number, await Script.ask("script", what, number)))
        except candil.ServerExited as error:
            answers.append((number, shown(error.reason)))
        except candil.CallError as error:
            answers.append((number, type(error).__name__))

    async def main() -> None:
        async with candil.open_node(log=False):
            await candil.start(kind, history, name="script")
            async with trio.open_nursery() as nursery:
                for how, what, number in script:
                    if how == "ask" and what == "defer":
                        await trio.testing.wait_all_tasks_blocked()
                        nursery.start_soon(ask, what, number)
                        await trio.testing.wait_all_tasks_blocked()
                    elif how == "ask":
                        await ask(what, number)
                    elif how == "tell":
                        Script.tell("script", what, number)
                    elif number > 0:
                        await trio.sleep(number)
                await trio.sleep(10)
                nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return history, sorted(answers, key=repr)


@settings(max_examples=60, deadline=None)
@given(script=STEPS)
def test_running_in_place_never_changes_what_happens(script: list[tuple[str, str, int]]) -> None:
    """Any script of calls and casts has the same history with plain handlers as with async ones."""
    assert play(Script, script) == play(AsyncScript, script)


async def wreck(pid: candil.Pid[Any], random: Random) -> None:
    """Do something to a server that its callers will notice."""
    match random.choice(["kill", "boom", "stop", "suspend", "reply", "crash"]):
        case "stop":
            await candil.stop(pid)
        case "suspend":
            await sys.suspend(pid)
            await trio.sleep(1)
            await sys.resume(pid)
        case "reply":
            for kept in (await sys.get_state(pid)).kept:
                kept.reply("at last")
        case "crash":
            candil.cast(pid, "note", "with", "wrong", "arguments")
        case signal:
            candil.exit_nowait(pid, signal)


async def confused_callers(random: Random) -> dict[str, int]:
    """Have many callers ask a server that is ended in all ways; give what they were told."""
    told: dict[str, int] = {}

    async def caller() -> None:
        for _ in range(20):
            request, *args = random.choice(
                [("echo", 1), ("sleep", 1), ("later",), ("keep",), ("act", lambda _: candil.stop())]
            )
            try:
                with trio.move_on_after(random.choice([0.5, 2, math.inf])):
                    await candil.call("bench", request, *args, timeout=random.choice([1, math.inf]))
                outcome = "returned"
            except candil.CallError as error:
                outcome = type(error).__name__
            told[outcome] = told.get(outcome, 0) + 1
            await trio.sleep(random.choice([0, 0.1, 1]))

    async def wrecker() -> None:
        while True:
            await trio.sleep(random.choice([0, 0.1, 1, 3]))
            pid = candil.whereis("bench")
            if pid is not None:
                with contextlib.suppress(candil.CallError):
                    await wreck(pid, random)
            else:
                with contextlib.suppress(candil.AlreadyStarted):
                    await candil.start(random.choice([Bench, AsyncBench]), name="bench")

    async with candil.open_node(log=False), trio.open_nursery() as wreckers:
        wreckers.start_soon(wrecker)
        async with trio.open_nursery() as callers:
            for _ in range(20):
                callers.start_soon(caller)
        wreckers.cancel_scope.cancel()
        assert not own_record().owed
    return told


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_to_a_server_every_caller_is_told(seed: int) -> None:
    """Callers of a server that is killed, stopped, suspended and crashed all get an outcome."""
    told = trio.run(
        confused_callers, Random(seed), clock=trio.testing.MockClock(autojump_threshold=0)
    )
    assert sum(told.values()) == 400
    assert told.keys() <= {"returned", "NoProc", "ServerExited", "CallTimeout"}


# --- casts ----------------------------------------------------------------------------


async def test_a_cast_never_fails() -> None:
    """To nobody, to the dead, to one who is just ending: it returns at once, with nothing."""
    async with candil.open_node(log=False):
        ask = await bench()
        candil.exit_nowait(ask.pid, "boom")
        candil.cast(ask.pid, "anything")
        await trio.testing.wait_all_tasks_blocked()
        for target in (ask.pid, *ADDRESSES):
            candil.cast(target, "anything")
            Bench.note(target, 1)
        assert ask.instance.log == []


async def test_casts_are_handled_in_the_order_they_were_sent() -> None:
    """OTP's cast: a decorated handler by its name, anything else by handle_cast."""
    async with candil.open_node(log=False):
        ask = await bench()
        candil.cast(ask.pid, "note", 1)
        candil.cast(ask.pid, ("other", 2))
        Bench.note(ask.pid, value=3)
        candil.cast(ask.pid, "note", value=4)
        await sys.get_state(ask.pid)
        assert ask.instance.log == [("note", 1), ("cast", ("other", 2)), ("note", 3), ("note", 4)]


# --- cost -----------------------------------------------------------------------------


class Untouchable(deque[object]):
    """A mailbox that nobody may search."""

    def _touched(self, *_: object) -> Any:
        pytest.fail("the caller's mailbox was searched")

    __iter__ = __getitem__ = __delitem__ = __contains__ = popleft = remove = index = _touched


async def test_a_reply_costs_the_same_whatever_waits_in_the_callers_mailbox() -> None:
    """
    OTP's call_with_huge_message_queue: an answer never passes through the mailbox, so it is never
    searched.
    """
    async with candil.open_node(log=False):
        own = own_record()
        mailbox = own.mailbox
        own.mailbox = Untouchable(range(100_000))
        for way in WAYS:
            ask = await bench(way)
            assert await ask("echo", 1) == 1
        assert len(own.mailbox) == 100_000
        own.mailbox = mailbox


async def test_a_reply_is_given_in_one_step_of_the_caller() -> None:
    """A call of an async handler parks its caller once and resumes it once."""
    async with candil.open_node(log=False):
        ask = await bench("async")
        with counted_steps() as steps:
            assert await AsyncBench.echo(ask.pid, 1) == 1
        assert steps.count == 1
