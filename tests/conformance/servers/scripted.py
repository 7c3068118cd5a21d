"""
Servers whose callbacks do what each request says.

There are four, for there are two ways to write a server, and each with ``async def`` or with plain
``def``. All run the same scripts, so they differ in what candil makes of them only.
"""

from __future__ import annotations

import copy
from collections.abc import Coroutine, Iterator
from typing import Any

from trio.lowlevel import checkpoint

import candil
from tests.conformance.terms import Raised, reason_of, term_of

from .recorder import LONG, NOBODY, SERVER_SOON, Recorder, Script, written

_WAITING_EFFECTS = {"wait", "call_self", "stop_self", "call_nobody"}


class Scripted(candil.GenServer):
    """What the four have in common: the meaning of scripts."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.on = copy.deepcopy(recorder.server.get("on", {}))
        self.mark: object = 0
        recorder.enter("server", candil.self())

    async def run_init(self) -> object:
        self.recorder.write("server", "init")
        candil.trap_exit(self.recorder.server.get("trap", False))
        return await self.run(self.recorder.server["init"])

    async def run_call(self, script: Script, who: str, answer: Any) -> object:
        """Run the script of a call, which *answer* can answer later as well."""
        self.recorder.write("server", "handle_call", script["tag"], who)
        self.recorder.callers[script["tag"]] = answer
        return await self.run(script)

    async def run_named(self, callback: str, script: Script) -> object:
        self.recorder.write("server", callback, script["tag"])
        return await self.run(script)

    async def run_info(self, message: object) -> object:
        shown = self.recorder.message(message)
        self.recorder.write("server", "handle_info", shown)
        if isinstance(message, dict):
            return await self.run(message)
        kind = shown[0] if isinstance(shown, list) else shown
        waiting = self.on.get(kind)
        return await self.run(waiting.pop(0)) if waiting else None

    async def run_terminate(self, reason: candil.ExitReason) -> object:
        self.recorder.write("server", "terminate", written(reason))
        return await self.run(self.recorder.server.get("terminate", {}))

    def run_code_change(self, extra: object) -> None:
        self.recorder.write("server", "code_change", extra)
        if extra == "bug":
            raise Raised("bug")

    async def run(self, script: Script) -> object:
        """Do what *script* says; gives what the callback returns, without a call's reply."""
        for effect in script.get("does", []):
            await self.affect(effect)
        match script.get("then"):
            case ["timeout", after]:
                candil.set_timeout(_SECONDS[after])
            case ["continue", argument]:
                candil.continue_with(argument)
            case ["stop", reason]:
                candil.stop_self(reason_of(reason))
            case ["raise", reason]:
                raise Raised(term_of(reason))
            case ["exit", reason]:
                raise candil.ProcessExit(term_of(reason))
            case ["bad", value]:
                return value
            case ["ignore"]:
                return candil.IGNORE
        return None

    async def affect(self, effect: list[Any]) -> None:  # noqa: C901, PLR0912  # one line an effect
        """Have one effect."""
        recorder = self.recorder
        match effect:
            case ["reply", tag, value]:
                recorder.reply(tag, value)
            case ["mark", mark]:
                self.mark = mark
            case ["cast", script]:
                self.cast_to_self(script)
            case ["send", script]:
                candil.send(candil.self(), script)
            case ["trap", traps]:
                candil.trap_exit(traps)
            case ["exit_self", reason]:
                candil.exit(candil.self(), reason_of(reason))
            case ["monitor", role] if candil.is_alive(recorder.target(role)):
                candil.monitor(recorder.target(role))
            case ["link", role] if candil.is_alive(recorder.target(role)):
                candil.link(recorder.target(role))
            case ["monitor" | "link", _]:
                pass
            case ["unlink", role]:
                candil.unlink(recorder.target(role))
            case ["signal", role, reason]:
                candil.exit(recorder.target(role), reason_of(reason))
            case ["tell", role, word]:
                candil.send(recorder.target(role), ("word", word))
            case ["unregister"]:
                if candil.whereis(recorder.target("name")) == candil.self():
                    candil.unregister(recorder.target("name"))
            case ["call_self"]:
                await candil.call(candil.self(), "impossible", timeout=LONG)
            case ["stop_self"]:
                await candil.stop(candil.self(), timeout=LONG)
            case ["call_nobody"]:
                await candil.call(NOBODY, "impossible", timeout=LONG)
            case ["wait"]:
                await recorder.wait_at_gate()
            case _:
                raise ValueError(f"a script cannot say {effect!r}")

    def cast_to_self(self, script: Script) -> None:
        candil.cast(candil.self(), script)


_SECONDS = {0: 0.0, "soon": SERVER_SOON, "long": LONG}


def at_once(steps: Coroutine[Any, Any, Any]) -> Any:
    """Run what never waits to its end, for a plain ``def``."""
    try:
        steps.send(None)
    except StopIteration as end:
        return end.value
    steps.close()
    raise RuntimeError("a plain callback was told to wait")


class AsyncBeneath(Scripted):
    """The callbacks that are not decorated, as ``async def`` that give way at both ends."""

    async def init(self):
        return await _slowly(self.run_init())

    async def handle_info(self, message):
        return await _slowly(self.run_info(message))

    async def handle_continue(self, script):
        return await _slowly(self.run_named("handle_continue", script))

    async def terminate(self, reason):
        return await _slowly(self.run_terminate(reason))

    async def code_change(self, old_version, extra):
        self.run_code_change(extra)


