"""
What mypy and pyright make of the public API; ``make type`` runs both over this file.

Nothing here is called. An ``assert_type`` states what a user's editor shows; an ignore states that
a mistake is found, and is itself an error if the mistake is not. pytest only imports the file.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, assert_type

import candil

if TYPE_CHECKING:
    from collections.abc import Awaitable


class Counter(candil.GenServer):
    """A server with one handler of each kind."""

    def __init__(self, start: int = 0) -> None:
        self.value = start

    @candil.handle_call
    def increment(self, by: int = 1) -> int:
        """Answer at once."""
        self.value += by
        return self.value

    @candil.handle_call
    async def fetch(self, key: str, *, fresh: bool) -> bytes:
        """Answer after waiting for something."""
        return key.encode() if fresh else b""

    @candil.handle_call
    def later(self) -> candil.Deferred[str]:
        """Answer some other time."""
        return candil.Deferred[str]()

    @candil.handle_call
    async def much_later(self, n: int) -> candil.Deferred[list[int]]:
        """Wait, and then answer some other time."""
        return candil.Deferred[list[int]]()

    @candil.handle_cast
    def reset(self, to: int = 0) -> None:
        """Answer nothing."""
        self.value = to

    @candil.handle_cast
    async def flush(self) -> None:
        """Wait, and answer nothing."""


COUNTER: candil.Name[Counter] = candil.Name("counter")


async def a_call_gives_what_the_handler_returns(pid: candil.Pid[Counter]) -> None:
    assert_type(await Counter.increment(pid, by=2), int)
    assert_type(await Counter.increment(pid, 2), int)
    assert_type(await Counter.increment(pid), int)
    assert_type(await Counter.fetch(pid, "key", fresh=True), bytes)


async def a_server_is_addressed_by_pid_by_name_or_by_key(pid: candil.Pid[Counter]) -> None:
    assert_type(await Counter.increment(pid), int)
    assert_type(await Counter.increment(COUNTER), int)
    assert_type(await Counter.increment("counter"), int)
    via: candil.Via[Counter] = candil.Via("counters", 7)
    assert_type(await Counter.increment(via), int)


async def a_deferred_reply_gives_what_it_will_hold(pid: candil.Pid[Counter]) -> None:
    assert_type(await Counter.later(pid), str)
    assert_type(await Counter.much_later(pid, 3), list[int])


async def a_call_with_a_deadline_has_the_same_type(pid: candil.Pid[Counter]) -> None:
    assert_type(await Counter.increment.within(0.5)(pid, by=2), int)
    assert_type(await Counter.fetch.within(math.inf)("counter", "key", fresh=False), bytes)
    assert_type(await Counter.later.within(1)(COUNTER), str)


def a_cast_gives_nothing_and_is_not_awaited(pid: candil.Pid[Counter]) -> None:
    assert_type(Counter.reset(pid, 3), None)
    assert_type(Counter.reset("counter"), None)
    assert_type(Counter.flush(COUNTER), None)


async def on_an_instance_a_handler_is_the_plain_method() -> None:
    counter = Counter(10)
    assert_type(counter.increment(by=2), int)
    assert_type(await counter.fetch("key", fresh=True), bytes)
    assert_type(counter.later(), candil.Deferred[str])
    assert_type(counter.reset(1), None)
    await counter.flush()


async def wrong_arguments_are_found(pid: candil.Pid[Counter]) -> None:
    await Counter.increment(pid, by="two")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Counter.increment(pid, to=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await Counter.increment(pid, 1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await Counter.increment()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await Counter.fetch(pid, "key")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await Counter.increment.within("soon")(pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Counter.reset(pid, "zero")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Other(candil.GenServer):
    """Somebody else's server."""

    def __init__(self, name: str) -> None:
        self.name = name


