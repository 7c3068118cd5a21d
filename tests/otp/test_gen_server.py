"""The loop of a server: its callbacks, and when each of them runs."""

from __future__ import annotations

import contextvars
import math
from typing import Any

import pytest
import trio
import trio.testing

import candil
from candil import sys
from candil.otp import _server_loop

BOOM = candil.Exit("boom")


class Recorder(candil.GenServer):
    """Does what it is told, and writes down what it sees."""

    def __init__(self, *, trap: bool = False) -> None:
        self.trap = trap
        self.log: list[Any] = []

    def init(self) -> None:
        candil.trap_exit(self.trap)

    @candil.handle_call
    def act(self, action: Any) -> Any:
        return action(self)

    @candil.handle_call
    async def wait(self, event: trio.Event) -> None:
        self.log.append("waiting")
        await event.wait()

    def handle_cast(self, message: Any) -> None:
        self.log.append(("cast", message))
        if callable(message):
            return message(self)  # type: ignore[no-any-return]
        return None

    def handle_info(self, message: Any) -> None:
        self.log.append(("info", message))
        if callable(message):
            return message(self)  # type: ignore[no-any-return]
        return None

    def handle_continue(self, argument: Any) -> None:
        self.log.append(("continue", argument))
        if callable(argument):
            return argument(self)  # type: ignore[no-any-return]
        return None

    def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))


async def recorder(*, trap: bool = False, link: bool = False) -> tuple[candil.Pid[Any], list[Any]]:
    """Start a server, and give its log too."""
    start = candil.start_link if link else candil.start
    pid: candil.Pid[Any] = await start(Recorder, trap=trap)
    return pid, (await sys.get_state(pid)).log


async def end_of(pid: candil.Pid[Any]) -> candil.ExitReason:
    """Wait for the end of a process."""
    ref = candil.monitor(pid)
    down = await candil.receive(lambda message: getattr(message, "ref", None) is ref)
    reason: candil.ExitReason = down.reason
    return reason


def raise_(error: BaseException) -> Any:
    """Raise, where Python wants an expression."""
    raise error


# --- terminate, and the reason --------------------------------------------------------


WAYS_TO_END: dict[str, Any] = {
    "stop": lambda _: candil.stop(BOOM),
    "stop normal": lambda _: candil.stop(),
    "stop shutdown": lambda _: candil.stop(candil.Shutdown("x")),
    "exit": lambda _: raise_(candil.ProcessExit("boom")),
    "exit normal": lambda _: raise_(candil.ProcessExit()),
    "raise": lambda _: raise_(ValueError("boom")),
    "return something": lambda _: "garbage",
    "leave": lambda _: raise_(SystemExit(1)),
}


@pytest.mark.parametrize("trap", [False, True])
@pytest.mark.parametrize("way", WAYS_TO_END)
@pytest.mark.parametrize("callback", ["cast", "info", "continue"])
async def test_terminate_runs_when_a_callback_stops_raises_or_returns_something_bad(
    callback: str, way: str, trap: bool
) -> None:
    """It gets the very reason that the process then ends with, whether it traps exits or not."""
    async with candil.open_node(log=False):
        pid, log = await recorder(trap=trap)
        action = WAYS_TO_END[way]
        if callback == "cast":
            candil.cast(pid, action)
        elif callback == "info":
            candil.send(pid, action)
        else:
            candil.cast(pid, lambda _: candil.continue_with(action))
        reason = await end_of(pid)
        assert log[-1] == ("terminate", reason)
        match way:
            case "stop" | "exit":
                assert reason == BOOM
            case "stop normal" | "exit normal":
                assert reason == candil.Normal()
            case "stop shutdown":
                assert reason == candil.Shutdown("x")
            case _:
                assert isinstance(reason, candil.Crashed)
                kinds = {"raise": ValueError, "leave": SystemExit}
                assert isinstance(reason.exception, kinds.get(way, candil.BadReturnValue))


