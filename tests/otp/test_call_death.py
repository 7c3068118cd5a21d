"""What the callers of a server are told when it dies."""

from __future__ import annotations

import contextlib
import math
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

import candil
from candil import sys
from tests.otp.bodies import BOOM, exit_and_settle, linger, raise_
from tests.otp.scripted import WAYS, Outcome, driver, own_record
from tests.otp.servers import AsyncScriptedServer, ScriptedServer

ENDS: dict[str, tuple[Any, Any]] = {
    "stops normal": (lambda _: candil.stop_self() or candil.NO_REPLY, candil.Normal()),
    "stops shutdown": (
        lambda _: candil.stop_self(candil.Shutdown()) or candil.NO_REPLY,
        candil.Shutdown(),
    ),
    "stops shutdown x": (
        lambda _: candil.stop_self(candil.Shutdown("x")) or candil.NO_REPLY,
        candil.Shutdown("x"),
    ),
    "stops boom": (lambda _: candil.stop_self(BOOM) or candil.NO_REPLY, BOOM),
    "exits boom": (lambda _: raise_(candil.ProcessExit("boom")), BOOM),
    "exits normal": (lambda _: raise_(candil.ProcessExit()), candil.Normal()),
    "exits kill": (lambda _: raise_(candil.ProcessExit("kill")), candil.Exit("kill")),
    "raises": (lambda _: raise_(ValueError("boom")), ValueError),
    "leaves the interpreter": (lambda _: raise_(SystemExit(3)), SystemExit),
    "raises what is no Exception": (lambda _: raise_(GeneratorExit()), GeneratorExit),
    "signals itself": (lambda _: candil.exit(candil.self(), "boom"), BOOM),
    "kills itself": (lambda _: candil.exit(candil.self(), "kill"), candil.Killed()),
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
        ask = await driver(way)
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
        ask = await driver()
        outcomes = {name: Outcome() for name in ("deferred", "kept", "current", "queued", "state")}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                outcomes["deferred"].of, ScriptedServer.later.within(math.inf), ask.pid
            )
            nursery.start_soon(outcomes["kept"].of, candil.call, ask.pid, "keep")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(
                outcomes["current"].of, ScriptedServer.wait.within(math.inf), ask.pid, trio.Event()
            )
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(outcomes["queued"].of, ScriptedServer.echo.within(math.inf), ask.pid)
            nursery.start_soon(outcomes["state"].of, sys.get_state, ask.pid)
            await trio.testing.wait_all_tasks_blocked()
            candil.exit(ask.pid, signal)
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
        ask = await driver()
        outcomes = {name: Outcome() for name in ("deferred", "current", "queued", "state")}
        bang = trio.Event()

        async def explode() -> None:
            with pytest.raises(candil.ServerExited) as caught:
                await candil.call(ask.pid, "wait", bang, timeout=math.inf)
            outcomes["current"].error = caught.value

        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                outcomes["deferred"].of, ScriptedServer.later.within(math.inf), ask.pid
            )
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(explode)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(outcomes["queued"].of, ScriptedServer.echo.within(math.inf), ask.pid)
            nursery.start_soon(outcomes["state"].of, sys.get_state, ask.pid)
            await trio.testing.wait_all_tasks_blocked()
            ask.instance.log = None  # type: ignore[assignment]
            bang.set()
        errors = [outcome.error for outcome in outcomes.values()]
        causes = {id(error.__cause__) for error in errors if error is not None}
        assert None not in errors
        assert len(causes) == 1
        assert isinstance(errors[0] and errors[0].__cause__, AttributeError)


class Stubborn(candil.GenServer):
    """Heeds no signal while it works."""

    @candil.handle_call
    async def work(self, done: trio.Event) -> str:
        await linger(done)
        return "too late"


async def test_callers_are_told_even_if_the_killed_handler_ignores_its_cancellation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """
    When a killed process is given up after half a second, neither who is being served nor who
    stands in the queue is left waiting for ever.
    """
    async with candil.open_node(log=False):
        pid = await candil.start(Stubborn)
        done = trio.Event()
        outcomes = [Outcome(), Outcome()]
        async with trio.open_nursery() as nursery:
            for outcome in outcomes:
                nursery.start_soon(outcome.of, Stubborn.work.within(math.inf), pid, done)
            await trio.testing.wait_all_tasks_blocked()
            candil.exit(pid, "kill")
        done.set()
        for outcome in outcomes:
            assert outcome.error is not None
            assert outcome.error.reason == candil.Killed()


async def test_a_value_returned_after_the_signal_that_ends_the_server_is_no_answer() -> None:
    """
    A process that was told to end says nothing more, though its handler was shielded long enough to
    return.
    """
    async with candil.open_node(log=False):
        pid = await candil.start(Stubborn)
        done = trio.Event()
        outcome = Outcome()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome.of, Stubborn.work, pid, done)
            await trio.testing.wait_all_tasks_blocked()
            candil.exit(pid, "boom")
            done.set()
        assert outcome.error is not None
        assert outcome.error.reason == BOOM


async def test_the_callers_of_a_handler_that_is_interrupted_are_told() -> None:
    """
    Ctrl-C in a handler ends the whole block in order, and nobody in it waits for the handler's
    answer.
    """
    for kind in (ScriptedServer, AsyncScriptedServer):
        outcome = Outcome()

        async def interrupted(
            kind: type[ScriptedServer] = kind, outcome: Outcome = outcome
        ) -> None:
            async with candil.open_node(log=False):
                pid = await candil.start(kind)
                ask = kind.act.within(math.inf)
                await outcome.of(ask, pid, lambda _: raise_(KeyboardInterrupt()))
                await trio.sleep_forever()

        with pytest.raises(KeyboardInterrupt):
            await interrupted()
        assert outcome.error is not None
        assert isinstance(outcome.error.__cause__, KeyboardInterrupt)


