"""What mypy and pyright make of names: to call a server by, and to register it under."""

from __future__ import annotations

from typing import Any, assert_type

import candil


class Counter(candil.GenServer):
    """A server with a name."""


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