async def test_terminate_runs_when_the_parent_exits_and_the_server_traps_exits() -> None:
    """Any reason of the parent's will do, also normal."""

    async def parent(reason: object, give: Any) -> None:
        give(await recorder(trap=True, link=True))
        await candil.receive()
        raise candil.ProcessExit(reason)

    async with candil.open_node(log=False):
        for reason in ("normal", "shutdown", "boom"):
            send, receive = trio.open_memory_channel[Any](1)
            starter = candil.spawn(parent, reason, send.send_nowait)
            pid, log = await receive.receive()
            ref = candil.monitor(pid)
            candil.send(starter, "end")
            expected = candil.as_exit_reason(reason)
            assert await candil.receive(candil.Down) == candil.Down(ref, pid, expected)
            assert log == [("terminate", expected)]


async def test_a_server_that_does_not_trap_exits_ignores_its_parents_normal_exit() -> None:
    """As any linked process does."""

    async def parent(give: Any) -> None:
        give(await recorder(link=True))

    async with candil.open_node(log=False):
        send, receive = trio.open_memory_channel[Any](1)
        await end_of(candil.spawn(parent, send.send_nowait))
        pid, log = await receive.receive()
        assert await candil.call(pid, "act", lambda _: "alive") == "alive"
        assert log == []


@pytest.mark.parametrize("signal", ["shutdown", "boom", "kill"])
async def test_terminate_does_not_run_when_a_signal_ends_a_server_that_does_not_trap(
    signal: str,
) -> None:
    """Also not for its parent's shutdown."""
    async with candil.open_node(log=False):
        pid, log = await recorder()
        candil.exit_nowait(pid, signal)
        await end_of(pid)
        assert log == []


async def test_terminate_does_not_run_when_a_server_is_killed() -> None:
    """Nothing traps a kill."""
    async with candil.open_node(log=False):
        pid, log = await recorder(trap=True)
        candil.exit_nowait(pid, "kill")
        assert await end_of(pid) == candil.Killed()
        assert log == []


@pytest.mark.parametrize("reason", ["boom", "shutdown", "normal"])
async def test_a_strangers_exit_signal_is_a_message_when_trapping(reason: str) -> None:
    """Only the parent's ends the server; anybody else's goes to handle_info, even a shutdown."""
    async with candil.open_node(log=False):
        pid, log = await recorder(trap=True)
        candil.exit_nowait(pid, reason)
        assert await candil.call(pid, "act", lambda _: "alive") == "alive"
        expected = candil.ExitSignal(candil.self(), candil.as_exit_reason(reason))
        assert log == [("info", expected)]
        await candil.stop(pid)


async def test_what_terminate_raises_is_the_reason_instead() -> None:
    """An exit and an exception both replace the reason of the stop."""

    class Clumsy(candil.GenServer):
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def terminate(self, _reason: candil.ExitReason) -> None:
            raise self.error

    async with candil.open_node(log=False):
        for error in (candil.ProcessExit("other"), ValueError("other")):
            pid, ref = await candil.start_monitor(Clumsy, error)
            with pytest.raises(candil.ServerExited) as caught:
                await candil.stop(pid)
            down = await candil.receive(candil.Down)
            assert (down.ref, down.reason) == (ref, caught.value.reason)
            if isinstance(error, candil.ProcessExit):
                assert down.reason == candil.Exit("other")
            else:
                assert down.reason == candil.Crashed(error)


async def test_what_terminate_returns_does_not_matter() -> None:
    """And it may be async, and see what the server sees."""

    class Polite(candil.GenServer):
        async def terminate(self, reason: candil.ExitReason) -> str:
            await trio.lowlevel.checkpoint()
            seen.append((candil.self(), reason))
            return "ignored"

    seen: list[Any] = []
    async with candil.open_node(log=False):
        pid = await candil.start(Polite)
        await candil.stop(pid)
        assert seen == [(pid, candil.Normal())]


