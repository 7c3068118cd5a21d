"""The loop of a server: callbacks, continue, timeouts, terminate, and too many messages."""

from __future__ import annotations

import contextlib
import itertools
import math
from typing import Any

import pytest
import trio
import trio.testing

import candil
from candil import sys
from candil.otp import _server_loop

from .bodies import end_of, wait_for_ever

BOOM = candil.Exit("boom")


def raise_(error: BaseException) -> Any:
    """Raise, as an expression."""
    raise error


class Diary(candil.GenServer):
    """A server that notes all that it sees, and does what messages that can be called say."""

    def __init__(self, log: list[Any] | None = None, init: Any = None) -> None:
        self.log: list[Any] = [] if log is None else log
        self.to_do = init

    def init(self) -> Any:
        return self.to_do() if callable(self.to_do) else None

    def _see(self, what: str, thing: object) -> Any:
        if callable(thing):
            return thing()
        self.log.append((what, thing))
        return None

    @candil.handle_call
    async def act(self, action: Any) -> object:
        return self._see("act", action)

    @candil.handle_call
    def act_at_once(self, action: Any) -> object:
        return self._see("act", action)

    @candil.handle_cast
    def told(self, action: Any) -> object:
        return self._see("told", action)

    @candil.handle_cast
    async def told_async(self, action: Any) -> object:
        return self._see("told", action)

    def handle_call(self, request: Any, caller: candil.Call) -> object:
        return self._see("call", request)

    def handle_cast(self, message: Any) -> object:
        return self._see("cast", message)

    def handle_info(self, message: Any) -> object:
        return self._see("info", message)

    def handle_continue(self, argument: Any) -> object:
        return self._see("continue", argument)

    def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))


class Trapper(Diary):
    """The same, trapping exits."""

    def init(self) -> Any:
        candil.trap_exit(True)
        return super().init()


class Bare(candil.GenServer):
    """A server that has no callback at all."""

    @candil.handle_call
    def act(self, action: Any) -> object:
        return action()


async def all_handled(pid: candil.Pid[Any]) -> list[Any]:
    """Wait until a server has handled what was sent so far, and give what it noted."""
    return (await sys.get_state(pid)).log


# --- callbacks ------------------------------------------------------------------------------------


class Plain(candil.GenServer):
    """All callbacks, plain."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def init(self) -> None:
        self.log.append("init")
        candil.continue_with("first")

    def handle_call(self, request: object, caller: candil.Call) -> object:
        self.log.append(("call", request))
        return "answer"

    def handle_cast(self, message: object) -> None:
        self.log.append(("cast", message))

    def handle_info(self, message: object) -> None:
        self.log.append(("info", message))

    def handle_continue(self, argument: object) -> None:
        self.log.append(("continue", argument))

    def code_change(self, old_version: object, extra: object) -> None:
        self.log.append(("code_change", old_version, extra))

    def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))


class Async(Plain):
    """All callbacks, waiting."""

    async def init(self) -> None:
        await trio.lowlevel.checkpoint()
        super().init()

    async def handle_call(self, request: object, caller: candil.Call) -> object:
        await trio.lowlevel.checkpoint()
        return super().handle_call(request, caller)

    async def handle_cast(self, message: object) -> None:
        await trio.lowlevel.checkpoint()
        super().handle_cast(message)

    async def handle_info(self, message: object) -> None:
        await trio.lowlevel.checkpoint()
        super().handle_info(message)

    async def handle_continue(self, argument: object) -> None:
        await trio.lowlevel.checkpoint()
        super().handle_continue(argument)

    async def code_change(self, old_version: object, extra: object) -> None:
        await trio.lowlevel.checkpoint()
        super().code_change(old_version, extra)

    async def terminate(self, reason: candil.ExitReason) -> None:
        await trio.lowlevel.checkpoint()
        super().terminate(reason)


@pytest.mark.parametrize("kind", [Plain, Async])
async def test_every_callback_may_be_plain_or_async(kind: type[Plain]) -> None:
    """What each callback gets, in which order, is the same for both."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid = await candil.start(kind, log)
        candil.cast(pid, 1)
        candil.send(pid, 2)
        assert await candil.call(pid, 3) == "answer"
        await sys.suspend(pid)
        await sys.change_code(pid, "old", "extra")
        await sys.resume(pid)
        await candil.stop(pid)
    assert log == [
        "init",
        ("continue", "first"),
        ("cast", 1),
        ("info", 2),
        ("call", 3),
        ("code_change", "old", "extra"),
        ("terminate", candil.Normal()),
    ]


