"""stop and candil.sys: what a server can be asked from outside, whatever it is doing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Crashed, Down, Exit, ExitSignal, Killed, NoProc, Normal, Shutdown, sys
from tests.otp.bodies import do_nothing, end_of, wait_for_ever
from tests.otp.hosted import hosted
from tests.otp.workers import Boom

BOOM = Exit("boom")


class Bench(candil.GenServer):
    """Notes what it handles; does what its caller says."""

    def __init__(self, log: list[Any] | None = None, last: Callable[[], Any] | None = None) -> None:
        self.log = [] if log is None else log
        self.last = last

    @candil.handle_call
    def echo(self, value: object = None) -> object:
        self.log.append(("echo", value))
        return value

    @candil.handle_call
    async def act(self, action: Callable[[], Any]) -> object:
        return await action()

    @candil.handle_cast
    async def wait(self, event: trio.Event) -> None:
        await event.wait()
        self.log.append("waited")

    @candil.handle_cast
    def note(self, value: object) -> None:
        self.log.append(value)

    @candil.handle_cast
    def do(self, action: Callable[[], Any]) -> None:
        action()

    def handle_info(self, message: object) -> None:
        self.log.append(message)

    def handle_continue(self, argument: object) -> None:
        self.log.append(("continue", argument))

    async def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))
        if self.last is not None:
            await self.last()


class Trapping(Bench):
    """The same, and traps exits."""

    def init(self) -> None:
        candil.trap_exit(True)


class Changing(Bench):
    """Notes its code changes, and what else they do."""

    def code_change(self, old_version: object, extra: Any) -> object:
        self.log.append((old_version, extra))
        return extra() if callable(extra) else None


class AsyncChanging(Changing):
    """The same, taking its time."""

    async def code_change(self, old_version: object, extra: Any) -> object:
        await trio.lowlevel.checkpoint()
        return super().code_change(old_version, extra)


async def _raise(error: BaseException) -> None:
    raise error


QUERIES: dict[str, Callable[..., Any]] = {
    "suspend": sys.suspend,
    "resume": sys.resume,
    "get_state": sys.get_state,
    "replace_state": lambda pid, **options: sys.replace_state(pid, lambda state: state, **options),
    "change_code": sys.change_code,
    "statistics": sys.statistics,
}
every_query = pytest.mark.parametrize("query", QUERIES)


# --- stop


@hosted
async def test_stop_ends_a_server_and_waits_for_its_end() -> None:
    """Normally, by terminate, which need not trap for that."""
    log: list[Any] = []
    pid = await candil.start_link(Bench, log)
    await candil.stop(pid)

    assert not candil.is_alive(pid)
    assert [("terminate", Normal())] == log
    assert ExitSignal(pid, Normal()) == await candil.receive()


@hosted
@pytest.mark.parametrize(
    ("reason", "meant"),
    [("shutdown", Shutdown()), (("shutdown", 1), Shutdown(1)), ("boom", BOOM), (BOOM, BOOM)],
    ids=repr,
)
async def test_stop_takes_any_reason(reason: object, meant: candil.ExitReason) -> None:
    """Ending with the reason that was asked for is success."""
    pid, ref = await candil.start_monitor(Bench, name="bench")
    await candil.stop("bench", reason)

    assert Down(ref, pid, meant) == await candil.receive()


@hosted
@pytest.mark.parametrize("name", ["bench", candil.Name[Bench]("bench"), candil.Via("b", 1)])
async def test_a_server_is_stopped_by_any_name(name: Any) -> None:
    """As it may be called."""
    await candil.start(Bench, name=name)
    await candil.stop(name)

    assert None is candil.whereis(name)


@hosted
async def test_what_was_sent_before_the_stop_is_handled_first() -> None:
    """And what came after is not."""
    log: list[Any] = []
    busy = trio.Event()
    pid = await candil.start(Bench, log)
    Bench.wait(pid, busy)
    Bench.note(pid, "before")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(candil.stop, pid)
        await wait_all_tasks_blocked()
        Bench.note(pid, "after")
        busy.set()

    assert ["waited", "before", ("terminate", Normal())] == log


@hosted
async def test_stop_waits_for_terminate() -> None:
    """However long it takes."""
    ready = trio.Event()
    pid = await candil.start(Bench, None, ready.wait)
    stopped = []

    async def stop() -> None:
        await candil.stop(pid)
        stopped.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        await wait_all_tasks_blocked()
        assert [] == stopped
        ready.set()

    assert [True] == stopped


@hosted
async def test_a_server_that_ends_for_another_reason_is_an_error() -> None:
    """Terminate left with a reason of its own."""
    pid = await candil.start(Bench, None, lambda: _raise(candil.ProcessExit("boom")))
    with pytest.raises(candil.ServerExited) as caught:
        await candil.stop(pid)

    assert (pid, "stop", BOOM) == (caught.value.target, caught.value.request, caught.value.reason)
    assert None is caught.value.__cause__


@hosted
async def test_a_crash_in_terminate_is_the_cause_of_the_error() -> None:
    """So its traceback is at hand."""
    pid = await candil.start(Bench, None, lambda: _raise(Boom()))
    with pytest.raises(candil.ServerExited) as caught:
        await candil.stop(pid)

    assert isinstance(caught.value.__cause__, Boom)
    assert Crashed(caught.value.__cause__) == caught.value.reason


@hosted
async def test_a_server_that_was_killed_before_its_stop_was_not_stopped() -> None:
    """ServerExited says that it was killed."""
    pid = await candil.start(Bench)
    Bench.wait(pid, trio.Event())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_finds, pid, Killed())
        await wait_all_tasks_blocked()
        candil.exit_nowait(pid, "kill")


async def _stop_finds(pid: candil.Pid[Any], reason: candil.ExitReason) -> None:
    with pytest.raises(candil.ServerExited) as caught:
        await candil.stop(pid)
    assert reason == caught.value.reason


@hosted
async def test_two_may_stop_one_server() -> None:
    """Both wait for the same end; who asked for another reason is told."""
    pid = await candil.start(Bench)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(candil.stop, pid)
        nursery.start_soon(candil.stop, pid)
        Bench.wait(pid, ready := trio.Event())
        await wait_all_tasks_blocked()
        ready.set()


@hosted
async def test_nobody_to_stop_is_noproc() -> None:
    """A dead pid, an unknown name, a name that whereis did not find, a process that is ending."""
    pid = await candil.start(Bench)
    await candil.stop(pid)
    ending = candil.spawn(wait_for_ever)
    await wait_all_tasks_blocked()
    candil.exit_nowait(ending, "boom")
    for target in (ending, pid, "unknown", candil.Name[Bench]("unknown"), candil.Via("b", 1)):
        with pytest.raises(NoProc) as caught:
            await candil.stop(target)
        assert (target, "stop") == (caught.value.target, caught.value.request)
    with pytest.raises(NoProc):
        candil.stop(candil.whereis("unknown"))


@hosted
async def test_a_stop_that_takes_too_long_goes_on(autojump_clock: MockClock) -> None:
    """Only the wait for it ends."""

    async def last() -> None:
        await trio.sleep(3)

    pid, ref = await candil.start_monitor(Bench, None, last)
    with pytest.raises(candil.CallTimeout) as caught:
        await candil.stop(pid, "shutdown", timeout=1)

    assert 1 == caught.value.timeout
    assert (pid, "stop") == (caught.value.target, caught.value.request)
    assert 1 == pytest.approx(trio.current_time(), abs=0.1)
    assert Down(ref, pid, Shutdown()) == await candil.receive(timeout=2.5)


@hosted
async def test_a_stop_that_is_cancelled_goes_on() -> None:
    """The server ends all the same."""
    pid, ref = await candil.start_monitor(Bench)
    with trio.CancelScope() as scope:
        scope.cancel()
        await candil.stop(pid)

    assert scope.cancelled_caught
    assert Down(ref, pid, Normal()) == await candil.receive()


@hosted
@pytest.mark.parametrize("timeout", [-1, math.nan])
async def test_the_timeout_of_stop_is_a_number_of_seconds(timeout: float) -> None:
    """Anything else leaves the server alone."""
    pid = await candil.start(Bench)
    with pytest.raises(ValueError, match="timeout"):
        await candil.stop(pid, timeout=timeout)

    assert 1 == await candil.call(pid, "echo", 1)


@hosted
async def test_a_server_that_would_wait_for_its_own_end_is_told() -> None:
    """CallingSelf in the callback, in place of a deadlock."""
    pid = await candil.start(Bench)

    async def stop() -> str:
        with pytest.raises(candil.CallingSelf):
            await candil.stop(candil.self())
        return "told"

    assert "told" == await candil.call(pid, "act", stop)


@pytest.mark.parametrize("reason", [(), (Normal(),), (BOOM,)], ids=repr)
@hosted
async def test_stop_without_a_server_speaks_for_the_current_one(
    reason: tuple[candil.ExitReason, ...],
) -> None:
    """After the callback; normally, unless it says why."""
    log: list[Any] = []
    pid, ref = await candil.start_monitor(Bench, log)
    Bench.do(pid, lambda: candil.stop(*reason))
    Bench.note(pid, "after")

    meant = reason[0] if reason else Normal()
    assert Down(ref, pid, meant) == await candil.receive()
    assert [("terminate", meant)] == log


@hosted
async def test_stop_without_a_server_needs_one_to_speak_for() -> None:
    """A plain process is none."""
    with pytest.raises(RuntimeError, match="no server"):
        candil.stop()

    async def plain() -> None:
        candil.stop(BOOM)

    reason = await end_of(candil.spawn(plain))
    assert isinstance(reason, Crashed)
    assert isinstance(reason.exception, RuntimeError)


def test_stop_outside_every_tree_needs_a_server() -> None:
    """Not even a loop runs."""
    with pytest.raises(RuntimeError, match="no server"):
        candil.stop()


@hosted
async def test_a_suspended_server_can_be_stopped() -> None:
    """Its terminate runs; what had queued up is not handled."""
    log: list[Any] = []
    pid, ref = await candil.start_monitor(Bench, log)
    await sys.suspend(pid)
    Bench.note(pid, "queued")
    await candil.stop(pid, "shutdown")

    assert Down(ref, pid, Shutdown()) == await candil.receive()
    assert [("terminate", Shutdown())] == log


@hosted
async def test_stop_waits_for_a_plain_process_to_end_by_itself(autojump_clock: MockClock) -> None:
    """It does not understand the request."""
    await candil.stop(candil.spawn(do_nothing))
    with pytest.raises(candil.CallTimeout):
        await candil.stop(candil.spawn(wait_for_ever), timeout=1)


# --- suspend and resume


@hosted
async def test_a_suspended_server_handles_nothing_until_it_is_resumed() -> None:
    """Then everything in its order: casts, messages, calls."""
    log: list[Any] = []
    pid = await candil.start(Bench, log)
    await sys.suspend(pid)
    Bench.note(pid, 1)
    candil.send(pid, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(candil.call, pid, "echo", 3)
        await wait_all_tasks_blocked()
        Bench.note(pid, 4)
        await wait_all_tasks_blocked()
        assert [] == log
        await sys.resume(pid)
    await wait_all_tasks_blocked()

    assert [1, 2, ("echo", 3), 4] == log


@hosted
async def test_a_call_to_a_suspended_server_expires_and_is_handled_later(
    autojump_clock: MockClock,
) -> None:
    """The plain handler too, which its caller would else run in place."""
    log: list[Any] = []
    pid = await candil.start(Bench, log)
    await sys.suspend(pid)
    with pytest.raises(candil.CallTimeout):
        await candil.call(pid, "echo", 1, timeout=2)
    assert [] == log
    await sys.resume(pid)

    assert 2 == await candil.call(pid, "echo", 2)
    assert [("echo", 1), ("echo", 2)] == log


@hosted
async def test_what_came_before_the_suspension_is_handled() -> None:
    """The request keeps its place in the mailbox."""
    log: list[Any] = []
    pid = await candil.start(Bench, log)
    Bench.note(pid, 1)
    await sys.suspend(pid)

    assert [1] == log


@hosted
async def test_suspending_twice_is_suspending_once() -> None:
    """One resume ends it; one more changes nothing."""
    pid = await candil.start(Bench)
    await sys.suspend(pid)
    await sys.suspend(pid)
    await sys.resume(pid)
    assert 1 == await candil.call(pid, "echo", 1)
    await sys.resume(pid)

    assert 2 == await candil.call(pid, "echo", 2)


@hosted
async def test_a_suspended_server_still_answers_about_itself() -> None:
    """Requests pass the messages that wait, and these keep their order."""
    log: list[Any] = []
    pid = await candil.start(Bench, log)
    await sys.suspend(pid)
    for number in range(3):
        Bench.note(pid, number)
        assert log is (await sys.get_state(pid)).log
        assert number + 1 == (await sys.statistics(pid)).message_queue_len
    await sys.resume(pid)
    await wait_all_tasks_blocked()

    assert [0, 1, 2] == log


@hosted
@pytest.mark.parametrize("reason", [Shutdown(), Normal(), BOOM], ids=repr)
async def test_a_parents_exit_ends_a_suspended_server(reason: candil.ExitReason) -> None:
    """By terminate, before all that waits."""
    log: list[Any] = []
    block = candil.self()

    async def parent() -> None:
        candil.send(block, await candil.start_link(Trapping, log))
        raise candil.ProcessExit(await candil.receive())

    parents_pid = candil.spawn(parent)
    pid: candil.Pid[Any] = await candil.receive(candil.Pid)
    ref = candil.monitor(pid)
    await sys.suspend(pid)
    Bench.note(pid, "queued")
    candil.send(parents_pid, reason)

    assert Down(ref, pid, reason) == await candil.receive()
    assert [("terminate", reason)] == log


@hosted
async def test_anothers_exit_waits_for_the_resumption() -> None:
    """It is a message like any other."""
    log: list[Any] = []
    pid = await candil.start_link(Trapping, log)
    await sys.suspend(pid)
    stranger = candil.spawn(_signals, pid)
    Bench.note(pid, 1)
    await end_of(stranger)
    Bench.note(pid, 2)
    assert [] == log
    await sys.resume(pid)
    await candil.call(pid, "echo")
    assert [1, ExitSignal(stranger, BOOM), 2, ("echo", None)] == log


async def _signals(pid: candil.Pid[Any]) -> None:
    await wait_all_tasks_blocked()
    candil.exit_nowait(pid, "boom")


@hosted
async def test_a_signal_ends_a_suspended_server_that_does_not_trap() -> None:
    """Suspension is no protection."""
    pid, ref = await candil.start_monitor(Bench)
    await sys.suspend(pid)
    candil.exit_nowait(pid, "boom")

    assert Down(ref, pid, BOOM) == await candil.receive()


@hosted
async def test_a_server_that_was_suspended_in_a_callback_still_does_what_that_asked_for() -> None:
    """It continues first, and is suspended then."""
    log: list[Any] = []
    pid = await candil.start(Bench, log)
    async with trio.open_nursery() as nursery:
        Bench.do(pid, lambda: candil.continue_with("more"))
        nursery.start_soon(sys.suspend, pid)
        await wait_all_tasks_blocked()
    Bench.note(pid, "queued")
    await wait_all_tasks_blocked()

    assert [("continue", "more")] == log


@hosted
async def test_a_timeout_of_the_server_starts_anew_after_a_suspension(
    autojump_clock: MockClock,
) -> None:
    """None comes while it lasts."""
    log: list[Any] = []
    pid = await candil.start(Bench, log)
    Bench.do(pid, lambda: candil.set_timeout(2))
    await trio.sleep(1)
    await sys.suspend(pid)
    await trio.sleep(10)
    await sys.resume(pid)
    await trio.sleep(1.5)
    assert [] == log
    await trio.sleep(1)

    assert [candil.Timeout()] == log


# --- the state


@hosted
async def test_the_state_is_the_instance() -> None:
    """The very object that the handlers have."""
    log: list[Any] = []
    pid = await candil.start(Bench, log)
    state = await sys.get_state(pid)

    assert isinstance(state, Bench)
    assert log is state.log
    assert state is await sys.get_state(pid)


@hosted
@pytest.mark.parametrize("suspended", [False, True])
async def test_a_replaced_state_is_what_the_server_goes_on_with(suspended: bool) -> None:
    """Calls in place, casts and messages all see it; it is what the caller gets."""
    old: list[Any] = []
    new: list[Any] = []
    pid = await candil.start(Bench, old)
    if suspended:
        await sys.suspend(pid)
    state = await sys.replace_state(pid, lambda _: Bench(new))
    await sys.resume(pid)
    await candil.call(pid, "echo", 1)
    Bench.note(pid, 2)
    candil.send(pid, 3)
    await candil.stop(pid)

    assert new is state.log
    assert [("echo", 1), 2, 3, ("terminate", Normal())] == new
    assert [] == old


@hosted
async def test_a_message_behind_a_replacement_sees_the_new_state() -> None:
    """Even in the same turn of the loop."""
    old: list[Any] = []
    new: list[Any] = []
    busy = trio.Event()
    pid = await candil.start(Bench, old)
    Bench.wait(pid, busy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sys.replace_state, pid, lambda _: Bench(new))
        await wait_all_tasks_blocked()
        nursery.start_soon(candil.call, pid, "echo", 1)
        await wait_all_tasks_blocked()
        Bench.note(pid, 2)
        busy.set()
    await wait_all_tasks_blocked()

    assert (["waited"], [("echo", 1), 2]) == (old, new)


@hosted
async def test_a_replacement_may_be_of_a_subclass() -> None:
    """Then that one's handlers run."""

    class Doubling(Bench):
        """Answers twice as much."""

        @candil.handle_call
        def echo(self, value: Any = 0) -> object:
            return 2 * value

    pid = await candil.start(Bench)
    await sys.replace_state(pid, lambda _: Doubling())

    assert 2 == await candil.call(pid, "echo", 1)


