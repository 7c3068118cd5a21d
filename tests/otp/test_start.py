"""Starting servers: every outcome, and that a failed start leaves nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
import trio.testing

import candil
from candil import sys
from candil.otp._runtime import get_runtime

BOOM = candil.Exit("boom")
STARTS = [candil.start, candil.start_link, candil.start_monitor]
NAMES: list[Any] = ["server", candil.Name[Any]("server"), candil.Via[Any]("servers", ("a", 1))]


class Plain(candil.GenServer):
    """A server whose constructor and plain init do what the test says."""

    def __init__(self, in_init: Any = None, *, constructor: Any = None) -> None:
        self.in_init = in_init
        if constructor is not None:
            constructor()

    def init(self) -> Any:
        return self.in_init() if self.in_init is not None else None


class Waiting(Plain):
    """The same with an async init, which runs in the new process's own task."""

    async def init(self) -> Any:
        await trio.lowlevel.checkpoint()
        return super().init()


KINDS = [Plain, Waiting]


def raise_(error: BaseException) -> Any:
    """Raise, where Python wants an expression."""
    raise error


def pid_of(started: Any) -> candil.Pid[Any]:
    """Give the pid of what any start returned."""
    return started[0] if isinstance(started, tuple) else started


def processes() -> list[Any]:
    """Give the processes of the node that this task's process is of."""
    process = candil.self().process
    assert process is not None
    return list(process.node.processes)


def mailbox() -> list[Any]:
    """Give what waits for this task's process."""
    process = candil.self().process
    assert process is not None
    return list(process.mailbox)


# --- a start that succeeds ------------------------------------------------------------


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_start_returns_when_init_has(kind: type[Plain], start: Any) -> None:
    """What init did is done, in the constructor's and init's order, and the server answers."""
    done: list[str] = []
    async with candil.open_node(log=False):
        started = await start(
            kind, lambda: done.append("init"), constructor=lambda: done.append("constructor")
        )
        assert done == ["constructor", "init"]
        assert candil.is_alive(pid_of(started))
        assert isinstance(await sys.get_state(pid_of(started)), kind)


@pytest.mark.parametrize("kind", KINDS)
async def test_only_start_link_links(kind: type[Plain]) -> None:
    """And only start_monitor monitors."""
    async with candil.open_node(log=False):
        own = candil.self()
        pids = [pid_of(await start(kind)) for start in STARTS]
        infos = [candil.process_info(pid) for pid in pids]
        assert [info and info.links for info in infos] == [(), (own,), ()]
        assert [info and info.monitored_by for info in infos] == [(), (), (own,)]
        assert [info and info.parent for info in infos] == [own] * 3


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES, ids=repr)
async def test_the_name_is_registered_before_init_runs(
    name: Any, kind: type[Plain], start: Any
) -> None:
    """Init finds itself under it, and others find the server afterwards."""
    seen: list[Any] = []
    async with candil.open_node(log=False):
        pid = pid_of(await start(kind, lambda: seen.append(candil.whereis(name)), name=name))
        assert seen == [pid]
        assert candil.whereis(name) is pid


@pytest.mark.parametrize("kind", KINDS)
async def test_start_monitor_reports_the_servers_end(kind: type[Plain]) -> None:
    """With the reference that it gave."""
    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(kind)
        candil.exit_nowait(pid, "boom")
        assert await candil.receive() == candil.Down(ref, pid, BOOM)


@pytest.mark.parametrize("kind", KINDS)
async def test_start_monitor_reports_a_server_that_ends_right_after_its_start(
    kind: type[Plain],
) -> None:
    """Also when it ends before its starter has had its turn, and with the real reason."""

    class Brief(kind):  # type: ignore[misc, valid-type]
        def handle_continue(self, reason: object) -> None:
            raise candil.ProcessExit(reason)

    async with candil.open_node(log=False):
        pid, ref = await candil.start_monitor(Brief, lambda: candil.continue_with("boom"))
        assert await candil.receive(timeout=5) == candil.Down(ref, pid, BOOM)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_linked_server_that_ends_right_after_its_start_signals_its_parent(
    kind: type[Plain],
) -> None:
    """The start has succeeded; the end is another matter."""

    class Brief(kind):  # type: ignore[misc, valid-type]
        def handle_continue(self, reason: object) -> None:
            raise candil.ProcessExit(reason)

    async with candil.open_node(log=False):
        candil.trap_exit(True)
        pid = await candil.start_link(Brief, lambda: candil.continue_with("boom"))
        assert await candil.receive(timeout=5) == candil.ExitSignal(pid, BOOM)