async def test_a_plain_callback_may_return_an_awaitable_that_the_loop_awaits() -> None:
    """What counts is that the result can be awaited, not how the method was written."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary)

        async def answer() -> int:
            return 7

        assert await candil.call(pid, answer) == 7


@pytest.mark.parametrize(
    ("callback", "act"),
    [
        ("handle_call", lambda pid: candil.call(pid, "what")),
        ("handle_cast", lambda pid: candil.cast(pid, "what")),
        ("handle_continue", lambda pid: Bare.act(pid, lambda: candil.continue_with("what"))),
    ],
)
async def test_a_message_for_a_callback_that_is_not_there_crashes_the_server(
    callback: str, act: Any
) -> None:
    """OTP's undef: the reason names the class, the callback and the message."""
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Bare)
        with contextlib.suppress(candil.ServerExited):
            waits = act(pid)
            if waits is not None:
                await waits
        down = await candil.receive(candil.Down)
        assert down.ref is ref
        error = down.reason.exception
        assert isinstance(error, candil.UndefinedCallback)
        assert (error.server, error.callback, error.message) == ("Bare", callback, "what")


async def test_a_call_without_a_clause_tells_its_caller_what_is_missing() -> None:
    """The caller's error is chained to the server's own."""
    async with candil.open_node(log=False):
        with pytest.raises(candil.ServerExited) as caught:
            await candil.call(await candil.start(Bare), {"not": "hashable"})
        assert isinstance(caught.value.__cause__, candil.UndefinedCallback)


async def test_a_message_is_dropped_by_a_server_without_handle_info(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whatever it is, also a Timeout that the server asked for itself; nothing ends."""
    async with candil.open_node(log=False):
        pid = await candil.start(Bare)
        candil.send(pid, "anything")
        await Bare.act(pid, lambda: candil.set_timeout(1))
        await trio.sleep(2)
        assert await Bare.act(pid, lambda: "alive") == "alive"


@pytest.mark.parametrize(
    ("callback", "act"),
    [
        ("told", lambda pid: Diary.told(pid, lambda: "bad")),
        ("told_async", lambda pid: Diary.told_async(pid, lambda: "bad")),
        ("handle_cast", lambda pid: candil.cast(pid, lambda: "bad")),
        ("handle_info", lambda pid: candil.send(pid, lambda: "bad")),
        (
            "handle_continue",
            lambda pid: Diary.told(pid, lambda: candil.continue_with(lambda: "bad")),
        ),
    ],
)
async def test_a_value_where_none_is_due_crashes_the_server(callback: str, act: Any) -> None:
    """OTP's bad_return_value, which terminate gets as its reason too."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary, log)
        act(pid)
        reason = (await candil.receive(candil.Down)).reason
        assert isinstance(reason.exception, candil.BadReturnValue)
        assert (reason.exception.callback, reason.exception.value) == (callback, "bad")
        assert log == [("terminate", reason)]


async def test_a_value_from_init_fails_the_start() -> None:
    """Only IGNORE and nothing at all may be returned."""
    async with candil.open_node(log=False):
        with pytest.raises(candil.StartError) as caught:
            await candil.start(Diary, None, lambda: "bad")
        assert isinstance(caught.value.__cause__, candil.BadReturnValue)


@pytest.mark.parametrize("act", [candil.send, candil.cast, Diary.told, Diary.told_async])
@pytest.mark.parametrize("error", [ValueError("x"), ExceptionGroup("two", [OSError(), KeyError()])])
async def test_what_a_callback_raises_is_the_servers_end(act: Any, error: Exception) -> None:
    """The very exception, in terminate and in the exit reason; what is queued is never handled."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary, log)
        act(pid, lambda: raise_(error))
        candil.send(pid, "queued")
        reason = (await candil.receive(candil.Down)).reason
        assert reason == candil.Crashed(error)
        assert log == [("terminate", reason)]


@pytest.mark.parametrize(
    "reason", [candil.Normal(), candil.Shutdown("detail"), candil.Killed(), BOOM]
)
async def test_process_exit_in_a_callback_ends_the_server_with_its_reason(
    reason: candil.ExitReason,
) -> None:
    """OTP's exit/1: terminate runs with just that reason, whichever it is."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary, log)
        candil.send(pid, lambda: raise_(candil.ProcessExit(reason)))
        assert (await candil.receive(candil.Down)).reason == reason
        assert log == [("terminate", reason)]


@pytest.mark.parametrize(
    "error", [SystemExit(3), BaseExceptionGroup("one", [SystemExit(3)])], ids=repr
)
async def test_system_exit_in_a_callback_is_a_crash(error: BaseException) -> None:
    """A server cannot end the program by accident, alone or from a nursery; terminate runs."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary, log)
        candil.send(pid, lambda: raise_(error))
        reason = (await candil.receive(candil.Down)).reason
        assert reason == candil.Crashed(error)
        assert log == [("terminate", reason)]


async def a_cancelled() -> trio.Cancelled:
    """Get hold of a Cancelled as nobody should."""
    caught: list[trio.Cancelled] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            caught.append(cancelled)
            raise
    return caught.pop()


@pytest.mark.parametrize("way", ["in place", "message", "async"])
async def test_a_cancelled_that_a_handler_stored_is_a_crash(way: str) -> None:
    """It is not taken for a cancellation: the reason says what was done."""
    log: list[Any] = []
    stored = await a_cancelled()
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary, log)
        await trio.testing.wait_all_tasks_blocked()
        if way == "message":
            candil.send(pid, lambda: raise_(stored))
        else:
            client = Diary.act if way == "async" else Diary.act_at_once
            with pytest.raises(candil.ServerExited):
                await client(pid, lambda: raise_(stored))
        reason = (await candil.receive(candil.Down)).reason
        assert isinstance(reason.exception, candil.LeakedCancellation)
        assert reason.exception.__cause__ is stored
        assert log == [("terminate", reason)]


@pytest.mark.parametrize("way", ["message", "async"])
async def test_a_generator_exit_in_a_handler_ends_only_its_server(way: str) -> None:
    """The interpreter's own signal to coroutines is a crash here, of which everybody learns."""
    error = GeneratorExit()
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary)
        if way == "message":
            candil.send(pid, lambda: raise_(error))
        else:
            with pytest.raises(candil.ServerExited):
                await Diary.act(pid, lambda: raise_(error))
        assert (await candil.receive(candil.Down)).reason == candil.Crashed(error)


