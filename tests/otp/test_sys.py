"""Looking into a running server: state, suspension, change of code, counts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
import trio.testing

import candil
from candil import sys

ASK: dict[str, Any] = {
    "suspend": sys.suspend,
    "resume": sys.resume,
    "get_state": sys.get_state,
    "replace_state": lambda server, **options: sys.replace_state(server, lambda x: x, **options),
    "change_code": sys.change_code,
    "statistics": sys.statistics,
}


class Server(candil.GenServer):
    """Writes down what it handles."""

    def __init__(self, *, trap: bool = False) -> None:
        self.trap = trap
        self.log: list[Any] = []

    def init(self) -> None:
        candil.trap_exit(self.trap)

    @candil.handle_call
    def echo(self, value: object) -> object:
        self.log.append(value)
        return value

    @candil.handle_call
    async def wait(self, event: trio.Event) -> None:
        await event.wait()

    @candil.handle_call
    async def ask_self(self, what: str, target: Any) -> Any:
        return await ASK[what](target)

    def handle_cast(self, message: object) -> None:
        self.log.append(message)

    def handle_info(self, message: object) -> None:
        self.log.append(message)

    def handle_continue(self, argument: object) -> None:
        self.log.append(("continue", argument))

    def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))


class Changing(Server):
    """Can change its code."""

    def code_change(self, old_version: object, extra: Any) -> None:
        self.log.append(("code_change", old_version))
        if callable(extra):
            extra()


class AsyncChanging(Server):
    """Can change its code, and waits while it does."""

    async def code_change(self, old_version: object, extra: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.log.append(("code_change", old_version))
        if callable(extra):
            extra()


def raise_(error: BaseException) -> Any:
    """Raise, where Python wants an expression."""
    raise error


# --- any request ----------------------------------------------------------------------


@pytest.mark.parametrize("what", ASK)
async def test_a_request_to_nobody_raises_noproc(what: str) -> None:
    """A dead pid and an unknown name are nobody."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        await candil.stop(pid)
        for target in (pid, "nobody"):
            with trio.testing.assert_checkpoints(), pytest.raises(candil.NoProc) as caught:
                await ASK[what](target)
            assert (caught.value.target, caught.value.request) == (target, f"sys.{what}")


@pytest.mark.parametrize("what", ASK)
async def test_a_server_cannot_wait_for_its_own_answer(what: str) -> None:
    """OTP: calling_self."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        with pytest.raises(candil.ServerExited) as caught:
            await Server.ask_self(pid, what, pid)
        assert isinstance(caught.value.__cause__, candil.CallingSelf)


@pytest.mark.parametrize("what", ASK)
async def test_a_request_waits_five_seconds_unless_told_otherwise(
    what: str, autojump_clock: trio.testing.MockClock
) -> None:
    """It stands in the queue as any message does."""
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        pid = await candil.start(Changing)
        event = trio.Event()
        nursery.start_soon(Server.wait.within(math.inf), pid, event)
        await trio.testing.wait_all_tasks_blocked()
        for options, seconds in (({}, 5), ({"timeout": 1}, 1)):
            started = trio.current_time()
            with pytest.raises(candil.CallTimeout) as caught:
                await ASK[what](pid, **options)
            assert trio.current_time() - started == seconds
            assert caught.value.request == f"sys.{what}"
            assert caught.value.timeout == seconds
        event.set()


async def test_a_request_may_wait_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    """math.inf has no deadline."""
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        pid = await candil.start(Server)
        event = trio.Event()
        nursery.start_soon(Server.wait.within(math.inf), pid, event)
        await trio.testing.wait_all_tasks_blocked()

        async def release() -> None:
            await trio.sleep(1000)
            event.set()

        nursery.start_soon(release)
        assert isinstance(await sys.get_state(pid, timeout=math.inf), Server)


@pytest.mark.parametrize("what", ASK)
@pytest.mark.parametrize("timeout", [-1, math.nan, None])
async def test_a_timeout_that_is_no_time_asks_nothing(what: str, timeout: Any) -> None:
    """It is a ValueError before anything is sent."""
    async with candil.open_node(log=False):
        pid = await candil.start(Changing)
        with pytest.raises(ValueError, match="a timeout is"):
            await ASK[what](pid, timeout=timeout)
        assert await sys.statistics(pid) == sys.Statistics(0, 0, suspended=False)


async def test_a_request_is_told_of_the_servers_crash() -> None:
    """With the reason, chained to the exception."""

    class Crashes(Server):
        async def code_change(self, _old_version: object, _extra: object) -> None:
            await trio.sleep_forever()

    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        pid = await candil.start(Crashes)
        await sys.suspend(pid)

        async def end() -> None:
            await trio.testing.wait_all_tasks_blocked()
            candil.exit_nowait(pid, ValueError("boom"))

        nursery.start_soon(end)
        with pytest.raises(candil.ServerExited) as caught:
            await sys.change_code(pid)
        assert isinstance(caught.value.__cause__, ValueError)
        assert caught.value.request == "sys.change_code"


async def test_a_cancelled_request_leaves_nothing_behind() -> None:
    """The server does what was asked, and nobody hears of it."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        with trio.CancelScope() as scope:
            scope.cancel()
            await sys.suspend(pid)
        await trio.testing.wait_all_tasks_blocked()
        assert (await sys.statistics(pid)).suspended
        assert not pid.process.owed  # type: ignore[union-attr]


