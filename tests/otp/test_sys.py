"""Requests of candil.sys: the state, statistics, and what any request gets from nobody."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import NoProc, Normal, sys
from tests.otp.bodies import BOOM, wait_for_ever
from tests.otp.hosted import hosted
from tests.otp.servers import CodeChanger, StateRecorder
from tests.otp.workers import Boom

QUERIES: dict[str, Callable[..., Any]] = {
    "suspend": sys.suspend,
    "resume": sys.resume,
    "get_state": sys.get_state,
    "replace_state": lambda pid, **options: sys.replace_state(pid, lambda state: state, **options),
    "change_code": sys.change_code,
    "statistics": sys.statistics,
}


every_query = pytest.mark.parametrize("query", QUERIES)


# --- the state


@hosted
async def test_the_state_is_the_instance() -> None:
    """The very object that the handlers have, by pid or name, after all that was sent before."""
    log: list[Any] = []
    pid = await candil.start(StateRecorder, log, name="recorder")
    StateRecorder.note(pid, "before")
    state = await sys.get_state("recorder")

    assert isinstance(state, StateRecorder)
    assert log is state.log
    assert ["before"] == log
    assert state is await sys.get_state(pid)


@hosted
@pytest.mark.parametrize("suspended", [False, True])
async def test_a_replaced_state_is_what_the_server_goes_on_with(suspended: bool) -> None:
    """Calls in place, casts and messages all see it; it is what the caller gets."""
    old: list[Any] = []
    new: list[Any] = []
    pid = await candil.start(StateRecorder, old)
    if suspended:
        await sys.suspend(pid)
    state = await sys.replace_state(pid, lambda _: StateRecorder(new))
    await sys.resume(pid)
    await candil.call(pid, "echo", 1)
    StateRecorder.note(pid, 2)
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
    pid = await candil.start(StateRecorder, old)
    StateRecorder.wait(pid, busy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sys.replace_state, pid, lambda _: StateRecorder(new))
        await wait_all_tasks_blocked()
        nursery.start_soon(candil.call, pid, "echo", 1)
        await wait_all_tasks_blocked()
        StateRecorder.note(pid, 2)
        busy.set()
    await wait_all_tasks_blocked()

    assert (["waited"], [("echo", 1), 2]) == (old, new)


@hosted
async def test_a_replacement_may_be_of_a_subclass() -> None:
    """Then that one's handlers run."""

    class Doubling(StateRecorder):
        """Answers twice as much."""

        @candil.handle_call
        def echo(self, value: Any = 0) -> object:
            return 2 * value

    pid = await candil.start(StateRecorder)
    await sys.replace_state(pid, lambda _: Doubling())

    assert 2 == await candil.call(pid, "echo", 1)


@hosted
async def test_what_replace_raises_is_raised_at_the_caller() -> None:
    """And the server goes on with the state that it had."""
    pid = await candil.start(StateRecorder)
    state = await sys.get_state(pid)

    def fail(_: StateRecorder) -> StateRecorder:
        raise Boom

    with pytest.raises(Boom):
        await sys.replace_state(pid, fail)
    for garbage in (None, 7, candil.GenServer()):
        with pytest.raises(TypeError, match="replace must return the StateRecorder"):
            await sys.replace_state(pid, lambda _, garbage=garbage: garbage)

    assert state is await sys.get_state(pid)
    assert 1 == await candil.call(pid, "echo", 1)


# --- statistics


@hosted
async def test_statistics_count_what_was_handled_and_what_waits() -> None:
    """Also what was handled in this very turn of the loop."""
    pid = await candil.start(StateRecorder)
    for number in range(3):
        StateRecorder.note(pid, number)
    assert sys.Statistics(3, 0, suspended=False) == await sys.statistics(pid)

    candil.send(pid, "message")
    await candil.call(pid, "act", trio.lowlevel.checkpoint)
    assert sys.Statistics(5, 0, suspended=False) == await sys.statistics(pid)


@hosted
async def test_statistics_do_not_count_what_is_asked_from_outside() -> None:
    """Neither requests like itself, nor plain calls that their callers ran in place."""
    pid = await candil.start(StateRecorder)
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
    pid = await candil.start(StateRecorder)
    await sys.suspend(pid)
    StateRecorder.note(pid, 1)
    statistics = await sys.statistics(pid)

    assert (1, True) == (statistics.message_queue_len, statistics.suspended)
    await sys.resume(pid)
    assert not (await sys.statistics(pid)).suspended


