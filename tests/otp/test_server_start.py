"""Starting servers: what each way for a start to go gives to its starter, and what it leaves."""

from __future__ import annotations

import contextvars
import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Crashed, Down, Exit, ExitSignal, Killed, NoProc, Normal, Shutdown
from candil.otp._runtime import current_process, get_runtime
from tests.otp.bodies import end_of, wait_for_ever
from tests.otp.hosted import hosted
from tests.otp.workers import Boom

BOOM = Exit("boom")

colour = contextvars.ContextVar[str]("colour")


class Plain(candil.GenServer):
    """Its init does what it was given, in the starter's turn."""

    def __init__(self, act: Callable[[], Any] = lambda: None, log: list[Any] | None = None) -> None:
        self.act = act
        self.log = [] if log is None else log

    def init(self) -> Any:
        return self.act()

    @candil.handle_call
    def ping(self) -> str:
        return "pong"

    def handle_info(self, message: object) -> None:
        self.log.append(message)

    def handle_continue(self, argument: object) -> None:
        self.log.append(("continue", argument))
        if callable(argument):
            argument()


class Async(Plain):
    """The same, as a task that its starter waits for."""

    async def init(self) -> Any:
        result = self.act()
        return await result if inspect.isawaitable(result) else result


class Trapping(Plain):
    """Traps exits, and notes why it ends."""

    def init(self) -> Any:
        candil.trap_exit(True)
        return self.act()

    def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))


class AsyncTrapping(Trapping):
    """The same, by an async init."""

    async def init(self) -> Any:
        candil.trap_exit(True)
        result = self.act()
        return await result if inspect.isawaitable(result) else result


class Bare(candil.GenServer):
    """Has no init."""


class Broken(candil.GenServer):
    """Its constructor raises."""

    def __init__(self) -> None:
        raise Boom("constructor")


class AsyncBroken(Broken):
    """The same, where the start waits for a task."""

    async def init(self) -> None: ...


both = pytest.mark.parametrize("cls", [Plain, Async])


async def assert_nothing_is_left() -> None:
    """No process but the block, no name, no link, no monitor, no message."""
    await wait_all_tasks_blocked()
    info = candil.process_info(candil.self())
    assert info is not None
    assert (info.links, info.monitors, info.message_queue_len) == ((), (), 0)
    assert {} == get_runtime().names
    assert {} == next(iter(get_runtime().nodes)).processes


# --- it is up


@both
@hosted
async def test_a_start_gives_the_pid_of_a_server_that_is_up(cls: type[Plain]) -> None:
    """And that server answers."""
    pid = await candil.start(cls)

    assert "pong" == await candil.call(pid, "ping")


@both
@hosted
async def test_a_start_returns_after_init(cls: type[Plain]) -> None:
    """What init did has been done, in the new process."""
    seen = []
    pid = await candil.start(cls, lambda: seen.append(candil.self()))

    assert [pid] == seen


@hosted
async def test_a_plain_init_runs_before_the_starter_gives_way() -> None:
    """It needs no turn of its own."""
    order = []
    candil.spawn(_note, order, "other")
    await candil.start(Plain, lambda: order.append("init"))
    await wait_all_tasks_blocked()

    assert ["init", "other"] == order


async def _note(order: list[str], word: str) -> None:
    order.append(word)


@hosted
async def test_many_starts_in_a_row_let_others_run() -> None:
    """What runs in place gives way in the end."""
    order: list[str] = []
    candil.spawn(_note, order, "other")
    started = 0
    while not order:
        await candil.start(Bare)
        started += 1
        assert started < 1000


@hosted
async def test_a_server_needs_no_init() -> None:
    """Without one it is up once its constructor has run."""
    assert candil.is_alive(await candil.start(Bare))


@both
@hosted
async def test_the_constructor_gets_what_start_was_given(cls: type[Plain]) -> None:
    """Positional and by keyword."""
    log: list[Any] = []
    pid = await candil.start(cls, lambda: None, log=log)

    assert log is (await candil.sys.get_state(pid)).log


@both
@hosted
async def test_start_links_to_nobody(cls: type[Plain]) -> None:
    """And it is no child of its starter that would end with it."""
    pids: list[candil.Pid[Any]] = []

    async def starter() -> None:
        pids.append(await candil.start(cls))

    await end_of(candil.spawn(starter))
    await wait_all_tasks_blocked()

    assert candil.is_alive(pids[0])