@hosted
async def test_what_replace_raises_is_raised_at_the_caller() -> None:
    """And the server goes on with the state that it had."""
    pid = await candil.start(Bench)
    state = await sys.get_state(pid)

    def fail(_: Bench) -> Bench:
        raise Boom

    with pytest.raises(Boom):
        await sys.replace_state(pid, fail)
    with pytest.raises(TypeError, match="Bench"):
        await sys.replace_state(pid, lambda _: None)

    assert state is await sys.get_state(pid)
    assert 1 == await candil.call(pid, "echo", 1)


# --- code changes


@hosted
@pytest.mark.parametrize("cls", [Changing, AsyncChanging])
async def test_a_code_change_runs_in_a_suspended_server(cls: type[Changing]) -> None:
    """With the version and the argument that it was given, before what waits."""
    log: list[Any] = []
    pid = await candil.start(cls, log)
    await sys.suspend(pid)
    Bench.note(pid, "queued")
    await sys.change_code(pid, 1, "extra")
    assert [(1, "extra")] == log
    await sys.resume(pid)
    await wait_all_tasks_blocked()

    assert [(1, "extra"), "queued"] == log


@hosted
async def test_a_server_that_runs_changes_no_code() -> None:
    """The error says what to do first."""
    log: list[Any] = []
    pid = await candil.start(Changing, log, name="bench")
    with pytest.raises(RuntimeError, match="suspend"):
        await sys.change_code("bench")

    assert [] == log
    assert 1 == await candil.call(pid, "echo", 1)


