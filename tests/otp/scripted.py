"""A server that does what its caller says, and how to ask it in each way that a handler can run."""

from __future__ import annotations

import contextvars
from typing import Any

import trio

import candil
from candil._otp.processes.process import Process

WAYS = ("in place", "mailbox", "async")
"""How a handler comes to run: in its caller's task, or as a message of the loop, plain or async."""


seen_by_server: contextvars.ContextVar[str] = contextvars.ContextVar(
    "seen_by_server", default="nothing"
)


class ScriptedServer(candil.GenServer):
    """A server that does what its caller says."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.kept: list[Any] = []

    def init(self) -> None:
        seen_by_server.set("the server's own")

    @candil.handle_call
    def echo(self, value: object = None) -> object:
        self.log.append(("echo", value))
        return value

    @candil.handle_call
    def act(self, action: Any) -> object:
        return action(self)

    @candil.handle_call
    async def wait(self, event: trio.Event, value: object = None) -> object:
        await event.wait()
        self.log.append(("waited", value))
        return value

    @candil.handle_call
    async def sleep(self, seconds: float) -> str:
        await trio.sleep(seconds)
        self.log.append("slept")
        return "slept"

    @candil.handle_call
    def later(self) -> candil.Deferred[Any]:
        deferred = candil.Deferred[Any]()
        self.kept.append(deferred)
        return deferred

    @candil.handle_cast
    def note(self, value: object) -> None:
        self.log.append(("note", value))

    def handle_call(self, request: Any, caller: candil.Call) -> object:
        if request == "keep":
            self.kept.append(caller)
            return candil.NO_REPLY
        if request == "who":
            return caller.pid
        return request

    def handle_cast(self, message: object) -> None:
        self.log.append(("cast", message))

    def handle_info(self, message: object) -> None:
        self.log.append(("info", message))

    def handle_continue(self, argument: object) -> None:
        self.log.append(("continue", argument))

    def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))


class AsyncScriptedServer(ScriptedServer):
    """The same, by async handlers: nothing of it runs in place."""

    @candil.handle_call
    async def echo(self, value: object = None) -> object:
        self.log.append(("echo", value))
        return value

    @candil.handle_call
    async def act(self, action: Any) -> object:
        return action(self)

    @candil.handle_call
    async def later(self) -> candil.Deferred[Any]:
        deferred = candil.Deferred[Any]()
        self.kept.append(deferred)
        return deferred


class Setting:
    """One server, and the way in which it is asked."""

    def __init__(self, way: str, pid: candil.Pid[ScriptedServer]) -> None:
        self.way = way
        self.pid = pid
        self.process = record(pid)
        self.instance: ScriptedServer = self.process.server.instance

    async def __call__(self, request: str, *args: Any, timeout: float = 5.0) -> Any:
        if self.way == "mailbox":
            candil.send(self.pid, "in the way")
        before = self.process.server.handled
        try:
            return await candil.call(self.pid, request, *args, timeout=timeout)
        finally:
            if request != "wait" and self.process.alive:
                assert (self.process.server.handled == before) is (self.way == "in place")


ADDRESSES: list[Any] = [
    "counter",
    candil.Name[ScriptedServer]("counter"),
    candil.Via[ScriptedServer]("servers", 7),
]
"""One name of each kind."""


async def bench(way: str = "in place", *, link: bool = False) -> Setting:
    """Start a server that is asked in one of the WAYS, and waits for messages already."""
    start = candil.start_link if link else candil.start
    setting = Setting(way, await start(AsyncScriptedServer if way == "async" else ScriptedServer))
    await idle(setting.pid)
    return setting


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
