"""A server that is driven by its test, in each way in which a handler can run."""

from __future__ import annotations

from typing import Any

import trio

import candil
from candil._otp.processes.process import Process
from tests.otp.servers import AsyncScriptedServer, ScriptedServer

WAYS = ("in place", "mailbox", "async")
"""How a handler comes to run: in its caller's task, or as a message of the loop, plain or async."""


class Driver:
    """One server, and the way in which it is asked."""

    def __init__(self, way: str, pid: candil.Pid[ScriptedServer]) -> None:
        self.way = way
        self.pid = pid
        self.process = record(pid)
        self.instance: ScriptedServer = self.process.behaviour.instance

    async def __call__(self, request: str, *args: Any, timeout: float = 5.0) -> Any:
        if self.way == "mailbox":
            candil.send(self.pid, "in the way")
        before = self.process.behaviour.handled
        try:
            return await candil.call(self.pid, request, *args, timeout=timeout)
        finally:
            if request != "wait" and self.process.alive:
                assert (self.process.behaviour.handled == before) is (self.way == "in place")


ADDRESSES: list[Any] = [
    "counter",
    candil.Name[ScriptedServer]("counter"),
    candil.Via[ScriptedServer]("servers", 7),
]
"""One name of each kind."""


async def driver(way: str = "in place", *, link: bool = False) -> Driver:
    """Start a server that is asked in one of the WAYS, and waits for messages already."""
    start = candil.start_link if link else candil.start
    driven = Driver(way, await start(AsyncScriptedServer if way == "async" else ScriptedServer))
    await idle(driven.pid)
    return driven


async def idle(pid: candil.Pid[Any]) -> None:
    """Wait until a server waits for messages: from then on plain handlers run in place."""
    while pid.process is not None and not pid.process.idle:
        await trio.lowlevel.checkpoint()


def record(pid: candil.Pid[Any]) -> Process:
    """Give the record of a living process."""
    assert pid.process is not None
    return pid.process


def own_record() -> Process:
    """Give the record of this task's process."""
    return record(candil.self())


class Outcome:
    """What a caller that waited was told."""

    error: candil.ServerExited | None = None

    async def of(self, request: Any, *args: Any) -> None:
        """Make a request, and keep its error."""
        try:
            await request(*args)
        except candil.ServerExited as error:
            self.error = error
