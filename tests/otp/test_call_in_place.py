"""Handlers that run in their caller's task: nobody can tell, except by the clock."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st

import candil
from candil._otp.behaviours import call_fast as call_fast_module
from candil._otp.processes import runtime as runtime_module
from candil._otp.processes.runtime import get_runtime
from tests.otp.bodies import raise_
from tests.otp.scripted import WAYS, driver, idle
from tests.otp.servers import ScriptedServer, seen_by_server
from tests.otp.steps import counted_steps

# --- a handler is the server's, however it runs


@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_sees_the_servers_context_and_pid_however_it_runs(way: str) -> None:
    """Also in its caller's task a handler is the server: its context variables, its self()."""
    async with candil.open_node(log=False):
        ask = await driver(way)
        seen_by_server.set("the caller's")
        assert await ask("act", lambda _: (seen_by_server.get(), candil.self())) == (
            "the server's own",
            ask.pid,
        )
        await ask("act", lambda _: seen_by_server.set("changed by a handler"))
        assert seen_by_server.get() == "the caller's"
        assert candil.self() is not ask.pid
        assert await ask("act", lambda _: seen_by_server.get()) == "changed by a handler"


class _Before(candil.GenServer):
    """Answers as it did before its state was replaced."""

    @candil.handle_call
    def version(self) -> str:
        return "before"


class _After(_Before):
    """The same server, with the handler that it has afterwards."""

    @candil.handle_call
    def version(self) -> str:
        return "after"


async def test_a_state_replaced_while_a_caller_gives_way_answers_with_its_own_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A handler that was looked up before is that of another class by then."""
    async with candil.open_node(log=False):
        pid = await candil.start(_Before)
        await trio.testing.wait_all_tasks_blocked()

        async def replace_meanwhile(runtime: runtime_module.Runtime) -> None:
            runtime.inline_calls = 0
            await candil.sys.replace_state(pid, lambda _: _After())
            await trio.testing.wait_all_tasks_blocked()

        monkeypatch.setattr(runtime_module.Runtime, "checkpoint_if_due", replace_meanwhile)
        get_runtime().inline_calls = runtime_module.MAX_INLINE_CALLS

        assert "after" == await _Before.version(pid)


async def test_a_process_spawned_by_a_handler_in_place_is_the_servers_child() -> None:
    """What a handler spawns belongs to the server, not to the caller whose task it ran in."""

    async def child() -> None:
        await trio.sleep_forever()

    async with candil.open_node(log=False):
        ask = await driver()
        info = candil.process_info(await ask("act", lambda _: candil.spawn_link(child)))
        assert info is not None
        assert (info.parent, info.links) == (ask.pid, (ask.pid,))


class Odd(BaseException):
    """No ``Exception``."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "error", [ValueError("boom"), Odd(), GeneratorExit(), SystemExit(1)], ids=repr
)
async def test_a_crashing_handler_runs_terminate_and_takes_down_links_however_it_runs(
    error: BaseException, way: str
) -> None:
    """
    The crash is the server's: terminate gets the reason, links get the signal, the caller only its
    error.
    """
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        ask = await driver(way, link=True)
        pid = ask.pid
        with pytest.raises(candil.ServerExited) as caught:
            await candil.call(pid, "act", lambda _: raise_(error))
        assert caught.value.reason == candil.Crashed(error)
        assert ask.instance.log[-1] == ("terminate", caught.value.reason)
        assert await candil.receive(candil.ExitSignal) == candil.ExitSignal(
            pid, caught.value.reason
        )
        with pytest.raises(candil.NoProc):
            await ScriptedServer.echo(pid)


async def test_calls_in_place_keep_their_order_with_casts_and_messages() -> None:
    """What a caller sent before its call is handled before it."""
    async with candil.open_node(log=False):
        ask = await driver()
        for number in range(3):
            ScriptedServer.note(ask.pid, number)
            candil.send(ask.pid, number)
            await ScriptedServer.echo(ask.pid, number)
        expected = [(what, number) for number in range(3) for what in ("note", "info", "echo")]
        assert ask.instance.log == expected