# --- who is asked


@every_query
@hosted
async def test_a_dead_server_cannot_be_asked(query: str) -> None:
    """NoProc, for a pid, a name, or a process that is ending."""
    pid = await candil.start(StateRecorder)
    await candil.stop(pid)
    ending = candil.spawn(wait_for_ever)
    await wait_all_tasks_blocked()
    candil.exit(ending, "boom")
    for target in (ending, pid, "unknown"):
        with trio.testing.assert_checkpoints(), pytest.raises(NoProc) as caught:
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
    pid = await candil.start(StateRecorder)
    StateRecorder.wait(pid, trio.Event())

    async def ask() -> None:
        with pytest.raises(candil.ServerExited) as caught:
            await QUERIES[query](pid, timeout=math.inf)
        assert (pid, f"sys.{query}") == (caught.value.target, caught.value.request)
        assert BOOM == caught.value.reason

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        candil.exit(pid, "boom")


@hosted
async def test_a_server_that_crashes_first_is_the_cause() -> None:
    """The crash is chained; where there was none, nothing is."""
    for end, cause in ((lambda: 1 / 0, ZeroDivisionError), (candil.stop_self, type(None))):
        pid = await candil.start(StateRecorder)
        StateRecorder.do(pid, end)
        with pytest.raises(candil.ServerExited) as caught:
            await sys.get_state(pid)
        assert isinstance(caught.value.__cause__, cause)


@every_query
@pytest.mark.parametrize("by", ["pid", "name"])
@hosted
async def test_a_server_that_would_ask_itself_is_told(by: str, query: str) -> None:
    """CallingSelf in the callback, in place of a deadlock."""
    pid = await candil.start(StateRecorder, name="recorder")

    async def ask() -> str:
        with pytest.raises(candil.CallingSelf):
            await QUERIES[query](candil.self() if by == "pid" else "recorder")
        return "told"

    assert "told" == await candil.call(pid, "act", ask)


# --- how long


@every_query
@hosted
async def test_a_request_waits_five_seconds_unless_told_otherwise(
    query: str, autojump_clock: MockClock
) -> None:
    """It stands in the queue of a busy server as any message does."""
    pid = await candil.start(CodeChanger)
    StateRecorder.wait(pid, trio.Event())
    for options, seconds in (({}, 5), ({"timeout": 1}, 1)):
        began = trio.current_time()
        with pytest.raises(candil.CallTimeout) as caught:
            await QUERIES[query](pid, **options)
        assert seconds == pytest.approx(trio.current_time() - began)
        assert (pid, f"sys.{query}") == (caught.value.target, caught.value.request)
        assert seconds == caught.value.timeout


@hosted
async def test_a_request_may_wait_for_ever(autojump_clock: MockClock) -> None:
    """math.inf has no deadline."""
    pid = await candil.start(StateRecorder)
    StateRecorder.wait(pid, event := trio.Event())

    async def release() -> None:
        await trio.sleep(1000)
        event.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(release)
        assert isinstance(await sys.get_state(pid, timeout=math.inf), StateRecorder)


@every_query
@pytest.mark.parametrize("timeout", [-1, math.nan, None])
@hosted
async def test_the_timeout_of_a_request_is_a_number_of_seconds(query: str, timeout: Any) -> None:
    """Anything else asks nothing."""
    pid = await candil.start(StateRecorder)
    with pytest.raises(ValueError, match="a timeout is"):
        await QUERIES[query](pid, timeout=timeout)

    assert not (await sys.statistics(pid)).suspended


@hosted
async def test_a_request_that_is_cancelled_is_still_done() -> None:
    """As with a call: the server is not disturbed, and nobody gets the answer."""
    pid = await candil.start(StateRecorder)
    with trio.CancelScope() as scope:
        scope.cancel()
        await sys.suspend(pid)

    assert scope.cancelled_caught
    assert (await sys.statistics(pid)).suspended
    await wait_all_tasks_blocked()
    assert pid.process is not None
    assert not pid.process.pending
