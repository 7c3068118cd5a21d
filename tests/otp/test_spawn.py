"""Plain async functions as processes, and what can be asked about them."""

from __future__ import annotations

import functools
import re
import types
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from candil import Crashed, Down, Exit, ExitSignal, Normal
from candil._otp.processes.runtime import current_process
from tests.otp.bodies import crash, do_nothing, end_of, leave, linger, wait_for_ever
from tests.otp.ids import without_address

T = TypeVar("T")


async def test_a_spawned_function_gets_its_arguments_and_runs_as_a_process_of_its_own() -> None:
    """self() is its own pid, not its parent's."""
    got: list[Any] = []

    async def body(*args: object) -> None:
        got.extend([candil.self(), args])

    async with candil.open_node():
        pid = candil.spawn(body, 1, "two")
        assert [] == got
        await end_of(pid)

        assert [pid, (1, "two")] == got


async def test_tasks_that_a_process_starts_act_for_it() -> None:
    """self() follows a nursery inside the process."""
    got: list[object] = []

    async def notes_itself() -> None:
        got.append(candil.self())

    async def body() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notes_itself)

    async with candil.open_node():
        pid = candil.spawn(body)
        await end_of(pid)

        assert [pid] == got


async def test_a_process_sees_the_context_variables_of_its_parent() -> None:
    """As every task of trio does."""
    variable = ContextVar("variable", default="default")
    got = []

    async def body() -> None:
        got.append(variable.get())

    async with candil.open_node():
        variable.set("set")
        await end_of(candil.spawn(body))

        assert ["set"] == got


async def test_spawn_links_nobody() -> None:
    """Its crash is its own affair, and an event."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        await end_of(candil.spawn(crash, ValueError()))

        with pytest.raises(candil.ReceiveTimeout):
            await candil.receive(timeout=0)


async def test_spawn_link_is_linked_before_the_process_runs() -> None:
    """Even one that ends at once is noticed."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(do_nothing)

        assert ExitSignal(pid, Normal()) == await candil.receive()


async def test_spawn_monitor_is_watched_before_the_process_runs() -> None:
    """Its Down carries its own reason, never noproc."""
    async with candil.open_node():
        pid, ref = candil.spawn_monitor(leave, "boom")

        assert Down(ref, pid, Exit("boom")) == await candil.receive()


@pytest.mark.parametrize("spawn", [candil.spawn, candil.spawn_link, candil.spawn_monitor])
async def test_a_name_is_registered_before_the_process_runs(spawn: Any) -> None:
    """It can be sent to at once."""
    async with candil.open_node():
        spawn(wait_for_ever, name="worker")
        candil.send("worker", "hello")

        assert 1 == candil.process_info("worker").message_queue_len


@pytest.mark.parametrize("spawn", [candil.spawn, candil.spawn_link, candil.spawn_monitor])
async def test_a_taken_name_spawns_nothing(spawn: Any) -> None:
    """Nor links, nor watches."""
    async with candil.open_node() as node:
        candil.spawn(wait_for_ever, name="worker")
        with pytest.raises(candil.RegistrationError):
            spawn(crash, ValueError(), name="worker")

        assert 1 == len(node.processes)
        info = candil.process_info(candil.self())
        assert () == info.links == info.monitors


async def test_what_is_not_awaitable_crashes_the_new_process_and_not_its_parent() -> None:
    """A plain function is a mistake that shows where it runs."""
    async with candil.open_node(log=False):
        reason = await end_of(candil.spawn(lambda: None))

        assert isinstance(reason, Crashed)
        assert isinstance(reason.exception, TypeError)


async def test_the_label_of_a_pid_is_what_it_runs() -> None:
    """For people who read reports."""
    async with candil.open_node():
        assert "wait_for_ever" == candil.spawn(wait_for_ever).label
        assert "partial" == candil.spawn(functools.partial(wait_for_ever)).label


async def test_spawn_outside_every_tree_says_where_to_go() -> None:
    """A process cannot be hosted by nobody."""
    with pytest.raises(RuntimeError, match=r"no tree is open.*candil\.open_node"):
        candil.spawn(wait_for_ever)


@pytest.mark.parametrize("spawn", [candil.spawn_link, candil.spawn_monitor])
async def test_only_a_process_can_link_or_monitor_what_it_spawns(spawn: Any) -> None:
    """The error names the function that was called."""
    with pytest.raises(RuntimeError, match=r"candil\.spawn_(link|monitor)\(\) needs a process"):
        spawn(wait_for_ever)


async def test_a_task_outside_finds_the_one_open_tree() -> None:
    """It needs no process if it is clear where the new one belongs."""
    async with candil.open_node() as node:
        current_process.set(None)
        pid = candil.spawn(wait_for_ever)

        assert candil.process_info(pid).parent is None
        assert pid.process.node is node


async def test_a_task_outside_must_choose_when_several_trees_are_open() -> None:
    """Guessing would put the process where it may be ended at any time."""
    async with candil.open_node(), candil.open_node():
        current_process.set(None)
        with pytest.raises(RuntimeError, match="several trees are open"):
            candil.spawn(wait_for_ever)


async def test_is_alive_from_spawn_until_it_is_told_to_end() -> None:
    """OTP's is_process_alive: a process that is ending is not alive."""
    async with candil.open_node():
        pid = candil.spawn(wait_for_ever)
        assert candil.is_alive(pid)
        await wait_all_tasks_blocked()
        candil.exit(pid, "boom")

        assert not candil.is_alive(pid)
        await end_of(pid)
        assert not candil.is_alive(pid)