async def test_a_cancelled_in_a_group_is_a_crash_with_that_group() -> None:
    """A stored Cancelled among other errors is no cancellation either."""
    log: list[Any] = []
    error = BaseExceptionGroup("both", [await a_cancelled(), ValueError()])
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary, log)
        candil.send(pid, lambda: raise_(error))
        reason = (await candil.receive(candil.Down)).reason
        assert reason == candil.Crashed(error)
        assert log == [("terminate", reason)]


INTERRUPTS: dict[str, Any] = {
    "in place": lambda pid: Diary.act_at_once(pid, lambda: raise_(KeyboardInterrupt())),
    "async": lambda pid: Diary.act(pid, lambda: raise_(KeyboardInterrupt())),
    "message": lambda pid: candil.send(pid, lambda: raise_(KeyboardInterrupt())),
    "group": lambda pid: candil.send(
        pid, lambda: raise_(BaseExceptionGroup("from a nursery", [KeyboardInterrupt()]))
    ),
}


@pytest.mark.parametrize("way", INTERRUPTS)
async def test_keyboard_interrupt_in_a_handler_ends_the_block_with_it(way: str) -> None:
    """Ctrl-C is the program's and no server's: all processes stop in order, and it goes on."""
    log: list[Any] = []

    async def block() -> None:
        async with candil.open_node(log=False):
            pid = await candil.start(Diary)
            await candil.start_link(Trapper, log)
            await trio.testing.wait_all_tasks_blocked()
            with contextlib.suppress(candil.ServerExited):
                waits = INTERRUPTS[way](pid)
                if waits is not None:
                    await waits
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await block()
    assert [what for what, _ in log] == ["terminate"]


# --- continue -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Plain, Async])
async def test_continue_from_init_runs_before_what_is_queued_already(kind: type[Plain]) -> None:
    """Even before a message that came while init was running."""
    log: list[Any] = []

    class Early(kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__(log)
            candil.send(candil.self(), "queued")

    async with candil.open_node(log=False):
        pid = await candil.start(Early)
        assert await all_handled(pid) == ["init", ("continue", "first"), ("info", "queued")]


@pytest.mark.parametrize("act", [candil.send, candil.cast, Diary.told, Diary.told_async])
async def test_continue_runs_before_what_is_queued(act: Any) -> None:
    """Whichever callback asks for it."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        act(pid, lambda: candil.continue_with("go on"))
        candil.send(pid, "queued")
        assert await all_handled(pid) == [("continue", "go on"), ("info", "queued")]


@pytest.mark.parametrize("way", ["in place", "message", "async", "callback"])
async def test_a_reply_is_given_before_the_continue_runs(way: str) -> None:
    """OTP's {reply, R, S, {continue, C}}: the caller need not wait for it, and others do."""
    go_on = trio.Event()
    log: list[Any] = []

    async def slowly() -> None:
        await go_on.wait()
        log.append("continued")

    def ask() -> str:
        candil.continue_with(slowly)
        return "answer"

    async with candil.open_node(log=False):
        pid = await candil.start(Diary, log)
        await trio.testing.wait_all_tasks_blocked()
        if way == "message":
            candil.send(pid, "in the way")
        if way == "callback":
            assert await candil.call(pid, ask) == "answer"
        else:
            assert await (Diary.act if way == "async" else Diary.act_at_once)(pid, ask) == "answer"
        candil.send(pid, "queued")
        await trio.testing.wait_all_tasks_blocked()
        assert ("info", "queued") not in log
        go_on.set()
        assert (await all_handled(pid))[-2:] == ["continued", ("info", "queued")]


async def test_several_continues_run_in_the_order_they_were_asked_for() -> None:
    """One that is asked for by a continue comes behind those that wait, before the mailbox."""

    def ask() -> None:
        candil.continue_with(lambda: candil.continue_with("last"))
        candil.continue_with(None)
        candil.continue_with("second")

    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        candil.send(pid, ask)
        candil.send(pid, "queued")
        assert await all_handled(pid) == [
            ("continue", None),
            ("continue", "second"),
            ("continue", "last"),
            ("info", "queued"),
        ]


async def test_a_stop_wins_over_continues() -> None:
    """A server that stops, or whose continue stops it, goes on with nothing."""

    def both() -> None:
        candil.continue_with("never")
        candil.stop(BOOM)

    def one_after_the_other() -> None:
        candil.continue_with(lambda: candil.stop(BOOM))
        candil.continue_with("never")

    async with candil.open_node(log=False):
        for action in (both, one_after_the_other):
            log: list[Any] = []
            pid, _ = await candil.start_monitor(Diary, log)
            candil.send(pid, action)
            assert (await candil.receive(candil.Down)).reason == BOOM
            assert log == [("terminate", BOOM)]


async def test_a_chain_of_continues_without_end_lets_others_run() -> None:
    """It gives way as a flood of messages does, and a signal ends it."""

    def again() -> None:
        candil.continue_with(again)

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary)
        candil.send(pid, again)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        candil.exit_nowait(pid, "boom")
        assert (await candil.receive(candil.Down)).reason == BOOM