async def another_servers_pid_is_found(pid: candil.Pid[Other], name: candil.Name[Other]) -> None:
    await Counter.increment(pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Counter.increment(name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Counter.increment(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_forgotten_await_is_found(pid: candil.Pid[Counter]) -> None:
    total: int = Counter.increment(pid)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    pending: Awaitable[int] = Counter.increment(pid)
    assert_type(total + await pending, int)


async def a_request_that_is_not_awaited_is_found(pid: candil.Pid[Counter]) -> None:
    candil.call(pid, "increment")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    Counter.increment(pid)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    Counter.increment.within(1.0)(pid)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.wait_for("counter")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.receive(candil.Down)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.stop(pid)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.stop("counter", "shutdown", timeout=1.0)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.start(Counter)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.start_link(Counter)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.start_monitor(Counter)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.serve([Counter])  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.start_child("root", Counter)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.terminate_child("root", "counter")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.restart_child("root", "counter")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.delete_child("root", "counter")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.which_children("root")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.count_children("root")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.get_childspec("root", "counter")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.sys.suspend(pid)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.sys.resume(pid)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.sys.get_state(pid)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.sys.replace_state(pid, lambda _: Counter())  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.sys.change_code(pid)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    candil.sys.statistics(pid)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


async def a_server_that_stops_itself_awaits_nothing(pid: candil.Pid[Counter]) -> None:
    candil.stop_self()
    candil.stop_self(candil.Shutdown())
    candil.stop_self("boom")
    candil.stop(candil.Shutdown())  # type: ignore[arg-type, unused-coroutine]  # pyright: ignore[reportArgumentType, reportUnusedCoroutine]
    await candil.stop(pid)
    await candil.stop(candil.whereis("counter"))


async def a_name_that_is_waited_for_gives_its_type(pid: candil.Pid[Counter]) -> None:
    assert_type(await candil.wait_for(COUNTER, timeout=1.0), candil.Pid[Counter])
    assert_type(await candil.wait_for("counter"), candil.Pid[Any])
    await candil.wait_for(pid)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def starting_a_server_gives_its_pid() -> None:
    assert_type(await candil.start(Counter, 10), candil.Pid[Counter])
    assert_type(await candil.start_link(Counter, 10, name=COUNTER), candil.Pid[Counter])
    assert_type(
        await candil.start_monitor(Counter, timeout=1.0), tuple[candil.Pid[Counter], candil.Ref]
    )


async def a_tree_is_data_and_its_root_a_pid() -> None:
    child = candil.child_spec(Counter, 10, id="counter", name="counter")
    assert_type(child, candil.ChildSpec[Counter])
    tree = candil.supervisor_spec([child], strategy="one_for_one", max_restarts=3, max_seconds=5.0)
    assert_type(tree, candil.SupervisorSpec)
    async with candil.open_supervisor(tree) as root:
        assert_type(root, candil.Pid[candil.Supervisor])
        assert_type(await candil.start_child(root, child), candil.Pid[Counter] | None)
        assert_type(await candil.which_children(root), list[candil.ChildInfo])
        assert_type(await candil.count_children(root), candil.ChildCounts)


async def a_start_function_may_give_more_than_a_pid(root: candil.Pid[candil.Supervisor]) -> None:
    async def function() -> tuple[candil.Pid[Counter], str]:
        return await candil.start_link(Counter, 10), "extra"

    child = candil.child_spec(candil.StartFunction(function))
    assert_type(await candil.start_child(root, child), candil.Pid[Any] | candil.StartedChild | None)
    assert_type(
        await candil.restart_child(root, "function"), candil.Pid[Any] | candil.StartedChild | None
    )
    job = candil.child_spec(function)
    assert_type(await candil.start_child(root, job), candil.Pid[object] | None)


def a_misspelt_strategy_is_found() -> None:
    candil.supervisor_spec([], strategy="one_for_none")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def work(queue: str, size: int) -> None:
    """Be a plain process."""


def plain_functions_are_processes_and_their_arguments_are_checked() -> None:
    assert_type(candil.spawn(work, "jobs", 3), candil.Pid[Any])
    assert_type(candil.spawn_monitor(work, "jobs", 3), tuple[candil.Pid[Any], candil.Ref])
    candil.spawn(work, "jobs")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def receive_gives_what_was_asked_for() -> None:
    assert_type(await candil.receive(candil.Down), candil.Down)
    assert_type(
        await candil.receive((candil.Down, candil.ExitSignal), timeout=1.0),
        Any,
    )


def every_exit_reason_can_be_told_apart(reason: candil.ExitReason) -> str:
    match reason:  # complete: without one of the cases, a missing return would be reported
        case candil.Normal():
            return "normal"
        case candil.Shutdown(detail):
            return f"shutdown: {detail}"
        case candil.Killed():
            return "killed"
        case candil.NoProcess() | candil.NoConnection():
            return "not there"
        case candil.Crashed(exception):
            return str(exception)
        case candil.Exit(term):
            return str(term)