async def test_the_reply_of_a_server_that_stops_comes_after_terminate_even_if_that_raises() -> None:
    """OTP gives it in the ``after`` of its ``try``; the process has not ended yet then."""

    class Clumsy(Recorder):
        def terminate(self, reason: candil.ExitReason) -> None:
            super().terminate(reason)
            raise candil.ProcessExit("other")

    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Clumsy)
        log = (await sys.get_state(pid)).log
        assert await candil.call(pid, "act", lambda _: candil.stop() or "goodbye") == "goodbye"
        assert log == [("terminate", candil.Normal())]
        assert await candil.receive(candil.Down) == candil.Down(ref, pid, candil.Exit("other"))


async def test_a_server_killed_during_terminate_takes_its_reply_with_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The caller of the handler that stopped gets the reason, and no answer."""

    class Slow(Recorder):
        async def terminate(self, reason: candil.ExitReason) -> None:
            await trio.sleep(60)

    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        pid = await candil.start(Slow)

        async def kill() -> None:
            await trio.sleep(1)
            candil.exit_nowait(pid, "kill")

        nursery.start_soon(kill)
        with pytest.raises(candil.ServerExited) as caught:
            await candil.call(pid, "act", lambda _: candil.stop() or "goodbye")
        assert caught.value.reason == candil.Killed()


async def test_nothing_is_handled_after_a_signal_that_ends_the_server() -> None:
    """A handler that sends itself an exit signal is its last, as in OTP."""
    async with candil.open_node(log=False):
        for action in (
            lambda _: candil.exit_nowait(candil.self(), "boom"),
            lambda _: candil.exit_nowait(candil.self(), "boom") or candil.continue_with("never"),
        ):
            pid, log = await recorder()
            candil.cast(pid, action)
            candil.cast(pid, "never")
            assert await end_of(pid) == BOOM
            assert log == [("cast", action)]


async def test_a_crash_of_a_server_takes_down_its_links() -> None:
    """OTP's crash: the link carries the reason, and terminate saw it too."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid, log = await recorder(link=True)
        error = ValueError("boom")
        candil.cast(pid, lambda _: raise_(error))
        signal = await candil.receive(candil.ExitSignal)
        assert signal == candil.ExitSignal(pid, candil.Crashed(error))
        assert log[-1] == ("terminate", candil.Crashed(error))


async def test_a_handlers_cleanup_may_raise_while_the_server_is_being_ended() -> None:
    """The reason that it was told stands."""

    class Messy(candil.GenServer):
        async def handle_cast(self, message: object) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError(message)

    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Messy)
        candil.cast(pid, "wait")
        await trio.testing.wait_all_tasks_blocked()
        candil.exit_nowait(pid, "boom")
        assert await candil.receive(candil.Down) == candil.Down(ref, pid, BOOM)


async def test_a_cancelled_of_somebody_elses_is_a_crash() -> None:
    """A stored Cancelled that a handler raises again ends the server with LeakedCancellation."""
    stored: list[trio.Cancelled] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            stored.append(cancelled)
            raise
    async with candil.open_node(log=False):
        pid, log = await recorder()
        candil.cast(pid, lambda _: raise_(stored[0]))
        reason = await end_of(pid)
        assert isinstance(reason, candil.Crashed)
        assert isinstance(reason.exception, candil.LeakedCancellation)
        assert reason.exception.__cause__ is stored[0]
        assert log[-1] == ("terminate", reason)


# --- continue -------------------------------------------------------------------------


async def test_continue_runs_before_what_is_queued() -> None:
    """Whatever waits in the mailbox, handle_continue comes first."""
    async with candil.open_node(log=False):
        pid, log = await recorder()
        candil.send(pid, lambda _: candil.continue_with("c"))
        candil.send(pid, "queued")
        candil.cast(pid, "queued too")
        await sys.get_state(pid)
        assert log[1:] == [("continue", "c"), ("info", "queued"), ("cast", "queued too")]


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_continue_from_init_runs_before_anything_that_was_sent_to_the_name(kind: str) -> None:
    """The start has returned by then, or is about to; no message is handled before."""

    class Early(Recorder):
        def init(self) -> None:
            candil.cast("early", "sent in init")
            candil.continue_with("c")

    class AsyncEarly(Recorder):
        async def init(self) -> None:  # type: ignore[override]
            candil.cast("early", "sent in init")
            candil.continue_with("c")

    async with candil.open_node(log=False):
        await candil.start(Early if kind == "plain" else AsyncEarly, name="early")
        candil.cast("early", "sent after the start")
        assert (await sys.get_state("early")).log == [
            ("continue", "c"),
            ("cast", "sent in init"),
            ("cast", "sent after the start"),
        ]