@hosted
async def test_a_code_change_needs_its_callback() -> None:
    """Without it the server goes on as it was, still suspended."""
    pid = await candil.start(Bench)
    await sys.suspend(pid)
    with pytest.raises(candil.UndefinedCallback) as caught:
        await sys.change_code(pid, 1)

    assert ("Bench", "code_change", 1) == (
        caught.value.server,
        caught.value.callback,
        caught.value.message,
    )
    assert (await sys.statistics(pid)).suspended


@hosted
@pytest.mark.parametrize("cls", [Changing, AsyncChanging])
async def test_a_code_change_that_fails_is_the_askers_error(cls: type[Changing]) -> None:
    """The server goes on."""
    pid = await candil.start(cls)
    await sys.suspend(pid)

    def fail() -> None:
        raise Boom

    with pytest.raises(Boom):
        await sys.change_code(pid, 1, fail)
    await sys.resume(pid)

    assert 1 == await candil.call(pid, "echo", 1)


@hosted
@pytest.mark.parametrize("cls", [Changing, AsyncChanging])
async def test_a_code_change_may_stop_its_server(cls: type[Changing]) -> None:
    """Suspended as it is, it terminates; who asked has been answered."""
    pid, ref = await candil.start_monitor(cls)
    await sys.suspend(pid)
    await sys.change_code(pid, 1, lambda: candil.stop(BOOM))

    assert Down(ref, pid, BOOM) == await candil.receive()