async def test_a_signal_from_within_ends_a_server_before_its_next_continue() -> None:
    """Nothing is handled after the process was told to end."""
    log: list[Any] = []

    def end() -> None:
        candil.exit_nowait(candil.self(), "boom")
        candil.continue_with("never")

    def ask() -> None:
        candil.continue_with(end)
        candil.continue_with("neither")

    async with candil.open_node(log=False):
        for action in (end, ask):
            pid, _ = await candil.start_monitor(Diary, log)
            candil.send(pid, action)
            candil.send(pid, "queued")
            assert (await candil.receive(candil.Down)).reason == BOOM
    assert log == []


# --- server timeouts ------------------------------------------------------------------------------

FIRED = ("info", candil.Timeout())


@pytest.mark.parametrize("act", [candil.send, candil.cast, Diary.told, Diary.told_async, "call"])
async def test_a_timeout_fires_once_if_no_message_comes(
    act: Any, autojump_clock: trio.testing.MockClock
) -> None:
    """After just so many seconds, and never again by itself."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        if act == "call":
            await Diary.act(pid, lambda: candil.set_timeout(10))
        else:
            act(pid, lambda: candil.set_timeout(10))
        log = (await sys.get_state(pid)).log
        await trio.sleep(9.9)
        assert log == []
        await trio.sleep(0.2)
        assert log == [FIRED]
        await trio.sleep(1000)
        assert log == [FIRED]


async def test_init_and_continue_may_set_a_timeout(autojump_clock: trio.testing.MockClock) -> None:
    """OTP's {ok, S, Timeout}; a continue may start one of its own, and clears what was set."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        await candil.start(Diary, log, lambda: candil.set_timeout(1))
        await trio.sleep(1.5)
        assert log == [FIRED]
        pid = await candil.start(Diary, log)
        candil.send(pid, lambda: candil.continue_with(lambda: candil.set_timeout(1)))
        await trio.sleep(1.5)
        assert log == [FIRED, FIRED]

        def both() -> None:
            candil.set_timeout(1)
            candil.continue_with("cleared")

        candil.send(pid, both)
        await trio.sleep(1.5)
        assert log == [FIRED, FIRED, ("continue", "cleared")]


@pytest.mark.parametrize(
    "message",
    [
        lambda pid: candil.send(pid, "any"),
        lambda pid: candil.cast(pid, "any"),
        lambda pid: Diary.told(pid, "any"),
        lambda pid: candil.call(pid, "any"),
        lambda pid: Diary.act(pid, "any"),
        lambda pid: Diary.act_at_once(pid, "any"),
    ],
    ids=["info", "cast", "told", "call", "async handler", "plain handler"],
)
async def test_any_message_clears_the_timeout(
    message: Any, autojump_clock: trio.testing.MockClock
) -> None:
    """A message of whatever kind, also a call; the callback must set it again."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary, None, lambda: candil.set_timeout(10))
        await trio.sleep(9)
        waits = message(pid)
        if waits is not None:
            await waits
        await trio.sleep(100)
        log = await all_handled(pid)
        assert len(log) == 1
        assert log != [FIRED]


async def test_a_message_that_is_only_dropped_clears_the_timeout_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nobody handles it, but it came."""

    class Deaf(candil.GenServer):
        @candil.handle_cast
        def wait(self) -> None:
            candil.set_timeout(10)

    async with candil.open_node(log=False):
        pid = await candil.start(Deaf)
        Deaf.wait(pid)
        await trio.sleep(9)
        candil.send(pid, "dropped")
        await sys.get_state(pid)
        assert pid.process is not None
        assert pid.process.server._timeout is None


async def test_timeouts_are_not_cumulative(autojump_clock: trio.testing.MockClock) -> None:
    """A callback that sets it again starts it in full; the last one counts."""

    def twice() -> None:
        candil.set_timeout(1)
        candil.set_timeout(10)

    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        log = (await sys.get_state(pid)).log
        for _ in range(5):
            candil.send(pid, twice)
            await trio.sleep(9)
        assert log == []
        await trio.sleep(2)
        assert log == [FIRED]


