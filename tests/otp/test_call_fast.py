"""The unrolled path of a call: it is the plain one, and the server sees nothing of its caller."""

from __future__ import annotations

import gc
import sys
import warnings
from typing import Any, cast

import pytest
import trio
import trio.testing

import candil
from candil._otp.behaviours.call_fast import perform, stack_has_room
from candil._otp.behaviours.calls import Call
from candil._otp.processes.call_deadlines import expire_after
from candil._otp.processes.oneshot import OneShot
from candil._otp.processes.process import Process, post
from candil._otp.processes.runtime import MAX_INLINE_CALLS, current_process, get_runtime
from tests.otp.scripted import ScriptedServer, driver
from tests.otp.servers import Counter
from tests.otp.steps import counted_steps


def _recurse(depth: int) -> int:
    return 0 if depth == 0 else 1 + _recurse(depth - 1)


class Deep(candil.GenServer):
    """Uses up most of a stack, and looks around."""

    def __init__(self) -> None:
        self.seen: list[BaseException | None] = []

    @candil.handle_call
    def dive(self, depth: int) -> int:
        return _recurse(depth)

    @candil.handle_call
    def look(self) -> BaseException | None:
        self.seen.append(sys.exception())
        return self.seen[-1]

    @candil.handle_call
    def reraise(self) -> None:
        raise  # noqa: PLE0704  # there must be nothing to raise again


async def _call_below(depth: int, server: candil.Pid[Deep], dive: int) -> int:
    if depth > 0:
        return await _call_below(depth - 1, server, dive)
    return await Deep.dive(server, dive)


@pytest.mark.parametrize("used", [0, 50, 100, 200, 400])
async def test_a_handler_has_a_stack_of_its_own_however_deep_its_caller_is(used: int) -> None:
    """The server's own depth counts, which is what it has in a task of its own."""
    async with candil.open_node(log=False):
        server = await candil.start(Deep)
        await trio.testing.wait_all_tasks_blocked()
        below = len(list(_frames()))
        own = sys.getrecursionlimit() - below - 120
        assert await _call_below(used, server, own) == own
        assert await Deep.dive(server, 1) == 1


def _frames() -> Any:
    frame = sys._getframe()  # the stack has no other face
    while frame is not None:
        yield frame
        frame = frame.f_back


async def test_shallow_callers_of_all_depths_run_handlers_in_place() -> None:
    """However they alternate; no task switch is needed."""
    async with candil.open_node(log=False):
        server = await candil.start(Deep)
        await trio.testing.wait_all_tasks_blocked()
        for depth in (0, 5, 3, 40, 0, 7):
            get_runtime().inline_calls = 0
            with counted_steps() as steps:
                await _call_below(depth, server, 1)
                assert steps.count == 0


async def test_a_task_that_is_no_plain_coroutine_has_no_room() -> None:
    """Its own frame is not found, so nothing is known of its depth."""
    async with candil.open_node(log=False):
        assert await _has_room()
        task = trio.lowlevel.current_task()
        own, task.coro = task.coro, cast("Any", object())  # as one that C code made
        try:
            assert not await _has_room()
        finally:
            task.coro = own


async def _has_room() -> bool:
    return stack_has_room(get_runtime())


async def test_a_handler_does_not_see_its_caller_s_exception() -> None:
    """A call within an ``except`` is no different from any other."""
    async with candil.open_node(log=False):
        server = await candil.start(Deep)
        await trio.testing.wait_all_tasks_blocked()
        try:
            raise KeyError("the caller's own")  # noqa: TRY301
        except KeyError:
            assert await Deep.look(server) is None
            with pytest.raises(candil.ServerExited) as raised:
                await Deep.reraise(server)
        cause = raised.value.__cause__
        assert isinstance(cause, RuntimeError)
        assert str(cause) == "No active exception to reraise"