# --- statistics


@hosted
async def test_statistics_count_what_was_handled_and_what_waits() -> None:
    """Also what was handled in this very turn of the loop."""
    pid = await candil.start(Bench)
    for number in range(3):
        Bench.note(pid, number)
    assert sys.Statistics(3, 0, suspended=False) == await sys.statistics(pid)

    candil.send(pid, "message")
    await candil.call(pid, "act", trio.lowlevel.checkpoint)
    assert sys.Statistics(5, 0, suspended=False) == await sys.statistics(pid)


@hosted
async def test_statistics_do_not_count_what_is_asked_from_outside() -> None:
    """Neither requests like itself, nor plain calls that their callers ran in place."""
    pid = await candil.start(Bench)
    await wait_all_tasks_blocked()
    for _ in range(3):
        await sys.suspend(pid)
        await sys.get_state(pid)
        await sys.resume(pid)
        await wait_all_tasks_blocked()
        await candil.call(pid, "echo")

    assert sys.Statistics(0, 0, suspended=False) == await sys.statistics(pid)


@hosted
async def test_statistics_say_whether_a_server_is_suspended() -> None:
    """And how much waits for its resumption."""
    pid = await candil.start(Bench)
    await sys.suspend(pid)
    Bench.note(pid, 1)
    statistics = await sys.statistics(pid)

    assert (1, True) == (statistics.message_queue_len, statistics.suspended)
    await sys.resume(pid)
    assert not (await sys.statistics(pid)).suspended