async def test_a_system_message_starts_the_timeout_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As in OTP, where the loop is entered again with the same time."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary, None, lambda: candil.set_timeout(10))
        await trio.sleep(8)
        log = (await sys.get_state(pid)).log
        await trio.sleep(9.9)
        assert log == []
        await trio.sleep(0.2)
        assert log == [FIRED]


async def test_a_suspended_servers_timeout_starts_when_it_is_resumed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It does not fire meanwhile, and then it takes its full time."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary, None, lambda: candil.set_timeout(10))
        await sys.suspend(pid)
        await trio.sleep(100)
        log = (await sys.get_state(pid)).log
        await sys.resume(pid)
        await trio.sleep(9.9)
        assert log == []
        await trio.sleep(0.2)
        assert log == [FIRED]


async def test_a_queued_message_beats_a_timeout_of_zero() -> None:
    """With nothing queued it fires at once; with something, never."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        candil.send(pid, lambda: candil.set_timeout(0))
        candil.send(pid, "queued")
        await trio.testing.wait_all_tasks_blocked()
        log = (await sys.get_state(pid)).log
        assert log == [("info", "queued")]
        candil.send(pid, lambda: candil.set_timeout(0))
        while log[-1] != FIRED:
            await trio.lowlevel.checkpoint()


async def test_a_message_at_the_very_instant_of_the_timeout_comes_instead(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Once there is a message, the time that has run out counts for nothing."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary, None, lambda: candil.set_timeout(10))
        await trio.testing.wait_all_tasks_blocked()
        candil.send_after(pid, "just now", 10)
        await trio.sleep(50)
        assert await all_handled(pid) == [("info", "just now")]


async def test_an_infinite_timeout_never_fires(autojump_clock: trio.testing.MockClock) -> None:
    """OTP's infinity."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary, None, lambda: candil.set_timeout(math.inf))
        await trio.sleep(10_000)
        assert await all_handled(pid) == []


@pytest.mark.parametrize("seconds", [-1, -math.inf, math.nan])
async def test_a_server_timeout_that_is_no_time_is_a_value_error(seconds: float) -> None:
    """Raised in the callback that asks, so a callback that lets it out crashes."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        with pytest.raises(candil.ServerExited) as caught:
            await Diary.act(pid, lambda: candil.set_timeout(seconds))
        assert isinstance(caught.value.__cause__, ValueError)
        assert "0 seconds or more" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "act",
    [candil.stop, lambda: candil.continue_with("x"), lambda: candil.set_timeout(1)],
    ids=["stop", "continue_with", "set_timeout"],
)
async def test_outside_a_server_there_is_nobody_to_speak_for(act: Any) -> None:
    """Neither in a plain process nor in a task that is none."""
    with pytest.raises(RuntimeError, match="no server runs this code"):
        act()
    async with candil.open_node(log=False):
        with pytest.raises(RuntimeError, match="no server runs this code"):
            act()


# --- terminate ------------------------------------------------------------------------------------

STOPS: dict[str, Any] = {
    "cast": lambda pid: candil.cast(pid, lambda: candil.stop(BOOM)),
    "decorated cast": lambda pid: Diary.told(pid, lambda: candil.stop(BOOM)),
    "info": lambda pid: candil.send(pid, lambda: candil.stop(BOOM)),
    "continue": lambda pid: Diary.told(
        pid, lambda: candil.continue_with(lambda: candil.stop(BOOM))
    ),
    "from outside": lambda pid: candil.spawn(stop_with_boom, pid),
}


async def stop_with_boom(pid: candil.Pid[Any]) -> None:
    """Stop a server from outside."""
    await candil.stop(pid, BOOM)


@pytest.mark.parametrize("how", STOPS)
@pytest.mark.parametrize("kind", [Diary, Trapper])
async def test_terminate_runs_when_the_server_stops_by_itself(kind: type[Diary], how: str) -> None:
    """Whichever callback stops it, trapping or not; what is queued is not handled."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(kind, log)
        STOPS[how](pid)
        if how != "from outside":
            candil.send(pid, "queued")
        assert (await candil.receive(candil.Down)).reason == BOOM
    assert log == [("terminate", BOOM)]


async def test_a_stop_without_a_reason_is_normal() -> None:
    """OTP's {stop, normal, S}."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary, log)
        candil.send(pid, candil.stop)
        assert (await candil.receive(candil.Down)).reason == candil.Normal()
    assert log == [("terminate", candil.Normal())]


@pytest.mark.parametrize(
    "reason", [candil.Normal(), candil.Shutdown(), candil.Shutdown("x"), BOOM], ids=repr
)
async def test_a_parents_signal_ends_a_trapping_server_by_terminate(
    reason: candil.ExitReason,
) -> None:
    """Any reason does, also normal; it never gets to handle_info."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = await candil.start_link(Trapper, log)
        candil.exit_nowait(pid, reason)
        assert await candil.receive() == candil.ExitSignal(pid, reason)
    assert log == [("terminate", reason)]