@pytest.mark.parametrize("kind", KINDS)
async def test_init_may_set_a_timeout(
    kind: type[Plain], autojump_clock: trio.testing.MockClock
) -> None:
    """OTP's {ok, State, Timeout}."""
    seen: list[Any] = []

    class Timed(kind):  # type: ignore[misc, valid-type]
        def handle_info(self, message: object) -> None:
            seen.append((message, trio.current_time() - started))

    async with candil.open_node(log=False):
        started = trio.current_time()
        await candil.start(Timed, lambda: candil.set_timeout(3))
        await trio.sleep(10)
        assert seen == [(candil.Timeout(), 3)]


async def test_a_supervisor_spec_can_be_started_as_a_server_can() -> None:
    """By its own name, or another that the start gives."""
    tree = candil.supervisor_spec([candil.child_spec(Plain)], name="tree")
    async with candil.open_node(log=False):
        pid = await candil.start(tree)
        assert candil.whereis("tree") is pid
        other = await candil.start(tree, name="other")
        assert candil.whereis("other") is other
        assert (await candil.count_children(other)).active == 1
        await candil.stop(pid, "shutdown")
        await candil.stop(other, "shutdown")


@pytest.mark.parametrize("target", [Plain(), 7, str, lambda: None], ids=repr)
async def test_what_is_no_server_cannot_be_started(target: Any) -> None:
    """An instance, another class, a function: a TypeError says what can."""
    async with candil.open_node(log=False):
        with pytest.raises(TypeError, match="start takes a GenServer subclass"):
            await candil.start(target)
        assert processes() == []


@pytest.mark.parametrize("start", [candil.start_link, candil.start_monitor])
async def test_only_a_process_can_be_linked_or_told(start: Any) -> None:
    """A task outside of every tree has no mailbox for what would come."""
    with pytest.raises(RuntimeError, match=f"candil.{start.__name__}"):
        await start(Plain)


async def test_start_needs_a_tree() -> None:
    """Without one, nobody would end the server."""
    with pytest.raises(RuntimeError, match="no tree is open"):
        await candil.start(Plain)


# --- a start that fails ---------------------------------------------------------------


FAILURES: dict[str, tuple[Any, Any]] = {
    "stops": (lambda: candil.stop(BOOM), BOOM),
    "stops normal": (candil.stop, candil.Normal()),
    "stops and ignores": (lambda: candil.stop(BOOM) or candil.IGNORE, BOOM),
    "exits": (lambda: raise_(candil.ProcessExit("boom")), BOOM),
    "raises": (lambda: raise_(ValueError("boom")), ValueError),
    "leaves": (lambda: raise_(SystemExit(3)), SystemExit),
    "garbage": (lambda: "garbage", candil.BadReturnValue),
    "false": (lambda: False, candil.BadReturnValue),
    "signals itself": (lambda: candil.exit_nowait(candil.self(), "boom"), BOOM),
    "kills itself": (lambda: candil.exit_nowait(candil.self(), "kill"), candil.Killed()),
}


@pytest.mark.parametrize("trap", [False, True])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_start_whose_init_fails_raises_why_and_leaves_nothing(
    failure: str, kind: type[Plain], start: Any, trap: bool
) -> None:
    """The reason is on the error; there is no process, no name, no exit signal and no Down."""
    action, expected = FAILURES[failure]
    async with candil.open_node(log=False):
        candil.trap_exit(trap)
        with pytest.raises(candil.StartError) as caught:
            await start(kind, action, name="server")
        assert candil.whereis("server") is None
        assert "server" not in get_runtime().names
        assert processes() == []
        if isinstance(expected, type):
            assert isinstance(caught.value.reason, candil.Crashed)
            assert isinstance(caught.value.reason.exception, expected)
            assert caught.value.__cause__ is caught.value.reason.exception
        else:
            assert caught.value.reason == expected
        assert caught.value.label == kind.__name__
        await trio.testing.wait_all_tasks_blocked()
        assert mailbox() == []
        assert candil.is_alive(candil.self())
        await start(kind, name="server")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_constructor_fails_as_init_does(kind: type[Plain]) -> None:
    """It runs in the new process, before init, and with its arguments."""
    seen: list[Any] = []

    def fail() -> None:
        seen.append(candil.self())
        raise ValueError("boom")

    async with candil.open_node(log=False):
        candil.trap_exit(True)
        for arguments in ({"constructor": fail}, {"unknown": 1}):
            with pytest.raises(candil.StartError) as caught:
                await candil.start_link(kind, name="server", **arguments)
            assert isinstance(caught.value.__cause__, ValueError | TypeError)
            assert candil.whereis("server") is None
        assert seen[0] is not candil.self()
        assert mailbox() == []