# --- every request


@every_query
@hosted
async def test_a_dead_server_cannot_be_asked(query: str) -> None:
    """NoProc, for a pid, a name, or a process that is ending."""
    pid = await candil.start(Bench)
    await candil.stop(pid)
    ending = candil.spawn(wait_for_ever)
    await wait_all_tasks_blocked()
    candil.exit_nowait(ending, "boom")
    for target in (ending, pid, "unknown"):
        with pytest.raises(NoProc) as caught:
            await QUERIES[query](target)
        assert (target, f"sys.{query}") == (caught.value.target, caught.value.request)


@every_query
@hosted
async def test_a_plain_process_does_not_answer(query: str, autojump_clock: MockClock) -> None:
    """CallTimeout after five seconds, or as many as the caller gives it."""
    pid = candil.spawn(wait_for_ever)
    for options, seconds in (({}, 5), ({"timeout": 2}, 2)):
        began = trio.current_time()
        with pytest.raises(candil.CallTimeout) as caught:
            await QUERIES[query](pid, **options)
        assert seconds == caught.value.timeout
        assert seconds == pytest.approx(trio.current_time() - began, abs=0.1)


@every_query
@hosted
async def test_a_server_that_ends_first_is_the_error(query: str) -> None:
    """ServerExited with its reason; nobody waits for the dead, even without a timeout."""
    pid = await candil.start(Bench)
    Bench.wait(pid, trio.Event())

    async def ask() -> None:
        with pytest.raises(candil.ServerExited) as caught:
            await QUERIES[query](pid, timeout=math.inf)
        assert (pid, f"sys.{query}") == (caught.value.target, caught.value.request)
        assert BOOM == caught.value.reason

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        candil.exit_nowait(pid, "boom")


