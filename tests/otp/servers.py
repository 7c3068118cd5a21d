"""
The servers that several tests use.

`Counter` has one handler of each kind. `ScriptedServer` does what each request says. `Recorder`
records what each callback gets, and calls what can be called. `StateRecorder` does so in a state
that is seen, suspended, replaced and changed from outside.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import trio

import candil


class Counter(candil.GenServer):
    """One of each kind of handler."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    @candil.handle_call
    def value(self) -> int:
        """Give the count."""
        return self.count

    @candil.handle_call
    def increment(self, by: int = 1, *, twice: bool = False) -> int:
        """Add to the count."""
        self.count += by * (1 + twice)
        return self.count

    @candil.handle_call
    async def slow_increment(self, by: int) -> int:
        await trio.lowlevel.checkpoint()
        self.count += by
        return self.count

    @candil.handle_call
    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    @candil.handle_cast
    def reset(self, to: int = 0) -> None:
        """Set the count."""
        self.count = to

    @candil.handle_cast
    async def slow_reset(self, *, to: int) -> None:
        await trio.lowlevel.checkpoint()
        self.count = to

    def increment_by_hand(self) -> int:
        return self.increment(by=1)


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


class StateRecorder(candil.GenServer):
    """Records what it handles in ``log``, which ``sys.get_state`` shows."""

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


class TrappingStateRecorder(StateRecorder):
    """The same, and traps exits."""

    def init(self) -> None:
        candil.trap_exit(True)


class CodeChanger(StateRecorder):
    """Records its code changes, and does what they say."""

    def code_change(self, old_version: object, extra: Any) -> object:
        self.log.append((old_version, extra))
        return extra() if callable(extra) else None


class AsyncCodeChanger(CodeChanger):
    """The same, taking its time."""

    async def code_change(self, old_version: object, extra: Any) -> object:
        await trio.lowlevel.checkpoint()
        return super().code_change(old_version, extra)