async def test_a_crash_below_an_except_is_not_chained_to_the_caller_s_exception() -> None:
    """Neither is it in a ``finally`` that an exception passes."""
    async with candil.open_node(log=False):
        first, second = await candil.start(Deep), await candil.start(Deep)
        await trio.testing.wait_all_tasks_blocked()
        crashes: list[candil.ServerExited] = []
        with pytest.raises(KeyError):
            try:
                raise KeyError("the caller's own")
            finally:
                for server in (first, second):
                    with pytest.raises(candil.ServerExited) as raised:
                        await Deep.dive(server, sys.maxsize)  # noqa: ASYNC102  # nothing cancels this test
                    crashes.append(raised.value)
        for crash in crashes:
            assert isinstance(crash.__cause__, RecursionError)
            assert crash.__cause__.__context__ is None


# --- a coroutine that is forgotten


@pytest.mark.parametrize(
    ("forget", "name"),
    [
        (lambda: Counter.increment("counter"), "Counter.increment"),
        (lambda: Counter.increment.within(1)("counter", by=2), "Counter.increment"),
        (lambda: candil.call("counter", "increment"), "call"),
    ],
)
async def test_a_call_that_is_not_awaited_is_reported_by_its_handler_s_name(
    forget: Any, name: str
) -> None:
    """Python warns of the coroutine, and that is all there is to find it by."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        forget()
        gc.collect()
    assert [str(warning.message) for warning in caught] == [f"coroutine '{name}' was never awaited"]


# --- the same as the functions that it repeats


def _fields(message: object) -> dict[str, object]:
    found: dict[str, object] = {}
    for cls in type(message).__mro__:
        for name in getattr(cls, "__slots__", ()):
            found[name] = getattr(message, name, "unset")
    return found


async def _posted_by_hand(process: Process, target: Any, timeout: float) -> Any:
    """Do with the plain functions what ``perform`` does in its body."""
    message = Call(target, "wait", (1,), {"two": 2}, timeout)
    expire_after(process, message, timeout)
    post(process, message)
    return await message.wait()


@pytest.mark.parametrize("busy", [False, True])
async def test_a_call_made_by_hand_is_in_every_slot_what_the_constructor_makes(
    busy: bool, mock_clock: trio.testing.MockClock
) -> None:
    """Both wait with the same deadline in the same mailbox, and expire alike."""
    del mock_clock
    async with candil.open_node(log=False) as node, trio.open_nursery() as nursery:
        ask = await driver()
        if not busy:
            await candil.sys.suspend(ask.pid)  # else it would take the call out of the mailbox
        process = ask.pid.process
        assert process is not None
        if busy:
            nursery.start_soon(ScriptedServer.wait.within(99), ask.pid, trio.Event())
            await trio.testing.wait_all_tasks_blocked()
        for play in (
            lambda: perform(ask.pid, "wait", (1,), {"two": 2}, 7.0),
            lambda: _posted_by_hand(process, ask.pid, 7.0),
        ):
            nursery.start_soon(play)
            await trio.testing.wait_all_tasks_blocked()
        fast, plain = process.mailbox
        made, expected = _fields(fast), _fields(plain)
        assert made.keys() == expected.keys() >= {"args", "deadline", "done", "holders", "task"}
        assert made.pop("task") is not expected.pop("task")
        assert set(OneShot.__slots__) - {"task"} <= made.keys()
        assert made == expected
        assert node.timers.now() < process.next_deadline <= made["deadline"]
        nursery.cancel_scope.cancel()


async def test_the_turns_of_calls_in_place_are_those_of_checkpoint_if_due() -> None:
    """The same question with the same numbers: a hundred calls and then one task switch."""
    async with candil.open_node(log=False):
        ask = await driver()
        runtime = get_runtime()
        runtime.inline_calls, runtime.inline_seconds = 0, 0.0
        steps_of = []
        for _ in range(2):
            with counted_steps() as steps:
                for _ in range(MAX_INLINE_CALLS):
                    runtime.inline_seconds = 0.0
                    await ScriptedServer.echo(ask.pid)
                steps_of.append(steps.count)
        assert steps_of == [0, 1]
        runtime.inline_calls = MAX_INLINE_CALLS
        with counted_steps() as steps:
            await runtime.checkpoint_if_due()
            assert (steps.count, runtime.inline_calls) == (1, 0)
        assert current_process.get() is not None