@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_may_cast_to_its_own_server(way: str) -> None:
    """The cast is handled next, before anything a caller sends after its answer."""
    async with candil.open_node(log=False):
        ask = await driver(way)

        def cast(server: ScriptedServer) -> str:
            ScriptedServer.note(candil.self(), "to myself")
            return "answered"

        assert await ask("act", cast) == "answered"
        await ScriptedServer.echo(ask.pid, "after")
        assert [entry for entry in ask.instance.log if entry[0] != "info"] == [
            ("note", "to myself"),
            ("echo", "after"),
        ]


async def test_a_server_with_a_timeout_pending_is_asked_by_message(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A call clears the timeout, so that it may not go behind the loop's back."""
    async with candil.open_node(log=False):
        ask = await driver()
        await ScriptedServer.act(ask.pid, lambda _: candil.set_timeout(3))
        await ScriptedServer.echo(ask.pid)
        await trio.sleep(10)
        assert ("info", candil.Timeout()) not in ask.instance.log


# --- others have their turns


async def test_calls_in_place_let_other_tasks_run() -> None:
    """After a hundred of them, the scheduler has had its turn."""
    async with candil.open_node(log=False):
        ask = await driver()
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
            for _ in range(10 * runtime_module.MAX_INLINE_CALLS):
                await ScriptedServer.echo(ask.pid)
            assert turns - before >= 8
            nursery.cancel_scope.cancel()


async def test_slow_plain_handlers_let_other_tasks_run_sooner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Handlers that take their time are counted by it, not by their number."""
    clock = itertools.count(
        step=runtime_module.MAX_INLINE_SECONDS / 10
    )  # no machine takes longer for these two
    monkeypatch.setattr(call_fast_module, "perf_counter", lambda: next(clock))
    async with candil.open_node(log=False):
        ask = await driver()
        runtime = get_runtime()
        runtime.inline_calls = 0
        runtime.inline_seconds = 0.0
        with counted_steps() as steps:
            await ScriptedServer.echo(ask.pid)
            assert steps.count == 0
            runtime.inline_seconds = runtime_module.MAX_INLINE_SECONDS
            await ScriptedServer.echo(ask.pid)
            assert steps.count == 1
        assert pytest.approx(runtime_module.MAX_INLINE_SECONDS / 10) == runtime.inline_seconds


async def test_a_server_that_dies_while_a_caller_gives_way_is_not_waited_for() -> None:
    """
    A call that lets others run before it acts finds out who is there afterwards: nobody, or the
    replacement.
    """
    async with candil.open_node(log=False):
        for by_name in (False, True):
            first = await candil.start(ScriptedServer, name="server")
            await idle(first)
            replaced = trio.Event()

            async def replace(pid: candil.Pid[Any] = first, done: trio.Event = replaced) -> None:
                candil.exit(pid, "kill")
                while candil.process_info(pid) is not None:
                    await trio.lowlevel.checkpoint()
                await candil.start(ScriptedServer, name="server")
                done.set()

            async def ask(
                target: Any = "server" if by_name else first, done: trio.Event = replaced
            ) -> Any:
                get_runtime().inline_calls = runtime_module.MAX_INLINE_CALLS
                # the turn that the call gives to the others lasts until the replacement is up
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(runtime_module, "checkpoint", done.wait)
                    return await candil.call(
                        target, "act", lambda _: candil.self(), timeout=math.inf
                    )

            async with trio.open_nursery() as nursery:
                nursery.start_soon(replace)
                if by_name:
                    assert await ask() is candil.whereis("server")
                else:
                    with pytest.raises(candil.NoProc):
                        await ask()
            await candil.stop("server")


async def test_a_server_that_gets_busy_while_a_caller_gives_way_is_asked_by_message() -> None:
    """What arrived in the meantime is handled first."""
    async with candil.open_node(log=False):
        ask = await driver()

        async def others_run() -> None:
            ScriptedServer.note(ask.pid, "first")

        get_runtime().inline_calls = runtime_module.MAX_INLINE_CALLS
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runtime_module, "checkpoint", others_run)
            await ScriptedServer.echo(ask.pid, "second")
        assert ask.instance.log == [("note", "first"), ("echo", "second")]


# --- any script


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
                candil.stop_self(candil.Exit(number))
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
                candil.exit(candil.self(), number)
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
