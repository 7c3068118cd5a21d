"""The callbacks of a server: what each of them gets, which may be missing, and who they are."""

from __future__ import annotations

import contextlib
import contextvars
import re
from typing import Any

import pytest
import trio
import trio.testing

import candil
from candil import sys
from tests.otp.bodies import BOOM
from tests.otp.servers import Bare, Recorder


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
        pid = await candil.start(Recorder)

        async def answer() -> int:
            return 7

        assert await candil.call(pid, answer) == 7


async def test_nothing_else_is_handled_while_a_callback_waits() -> None:
    """A server does one thing at a time, however many messages it has."""

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


async def test_a_task_of_the_servers_own_may_speak_for_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A task that a callback started in some nursery is the server too, and wakes its loop."""
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        log: list[Any] = []
        pid, _ = await candil.start_monitor(Recorder, log)

        async def background() -> None:
            candil.continue_with("from the background")
            await trio.sleep(1)
            candil.stop_self(BOOM)

        await Recorder.act_at_once(pid, lambda: nursery.start_soon(background))
        assert (await candil.receive(candil.Down)).reason == BOOM
        assert log == [("continue", "from the background"), ("terminate", BOOM)]


speaks_for_a_server = pytest.mark.parametrize(
    "act",
    [candil.stop_self, lambda: candil.continue_with("x"), lambda: candil.set_timeout(1)],
    ids=["stop_self", "continue_with", "set_timeout"],
)


@speaks_for_a_server
def test_without_a_loop_there_is_nobody_to_speak_for(act: Any) -> None:
    """It is told at once, wherever it is called."""
    with pytest.raises(RuntimeError, match="no server runs this code"):
        act()


@speaks_for_a_server
async def test_outside_a_server_there_is_nobody_to_speak_for(act: Any) -> None:
    """Neither in a plain process nor in a task that is none."""
    with pytest.raises(RuntimeError, match="no server runs this code"):
        act()
    async with candil.open_node(log=False):
        with pytest.raises(RuntimeError, match="no server runs this code"):
            act()


# --- missing callbacks


async def test_a_server_without_callbacks_starts_and_stops() -> None:
    """OTP's undef_init does not apply, undef_terminate does: there is nothing to do."""
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Bare)
        await candil.stop(pid, "shutdown")
        assert await candil.receive(candil.Down) == candil.Down(ref, pid, candil.Shutdown())


WHAT = ("no", "name")


@pytest.mark.parametrize(
    ("callback", "act"),
    [
        ("handle_call", lambda pid: candil.call(pid, WHAT)),
        ("handle_cast", lambda pid: candil.cast(pid, WHAT)),
        ("handle_continue", lambda pid: Bare.act(pid, lambda: candil.continue_with(WHAT))),
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
        assert (error.server, error.callback, error.message) == ("Bare", callback, WHAT)
        assert re.search(rf"[Dd]efine {callback}\(", str(error))


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


async def test_each_message_that_nothing_takes_is_told():
    """OTP's default ``handle_info`` logs it and goes on."""

    class Deaf(candil.GenServer):
        @candil.handle_call
        def ping(self) -> str:
            return "pong"

    told = []

    def note(event):
        if isinstance(event, candil.UnhandledMessage):
            told.append(event)

    with candil.subscribe(note):
        async with candil.open_node(log=False):
            pid = await candil.start(Deaf)
            for message in ("x", "y", 3):
                candil.send(pid, message)
            assert await Deaf.ping(pid) == "pong"

    assert told == [candil.UnhandledMessage(pid, "Deaf", text) for text in ("'x'", "'y'", "3")]


# --- what a server is


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
