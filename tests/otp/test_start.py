"""Starting servers that come up: what has happened by then, under which name, and who is told."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Down, Exit, ExitSignal, NoProc, Normal
from candil._otp.processes.runtime import current_process, get_runtime
from tests.otp.bodies import BOOM, end_of, exit_and_settle, wait_for_ever
from tests.otp.hosted import hosted
from tests.otp.starters import (
    NAMES,
    STARTS,
    Async,
    AsyncTrapping,
    Bare,
    Broken,
    Plain,
    Trapping,
    assert_nothing_is_left,
    both,
    every_start,
    pid_of,
)

# --- it is up


@both
@every_start
@hosted
async def test_a_start_returns_when_init_has(cls: type[Plain], start: Any) -> None:
    """What the constructor and init did is done, in the new process, and the server answers."""
    done: list[Any] = []
    started = await start(
        cls,
        lambda: done.append(("init", candil.self())),
        constructor=lambda: done.append(("constructor", candil.self())),
    )
    pid = pid_of(started)

    assert [("constructor", pid), ("init", pid)] == done
    assert candil.is_alive(pid)
    assert "pong" == await candil.call(pid, "ping")


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
    """Starts in place are counted as calls in place are."""
    turns = started = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    candil.spawn(other)
    while turns < 2:
        await candil.start(Bare)
        started += 1
        assert started <= 450


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


colour = contextvars.ContextVar[str]("colour")


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
    """OTP's {ok, State, Timeout}."""
    log: list[Any] = []
    await candil.start(cls, lambda: candil.set_timeout(3), log)
    await trio.sleep(2.9)
    assert [] == log
    await trio.sleep(0.2)

    assert [candil.Timeout()] == log


# --- links and monitors


@both
@hosted
async def test_only_start_link_links(cls: type[Plain]) -> None:
    """And only start_monitor monitors."""
    own = candil.self()
    infos = [candil.process_info(pid_of(await start(cls))) for start in STARTS]

    assert [(), (own,), ()] == [info and info.links for info in infos]
    assert [(), (), (own,)] == [info and info.monitored_by for info in infos]
    assert [own] * 3 == [info and info.parent for info in infos]


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
    candil.exit(pid, "boom")

    assert Down(ref, pid, BOOM) == await candil.receive(Down)


@both
@hosted
async def test_start_monitor_reports_a_server_that_ends_right_after_its_start(
    cls: type[Plain],
) -> None:
    """Also when it ends before its starter has had its turn: the Down says why."""
    pid, ref = await candil.start_monitor(cls, lambda: candil.continue_with(leaves))

    assert Down(ref, pid, BOOM) == await candil.receive(timeout=5)


def leaves() -> None:
    """End the server that continues with this."""
    raise candil.ProcessExit("boom")


@both
@hosted
async def test_a_linked_server_that_ends_right_after_its_start_signals_its_parent(
    cls: type[Plain],
) -> None:
    """The start has succeeded; the end is another matter."""
    pid = await candil.start_link(cls, lambda: candil.continue_with(leaves))

    assert ExitSignal(pid, BOOM) == await candil.receive(timeout=5)


@hosted
async def test_the_end_of_a_linked_server_is_a_signal_to_its_parent() -> None:
    """Once it is up, and not before."""
    pid = await candil.start_link(Plain)
    await exit_and_settle(pid, "boom")

    assert ExitSignal(pid, BOOM) == await candil.receive()


@pytest.mark.parametrize("start", [candil.start_link, candil.start_monitor])
async def test_start_link_and_start_monitor_need_a_process(start: Any) -> None:
    """A task outside every tree has nothing to link; start itself only needs a tree."""
    with pytest.raises(RuntimeError, match=rf"candil\.{start.__name__}\(\) needs a process"):
        await start(Plain)

    async def outside() -> None:
        current_process.set(None)
        assert candil.is_alive(await candil.start(Plain))
        with pytest.raises(RuntimeError, match=rf"candil\.{start.__name__}\(\) needs a process"):
            await start(Plain)

    async with candil.open_node(log=False), trio.open_nursery() as nursery:
        nursery.start_soon(outside)


# --- names


@both
@every_start
@pytest.mark.parametrize("name", NAMES, ids=repr)
@hosted
async def test_a_name_is_registered_before_init(name: Any, cls: type[Plain], start: Any) -> None:
    """Whichever kind of name it is, init finds itself under it, and others do afterwards."""
    seen: list[Any] = []
    pid = pid_of(await start(cls, lambda: seen.append(candil.whereis(name)), name=name))

    assert [pid] == seen
    assert pid == candil.whereis(name)


