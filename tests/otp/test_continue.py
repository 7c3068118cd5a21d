"""continue_with: what a server does next, before anything that waits in its mailbox."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

import candil
from tests.otp.bodies import BOOM
from tests.otp.recorders import all_handled, every_callback
from tests.otp.servers import Recorder


class Early(Recorder):
    """Sends to itself while it starts, and goes on with something else."""

    def __init__(self, log: list[Any]) -> None:
        super().__init__(log)
        candil.send(candil.self(), "sent by the constructor")

    def init(self) -> Any:
        candil.cast("early", "sent in init")
        candil.continue_with("first")


class AsyncEarly(Early):
    """The same, by an async init."""

    async def init(self) -> Any:
        super().init()
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("kind", [Early, AsyncEarly])
async def test_continue_from_init_runs_before_what_is_queued_already(kind: type[Early]) -> None:
    """Even before a message that came while init was running, by its pid or its name."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid = await candil.start(kind, log, name="early")
        candil.cast("early", "sent after the start")
        assert await all_handled(pid) == [
            ("continue", "first"),
            ("info", "sent by the constructor"),
            ("cast", "sent in init"),
            ("cast", "sent after the start"),
        ]


@every_callback
async def test_continue_runs_before_what_is_queued(act: Any) -> None:
    """Whichever callback asks for it."""
    async with candil.open_node(log=False):
        pid = await candil.start(Recorder)
        act(pid, lambda: candil.continue_with("go on"))
        candil.send(pid, "queued")
        candil.cast(pid, "queued too")
        assert await all_handled(pid) == [
            ("continue", "go on"),
            ("info", "queued"),
            ("cast", "queued too"),
        ]


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
        pid = await candil.start(Recorder, log)
        await trio.testing.wait_all_tasks_blocked()
        if way == "message":
            candil.send(pid, "in the way")
        if way == "callback":
            assert await candil.call(pid, ask) == "answer"
        else:
            assert (
                await (Recorder.act if way == "async" else Recorder.act_at_once)(pid, ask)
                == "answer"
            )
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
        pid = await candil.start(Recorder)
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
        candil.stop_self(BOOM)

    def one_after_the_other() -> None:
        candil.continue_with(lambda: candil.stop_self(BOOM))
        candil.continue_with("never")

    async with candil.open_node(log=False):
        for action in (both, one_after_the_other):
            log: list[Any] = []
            pid, _ = await candil.start_monitor(Recorder, log)
            candil.send(pid, action)
            assert (await candil.receive(candil.Down)).reason == BOOM
            assert log == [("terminate", BOOM)]


async def test_a_chain_of_continues_without_end_lets_others_run() -> None:
    """It gives way as a flood of messages does, and a signal ends it."""

    def again() -> None:
        candil.continue_with(again)

    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Recorder)
        candil.send(pid, again)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        candil.exit(pid, "boom")
        assert (await candil.receive(candil.Down)).reason == BOOM