@pytest.mark.parametrize("reason", [candil.Normal(), candil.Shutdown(), BOOM], ids=repr)
async def test_a_parents_death_ends_a_trapping_server_by_terminate(
    reason: candil.ExitReason,
) -> None:
    """The link's signal counts as the parent's own, also for a normal end."""
    log: list[Any] = []

    async def parent(tell: candil.Pid[Any]) -> None:
        candil.send(tell, await candil.start_link(Trapper, log))
        await candil.receive()
        raise candil.ProcessExit(reason)

    async with candil.open_node(log=False):
        adult = candil.spawn(parent, candil.self())
        child = await candil.receive(candil.Pid)
        candil.send(adult, "end")
        assert await end_of(child) == reason
    assert log == [("terminate", reason)]


async def test_a_suspended_server_still_obeys_its_parent() -> None:
    """OTP's suspend_loop: terminate runs, and what is queued ahead is not handled."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = await candil.start_link(Trapper, log)
        await sys.suspend(pid)
        candil.send(pid, "queued")
        candil.exit_nowait(pid, "shutdown")
        assert await candil.receive() == candil.ExitSignal(pid, candil.Shutdown())
    assert log == [("terminate", candil.Shutdown())]


@pytest.mark.parametrize("reason", [candil.Shutdown(), BOOM], ids=repr)
async def test_a_signal_ends_a_server_that_does_not_trap_without_terminate(
    reason: candil.ExitReason,
) -> None:
    """Not even its parent's shutdown runs it; the reason is the signal's."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = await candil.start_link(Diary, log)
        candil.exit_nowait(pid, reason)
        assert await candil.receive() == candil.ExitSignal(pid, reason)
    assert log == []


@pytest.mark.parametrize("kind", [Diary, Trapper])
@pytest.mark.parametrize("busy", [False, True])
async def test_a_kill_ends_any_server_without_terminate(kind: type[Diary], busy: bool) -> None:
    """Trapping or not, idle or in the middle of a handler."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(kind, log)
        if busy:
            candil.cast(pid, wait_for_ever)
        await trio.testing.wait_all_tasks_blocked()
        candil.exit_nowait(pid, "kill")
        assert (await candil.receive(candil.Down)).reason == candil.Killed()
    assert log == []


@pytest.mark.parametrize("reason", [candil.Normal(), candil.Shutdown(), BOOM], ids=repr)
async def test_a_signal_of_anybody_else_is_a_message_for_a_server_that_traps(
    reason: candil.ExitReason,
) -> None:
    """Not even a shutdown ends it, if it is not the parent's."""

    async def stranger(target: candil.Pid[Any]) -> None:
        candil.exit_nowait(target, reason)

    async with candil.open_node(log=False):
        pid = await candil.start_link(Trapper)
        other = candil.spawn(stranger, pid)
        await end_of(other)
        assert await all_handled(pid) == [("info", candil.ExitSignal(other, reason))]


async def test_a_server_that_was_started_without_a_link_has_no_parent() -> None:
    """Its starter's signal is like anybody else's."""
    async with candil.open_node(log=False):
        pid = await candil.start(Trapper)
        candil.exit_nowait(pid, "shutdown")
        assert await all_handled(pid) == [
            ("info", candil.ExitSignal(candil.self(), candil.Shutdown()))
        ]
        await candil.stop(pid)


@pytest.mark.parametrize("reason", [candil.Normal(), candil.Shutdown(), BOOM], ids=repr)
async def test_the_signal_of_who_monitors_a_server_from_its_start_is_its_parents(
    reason: candil.ExitReason,
) -> None:
    """OTP's start_monitor makes its caller the parent, as start_link does, only without a link."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Trapper, log)
        candil.exit_nowait(pid, reason)
        assert await candil.receive() == candil.Down(ref, pid, reason)
    assert log == [("terminate", reason)]


async def test_the_end_of_who_monitors_a_server_from_its_start_is_nothing_to_it() -> None:
    """There is no link: the parent's signal counts, its death does not."""

    async def parent(tell: candil.Pid[Any]) -> None:
        candil.send(tell, (await candil.start_monitor(Trapper))[0])

    async with candil.open_node(log=False):
        adult = candil.spawn(parent, candil.self())
        child = await candil.receive(candil.Pid)
        await end_of(adult)
        assert await all_handled(child) == []
        await candil.stop(child)