# --- state ----------------------------------------------------------------------------


async def test_get_state_gives_the_instance_itself() -> None:
    """After everything that was sent before."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server, name="server")
        candil.cast(pid, "before")
        state = await sys.get_state("server")
        assert state.log == ["before"]
        assert state is await sys.get_state(pid)


async def test_replace_state_puts_another_instance_in_its_place() -> None:
    """Calls of either kind see it, in place and by message."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)

        def replace(old: Server) -> Server:
            old.log.append("old")
            new = Changing()
            new.log = ["new"]
            return new

        new = await sys.replace_state(pid, replace)
        assert type(new) is Changing
        assert await Server.echo(pid, 1) == 1
        candil.send(pid, 2)
        assert await Server.echo(pid, 3) == 3
        assert new.log == ["new", 1, 2, 3]
        assert await sys.get_state(pid) is new


async def test_what_replace_state_is_given_may_fail() -> None:
    """Its error is raised at who asked, and the server goes on as it was."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        state = await sys.get_state(pid)
        with pytest.raises(ValueError, match="boom"):
            await sys.replace_state(pid, lambda _: raise_(ValueError("boom")))
        for garbage in (None, 7, candil.GenServer()):
            with pytest.raises(TypeError, match="replace must return the Server"):
                await sys.replace_state(pid, lambda _, garbage=garbage: garbage)
        assert await sys.get_state(pid) is state
        assert await Server.echo(pid, 1) == 1


# --- suspension -----------------------------------------------------------------------


async def test_a_suspended_server_handles_what_queued_up_when_it_is_resumed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Calls time out meanwhile, but stay queued; all is handled in order."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        await sys.suspend(pid)
        candil.cast(pid, 1)
        candil.send(pid, 2)
        with pytest.raises(candil.CallTimeout):
            await Server.echo.within(1)(pid, 3)
        assert (await sys.get_state(pid)).log == []
        assert await sys.statistics(pid) == sys.Statistics(0, 3, suspended=True)
        candil.cast(pid, 4)
        await sys.resume(pid)
        assert await Server.echo(pid, 5) == 5
        assert (await sys.get_state(pid)).log == [1, 2, 3, 4, 5]


async def test_suspend_and_resume_are_idempotent() -> None:
    """Twice is once."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        await sys.resume(pid)
        await sys.suspend(pid)
        await sys.suspend(pid)
        assert (await sys.statistics(pid)).suspended
        await sys.resume(pid)
        assert not (await sys.statistics(pid)).suspended
        assert await Server.echo(pid, 1) == 1


async def test_a_suspended_server_answers_every_request_of_this_module() -> None:
    """Whatever waits before it in the queue."""
    async with candil.open_node(log=False):
        pid = await candil.start(Changing)
        await sys.suspend(pid)
        for number in range(3):
            candil.cast(pid, number)
        state = await sys.get_state(pid)
        assert state.log == []
        assert await sys.replace_state(pid, lambda old: old) is state
        await sys.change_code(pid, "1.0")
        candil.cast(pid, 3)
        assert (await sys.statistics(pid)).message_queue_len == 4
        await sys.resume(pid)
        assert (await sys.get_state(pid)).log == [("code_change", "1.0"), 0, 1, 2, 3]


async def test_a_suspended_server_that_traps_exits_still_ends_with_its_parent() -> None:
    """Terminate runs; the signals of others stay queued."""

    async def parent(give: Any) -> None:
        pid = await candil.start_link(Server, trap=True)
        await sys.suspend(pid)
        give(pid)
        await candil.receive()
        raise candil.ProcessExit("boom")

    async with candil.open_node(log=False):
        send, receive = trio.open_memory_channel[Any](1)
        starter = candil.spawn(parent, send.send_nowait)
        pid = await receive.receive()
        log = (await sys.get_state(pid)).log
        candil.exit_nowait(pid, "shutdown")
        candil.cast(pid, "queued")
        await sys.get_state(pid)
        assert log == []
        ref = candil.monitor(pid)
        candil.send(starter, "end")
        down = await candil.receive(candil.Down)
        assert down == candil.Down(ref, pid, candil.Exit("boom"))
        assert log == [("terminate", candil.Exit("boom"))]