@both
@hosted
async def test_start_monitor_monitors(cls: type[Plain]) -> None:
    """The Down carries the reference that it gave."""
    pid, ref = await candil.start_monitor(cls)
    candil.exit_nowait(pid, "boom")

    assert Down(ref, pid, BOOM) == await candil.receive(Down)


@hosted
async def test_start_monitor_tells_of_a_server_that_was_up_for_an_instant() -> None:
    """It ended before its starter had its turn: the start went well, and the Down says the rest."""
    pid, ref = await candil.start_monitor(Async, lambda: candil.continue_with(candil.stop))

    assert not candil.is_alive(pid)
    assert Down(ref, pid, Normal()) == await candil.receive()


@both
@hosted
async def test_context_variables_of_the_starter_are_seen_and_not_changed(
    cls: type[Plain],
) -> None:
    """The server runs in a copy; self() is the starter's again."""
    block = candil.self()
    seen = []

    def act() -> None:
        seen.append(colour.get())
        colour.set("server's")

    colour.set("starter's")
    await candil.start(cls, act)

    assert ["starter's"] == seen
    assert "starter's" == colour.get()
    assert block is candil.self()


@pytest.mark.parametrize("start", [candil.start_link, candil.start_monitor])
@hosted
async def test_start_link_and_start_monitor_need_a_process(start: Any) -> None:
    """A task outside every tree has nothing to link; start itself only needs a tree."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_outside, start)


async def _outside(start: Any) -> None:
    current_process.set(None)
    assert candil.is_alive(await candil.start(Plain))
    with pytest.raises(RuntimeError, match="needs a process"):
        await start(Plain)


# --- names


@both
@pytest.mark.parametrize(
    "name", ["counter", candil.Name[Plain]("counter"), candil.Via("shards", 7)], ids=repr
)
@hosted
async def test_a_name_is_registered_before_init(cls: type[Plain], name: Any) -> None:
    """Whichever kind of name it is, init finds itself under it."""
    seen = []
    pid = await candil.start(cls, lambda: seen.append(candil.whereis(name)), name=name)

    assert [pid] == seen
    assert pid == candil.whereis(name)


@both
@pytest.mark.parametrize(
    "start", [candil.start, candil.start_link, candil.start_monitor], ids=lambda f: f.__name__
)
@hosted
async def test_a_taken_name_gives_already_started_and_leaves_its_holder_alone(
    cls: type[Plain], start: Any
) -> None:
    """No link, no signal, no second constructor."""
    log: list[Any] = []
    holder = await candil.start(Plain, log=log, name="counter")
    before = candil.process_info(holder)
    built: list[Any] = []

    with pytest.raises(candil.AlreadyStarted) as caught:
        await start(cls, lambda: built.append(1), name="counter")

    assert holder == caught.value.pid
    assert Exit(("already_started", holder)) == caught.value.reason
    assert before == candil.process_info(holder)
    assert ([], []) == (log, built)
    assert holder == candil.whereis("counter")


@hosted
async def test_a_process_in_its_init_has_its_name_already() -> None:
    """So of two starts at once one wins, and the other learns who."""
    up = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_start_as, up)
        await wait_all_tasks_blocked()
        with pytest.raises(candil.AlreadyStarted) as caught:
            await candil.start(Plain, name="counter")
        assert caught.value.pid == candil.whereis("counter")
        up.set()


async def _start_as(up: trio.Event) -> None:
    await candil.start(Async, _after(up), name="counter")


def _after(up: trio.Event) -> Callable[[], Any]:
    async def wait() -> None:
        await up.wait()

    return wait


@pytest.mark.parametrize(
    ("name", "error"), [("", candil.RegistrationError), (7, TypeError), (b"x", TypeError)]
)
@both
@hosted
async def test_what_is_no_name_starts_nothing(cls: type[Plain], name: Any, error: Any) -> None:
    """The constructor has not run."""
    built: list[Any] = []
    with pytest.raises(error):
        await candil.start_link(cls, lambda: built.append(1), name=name)

    assert [] == built
    await assert_nothing_is_left()


# --- it does not come up


def _raise(error: BaseException) -> Any:
    raise error


FAILURES: dict[str, tuple[Callable[[], Any], Any]] = {
    "raises": (lambda: _raise(Boom("init")), Crashed),
    "stops": (lambda: candil.stop(BOOM), BOOM),
    "stops normally": (candil.stop, Normal()),
    "leaves": (lambda: _raise(candil.ProcessExit("boom")), BOOM),
    "leaves normally": (lambda: _raise(candil.ProcessExit), Normal()),
    "ignores": (lambda: candil.IGNORE, Normal()),
    "stops and ignores": (lambda: candil.stop(BOOM) or candil.IGNORE, BOOM),
    "speaks oddly": (lambda: ("ok", 1), Crashed),
    "ends itself": (lambda: candil.exit_nowait(candil.self(), "boom"), BOOM),
    "ends itself and raises": (
        lambda: candil.exit_nowait(candil.self(), "boom") or _raise(Boom()),
        BOOM,
    ),
    "ends itself and ignores": (
        lambda: candil.exit_nowait(candil.self(), "boom") or candil.IGNORE,
        BOOM,
    ),
    "kills itself": (lambda: candil.exit_nowait(candil.self(), "kill"), Killed()),
    "leaves the program": (lambda: _raise(SystemExit(3)), Crashed),
}


@both
@pytest.mark.parametrize(
    "start", [candil.start, candil.start_link, candil.start_monitor], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("failure", FAILURES)
@hosted
async def test_a_failed_start_says_why_and_leaves_nothing(
    cls: type[Plain], start: Any, failure: str
) -> None:
    """No process, no name, no link, no Down, and no ExitSignal at a starter that traps."""
    act, reason = FAILURES[failure]
    with pytest.raises(candil.StartError) as caught:
        await start(cls, act, name="counter")
    assert None is candil.whereis("counter")

    if reason is Crashed:
        assert isinstance(caught.value.reason, Crashed)
        assert caught.value.__cause__ is caught.value.reason.exception
    else:
        assert reason == caught.value.reason
        assert None is caught.value.__cause__
    assert (failure == "ignores") == isinstance(caught.value, candil.StartIgnored)
    await assert_nothing_is_left()


@pytest.mark.parametrize("cls", [Broken, AsyncBroken])
@hosted
async def test_a_constructor_that_raises_is_the_reason(cls: type[Any]) -> None:
    """It runs in the new process, so its error is that process's end."""
    with pytest.raises(candil.StartError) as caught:
        await candil.start_link(cls, name="counter")

    assert isinstance(caught.value.__cause__, Boom)
    assert Crashed(caught.value.__cause__) == caught.value.reason
    await assert_nothing_is_left()