@hosted
async def test_a_server_that_crashes_first_is_the_cause() -> None:
    """The crash is chained."""
    pid = await candil.start(Bench)
    gate = trio.Event()
    Bench.wait(pid, gate)
    Bench.do(pid, lambda: 1 / 0)

    async def ask() -> None:
        with pytest.raises(candil.ServerExited) as caught:
            await sys.get_state(pid)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        gate.set()


@hosted
async def test_a_server_that_is_killed_in_a_code_change_is_the_error() -> None:
    """The request that it was at is owed as well as those that wait."""

    class Stuck(Bench):
        """Never finishes its code change."""

        async def code_change(self, old_version: object, extra: object) -> None:
            await trio.sleep_forever()

    pid = await candil.start(Stuck)
    await sys.suspend(pid)

    async def ask() -> None:
        with pytest.raises(candil.ServerExited) as caught:
            await sys.change_code(pid)
        assert Killed() == caught.value.reason

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        candil.exit_nowait(pid, "kill")


@every_query
@hosted
async def test_a_server_that_would_ask_itself_is_told(query: str) -> None:
    """CallingSelf in the callback, in place of a deadlock."""
    pid = await candil.start(Bench)

    async def ask() -> str:
        with pytest.raises(candil.CallingSelf):
            await QUERIES[query](candil.self())
        return "told"

    assert "told" == await candil.call(pid, "act", ask)