async def test_continue_with_a_reply_answers_first() -> None:
    """OTP's {reply, R, S, {continue, C}}: the caller does not wait for the continuation."""

    class Slow(candil.GenServer):
        @candil.handle_call
        async def ask(self, event: trio.Event) -> str:
            candil.continue_with(event)
            return "answered"

        async def handle_continue(self, event: trio.Event) -> None:
            await event.wait()

    async with candil.open_node(log=False):
        pid = await candil.start(Slow)
        event = trio.Event()
        assert await Slow.ask(pid, event) == "answered"
        event.set()
        assert await Slow.ask(pid, event) == "answered"


async def test_continue_may_stop_and_continue_again() -> None:
    """Continuations run in the order in which they were asked for, until one stops."""
    async with candil.open_node(log=False):
        pid, log = await recorder()

        def first(_: Recorder) -> None:
            candil.continue_with("third")

        candil.cast(pid, lambda _: candil.continue_with(first) or candil.continue_with("second"))
        await sys.get_state(pid)
        assert log[1:] == [("continue", first), ("continue", "second"), ("continue", "third")]

        def stop(_: Recorder) -> None:
            candil.stop(BOOM)

        candil.cast(pid, lambda _: candil.continue_with(stop) or candil.continue_with("never"))
        assert await end_of(pid) == BOOM
        assert log[-2:] == [("continue", stop), ("terminate", BOOM)]


async def test_an_endless_chain_of_continuations_lets_others_run_and_can_be_killed() -> None:
    """A server that works piece by piece in plain handle_continue does not keep the loop."""

    class Busy(candil.GenServer):
        def init(self) -> None:
            candil.continue_with(0)

        def handle_continue(self, number: int) -> None:
            candil.continue_with(number + 1)

    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Busy)
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        assert candil.is_alive(pid)
        candil.exit_nowait(pid, "kill")
        assert await candil.receive(candil.Down) == candil.Down(ref, pid, candil.Killed())


async def test_a_busy_server_lets_others_run() -> None:
    """Also one whose mailbox never gets empty, and whose handlers never wait."""

    class Busy(candil.GenServer):
        def handle_info(self, number: int) -> None:
            candil.send(candil.self(), number + 1)

    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Busy)
        candil.send(pid, 0)
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        candil.exit_nowait(pid, "kill")
        assert await candil.receive(candil.Down) == candil.Down(ref, pid, candil.Killed())


async def handled_when(event: Any) -> tuple[candil.Pid[Any], list[Any]]:
    """
    Send a server twenty messages, and let *event* happen while it gives way at the sixteenth.
    """
    checkpoint = _server_loop.checkpoint
    happened = False

    async def turn() -> None:
        nonlocal happened
        if happened:
            await checkpoint()
        happened = True
        event(pid)

    pid, log = await recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_server_loop, "LOOP_SECONDS", -1.0)
        patch.setattr(_server_loop, "checkpoint", turn)
        for number in range(20):
            candil.send(pid, number)
        await trio.testing.wait_all_tasks_blocked()
    return pid, log


async def test_a_busy_server_that_is_ended_while_it_gives_way_handles_nothing_more() -> None:
    """The message whose turn it was stays unhandled, as all behind it."""
    async with candil.open_node(log=False):
        pid, log = await handled_when(lambda pid: candil.exit_nowait(pid, "kill"))
        assert candil.process_info(pid) is None
        assert log == [("info", number) for number in range(15)]