@both
@hosted
async def test_arguments_that_do_not_fit_the_constructor_are_its_error(cls: type[Plain]) -> None:
    """A TypeError inside the new process, not at the starter."""
    with pytest.raises(candil.StartError) as caught:
        await candil.start(cls, nonsense=1)

    assert isinstance(caught.value.__cause__, TypeError)


@both
@hosted
async def test_a_return_value_that_init_cannot_have_is_named(cls: type[Plain]) -> None:
    """BadReturnValue says which callback, and what it gave."""
    with pytest.raises(candil.StartError) as caught:
        await candil.start(cls, lambda: "garbage")

    error = caught.value.__cause__
    assert isinstance(error, candil.BadReturnValue)
    assert ("init", "garbage") == (error.callback, error.value)


@both
@hosted
async def test_the_name_is_free_before_the_starter_learns_of_the_failure(cls: type[Plain]) -> None:
    """So it can try again at once."""
    with pytest.raises(candil.StartIgnored):
        await candil.start(cls, lambda: candil.IGNORE, name="counter")

    pid = await candil.start(cls, name="counter")
    assert pid == candil.whereis("counter")


@both
@hosted
async def test_terminate_does_not_run_for_a_server_that_did_not_come_up(cls: type[Plain]) -> None:
    """It was never a server."""
    log: list[Any] = []
    trapping = AsyncTrapping if cls is Async else Trapping
    with pytest.raises(candil.StartError):
        await candil.start(trapping, lambda: candil.stop(BOOM), log)

    assert [] == log


@both
@hosted
async def test_subscribers_see_a_failed_start_come_and_go(cls: type[Plain]) -> None:
    """ProcessStarted, then ProcessExited with the reason, and no ExitSignal between."""
    events: list[Any] = []
    with candil.subscribe(events.append), pytest.raises(candil.StartError):
        await candil.start_link(cls, lambda: candil.stop(BOOM))

    started, exited = events
    assert candil.ProcessStarted(started.pid, candil.self()) == started
    assert candil.ProcessExited(started.pid, BOOM) == exited