async def test_a_suspended_server_can_be_killed() -> None:
    """And its queued callers are told."""
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        pid = await candil.start(Server)
        await sys.suspend(pid)

        async def ask() -> None:
            with pytest.raises(candil.ServerExited) as caught:
                await Server.echo(pid, 1)
            assert caught.value.reason == candil.Killed()

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        candil.exit_nowait(pid, "kill")


async def test_a_suspended_supervisor_is_looked_into_as_any_server_is() -> None:
    """It restarts nobody until it is resumed."""
    tree = candil.supervisor_spec([candil.child_spec(Server, name="child")])
    async with candil.open_supervisor(tree, log=False) as root:
        await sys.suspend(root)
        first = candil.whereis("child")
        assert first is not None
        candil.exit_nowait(first, "boom")
        await trio.testing.wait_all_tasks_blocked()
        assert candil.whereis("child") is None
        await sys.resume(root)
        assert [info.id for info in await candil.which_children(root)] == ["child"]
        assert candil.whereis("child") not in (None, first)


# --- change of code -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Changing, AsyncChanging])
async def test_change_code_runs_the_callback_of_a_suspended_server(kind: type[Server]) -> None:
    """With the old version and the extra that was given."""
    async with candil.open_node(log=False):
        pid = await candil.start(kind)
        seen: list[object] = []
        await sys.suspend(pid)
        await sys.change_code(pid, ("1", 0), lambda: seen.append(candil.self()))
        await sys.resume(pid)
        assert (await sys.get_state(pid)).log == [("code_change", ("1", 0))]
        assert seen == [pid]


async def test_change_code_needs_a_suspended_server() -> None:
    """Otherwise it is refused, and says what to do first."""
    async with candil.open_node(log=False):
        pid = await candil.start(Changing)
        with pytest.raises(RuntimeError, match="is not suspended"):
            await sys.change_code(pid)
        assert (await sys.get_state(pid)).log == []


async def test_change_code_without_the_callback_is_an_error_at_who_asked() -> None:
    """OTP: {error, {'EXIT', undef}}; the server survives."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        await sys.suspend(pid)
        with pytest.raises(candil.UndefinedCallback) as caught:
            await sys.change_code(pid, "1.0")
        assert (caught.value.callback, caught.value.message) == ("code_change", "1.0")
        await sys.resume(pid)
        assert await Server.echo(pid, 1) == 1


@pytest.mark.parametrize("kind", [Changing, AsyncChanging])
async def test_a_change_of_code_that_raises_is_an_error_at_who_asked(kind: type[Server]) -> None:
    """The server is still suspended, and as it was."""
    async with candil.open_node(log=False):
        pid = await candil.start(kind)
        await sys.suspend(pid)
        with pytest.raises(ValueError, match="boom"):
            await sys.change_code(pid, None, lambda: raise_(ValueError("boom")))
        assert (await sys.statistics(pid)).suspended
        await sys.resume(pid)
        assert await Server.echo(pid, 1) == 1


@pytest.mark.parametrize("kind", [Changing, AsyncChanging])
async def test_what_a_change_of_code_asks_for_does_not_end_the_suspension(
    kind: type[Server],
) -> None:
    """A continuation runs at once; what is queued waits until the server is resumed."""
    async with candil.open_node(log=False):
        pid = await candil.start(kind)
        await sys.suspend(pid)
        candil.cast(pid, "queued")
        await sys.change_code(pid, 1, lambda: candil.continue_with("c"))
        await trio.testing.wait_all_tasks_blocked()
        assert (await sys.statistics(pid)).suspended
        assert (await sys.get_state(pid)).log == [("code_change", 1), ("continue", "c")]
        await sys.resume(pid)
        assert (await sys.get_state(pid)).log[-1] == "queued"


async def test_a_change_of_code_may_stop_the_server() -> None:
    """Who asked has been answered by then."""
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Changing)
        await sys.suspend(pid)
        await sys.change_code(pid, None, candil.stop)
        assert await candil.receive() == candil.Down(ref, pid, candil.Normal())


# --- statistics -----------------------------------------------------------------------


async def test_statistics_count_what_was_handled_and_what_waits() -> None:
    """Calls that ran in place and requests of this module are not among the messages."""
    async with candil.open_node(log=False):
        pid = await candil.start(Server)
        await trio.testing.wait_all_tasks_blocked()
        await Server.echo(pid, "in place")
        assert await sys.statistics(pid) == sys.Statistics(0, 0, suspended=False)
        for number in range(3):
            candil.cast(pid, number)
        candil.send(pid, "info")
        assert await sys.statistics(pid) == sys.Statistics(4, 0, suspended=False)
        await sys.suspend(pid)
        candil.cast(pid, "waits")
        statistics = await sys.statistics(pid)
        assert (statistics.message_queue_len, statistics.suspended) == (1, True)
