"""Servers that start in every way, the ways to start them, and a look at what is left."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import candil
from candil._otp.processes.runtime import get_runtime
from tests.otp.workers import Boom


class Plain(candil.GenServer):
    """Its constructor and init do what they were given, in the starter's turn."""

    def __init__(
        self,
        act: Callable[[], Any] = lambda: None,
        log: list[Any] | None = None,
        *,
        constructor: Callable[[], Any] = lambda: None,
    ) -> None:
        constructor()
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


class Ending(Plain):
    """Notes why it ends."""

    def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))


class Trapping(Ending):
    """The same, and traps exits."""

    def init(self) -> Any:
        candil.trap_exit(True)
        return self.act()


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


class Sleeper(candil.GenServer):
    """Its init takes a while, and cannot be hurried if *shield*."""

    def __init__(self, seconds: float, *, shield: bool = False) -> None:
        self.seconds = seconds
        self.shield = shield

    async def init(self) -> None:
        with trio.CancelScope(shield=self.shield):
            await trio.sleep(self.seconds)


both = pytest.mark.parametrize("cls", [Plain, Async])


STARTS = [candil.start, candil.start_link, candil.start_monitor]


every_start = pytest.mark.parametrize("start", STARTS, ids=lambda start: start.__name__)


NAMES: list[Any] = ["counter", candil.Name[Plain]("counter"), candil.Via("shards", 7)]
"""One name of each kind."""


def pid_of(started: Any) -> candil.Pid[Any]:
    """Give the pid of what any start returned."""
    return started[0] if isinstance(started, tuple) else started


async def assert_nothing_is_left() -> None:
    """No process but the block, no name, no link, no monitor, no message."""
    await wait_all_tasks_blocked()
    info = candil.process_info(candil.self())
    assert info is not None
    assert (info.links, info.monitors, info.message_queue_len) == ((), (), 0)
    assert {} == get_runtime().names
    assert {} == next(iter(get_runtime().nodes)).processes
