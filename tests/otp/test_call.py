"""Calls and casts: who is asked, what comes back, and what it costs."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import pytest
import trio
import trio.testing

import candil
from candil import sys
from tests.otp.bodies import exit_and_settle
from tests.otp.scripted import ADDRESSES, WAYS, driver, own_record
from tests.otp.servers import AsyncScriptedServer, ScriptedServer
from tests.otp.steps import counted_steps

# --- who is asked


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_gives_what_the_handler_returns(way: str) -> None:
    """Whichever way the handler runs, its return value is the answer."""
    async with candil.open_node(log=False):
        ask = await driver(way)
        assert await ask("echo", 1) == 1
        assert await ask("echo", None) is None
        assert await ask("act", type) is type(ask.instance)


@pytest.mark.parametrize("kind", [ScriptedServer, AsyncScriptedServer])
@pytest.mark.parametrize("name", ADDRESSES, ids=repr)
async def test_a_server_answers_under_any_kind_of_name(
    kind: type[ScriptedServer], name: Any
) -> None:
    """A str, a Name and a Via all reach the server that was started with them, as its pid does."""
    async with candil.open_node(log=False):
        pid = await candil.start(kind, name=name)
        assert await ScriptedServer.echo(pid, 1) == 1
        assert await ScriptedServer.echo(name, 2) == 2
        assert await candil.call(name, "echo", value=3) == 3
        candil.cast(name, "note", 4)
        ScriptedServer.note(name, 5)
        candil.send(name, 6)
        assert await candil.call(name, "anything else") == "anything else"
        assert (await sys.get_state(name)).log[-3:] == [("note", 4), ("note", 5), ("info", 6)]


async def test_a_name_and_its_bare_string_are_the_same_name() -> None:
    """Name("x") and "x" find the same process."""
    async with candil.open_node(log=False):
        await candil.start(ScriptedServer, name=candil.Name("server"))
        assert await ScriptedServer.echo("server", 1) == 1


@pytest.mark.parametrize("name", ADDRESSES, ids=repr)
async def test_a_call_to_an_unknown_name_raises_noproc(name: Any) -> None:
    """Nobody there is NoProc at the caller, and it says who and what was asked."""
    async with candil.open_node(log=False):
        with pytest.raises(candil.NoProc) as caught:
            await candil.call(name, "echo", 1)
        assert (caught.value.target, caught.value.request) == (name, "echo")


@pytest.mark.parametrize("kind", [ScriptedServer, AsyncScriptedServer])
async def test_a_call_to_a_dead_pid_raises_noproc(kind: type[ScriptedServer]) -> None:
    """A pid whose process has ended is nobody, and the failing call is still a checkpoint."""
    async with candil.open_node(log=False):
        pid = await candil.start(kind)
        await candil.stop(pid)
        with trio.testing.assert_checkpoints(), pytest.raises(candil.NoProc) as caught:
            await kind.echo(pid)
        assert (caught.value.target, caught.value.request) == (pid, "echo")


async def test_a_call_to_a_process_that_was_told_to_end_raises_noproc() -> None:
    """From the signal on nobody is there, although the cleanup may go on for a while."""
    async with candil.open_node(log=False):
        ask = await driver()
        candil.exit(ask.pid, "boom")
        with pytest.raises(candil.NoProc):
            await ScriptedServer.echo(ask.pid)


async def test_what_whereis_did_not_find_is_nobody() -> None:
    """A call of None raises NoProc, which says so; a cast never fails."""
    nobody: Any = candil.whereis("nobody")
    async with candil.open_node(log=False):
        with trio.testing.assert_checkpoints(), pytest.raises(candil.NoProc, match="whereis gives"):
            await candil.call(nobody, "echo", 1)
        with pytest.raises(candil.NoProc, match="whereis gives"):
            await ScriptedServer.echo(nobody)
        with pytest.raises(candil.NoProc, match="whereis gives"):
            await candil.sys.get_state(nobody)
        candil.cast(nobody, "echo")


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
        first = await candil.start(ScriptedServer, name="server")
        await exit_and_settle(first, "boom")
        second = await candil.start(ScriptedServer, name="server")
        assert await candil.call("server", "act", lambda _: candil.self()) is second


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
        assert await candil.call("server", "who") is None
        assert await candil.call("server", "echo", 1) == 1
        done.set()

    async def insider(done: trio.Event) -> None:
        assert await candil.call("server", "who") is candil.self()
        done.set()

    done = [trio.Event(), trio.Event()]
    opened = trio.Event()

    async def elsewhere() -> None:
        await opened.wait()
        await outsider(done[0])

    nursery.start_soon(elsewhere)
    async with candil.open_node(log=False):
        await candil.start(ScriptedServer, name="server")
        opened.set()
        candil.spawn(insider, done[1])
        for event in done:
            await event.wait()


async def test_a_request_that_names_no_handler_goes_to_handle_call() -> None:
    """Any object may be a request; the callback gets it with the caller's handle."""
    async with candil.open_node(log=False):
        ask = await driver()
        assert await candil.call(ask.pid, ("get", 1)) == ("get", 1)
        assert await candil.call(ask.pid, "who") is candil.self()
        unhashable = {"a": [1]}
        assert await candil.call(ask.pid, unhashable) is unhashable