@pytest.mark.parametrize("way", WAYS)
async def test_calls_behind_the_one_that_stops_get_its_reason(way: str) -> None:
    """Nothing is handled after the call that stops the server."""
    async with candil.open_node(log=False):
        ask = await driver(way)
        outcome = Outcome()

        async def ask_behind() -> None:
            with contextlib.suppress(candil.NoProc):  # when the server was faster
                await outcome.of(ScriptedServer.echo, ask.pid)

        def stop(_: ScriptedServer) -> str:
            nursery.start_soon(ask_behind)
            candil.send(ask.pid, "never seen")
            candil.stop_self(BOOM)
            return "goodbye"

        async with trio.open_nursery() as nursery:
            assert await ask("act", stop) == "goodbye"
        assert outcome.error is None or outcome.error.reason == BOOM
        assert ask.instance.log[-1] == ("terminate", BOOM)
        assert ("info", "never seen") not in ask.instance.log
        assert ("echo", None) not in ask.instance.log


async def test_a_crash_in_place_leaves_the_caller_as_it_was() -> None:
    """The caller may catch its error and go on; nothing of the server's end clings to it."""
    async with candil.open_node(log=False):
        ask = await driver()
        for _ in range(2):
            ask = await driver()
            with pytest.raises(candil.ServerExited):
                await ScriptedServer.act(ask.pid, lambda _: raise_(KeyError("k")))
        await trio.lowlevel.checkpoint()
        assert candil.is_alive(candil.self())


async def test_who_called_a_server_that_was_shut_down_ends_in_order_too():
    """OTP: the caller exits with ``{shutdown, {gen_server, call, ...}}``: no transient restarts."""
    starts = []

    class Server(candil.GenServer):
        @candil.handle_call
        async def wait(self) -> None:
            await trio.sleep_forever()

    async def client():
        starts.append(candil.self())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Server.wait, "server")

    async with candil.open_supervisor(
        [
            candil.child_spec(Server, name="server", restart="temporary"),
            candil.child_spec(client, id="client", restart="transient"),
        ],
        log=False,
    ) as sup:
        await trio.testing.wait_all_tasks_blocked()
        ref = candil.monitor(starts[0])
        await exit_and_settle("server", "shutdown")
        down = await candil.receive(candil.Down)
        assert down.ref is ref
        assert down.reason == candil.Shutdown(("call", "server", "wait"))
        assert isinstance(down.reason.cause, candil.ServerExited)
        await trio.testing.wait_all_tasks_blocked()
        assert [info.child for info in await candil.which_children(sup)] == [None]
    assert len(starts) == 1


@pytest.mark.parametrize("reason", ["normal", "boom", ("shutdown", "x")])
async def test_who_called_a_server_that_ended_otherwise_crashes(reason):
    """OTP: ``{Reason, {gen_server, call, ...}}`` is an orderly end for the bare shutdown only."""

    class Server(candil.GenServer):
        @candil.handle_call
        async def end(self) -> candil.Deferred[None]:
            candil.stop_self(reason)
            return candil.Deferred()

    async def client(server):
        await Server.end(server)

    async with candil.open_node(log=False):
        server = await candil.start(Server)
        candil.spawn_monitor(client, server)
        down = await candil.receive(candil.Down)
    assert isinstance(down.reason, candil.Crashed)
    assert isinstance(down.reason.exception, candil.ServerExited)


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
            candil.cast(pid, "unknown", "with arguments")
        case signal:
            candil.exit(pid, signal)


async def confused_callers(random: Random) -> dict[str, int]:
    """Have many callers ask a server that is ended in all ways; give what they were told."""
    told: dict[str, int] = {}

    async def caller() -> None:
        for _ in range(20):
            request, *args = random.choice(
                [
                    ("echo", 1),
                    ("sleep", 1),
                    ("later",),
                    ("keep",),
                    ("act", lambda _: candil.stop_self()),
                ]
            )
            try:
                with trio.move_on_after(random.choice([0.5, 2, math.inf])):
                    await candil.call(
                        "server", request, *args, timeout=random.choice([1, math.inf])
                    )
                outcome = "returned"
            except candil.CallError as error:
                outcome = type(error).__name__
            told[outcome] = told.get(outcome, 0) + 1
            await trio.sleep(random.choice([0, 0.1, 1]))

    async def wrecker() -> None:
        while True:
            await trio.sleep(random.choice([0, 0.1, 1, 3]))
            pid = candil.whereis("server")
            if pid is not None:
                with contextlib.suppress(candil.CallError):
                    await wreck(pid, random)
            else:
                with contextlib.suppress(candil.AlreadyStarted):
                    await candil.start(
                        random.choice([ScriptedServer, AsyncScriptedServer]), name="server"
                    )

    async with candil.open_node(log=False), trio.open_nursery() as wreckers:
        wreckers.start_soon(wrecker)
        async with trio.open_nursery() as callers:
            for _ in range(20):
                callers.start_soon(caller)
        wreckers.cancel_scope.cancel()
        assert not own_record().pending
    return told


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_to_a_server_every_caller_is_told(seed: int) -> None:
    """Callers of a server that is killed, stopped, suspended and crashed all get an outcome."""
    told = trio.run(
        confused_callers, Random(seed), clock=trio.testing.MockClock(autojump_threshold=0)
    )
    assert sum(told.values()) == 400
    assert told.keys() <= {"returned", "NoProc", "ServerExited", "CallTimeout"}