@hosted
async def test_an_exit_signal_in_init_ends_it() -> None:
    """A process that does not trap dies of it; the starter gets its reason."""
    await _signalled_in_init(Async, "boom", BOOM)


@hosted
async def test_a_server_that_is_killed_in_init_was_killed() -> None:
    """Whether it traps or not."""
    await _signalled_in_init(AsyncTrapping, "kill", Killed())


async def _signalled_in_init(cls: type[Any], signal: str, reason: candil.ExitReason) -> None:
    async def end_it() -> None:
        await wait_all_tasks_blocked()
        pid = candil.whereis("counter")
        assert pid is not None
        candil.exit_nowait(pid, signal)

    candil.spawn(end_it)
    with pytest.raises(candil.StartError) as caught:
        await candil.start_link(cls, trio.sleep_forever, name="counter")

    assert reason == caught.value.reason
    await assert_nothing_is_left()


@both
@hosted
async def test_an_interrupt_in_init_stops_the_whole_tree(cls: type[Plain]) -> None:
    """As anywhere: KeyboardInterrupt leaves the block, after an orderly end."""
    with pytest.raises(KeyboardInterrupt):
        async with candil.open_node():
            await candil.start(cls, lambda: _raise(KeyboardInterrupt()))


# --- time


@pytest.mark.parametrize("start", [candil.start, candil.start_link], ids=lambda f: f.__name__)
@hosted
async def test_an_init_that_takes_too_long_is_killed(start: Any, autojump_clock: MockClock) -> None:
    """The starter learns of it once the process has ended, and nothing else reaches it."""
    events: list[Any] = []
    began = trio.current_time()
    with candil.subscribe(events.append), pytest.raises(candil.StartTimeout) as caught:
        await start(AsyncTrapping, trio.sleep_forever, name="counter", timeout=2.5)

    assert 2.5 == pytest.approx(trio.current_time() - began)
    assert (2.5, Exit("timeout")) == (caught.value.timeout, caught.value.reason)
    assert isinstance(events[-1], candil.ProcessExited)
    assert Killed() == events[-1].reason
    await assert_nothing_is_left()


@hosted
async def test_a_start_that_expired_lasts_until_its_process_has_ended(
    autojump_clock: MockClock,
) -> None:
    """Then the name is free: a shielded cleanup holds both."""
    ended = []

    async def init() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.25)
            ended.append(trio.current_time())

    with pytest.raises(candil.StartTimeout):
        await candil.start_link(Async, init, name="counter", timeout=1)

    assert [trio.current_time()] == ended
    await assert_nothing_is_left()


@hosted
async def test_an_init_within_its_time_is_left_alone(autojump_clock: MockClock) -> None:
    """The deadline ends with the start."""

    async def init() -> None:
        await trio.sleep(1)

    pid = await candil.start_link(Async, init, timeout=2)
    await trio.sleep(5)

    assert "pong" == await candil.call(pid, "ping")


@both
@pytest.mark.parametrize("timeout", [-1, math.nan])
@hosted
async def test_a_timeout_is_a_number_of_seconds(cls: type[Plain], timeout: float) -> None:
    """Anything else starts nothing."""
    with pytest.raises(ValueError, match="timeout"):
        await candil.start(cls, timeout=timeout)

    await assert_nothing_is_left()


@pytest.mark.parametrize("start", [candil.start, candil.start_link], ids=lambda f: f.__name__)
@hosted
async def test_a_start_that_is_cancelled_kills_its_process(start: Any) -> None:
    """Nobody else knows of it, and no signal of its end reaches the starter."""
    with trio.CancelScope() as scope:
        candil.spawn(_cancel_soon, scope)
        await start(AsyncTrapping, trio.sleep_forever, name="counter")

    assert scope.cancelled_caught
    await assert_nothing_is_left()