async def test_wrong_arguments_fail_at_the_caller_by_name_too() -> None:
    """The handler is known, so the server need not die of them."""
    async with candil.open_node(log=False):
        ask = await driver()
        with pytest.raises(TypeError, match=r"the handler echo\(value=None\) does not take these"):
            await candil.call(ask.pid, "echo", 1, 2, 3)
        with pytest.raises(TypeError, match=r"the handler note\(value\) does not take these"):
            candil.cast(ask.pid, "note")
        assert await ScriptedServer.echo(ask.pid, "alive") == "alive"


async def test_several_calls_may_be_under_way_at_once() -> None:
    """OTP's send_request: tasks of one process ask in parallel, and each gets its own answer."""
    async with candil.open_node(log=False):
        ask = await driver()
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


# --- casts


async def test_a_cast_never_fails() -> None:
    """To nobody, to the dead, to one who is just ending: it returns at once, with nothing."""
    async with candil.open_node(log=False):
        ask = await driver()
        candil.exit(ask.pid, "boom")
        candil.cast(ask.pid, "anything")
        await trio.testing.wait_all_tasks_blocked()
        for target in (ask.pid, *ADDRESSES):
            candil.cast(target, "anything")
            ScriptedServer.note(target, 1)
        assert ask.instance.log == []


async def test_casts_are_handled_in_the_order_they_were_sent() -> None:
    """OTP's cast: a decorated handler by its name, anything else by handle_cast."""
    async with candil.open_node(log=False):
        ask = await driver()
        candil.cast(ask.pid, "note", 1)
        candil.cast(ask.pid, ("other", 2))
        ScriptedServer.note(ask.pid, value=3)
        candil.cast(ask.pid, "note", value=4)
        await sys.get_state(ask.pid)
        assert ask.instance.log == [("note", 1), ("cast", ("other", 2)), ("note", 3), ("note", 4)]


async def test_arguments_of_a_cast_that_no_handler_takes_are_not_lost_in_silence():
    """Only a handler of that name could take them; ``handle_cast`` gets the bare message."""

    class Taking(candil.GenServer):
        def handle_cast(self, message: object) -> None:
            raise AssertionError(message)

    async with candil.open_node(log=False):
        pid = await candil.start(Taking)
        ref = candil.monitor(pid)
        candil.cast(pid, "note", 1)
        down = await candil.receive(candil.Down)
        assert down.ref is ref
        assert isinstance(down.reason.exception, candil.UndefinedCallback)


# --- cost


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
            ask = await driver(way)
            assert await ask("echo", 1) == 1
        assert len(own.mailbox) == 100_000
        own.mailbox = mailbox


async def test_a_reply_is_given_in_one_step_of_the_caller() -> None:
    """A call of an async handler parks its caller once and resumes it once."""
    async with candil.open_node(log=False):
        ask = await driver("async")
        with counted_steps() as steps:
            assert await AsyncScriptedServer.echo(ask.pid, 1) == 1
        assert steps.count == 1