@pytest.mark.parametrize("reason", [candil.Normal(), candil.Shutdown(), BOOM], ids=repr)
async def test_a_server_without_a_parent_is_its_own(reason: candil.ExitReason) -> None:
    """OTP's start: an exit signal that a trapping server sends itself ends it by terminate."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid = await candil.start(Trapper, log)
        candil.monitor(pid)
        await Diary.act_at_once(pid, lambda: candil.exit_nowait(pid, reason))
        assert (await candil.receive(candil.Down)).reason == reason
    assert log == [("terminate", reason)]


@pytest.mark.parametrize("kind", [Diary, Trapper])
async def test_a_handler_that_links_takes_part_in_the_others_end(kind: type[Diary]) -> None:
    """Without trapping the server dies of it, without terminate; trapping, it gets a message."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(kind, log)
        other = candil.spawn(wait_for_ever)
        await Diary.act_at_once(pid, lambda: candil.link(other))
        candil.exit_nowait(other, "boom")
        if kind is Diary:
            assert (await candil.receive(candil.Down)).reason == BOOM
            assert log == []
        else:
            await trio.testing.wait_all_tasks_blocked()
            assert await all_handled(pid) == [("info", candil.ExitSignal(other, BOOM))]
            await candil.stop(pid)


@pytest.mark.parametrize(
    "error", [ValueError("x"), candil.ProcessExit("other"), SystemExit(1)], ids=repr
)
async def test_a_signal_stands_whatever_the_handler_it_cancels_raises(
    error: BaseException,
) -> None:
    """A process is told to end once: no other reason counts, and terminate does not run."""
    log: list[Any] = []

    async def clean_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise error

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary, log)
        candil.cast(pid, clean_up)
        await trio.testing.wait_all_tasks_blocked()
        candil.exit_nowait(pid, "boom")
        assert (await candil.receive(candil.Down)).reason == BOOM
    assert log == []


async def test_a_handler_that_swallows_its_cancellation_is_the_last_one() -> None:
    """The loop itself notices that the process was told to end."""
    log: list[Any] = []

    async def swallow() -> None:
        with contextlib.suppress(trio.Cancelled):
            await trio.sleep_forever()

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary, log)
        candil.cast(pid, swallow)
        candil.send(pid, "queued")
        await trio.testing.wait_all_tasks_blocked()
        candil.exit_nowait(pid, "boom")
        assert (await candil.receive(candil.Down)).reason == BOOM
    assert log == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError("x"), None), (candil.ProcessExit("other"), candil.Exit("other"))],
)
@pytest.mark.parametrize("way", ["stop", "crash"])
async def test_what_terminate_raises_replaces_the_reason(
    way: str, error: Exception, reason: candil.ExitReason | None
) -> None:
    """As in OTP: the process exits with that instead."""

    class Clumsy(Bare):
        def terminate(self, reason: candil.ExitReason) -> None:
            raise error

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Clumsy)
        with contextlib.suppress(candil.ServerExited):
            await Clumsy.act(pid, candil.stop if way == "stop" else lambda: raise_(KeyError("y")))
        expected = candil.Crashed(error) if reason is None else reason
        assert (await candil.receive(candil.Down)).reason == expected


@pytest.mark.parametrize("way", ["in place", "callback"])
@pytest.mark.parametrize("fails", [False, True])
async def test_the_caller_of_a_call_that_stops_gets_its_reply_after_terminate(
    way: str, fails: bool
) -> None:
    """OTP replies after terminate, even if that raises."""
    log: list[Any] = []

    class Slow(Diary):
        async def terminate(self, reason: candil.ExitReason) -> None:
            await trio.testing.wait_all_tasks_blocked()
            log.append("terminated")
            if fails:
                raise ValueError

    def stop() -> str:
        candil.stop()
        return "answer"

    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        ask = Diary.act_at_once if way == "in place" else candil.call
        log.append(await ask(pid, stop))
    assert log == ["terminated", "answer"]


async def test_terminate_may_wait_and_a_kill_ends_it() -> None:
    """Without the kill it takes what it takes; with it, the reason is the kill's."""

    class Endless(Bare):
        async def terminate(self, reason: candil.ExitReason) -> None:
            await trio.sleep_forever()

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Endless)
        with contextlib.suppress(candil.CallTimeout):
            await Endless.act.within(0)(pid, candil.stop)
        await trio.testing.wait_all_tasks_blocked()
        assert candil.is_alive(pid)
        candil.exit_nowait(pid, "kill")
        assert (await candil.receive(candil.Down)).reason == candil.Killed()


async def test_a_signal_that_comes_during_terminate_is_only_a_message_if_trapped() -> None:
    """Nobody reads it any more: the first reason stands."""
    go_on = trio.Event()

    class Patient(Trapper):
        async def terminate(self, reason: candil.ExitReason) -> None:
            await go_on.wait()

    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = await candil.start_link(Patient)
        candil.exit_nowait(pid, "shutdown")
        await trio.testing.wait_all_tasks_blocked()
        candil.exit_nowait(pid, "boom")
        await trio.testing.wait_all_tasks_blocked()
        assert candil.is_alive(pid)
        go_on.set()
        assert await candil.receive() == candil.ExitSignal(pid, candil.Shutdown())