async def test_a_busy_server_may_find_its_mailbox_empty_after_it_gave_way() -> None:
    """Another task of the process may have received what was there."""
    async with candil.open_node(log=False):
        pid, log = await handled_when(lambda pid: pid.process.mailbox.clear())
        assert log == [("info", number) for number in range(15)]
        assert await candil.call(pid, "act", lambda _: "alive") == "alive"
        assert (await sys.statistics(pid)).messages_handled in (15, 16)


async def test_a_continuation_that_ends_its_own_server_is_the_last() -> None:
    """As any callback that sends its process an exit signal."""
    async with candil.open_node(log=False):
        pid, log = await recorder()

        def end(_: Recorder) -> None:
            candil.continue_with("never")
            candil.exit_nowait(candil.self(), "boom")

        candil.cast(pid, lambda _: candil.continue_with(end))
        assert await end_of(pid) == BOOM
        assert log[1:] == [("continue", end)]


# --- the server timeout ---------------------------------------------------------------


async def sleeping(
    seconds: float, *messages: tuple[float, Any]
) -> tuple[candil.Pid[Any], list[Any]]:
    """Have a server set a timeout; send it messages after some seconds; give its log at the end."""
    pid, log = await recorder()
    candil.cast(pid, lambda _: candil.set_timeout(seconds))
    await trio.testing.wait_all_tasks_blocked()
    log.clear()
    for after, message in messages:
        await trio.sleep(after)
        candil.send(pid, message)
    return pid, log


async def test_a_timeout_message_comes_once_if_no_message_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is not repeated."""
    async with candil.open_node(log=False):
        _, log = await sleeping(3)
        await trio.sleep(2.9)
        assert log == []
        await trio.sleep(100)
        assert log == [("info", candil.Timeout())]


async def test_any_message_clears_the_timeout(autojump_clock: trio.testing.MockClock) -> None:
    """An info, a cast, a call of either kind: whatever is handled, the timeout is gone."""
    async with candil.open_node(log=False):
        pid, log = await sleeping(3, (1, "hello"))
        await trio.sleep(100)
        assert log == [("info", "hello")]
        for tell in (
            lambda pid: candil.cast(pid, "cast"),
            lambda pid: candil.call(pid, "act", lambda _: "call"),
        ):
            pid, log = await sleeping(3)
            await trio.sleep(1)
            told = tell(pid)
            if told is not None:
                await told
            await trio.sleep(100)
            assert ("info", candil.Timeout()) not in log


async def test_a_system_request_starts_the_timeout_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """OTP re-enters the loop with the same time: in full, and not what was left of it."""
    async with candil.open_node(log=False):
        pid, log = await sleeping(3)
        await trio.sleep(2)
        await sys.get_state(pid)
        await trio.sleep(2)
        assert log == []
        await trio.sleep(1.1)
        assert log == [("info", candil.Timeout())]


async def test_a_suspended_servers_timeout_begins_when_it_is_resumed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nothing times out meanwhile."""
    async with candil.open_node(log=False):
        pid, log = await sleeping(3)
        await sys.suspend(pid)
        await trio.sleep(100)
        assert log == []
        await sys.resume(pid)
        await trio.sleep(3.1)
        assert log == [("info", candil.Timeout())]