async def test_terminate_does_not_run_when_init_fails() -> None:
    """There was nothing to end."""

    class Ends(Plain):
        def terminate(self, _reason: candil.ExitReason) -> None:
            pytest.fail("terminate ran")

    async with candil.open_node(log=False):
        with pytest.raises(candil.StartError):
            await candil.start(Ends, lambda: candil.stop(BOOM))


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_start_that_is_ignored_says_so_and_leaves_nothing(
    kind: type[Plain], start: Any
) -> None:
    """OTP's ignore is no failure of anything: Normal is the reason, and no signal stays."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        with pytest.raises(candil.StartIgnored, match=f"^{kind.__name__} did not start") as caught:
            await start(kind, lambda: candil.IGNORE, name="server")
        assert caught.value.reason == candil.Normal()
        assert candil.whereis("server") is None
        assert processes() == []
        assert mailbox() == []
        assert repr(candil.IGNORE) == "candil.IGNORE"


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES, ids=repr)
async def test_a_start_under_a_taken_name_leaves_its_holder_alone(
    name: Any, kind: type[Plain], start: Any
) -> None:
    """The error has the holder's pid; it was neither linked nor monitored, and nothing was run."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        holder = await candil.start(Plain, name=name)
        before = candil.process_info(holder)
        with pytest.raises(candil.AlreadyStarted, match="already started") as caught:
            await start(kind, lambda: pytest.fail("init ran"), name=name)
        assert caught.value.pid is holder
        assert (caught.value.label, caught.value.name) == (kind.__name__, name)
        assert candil.process_info(holder) == before
        assert candil.whereis(name) is holder
        assert len(processes()) == 1
        assert mailbox() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", candil.Name[Any]("")])
async def test_an_empty_name_starts_nothing(name: Any, kind: type[Plain]) -> None:
    """It is found before there is a process."""
    async with candil.open_node(log=False):
        with pytest.raises(candil.RegistrationError):
            await candil.start(kind, name=name)
        assert processes() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_pid_is_no_name(kind: type[Plain]) -> None:
    """A server cannot be started under another's pid."""
    async with candil.open_node(log=False):
        with pytest.raises(TypeError, match="a process is called by"):
            await candil.start(kind, name=candil.self())
        assert processes() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timeout", [-1, math.nan, None])
async def test_a_timeout_that_is_no_time_starts_nothing(timeout: Any, kind: type[Plain]) -> None:
    """It is found before there is a process."""
    async with candil.open_node(log=False):
        with pytest.raises(ValueError, match="a timeout is"):
            await candil.start(kind, timeout=timeout)
        assert processes() == []


class Sleeper(candil.GenServer):
    """Its init takes a while, and cannot be hurried if *shield*."""

    def __init__(self, seconds: float, *, shield: bool = False) -> None:
        self.seconds = seconds
        self.shield = shield

    async def init(self) -> None:
        with trio.CancelScope(shield=self.shield):
            await trio.sleep(self.seconds)


@pytest.mark.parametrize("start", STARTS)
async def test_a_start_that_takes_too_long_is_killed(
    start: Any, autojump_clock: trio.testing.MockClock
) -> None:
    """Its name is free when its starter learns of it, and no exit signal or Down comes."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        started = trio.current_time()
        for _ in range(2):
            with pytest.raises(candil.StartTimeout, match="within 3 s") as caught:
                await start(Sleeper, 60, name="server", timeout=3)
            assert (caught.value.timeout, caught.value.reason) == (3, candil.Exit("timeout"))
            assert caught.value.label == "Sleeper"
            assert candil.whereis("server") is None
            assert processes() == []
        assert trio.current_time() - started == 6
        assert mailbox() == []
        assert await start(Sleeper, 1, name="server", timeout=3)


async def test_a_start_that_cannot_be_killed_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A shielded init keeps its starter half a second longer than the timeout, no more."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        started = trio.current_time()
        with pytest.raises(candil.StartTimeout):
            await candil.start_link(Sleeper, 60, shield=True, name="server", timeout=3)
        assert 3 <= trio.current_time() - started <= 4
        assert candil.whereis("server") is None
        await trio.sleep(100)
        assert mailbox() == []
        assert processes() == []


async def test_an_init_that_ends_between_timeout_and_kill_is_too_late(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A server that was told to end during its init is never reported as started."""
    async with candil.open_node(log=False):
        with pytest.raises(candil.StartTimeout):
            await candil.start(Sleeper, 3.1, shield=True, timeout=3)
        assert processes() == []