async def test_a_server_whose_init_stops_or_fails_does_not_terminate() -> None:
    """It never was one."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        for action in (
            lambda: candil.stop(BOOM),
            lambda: raise_(ValueError()),
            lambda: candil.IGNORE,
        ):
            with pytest.raises(candil.StartError):
                await candil.start(Diary, log, action)
    assert log == []


# --- system messages ------------------------------------------------------------------------------


async def test_a_suspended_server_keeps_its_messages_in_order() -> None:
    """Calls wait with the rest; only requests of candil.sys are answered."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        await sys.suspend(pid)
        candil.send(pid, 1)
        with pytest.raises(candil.CallTimeout):
            await candil.call(pid, 2, timeout=0.01)
        candil.cast(pid, 3)
        log = await all_handled(pid)
        assert log == []
        await sys.resume(pid)
        await sys.get_state(pid)
        assert log == [("info", 1), ("call", 2), ("cast", 3)]


async def test_a_suspended_server_can_be_stopped() -> None:
    """To stop is a system message: terminate runs, and what is queued does not."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid = await candil.start(Diary, log)
        await sys.suspend(pid)
        candil.send(pid, "queued")
        await candil.stop(pid, BOOM)
    assert log == [("terminate", BOOM)]


async def test_a_suspended_server_that_continues_is_suspended_again() -> None:
    """What code_change asks for runs, and the server is as suspended as before."""

    class Changing(Diary):
        def code_change(self, old_version: object, extra: object) -> None:
            candil.continue_with(extra)

    async with candil.open_node(log=False):
        pid = await candil.start(Changing)
        await sys.suspend(pid)
        candil.send(pid, "queued")
        await sys.change_code(pid, "old", "converted")
        log = await all_handled(pid)
        assert log == [("continue", "converted")]
        await sys.resume(pid)
        await sys.get_state(pid)
        assert log == [("continue", "converted"), ("info", "queued")]


async def test_a_system_request_that_fails_is_its_askers_fault() -> None:
    """The error is raised there, and the server goes on as it was."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        with pytest.raises(ZeroDivisionError):
            await sys.replace_state(pid, lambda _: 1 / 0)
        await sys.suspend(pid)
        with pytest.raises(candil.UndefinedCallback):
            await sys.change_code(pid)
        assert await all_handled(pid) == []


async def test_a_system_request_to_a_busy_server_times_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It waits its turn like any other message, and names the server and itself."""
    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        candil.cast(pid, wait_for_ever)
        with pytest.raises(candil.CallTimeout) as caught:
            await sys.get_state(pid, timeout=3)
        assert (caught.value.target, caught.value.request) == (pid, "sys.get_state")


async def test_a_system_request_is_told_of_the_servers_crash() -> None:
    """As a call is: with the reason, chained to the exception."""
    error = ValueError("x")
    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        candil.send(pid, lambda: raise_(error))
        with pytest.raises(candil.ServerExited) as caught:
            await sys.get_state(pid)
        assert caught.value.reason == candil.Crashed(error)
        assert caught.value.__cause__ is error
        pid = await candil.start(Diary)
        candil.send(pid, lambda: candil.stop(BOOM))
        with pytest.raises(candil.ServerExited) as caught:
            await sys.get_state(pid)
        assert caught.value.__cause__ is None


# --- a mailbox that never gets empty --------------------------------------------------------------


async def test_a_flooded_server_lets_other_tasks_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the clock after some messages, and gives way when its time is up."""
    clock = itertools.count(step=_server_loop.LOOP_SECONDS / 2)
    monkeypatch.setattr(_server_loop, "perf_counter", lambda: next(clock))
    turns = 0
    done = trio.Event()

    async def others() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await trio.lowlevel.checkpoint()

    async with candil.open_node(log=False):
        pid = await candil.start(Diary)
        candil.spawn(others)
        for number in range(10_000):
            Diary.told(pid, number)
        log = await all_handled(pid)
        done.set()
    assert log == [("told", number) for number in range(10_000)]
    looks = 10_000 / _server_loop.LOOK_EVERY
    assert looks / 4 < turns < looks


async def test_a_flooded_server_can_still_be_ended() -> None:
    """One that sends to itself for ever never idles, and dies of a signal all the same."""

    def again() -> None:
        candil.send(candil.self(), again)

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Diary)
        candil.send(pid, again)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        await candil.exit(pid, "boom")
        assert (await candil.receive(candil.Down)).reason == BOOM


async def test_a_busy_server_is_waited_for_until_it_has_handled_all() -> None:
    """An exit waits until the parent has dealt with the death, behind all that it had queued."""
    ends: list[int] = []

    class Mother(candil.GenServer):
        def init(self) -> None:
            candil.trap_exit(True)

        @candil.handle_call
        async def bear(self) -> candil.Pid[Any]:
            return candil.spawn_link(wait_for_ever)

        async def handle_info(self, message: object) -> None:
            await trio.testing.wait_all_tasks_blocked()
            ends.append(1)

    async with candil.open_node(log=False):
        mother = await candil.start_link(Mother)
        child = await Mother.bear(mother)
        candil.send(mother, "ahead")
        await candil.exit(child, "boom")
        assert len(ends) == 2