@every_query
@pytest.mark.parametrize("timeout", [-1, math.nan])
@hosted
async def test_the_timeout_of_a_request_is_a_number_of_seconds(query: str, timeout: float) -> None:
    """Anything else asks nothing."""
    pid = await candil.start(Bench)
    with pytest.raises(ValueError, match="timeout"):
        await QUERIES[query](pid, timeout=timeout)

    assert not (await sys.statistics(pid)).suspended


@hosted
async def test_a_request_that_is_cancelled_is_still_done() -> None:
    """As with a call: the server is not disturbed, and nobody gets the answer."""
    pid = await candil.start(Bench)
    with trio.CancelScope() as scope:
        scope.cancel()
        await sys.suspend(pid)

    assert scope.cancelled_caught
    assert (await sys.statistics(pid)).suspended


@hosted
async def test_a_supervisor_can_be_asked_too() -> None:
    """It is a server like any other: suspended, it restarts nobody until it is resumed."""
    top = await candil.start_link(
        candil.supervisor_spec([candil.child_spec(Bench, name="bench")]),
    )
    await sys.suspend(top)
    pid = candil.whereis("bench")
    assert pid is not None
    candil.exit_nowait(pid, "boom")
    await wait_all_tasks_blocked()
    assert None is candil.whereis("bench")
    await sys.resume(top)
    await wait_all_tasks_blocked()

    assert candil.whereis("bench") not in {None, pid}