class PlainBeneath(Scripted):
    """The same, as plain ``def``."""

    def init(self):
        return at_once(self.run_init())

    def handle_info(self, message):
        return at_once(self.run_info(message))

    def handle_continue(self, script):
        return at_once(self.run_named("handle_continue", script))

    def terminate(self, reason):
        return at_once(self.run_terminate(reason))

    def code_change(self, old_version, extra):
        self.run_code_change(extra)


async def _slowly(steps: Coroutine[Any, Any, Any]) -> Any:
    try:
        await checkpoint()
    except BaseException:
        steps.close()
        raise
    value = await steps
    await checkpoint()
    return value


def _who_called(recorder: Recorder, tag: str, caller: candil.Call) -> str:
    """Who waits for *caller*; who no longer waits is known by the request only."""
    return recorder.asked_by[tag] if caller.pid is None else recorder.role(caller.pid)


def _answer(script: Script) -> object:
    return script.get("reply", candil.NO_REPLY)


class AsyncCallbacks(AsyncBeneath):
    """OTP's callbacks, as ``async def``."""

    async def handle_call(self, script, caller):
        who = _who_called(self.recorder, script["tag"], caller)
        await _slowly(self.run_call(script, who, caller))
        return _answer(script)

    async def handle_cast(self, script):
        return await _slowly(self.run_named("handle_cast", script))


class PlainCallbacks(PlainBeneath):
    """OTP's callbacks, as plain ``def``."""

    def handle_call(self, script, caller):
        who = _who_called(self.recorder, script["tag"], caller)
        at_once(self.run_call(script, who, caller))
        return _answer(script)

    def handle_cast(self, script):
        return at_once(self.run_named("handle_cast", script))


def _answer_or(deferred: candil.Deferred[Any], script: Script) -> object:
    return script.get("reply", deferred)


def _tell(server: Scripted, script: Script) -> None:
    """Cast by the client of the server's own class, which may do without the handler."""
    client = getattr(type(server), "tell", None)
    if client is not None:
        client(candil.self(), script)
    else:
        candil.cast(candil.self(), script)


class AsyncHandlers(AsyncBeneath):
    """Decorated handlers, as ``async def``."""

    @candil.handle_call
    async def ask(self, script):
        deferred: candil.Deferred[Any] = candil.Deferred()
        who = self.recorder.asked_by[script["tag"]]
        await _slowly(self.run_call(script, who, deferred))
        return _answer_or(deferred, script)

    @candil.handle_cast
    async def tell(self, script):
        return await _slowly(self.run_named("handle_cast", script))

    def cast_to_self(self, script):
        _tell(self, script)


class PlainHandlers(PlainBeneath):
    """Decorated handlers, as plain ``def``: candil runs them in the task of their caller."""

    @candil.handle_call
    def ask(self, script):
        deferred: candil.Deferred[Any] = candil.Deferred()
        at_once(self.run_call(script, self.recorder.asked_by[script["tag"]], deferred))
        return _answer_or(deferred, script)

    @candil.handle_cast
    def tell(self, script):
        return at_once(self.run_named("handle_cast", script))

    def cast_to_self(self, script):
        _tell(self, script)


STYLES: dict[str, type[Scripted]] = {
    "async callbacks": AsyncCallbacks,
    "plain callbacks": PlainCallbacks,
    "async handlers": AsyncHandlers,
    "plain handlers": PlainHandlers,
}


_DECORATED = {"handle_call": "ask", "handle_cast": "tell"}


def class_of(style: str, server: dict[str, Any]) -> type[Scripted]:
    """The class of *style* for *server*, without the callbacks that it does without."""
    cls = STYLES[style]
    missing = set(server.get("without", []))
    if not missing:
        return cls
    missing |= {_DECORATED[name] for name in missing & set(_DECORATED)}
    members = {
        name: value
        for base in reversed(cls.__mro__[: cls.__mro__.index(Scripted)])
        for name, value in vars(base).items()
        if not name.startswith("__") and name not in missing
    }
    return type(cls.__name__, (Scripted,), members)


def styles_for(program: dict[str, Any]) -> list[str]:
    """The styles in which *program* can be written."""
    scripts = list(_scripts_in(program))
    effects = [effect for script in scripts for effect in script.get("does", [])]
    replied = {step[-2] for step in [*effects, *program["timeline"]] if step[0] == "reply"}
    waits = any(effect[0] in _WAITING_EFFECTS for effect in effects)
    # Only what answers by a Call can do so before its handler returns, or after it has returned.
    needs_caller = any(
        "reply" in script or ["wait"] in script.get("does", []) or _replies_to_itself(script)
        for script in scripts
        if script["tag"] in replied
    )
    return [
        style
        for style in STYLES
        if not (waits and style.startswith("plain"))
        and not (needs_caller and style.endswith("handlers"))
    ]


def _replies_to_itself(script: Script) -> bool:
    return any(effect[:2] == ["reply", script["tag"]] for effect in script.get("does", []))


def _scripts_in(value: object) -> Iterator[Script]:
    if isinstance(value, dict):
        if "tag" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _scripts_in(part)