async def test_a_queued_message_beats_a_timeout_of_zero(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What waits already is handled, and clears it."""
    async with candil.open_node(log=False):
        pid, log = await recorder()
        candil.cast(pid, lambda _: candil.set_timeout(0))
        candil.send(pid, "queued")
        await trio.sleep(1)
        assert log[1:] == [("info", "queued")]


async def test_a_timeout_of_zero_comes_at_once_when_nothing_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Zero is as good a time as any."""
    async with candil.open_node(log=False):
        pid, log = await recorder()
        candil.cast(pid, lambda _: candil.set_timeout(0))
        await trio.sleep(0.001)
        assert log[1:] == [("info", candil.Timeout())]


async def test_timeouts_do_not_add_up(autojump_clock: trio.testing.MockClock) -> None:
    """The last one that was set counts, also when several are set in one callback."""
    async with candil.open_node(log=False):
        pid, log = await recorder()
        candil.cast(pid, lambda _: candil.set_timeout(1) or candil.set_timeout(3))
        await trio.sleep(2)
        assert len(log) == 1
        candil.cast(pid, lambda _: candil.set_timeout(2))
        await trio.sleep(1.9)
        assert len(log) == 2
        await trio.sleep(10)
        assert log[2:] == [("info", candil.Timeout())]


async def test_a_timeout_may_be_set_again_by_its_own_message(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """That is how a server does something every so often when it is idle."""

    class Ticker(candil.GenServer):
        def __init__(self) -> None:
            self.ticks = 0

        def init(self) -> None:
            candil.set_timeout(1)

        def handle_info(self, message: object) -> None:
            assert message == candil.Timeout()
            self.ticks += 1
            candil.set_timeout(1)

    async with candil.open_node(log=False):
        pid = await candil.start(Ticker)
        await trio.sleep(5.5)
        assert (await sys.get_state(pid)).ticks == 5


async def test_a_continuation_clears_the_timeout(autojump_clock: trio.testing.MockClock) -> None:
    """It counts as a message would; it may set another."""
    async with candil.open_node(log=False):
        pid, log = await recorder()
        candil.cast(pid, lambda _: candil.set_timeout(1) or candil.continue_with("c"))
        await trio.sleep(10)
        assert log[1:] == [("continue", "c")]

        def again(_: Recorder) -> None:
            candil.set_timeout(1)

        candil.cast(pid, lambda _: candil.continue_with(again))
        await trio.sleep(10)
        assert log[-1] == ("info", candil.Timeout())


async def test_an_infinite_timeout_never_comes(autojump_clock: trio.testing.MockClock) -> None:
    """As if none were set."""
    async with candil.open_node(log=False):
        _, log = await sleeping(math.inf)
        await trio.sleep(80_000)
        assert log == []


async def test_a_server_without_handle_info_survives_its_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The message is dropped, as any other is."""

    class Deaf(candil.GenServer):
        def init(self) -> None:
            candil.set_timeout(1)

    async with candil.open_node(log=False):
        pid = await candil.start(Deaf)
        await trio.sleep(2)
        assert candil.is_alive(pid)


async def test_a_message_that_comes_with_the_timeout_is_handled_instead(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """If both are there when the server wakes, there was a message in time."""

    class Late(Recorder):
        def init(self) -> None:
            candil.send_after(candil.self(), "just in time", 1)
            candil.set_timeout(1)

    async with candil.open_node(log=False):
        pid = await candil.start(Late)
        await trio.sleep(5)
        log = (await sys.get_state(pid)).log
        assert log in (
            [("info", "just in time")],
            [("info", candil.Timeout()), ("info", "just in time")],
        )


async def test_a_server_is_ended_while_its_timeout_is_pending(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its timer goes with it."""
    async with candil.open_node(log=False):
        pid, log = await sleeping(3)
        candil.exit_nowait(pid, "boom")
        assert await end_of(pid) == BOOM
        await trio.sleep(10)
        assert log == []


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan])
async def test_a_timeout_that_is_no_time_is_a_value_error(seconds: float) -> None:
    """Raised in the callback that asks for it."""
    async with candil.open_node(log=False):
        pid, _ = await recorder()

        def ask(_: Recorder) -> bool:
            with pytest.raises(ValueError, match="0 seconds or more"):
                candil.set_timeout(seconds)
            return True

        assert await candil.call(pid, "act", ask)


@pytest.mark.parametrize(
    "ask", [candil.continue_with, candil.stop, lambda: candil.set_timeout(1)], ids=range(3)
)
async def test_what_speaks_for_a_server_needs_one(ask: Any) -> None:
    """Outside of a server's callbacks there is nothing to stop, continue or time."""
    with pytest.raises(RuntimeError, match="no server runs this code"):
        ask()
    async with candil.open_node(log=False):
        with pytest.raises(RuntimeError, match="no server runs this code"):
            ask()