async def test_process_info_shows_a_process_as_it_is(
    autojump_clock: MockClock,
) -> None:
    """Links, monitors, mailbox, names and what it does."""
    async with candil.open_node():
        me = candil.self()

        async def receives(other: candil.Pid[Any]) -> None:
            candil.trap_exit(True)
            candil.link(other)
            candil.monitor(other)
            candil.monitor(me)
            await candil.receive(int)

        other = candil.spawn(wait_for_ever)
        pid = candil.spawn(receives, other, name="worker")
        candil.register(candil.Via("workers", 1), pid)
        candil.monitor(pid)
        candil.send(pid, "hello")
        await wait_all_tasks_blocked()

        assert candil.ProcessInfo(
            pid=pid,
            registered_name="worker",
            via=(candil.Via("workers", 1),),
            parent=me,
            links=(other,),
            monitors=(other, me),
            monitored_by=(me,),
            message_queue_len=1,
            trap_exit=True,
            status="waiting",
        ) == candil.process_info(pid)
        assert candil.process_info("worker") == candil.process_info(pid)


async def test_the_status_of_a_process_is_running_waiting_or_exiting() -> None:
    """Waiting means for a message."""
    async with candil.open_node():
        done = trio.Event()
        pid = candil.spawn(linger, done)
        assert "running" == candil.process_info(candil.self()).status
        await wait_all_tasks_blocked()
        assert "running" == candil.process_info(pid).status
        candil.exit(pid, "boom")
        assert "exiting" == candil.process_info(pid).status
        done.set()


async def test_is_alive_takes_whatever_names_a_process() -> None:
    """What a Down carries, or whereis gives, can be asked about: a name, a pid, or None."""
    async with candil.open_node():
        candil.spawn(wait_for_ever, name="worker")
        candil.monitor("nobody")
        down = await candil.receive(Down)

        assert candil.is_alive("worker")
        assert candil.is_alive(candil.Name("worker"))
        assert candil.is_alive(candil.whereis("worker"))
        assert not candil.is_alive(down.pid)
        assert not candil.is_alive(candil.Via("workers", 7))
        assert not candil.is_alive(candil.whereis("nobody"))


async def test_process_info_of_nobody_is_none() -> None:
    """Of a dead pid as of an unknown name, and of what whereis found under it."""
    async with candil.open_node():
        pid = candil.spawn(do_nothing)
        await end_of(pid)

        assert candil.process_info(pid) is None
        assert candil.process_info(candil.whereis("nobody")) is None
        assert candil.process_info("nobody") is None


# --- what cannot be spawned


class Server(candil.GenServer):
    """A server, which is started."""


class Box(candil.GenServer, Generic[T]):
    """A server of something."""


class Plain:
    """A class like any other."""

    async def works(self) -> None:
        """Do nothing."""

    async def yields(self) -> Any:
        yield 1

    async def __call__(self) -> None:
        """Do nothing."""


class Awaiting:
    """A class whose instances can be awaited."""

    def __await__(self) -> Any:
        return do_nothing().__await__()


class Making:
    """A class that gives something else."""

    def __new__(cls) -> Any:
        return do_nothing()


def generator() -> Any:
    """Be of no use as a process."""
    yield 1


@types.coroutine
def old_style() -> Any:
    """Be a coroutine as they were."""
    yield from do_nothing().__await__()


spawns = pytest.mark.parametrize("spawn", [candil.spawn, candil.spawn_link, candil.spawn_monitor])


@spawns
async def test_a_coroutine_object_is_refused_at_once_and_closed(spawn: Any) -> None:
    """And Python warns of none that was never awaited."""
    async with candil.open_node():
        with pytest.raises(TypeError) as raised:
            spawn(do_nothing())
    name = spawn.__name__
    assert str(raised.value) == (
        f"{name} takes an async function and its arguments; got a coroutine object: "
        f"write {name}(f, x), not {name}(f(x))"
    )


@spawns
@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (None, "got None"),
        ("heart", "got 'heart'"),
        (Awaiting(), "got <"),
        (Server, "got the GenServer class Server: use candil.start"),
        (Box[int], "got the GenServer class Box: use candil.start"),
        (Plain, "got the class Plain"),
        (generator, "got generator, which yields"),
        (Plain().yields, r"got Plain.yields, which yields"),
        (functools.partial(Plain().yields), r"got Plain.yields, which yields"),
    ],
    ids=without_address,
)
async def test_what_is_no_async_function_is_refused_at_once(
    spawn: Any, wrong: Any, got: str
) -> None:
    """Where it is spawned: the log of its crash would not show that line."""
    async with candil.open_node():
        with pytest.raises(TypeError, match=rf"{spawn.__name__} takes an async function .*; {got}"):
            spawn(wrong)


@pytest.mark.parametrize(
    "right",
    [
        do_nothing,
        functools.partial(trio.sleep, 0),
        lambda: Plain().works(),
        Plain().works,
        Plain(),
        Awaiting,
        Making,
        old_style,
        functools.partial(anext, aiter(Plain().yields())),
    ],
    ids=without_address,
)
async def test_whatever_gives_something_to_await_can_be_spawned(right: Any) -> None:
    """What only a call can tell is left to it."""
    async with candil.open_node():
        assert await end_of(candil.spawn(right)) == Normal()


async def test_a_plain_function_that_gives_nothing_to_await_is_named_in_its_crash() -> None:
    """Who forgot the async finds the function by it."""

    def forgot() -> Any:
        return 7

    async with candil.open_node(log=False):
        reason = await end_of(candil.spawn(forgot))
    assert isinstance(reason, Crashed)
    assert isinstance(reason.exception, TypeError)
    assert re.fullmatch(
        r"<function .*forgot at .*> gave 7, which cannot be awaited: it must be async",
        str(reason.exception),
    )
