"""What mypy and pyright make of names: to call a server by, and to register it under."""

from __future__ import annotations

from typing import Any, assert_type

import candil


class Counter(candil.GenServer):
    """A server with a name."""

    @candil.handle_call
    def increment(self) -> int:
        """Answer."""
        return 1

    @candil.handle_cast
    def reset(self) -> None:
        """Answer nothing."""


async def work() -> None:
    """Be a plain process."""


def whoever_a_down_tells_of_can_be_asked_about(
    down: candil.Down, signal: candil.ExitSignal
) -> None:
    assert_type(down.pid, candil.Server[Any])
    assert_type(signal.pid, candil.Pid[Any] | None)
    assert_type(candil.is_alive(down.pid), bool)
    assert_type(candil.is_alive(signal.pid), bool)
    assert_type(candil.is_alive(candil.whereis("counter")), bool)
    candil.monitor(down.pid)
    candil.is_alive(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def every_kind_of_name_can_be_registered(name: candil.ServerName[Counter]) -> None:
    server: candil.Server[Counter] = name
    candil.send(server, "hello")
    candil.register(name, candil.self())
    assert_type(await candil.start(Counter, name=name), candil.Pid[Counter])
    assert_type(candil.spawn(work, name="worker"), candil.Pid[Any])
    candil.spawn(work, name=candil.Via("workers", 7))
    candil.child_spec(Counter, name=candil.Name("counter"))
    candil.supervisor_spec([], name=name)


async def a_pid_is_no_name(pid: candil.Pid[Counter]) -> None:
    candil.register(pid, pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    candil.unregister(pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    candil.spawn(work, name=pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    candil.supervisor_spec([], name=pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await candil.start(Counter, name=pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await candil.start_link(Counter, name=pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await candil.start_monitor(Counter, name=pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    candil.child_spec(Counter, name=pid)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def what_whereis_or_root_did_not_find_can_be_asked_all_the_same() -> None:
    nobody = candil.whereis(candil.Name[Counter]("counter"))
    assert_type(nobody, candil.Pid[Counter] | None)
    assert_type(await Counter.increment(nobody), int)
    assert_type(await Counter.increment.within(1.0)(nobody), int)
    Counter.reset(nobody)
    await candil.call(nobody, "increment")
    candil.cast(nobody, "reset")
    candil.send(nobody, "hello")
    candil.exit(nobody, "boom")
    await candil.stop(nobody)
    await candil.sys.suspend(nobody)
    await candil.sys.resume(nobody)
    await candil.sys.get_state(nobody)
    await candil.sys.replace_state(nobody, lambda _: Counter())
    await candil.sys.change_code(nobody)
    await candil.sys.statistics(nobody)
    assert_type(candil.process_info(nobody), candil.ProcessInfo | None)
    assert_type(candil.root(), candil.Pid[candil.Supervisor] | None)
    assert_type(await candil.start_child(candil.root(), Counter), candil.Pid[Counter] | None)
    await candil.terminate_child(candil.root(), "counter")
    await candil.restart_child(candil.root(), "counter")
    await candil.delete_child(candil.root(), "counter")
    await candil.get_childspec(candil.root(), "counter")
    assert_type(await candil.which_children(candil.root()), list[candil.ChildInfo])
    assert_type(await candil.count_children(candil.root()), candil.ChildCounts)


async def the_wrong_server_is_found_also_where_it_may_be_nobody() -> None:
    await Counter.increment(candil.root())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await candil.which_children(candil.whereis(candil.Name[Counter]("counter")))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def nobody_can_be_linked_monitored_or_sent_to_later() -> None:
    nobody = candil.whereis("counter")
    candil.link(nobody)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    candil.monitor(nobody)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    candil.send_after(nobody, "hello", 1.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    candil.start_interval(nobody, "hello", 1.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    candil.register("other", nobody)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