@both
@every_start
@pytest.mark.parametrize("name", NAMES, ids=repr)
@hosted
async def test_a_taken_name_gives_already_started_and_leaves_its_holder_alone(
    name: Any, cls: type[Plain], start: Any
) -> None:
    """No link, no signal, no second constructor; the error has the holder's pid."""
    log: list[Any] = []
    holder = await candil.start(Plain, log=log, name=name)
    before = candil.process_info(holder)
    built: list[Any] = []

    with pytest.raises(candil.AlreadyStarted, match="already started") as caught:
        await start(cls, constructor=lambda: built.append(1), name=name)

    assert holder == caught.value.pid
    assert Exit(("already_started", holder)) == caught.value.reason
    assert (cls.__name__, name) == (caught.value.label, caught.value.name)
    assert before == candil.process_info(holder)
    assert ([], []) == (log, built)
    assert holder == candil.whereis(name)
    assert 0 == candil.process_info(candil.self()).message_queue_len
    assert 1 == len(next(iter(get_runtime().nodes)).processes)


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


@hosted
async def test_a_start_is_refused_to_a_dead_name() -> None:
    """A name that was given up can be taken, and calls to it in between find nobody."""
    pid = await candil.start(Plain, name="counter")
    await exit_and_settle(pid, "kill")
    with pytest.raises(NoProc):
        await candil.call("counter", "ping")

    assert pid != await candil.start(Plain, name="counter")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", candil.RegistrationError),
        (candil.Name[Any](""), candil.RegistrationError),
        (7, TypeError),
        (b"x", TypeError),
    ],
)
@both
@hosted
async def test_what_is_no_name_starts_nothing(cls: type[Plain], name: Any, error: Any) -> None:
    """The constructor has not run."""
    built: list[Any] = []
    with pytest.raises(error):
        await candil.start_link(cls, constructor=lambda: built.append(1), name=name)

    assert [] == built
    await assert_nothing_is_left()


@both
@hosted
async def test_a_pid_is_no_name_to_start_under(cls: type[Plain]) -> None:
    """A server cannot be started in place of another process."""
    with pytest.raises(TypeError, match="a process is called by"):
        await candil.start(cls, name=candil.self())

    await assert_nothing_is_left()


# --- a terminate that will seldom run


@pytest.mark.parametrize("cls", [Plain, Async])
@hosted
async def test_terminate_without_trapping_is_hinted_at_once(cls: type[Plain]) -> None:
    """One Hint a class, about the first of its servers, also if others of it trap."""
    forgetful = type("Forgetful", (cls,), {"terminate": lambda self, reason: None})
    assert [] == await _hints_of(forgetful, lambda: candil.trap_exit(True) or None)
    hints = await _hints_of(forgetful)

    assert 1 == len(hints)
    assert candil.is_alive(hints[0].pid)
    assert "Forgetful" in hints[0].text
    assert "trap_exit(True)" in hints[0].text
    assert [] == await _hints_of(forgetful)


@pytest.mark.parametrize("cls", [Plain, Async, Trapping, AsyncTrapping])
@hosted
async def test_nothing_is_hinted_at_when_all_is_well(cls: type[Plain]) -> None:
    """Without terminate(), or with trapping."""
    assert [] == await _hints_of(cls)


async def _hints_of(cls: type[Any], *args: Any) -> list[candil.Hint]:
    events: list[Any] = []
    with candil.subscribe(events.append):
        first = await candil.start_link(cls, *args)
        await candil.start_link(cls, *args)
    hints = [event for event in events if isinstance(event, candil.Hint)]
    assert {first} >= {hint.pid for hint in hints}
    return hints


# --- what can be started


@hosted
async def test_a_supervisor_spec_starts_a_supervisor() -> None:
    """Its children are up when the start returns."""
    spec = candil.supervisor_spec([candil.child_spec(Plain, name="counter")], name="top")
    top = await candil.start_link(spec)

    assert top == candil.whereis("top")
    assert 1 == (await candil.count_children(top)).active
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
    "target",
    [object(), int, wait_for_ever, lambda: None, "Plain", None, 7, Bare()],
    ids=lambda target: repr(target)[:20],
)
@every_start
@hosted
async def test_what_is_no_server_cannot_be_started(start: Any, target: Any) -> None:
    """A TypeError names it, and says what would do."""
    with pytest.raises(TypeError, match="start takes a GenServer subclass or a supervisor spec"):
        await start(target)

    await assert_nothing_is_left()


async def test_nothing_can_be_started_without_a_tree() -> None:
    """There is nothing that would host it; the error says what to open."""
    with pytest.raises(RuntimeError, match=r"no tree is open.*open_node"):
        await candil.start(Plain)