async def test_a_task_of_the_servers_own_may_speak_for_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A task that a callback started in some nursery is the server too, and wakes its loop."""
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        pid, log = await recorder()

        async def background() -> None:
            candil.continue_with("from the background")
            await trio.sleep(1)
            candil.stop(BOOM)

        await candil.call(pid, "act", lambda _: nursery.start_soon(background))
        assert await end_of(pid) == BOOM
        assert log == [("continue", "from the background"), ("terminate", BOOM)]


# --- missing callbacks ----------------------------------------------------------------


class Bare(candil.GenServer):
    """Has none of the callbacks."""


async def test_a_server_without_callbacks_starts_and_stops() -> None:
    """OTP's undef_init does not apply, undef_terminate does: there is nothing to do."""
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Bare)
        await candil.stop(pid, "shutdown")
        assert await candil.receive(candil.Down) == candil.Down(ref, pid, candil.Shutdown())


async def test_a_message_without_handle_info_is_dropped() -> None:
    """OTP's undef_handle_info: the server lives on."""
    async with candil.open_node(log=False):
        pid = await candil.start(Bare)
        candil.send(pid, "anything")
        await sys.get_state(pid)
        assert candil.is_alive(pid)


@pytest.mark.parametrize(
    ("callback", "ask"),
    [
        ("handle_call", lambda pid: candil.call(pid, "nothing")),
        ("handle_cast", lambda pid: candil.cast(pid, "nothing")),
    ],
)
async def test_a_request_without_its_callback_is_a_crash(callback: str, ask: Any) -> None:
    """OTP's undef: the report names the server, the callback and the message."""
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Bare)
        asked = ask(pid)
        if asked is not None:
            with pytest.raises(candil.ServerExited):
                await asked
        down = await candil.receive(candil.Down)
        assert down.ref is ref
        error = down.reason.exception
        assert isinstance(error, candil.UndefinedCallback)
        assert (error.server, error.callback, error.message) == ("Bare", callback, "nothing")
        assert f"no {callback} method" in str(error)


async def test_continue_without_handle_continue_is_a_crash() -> None:
    """OTP's undef again."""

    class Continues(candil.GenServer):
        def init(self) -> None:
            candil.continue_with()

    async with candil.open_node(log=False):
        _, ref = await candil.start_monitor(Continues)
        down = await candil.receive(candil.Down)
        assert down.ref is ref
        assert isinstance(down.reason.exception, candil.UndefinedCallback)


async def test_a_cast_handler_that_returns_something_is_a_crash() -> None:
    """A cast has no answer, so a value is a mistake: OTP's bad_return_value."""

    class Chatty(candil.GenServer):
        @candil.handle_cast
        def plain(self) -> str:  # type: ignore[misc]
            return "said"

        @candil.handle_cast
        async def waiting(self) -> str:  # type: ignore[misc]
            await trio.lowlevel.checkpoint()
            return "said"

    async with candil.open_node(log=False):
        for tell, name in ((Chatty.plain, "plain"), (Chatty.waiting, "waiting")):
            pid, _ = await candil.start_monitor(Chatty)
            tell(pid)
            error = (await candil.receive(candil.Down)).reason.exception
            assert isinstance(error, candil.BadReturnValue)
            assert (error.callback, error.value) == (name, "said")


