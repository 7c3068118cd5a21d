"""A server that notes what it handles, in the state that can be seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

import candil


class Notebook(candil.GenServer):
    """Notes what it handles; does what its caller says."""

    def __init__(self, log: list[Any] | None = None, last: Callable[[], Any] | None = None) -> None:
        self.log = [] if log is None else log
        self.last = last

    @candil.handle_call
    def echo(self, value: object = None) -> object:
        self.log.append(("echo", value))
        return value

    @candil.handle_call
    async def act(self, action: Callable[[], Any]) -> object:
        return await action()

    @candil.handle_cast
    async def wait(self, event: trio.Event) -> None:
        await event.wait()
        self.log.append("waited")

    @candil.handle_cast
    def note(self, value: object) -> None:
        self.log.append(value)

    @candil.handle_cast
    def do(self, action: Callable[[], Any]) -> None:
        action()

    def handle_info(self, message: object) -> None:
        self.log.append(message)

    def handle_continue(self, argument: object) -> None:
        self.log.append(("continue", argument))

    async def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))
        if self.last is not None:
            await self.last()


class Trapping(Notebook):
    """The same, and traps exits."""

    def init(self) -> None:
        candil.trap_exit(True)


class Changing(Notebook):
    """Notes its code changes, and what else they do."""

    def code_change(self, old_version: object, extra: Any) -> object:
        self.log.append((old_version, extra))
        return extra() if callable(extra) else None


class AsyncChanging(Changing):
    """The same, taking its time."""

    async def code_change(self, old_version: object, extra: Any) -> object:
        await trio.lowlevel.checkpoint()
        return super().code_change(old_version, extra)