@hosted
async def test_a_task_that_is_no_process_can_give_up_a_start_too() -> None:
    """It is nobody's parent, so there is nothing to unlink."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_start_and_give_up)
    await assert_nothing_is_left()


async def _start_and_give_up() -> None:
    current_process.set(None)
    with trio.CancelScope() as scope:
        candil.spawn(_cancel_soon, scope)
        await candil.start(Async, trio.sleep_forever)
    assert scope.cancelled_caught


async def _cancel_soon(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


@both
@hosted
async def test_a_start_in_a_cancelled_scope_leaves_nothing(cls: type[Plain]) -> None:
    """A plain init has not even run."""
    log: list[Any] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await candil.start_link(cls, lambda: log.append(1), name="counter")

    assert scope.cancelled_caught
    assert [] == log
    await assert_nothing_is_left()


# --- the link of start_link


@pytest.mark.parametrize("cls", [Plain, Async])
@hosted
async def test_a_parent_takes_its_server_along(cls: type[Plain]) -> None:
    """It dies of the same reason."""
    parent, child = await _parent_of(cls)
    ref = candil.monitor(child)
    candil.exit_nowait(parent, "boom")

    assert Down(ref, child, BOOM) == await candil.receive(Down)


async def _parent_of(
    cls: type[Any], *args: Any
) -> tuple[candil.Pid[Any], candil.Pid[candil.GenServer]]:
    block = candil.self()

    async def parent() -> None:
        candil.send(block, await candil.start_link(cls, *args))
        raise candil.ProcessExit(await candil.receive())

    pid = candil.spawn(parent)
    return pid, await candil.receive(candil.Pid)


@pytest.mark.parametrize("cls", [Plain, Async])
@hosted
async def test_a_parent_that_ends_normally_leaves_its_server_alone(cls: type[Plain]) -> None:
    """A link carries normal to those only who trap."""
    parent, child = await _parent_of(cls)
    candil.send(parent, "normal")
    await end_of(parent)
    await wait_all_tasks_blocked()

    assert candil.is_alive(child)


@pytest.mark.parametrize("cls", [Trapping, AsyncTrapping])
@pytest.mark.parametrize("reason", [Normal(), Shutdown(), BOOM], ids=repr)
@hosted
async def test_a_server_that_traps_terminates_when_its_parent_ends(
    cls: type[Plain], reason: candil.ExitReason
) -> None:
    """With the same reason, and handle_info does not see the signal."""
    log: list[Any] = []
    parent, child = await _parent_of(cls, lambda: None, log)
    ref = candil.monitor(child)
    candil.send(parent, reason)

    assert Down(ref, child, reason) == await candil.receive(Down)
    assert [("terminate", reason)] == log


@pytest.mark.parametrize("cls", [Trapping, AsyncTrapping])
@hosted
async def test_a_signal_from_another_process_is_only_a_message(cls: type[Plain]) -> None:
    """Only the parent tells a server that traps to end."""
    log: list[Any] = []
    stranger = candil.spawn(wait_for_ever)
    _, child = await _parent_of(cls, lambda: candil.link(stranger), log)
    await candil.exit(stranger, "boom")
    await wait_all_tasks_blocked()

    assert [ExitSignal(stranger, BOOM)] == log
    assert candil.is_alive(child)


@hosted
async def test_a_parent_that_is_told_to_end_during_init_gives_the_start_up() -> None:
    """It is cancelled in its start, so nobody would ever learn of the server: it is killed."""
    log: list[Any] = []
    up = trio.Event()

    async def parent() -> None:
        await candil.start_link(AsyncTrapping, _after(up), log, name="counter")

    pid = candil.spawn(parent)
    await wait_all_tasks_blocked()
    child = candil.whereis("counter")
    assert child is not None
    ref = candil.monitor(child)
    candil.exit_nowait(pid, "boom")

    assert Down(ref, child, Killed()) == await candil.receive(Down)
    assert [] == log


@hosted
async def test_the_end_of_a_linked_server_is_a_signal_to_its_parent() -> None:
    """Once it is up, and not before."""
    pid = await candil.start_link(Plain)
    await candil.exit(pid, "boom")

    assert ExitSignal(pid, BOOM) == await candil.receive()


# --- what init asks for


@both
@hosted
async def test_continue_with_in_init_runs_before_any_message(cls: type[Plain]) -> None:
    """Even one that init sent to itself."""
    log: list[Any] = []

    def act() -> None:
        candil.send(candil.self(), "message")
        candil.continue_with("more")

    await candil.start(cls, act, log)
    await wait_all_tasks_blocked()

    assert [("continue", "more"), "message"] == log


@both
@hosted
async def test_set_timeout_in_init_counts_from_the_start(
    cls: type[Plain], autojump_clock: MockClock
) -> None:
    """No message for so long, and Timeout comes."""
    log: list[Any] = []
    await candil.start(cls, lambda: candil.set_timeout(3), log)
    await trio.sleep(2.9)
    assert [] == log
    await trio.sleep(0.2)

    assert [candil.Timeout()] == log


@pytest.mark.parametrize("cls", [Plain, Async])
@hosted
async def test_terminate_without_trapping_is_hinted_at_once(cls: type[Plain]) -> None:
    """One Hint a class, about the first of its servers."""
    hints = await _hints_of(type("Forgetful", (cls,), {"terminate": lambda self, reason: None}))

    assert 1 == len(hints)
    assert "Forgetful" in hints[0].text
    assert "trap_exit" in hints[0].text


@pytest.mark.parametrize("cls", [Plain, Async, Trapping, AsyncTrapping])
@hosted
async def test_nothing_is_hinted_at_when_all_is_well(cls: type[Plain]) -> None:
    """Without terminate(), or with trapping."""
    assert [] == await _hints_of(cls)


async def _hints_of(cls: type[Any]) -> list[candil.Hint]:
    events: list[Any] = []
    with candil.subscribe(events.append):
        await candil.start_link(cls)
        await candil.start_link(cls)
    return [event for event in events if isinstance(event, candil.Hint)]


# --- what else can be started


@hosted
async def test_a_supervisor_spec_starts_a_supervisor() -> None:
    """Its children are up when the start returns."""
    spec = candil.supervisor_spec([candil.child_spec(Plain, name="counter")], name="top")
    top = await candil.start_link(spec)

    assert top == candil.whereis("top")
    assert "pong" == await candil.call("counter", "ping")
    await candil.stop(top, "shutdown")
    assert None is candil.whereis("counter")


@hosted
async def test_the_name_given_to_start_stands_before_that_of_the_spec() -> None:
    """So one spec can be started twice."""
    spec = candil.supervisor_spec([], name="top")
    first = await candil.start(spec)
    second, _ = await candil.start_monitor(spec, name="second")

    assert (first, second) == (candil.whereis("top"), candil.whereis("second"))
    with pytest.raises(candil.AlreadyStarted):
        await candil.start(spec)
    await candil.stop(first)
    await candil.stop(second)
    assert Normal() == (await candil.receive(Down)).reason


@hosted
async def test_a_supervisor_whose_child_fails_does_not_start() -> None:
    """And leaves nothing, neither its name nor a child that was up."""
    children = [candil.child_spec(Plain, name="counter"), candil.child_spec(Broken)]
    with pytest.raises(candil.StartError):
        await candil.start_link(candil.supervisor_spec(children, name="top"))

    await assert_nothing_is_left()


@pytest.mark.parametrize(
    "target", [object(), int, wait_for_ever, "Plain", None, Bare()], ids=lambda t: repr(t)[:20]
)
@pytest.mark.parametrize("start", [candil.start, candil.start_link, candil.start_monitor])
@hosted
async def test_what_is_no_server_cannot_be_started(start: Any, target: Any) -> None:
    """A TypeError names it, and says what would do."""
    with pytest.raises(TypeError, match="GenServer subclass or a supervisor spec"):
        await start(target)

    await assert_nothing_is_left()


@hosted
async def test_nothing_can_be_started_without_a_tree() -> None:
    """There is nothing that would host it; the error says what to open."""
    runtime = get_runtime()
    nodes, runtime.nodes = runtime.nodes, {}
    token = current_process.set(None)
    try:
        with pytest.raises(RuntimeError, match="open_node"):
            await candil.start(Plain)
    finally:
        current_process.reset(token)
        runtime.nodes = nodes


def test_ignore_is_shown_as_it_is_written() -> None:
    """In messages and tracebacks."""
    assert "candil.IGNORE" == repr(candil.IGNORE)


@hosted
async def test_a_start_is_refused_to_a_dead_name() -> None:
    """A name that was given up can be taken, and calls to it in between find nobody."""
    pid = await candil.start(Plain, name="counter")
    await candil.exit(pid, "kill")
    with pytest.raises(NoProc):
        await candil.call("counter", "ping")

    assert pid != await candil.start(Plain, name="counter")