@pytest.mark.parametrize("start", [candil.start, candil.start_monitor])
@pytest.mark.parametrize("signal", ["kill", "boom"])
async def test_a_server_that_is_ended_by_others_during_init_has_not_started(
    signal: str, start: Any, autojump_clock: trio.testing.MockClock
) -> None:
    """proc_lib: dead before the acknowledgement is an error with that reason."""
    async with candil.open_node(log=False), trio.open_nursery() as nursery:

        async def end() -> None:
            await trio.sleep(1)
            target = candil.whereis("server")
            assert target is not None
            candil.exit_nowait(target, signal)

        for shield in (False, True):
            nursery.start_soon(end)
            with pytest.raises(candil.StartError) as caught:
                await start(Sleeper, 1.2, shield=shield, name="server")
            expected = candil.Killed() if signal == "kill" else BOOM
            assert caught.value.reason == expected
            assert processes() == []
            assert mailbox() == []


async def test_a_cancelled_start_kills_the_half_started_process(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nobody else knows of it."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        for start in STARTS:
            with trio.move_on_after(3):
                await start(Sleeper, 60, name="server")
            await trio.testing.wait_all_tasks_blocked()
            assert processes() == []
            assert candil.whereis("server") is None
        assert mailbox() == []


async def test_a_start_by_no_process_can_time_out_and_be_cancelled(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A task outside of the tree that starts something is nobody's parent, and kills it too."""
    opened, done = trio.Event(), trio.Event()

    async def outsider() -> None:
        await opened.wait()
        with pytest.raises(candil.StartTimeout):
            await candil.start(Sleeper, 60, name="server", timeout=3)
        assert candil.whereis("server") is None
        with trio.move_on_after(3):
            await candil.start(Sleeper, 60, name="server")
        await trio.testing.wait_all_tasks_blocked()
        assert candil.whereis("server") is None
        done.set()

    nursery.start_soon(outsider)
    async with candil.open_node(log=False):
        opened.set()
        await done.wait()
        assert processes() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_start_in_a_cancelled_scope_starts_nothing(kind: type[Plain]) -> None:
    """Not even a constructor runs."""
    async with candil.open_node(log=False):
        with trio.CancelScope() as scope:
            scope.cancel()
            await candil.start(kind, name="server", constructor=lambda: pytest.fail("it ran"))
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert processes() == []
        assert candil.whereis("server") is None


async def test_a_start_of_a_plain_server_lets_others_run_now_and_then() -> None:
    """Starts in place are counted as calls in place are."""
    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        nursery.start_soon(other)
        for _ in range(450):
            await candil.start(Plain)
        assert turns >= 2
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", KINDS)
async def test_ctrl_c_in_init_stops_everything_in_order(kind: type[Plain]) -> None:
    """The start fails, and the block ends with KeyboardInterrupt."""

    async def run() -> None:
        async with candil.open_node(log=False):
            with pytest.raises(candil.StartError) as caught:
                await candil.start(kind, lambda: raise_(KeyboardInterrupt()))
            assert isinstance(caught.value.__cause__, KeyboardInterrupt)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await run()


# --- the parent -----------------------------------------------------------------------


async def test_a_server_ends_with_its_parent() -> None:
    """The link is there from the beginning, also during init."""

    async def parent(event: trio.Event) -> None:
        class Slow(candil.GenServer):
            async def init(self) -> None:
                event.set()
                await trio.sleep_forever()

        await candil.start_link(Slow, name="slow")

    async with candil.open_node(log=False):
        event = trio.Event()
        starter = candil.spawn(parent, event)
        await event.wait()
        slow = candil.whereis("slow")
        assert slow is not None
        ref = candil.monitor(slow)
        candil.exit_nowait(starter, "boom")
        down = await candil.receive(candil.Down)
        assert down.ref is ref
        assert processes() == []


async def test_a_class_whose_terminate_will_seldom_run_is_hinted_at_once() -> None:
    """One hint for each class that has a terminate and does not trap exits."""

    class Ends(Plain):
        def terminate(self, _reason: candil.ExitReason) -> None:
            """Do nothing."""

    class EndsToo(Waiting, Ends):
        pass

    hints: list[candil.Hint] = []

    def listen(event: object) -> None:
        if isinstance(event, candil.Hint):
            hints.append(event)

    async with candil.open_node(log=False):
        with candil.subscribe(listen):
            await candil.start(Plain)
            await candil.start(EndsToo, lambda: candil.trap_exit(True) or None)
            assert hints == []
            first = await candil.start(Ends)
            await candil.start(Ends)
            await candil.start(EndsToo)
        assert hints[0].pid is first
        assert [hint.text.split()[0] for hint in hints] == ["Ends", "EndsToo"]
        assert "trap_exit(True)" in hints[0].text