async def test_every_callback_may_be_async() -> None:
    """And while one waits, nothing else is handled."""

    class Waits(candil.GenServer):
        def __init__(self) -> None:
            self.log: list[Any] = []

        async def note(self, what: str, value: object) -> None:
            self.log.append((what, "begins", value))
            await trio.lowlevel.checkpoint()
            self.log.append((what, "ends", value))

        async def init(self) -> None:
            await self.note("init", None)
            candil.continue_with(0)

        async def handle_call(self, request: object, caller: candil.Call) -> object:
            await self.note("call", request)
            return request

        async def handle_cast(self, message: object) -> None:
            await self.note("cast", message)

        async def handle_info(self, message: object) -> None:
            await self.note("info", message)

        async def handle_continue(self, argument: object) -> None:
            await self.note("continue", argument)

        async def terminate(self, reason: candil.ExitReason) -> None:
            await self.note("terminate", reason)

    async with candil.open_node(log=False):
        pid = await candil.start(Waits)
        log = (await sys.get_state(pid)).log
        candil.cast(pid, 1)
        candil.send(pid, 2)
        assert await candil.call(pid, 3) == 3
        await candil.stop(pid)
    whats = ["init", "continue", "cast", "info", "call", "terminate"]
    assert [(what, when) for what, when, _ in log] == [
        (what, when) for what in whats for when in ("begins", "ends")
    ]


# --- what a server is -----------------------------------------------------------------


async def test_self_is_the_server_in_every_callback() -> None:
    """Also in the constructor, which runs in the new process."""

    class Introspective(candil.GenServer):
        def __init__(self) -> None:
            self.seen = [candil.self()]

        def init(self) -> None:
            self.seen.append(candil.self())

        def handle_call(self, _request: object, _caller: candil.Call) -> object:
            return [*self.seen, candil.self()]

    async with candil.open_node(log=False):
        pid = await candil.start(Introspective)
        assert await candil.call(pid, ("who", "are", "you")) == [pid] * 3


async def test_the_instance_holds_no_state_of_the_framework() -> None:
    """Nothing is put onto the user's object."""
    async with candil.open_node(log=False):
        pid = await candil.start(Bare)
        assert vars(await sys.get_state(pid)) == {}


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_context_variables_of_init_hold_in_every_callback(kind: str) -> None:
    """A server has one context, a copy of its starter's, for all of its life."""

    class Contextual(candil.GenServer):
        def init(self) -> None:
            assert variable.get() == "the starter's"
            variable.set("the server's")

        @candil.handle_call
        def get(self) -> str:
            return variable.get()

        def handle_call(self, _request: object, _caller: candil.Call) -> str:
            return variable.get()

    class AsyncContextual(Contextual):
        async def init(self) -> None:  # type: ignore[override]
            super().init()

    async with candil.open_node(log=False):
        variable.set("the starter's")
        pid = await candil.start(Contextual if kind == "plain" else AsyncContextual)
        for request in ("get", "other", "get"):
            assert await candil.call(pid, request) == "the server's"
        assert variable.get() == "the starter's"


async def test_a_handler_may_receive_selectively() -> None:
    """What it does not take stays in the mailbox, in order, for the loop."""

    class Picky(candil.GenServer):
        def __init__(self) -> None:
            self.log: list[Any] = []

        async def handle_cast(self, message: object) -> None:
            self.log.append((message, await candil.receive(int)))

        def handle_info(self, message: object) -> None:
            self.log.append(message)

    async with candil.open_node(log=False):
        pid = await candil.start(Picky)
        for message in ("a", "b"):
            candil.send(pid, message)
        candil.cast(pid, "want")
        candil.send(pid, "c")
        candil.send(pid, 7)
        assert (await sys.get_state(pid)).log == ["a", "b", ("want", 7), "c"]


async def test_a_plain_process_may_answer_calls() -> None:
    """A call is a message like any other; whoever receives it can reply, and owes the answer."""

    async def echo() -> None:
        call = await candil.receive(candil.Call)
        call.reply((call.request, call.args, call.kwargs, call.pid))
        await candil.receive(candil.Call)

    async with candil.open_node(log=False):
        pid = candil.spawn(echo)
        expected = ("ping", (1,), {"two": 2}, candil.self())
        assert await candil.call(pid, "ping", 1, two=2) == expected
        process = pid.process
        assert process is not None
        assert not process.owed
        with pytest.raises(candil.ServerExited) as caught:
            await candil.call(pid, "ping")
        assert caught.value.reason == candil.Normal()


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
