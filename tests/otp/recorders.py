"""A server that notes all that it sees, and does what it is told in any of its callbacks."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import candil
from candil import sys


class Recorder(candil.GenServer):
    """A server that notes all that it sees, and does what messages that can be called say."""

    def __init__(self, log: list[Any] | None = None, init: Any = None) -> None:
        self.log: list[Any] = [] if log is None else log
        self.to_do = init

    def init(self) -> Any:
        return self.to_do() if callable(self.to_do) else None

    def _see(self, what: str, thing: object) -> Any:
        if callable(thing):
            return thing()
        self.log.append((what, thing))
        return None

    @candil.handle_call
    async def act(self, action: Any) -> object:
        return self._see("act", action)

    @candil.handle_call
    def act_at_once(self, action: Any) -> object:
        return self._see("act", action)

    @candil.handle_cast
    def told(self, action: Any) -> object:
        return self._see("told", action)

    @candil.handle_cast
    async def told_async(self, action: Any) -> object:
        return self._see("told", action)

    def handle_call(self, request: Any, caller: candil.Call) -> object:
        return self._see("call", request)

    def handle_cast(self, message: Any) -> object:
        return self._see("cast", message)

    def handle_info(self, message: Any) -> object:
        return self._see("info", message)

    def handle_continue(self, argument: Any) -> object:
        return self._see("continue", argument)

    def terminate(self, reason: candil.ExitReason) -> None:
        self.log.append(("terminate", reason))


class AsyncRecorder(Recorder):
    """The same, by an async init."""

    async def init(self) -> Any:
        await trio.lowlevel.checkpoint()
        return super().init()


class Trapper(Recorder):
    """The same, trapping exits."""

    def init(self) -> Any:
        candil.trap_exit(True)
        return super().init()


class AsyncTrapper(Trapper):
    """The same, by an async init."""

    async def init(self) -> Any:
        await trio.lowlevel.checkpoint()
        return super().init()


class Bare(candil.GenServer):
    """A server that has no callback at all."""

    @candil.handle_call
    def act(self, action: Any) -> object:
        return action()


async def all_handled(pid: candil.Pid[Any]) -> list[Any]:
    """Wait until a server has handled what was sent so far, and give what it noted."""
    return (await sys.get_state(pid, timeout=60)).log


def _continue(pid: candil.Pid[Any], action: Any) -> None:
    Recorder.told(pid, lambda: candil.continue_with(action))


every_callback = pytest.mark.parametrize(
    "act",
    [candil.send, candil.cast, Recorder.told, Recorder.told_async, _continue],
    ids=["info", "cast", "plain handler", "async handler", "continue"],
)
"""How a callback that gives no answer is made to do something."""
