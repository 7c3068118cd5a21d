"""
Play programs on candil.

``python -m tests.conformance.servers.play [STYLE] < programs.jsonl > traces.jsonl``

A program is a server and a timeline. Its clients, one of them the server's parent, are processes
that do what they are told, one step after the other; before each step all must be at rest. One
program, one ``trio.run``, one line. Time is virtual: it goes on when the timeline says so.
"""

from __future__ import annotations

import copy
import logging
import sys
from typing import Any, final

import attrs
import trio
import trio.testing

import candil
from tests.conformance import data
from tests.conformance.terms import Raised, reason_of

from .recorder import CALL_SOON, LONG, NAME, SLEEP, START_SOON, Line, Recorder, written
from .scripted import STYLES, Scripted, class_of

CLIENTS = {"parent": False, "a": True, "b": True, "c": False, "d": False}


@final
@attrs.frozen
class Command:
    """What a client is told to do."""

    step: Line


@final
@attrs.frozen
class Client:
    """One process that does what it is told and writes what it gets."""

    role: str
    recorder: Recorder
    cls: type[Scripted]

    async def run(self, traps: bool) -> None:
        """Be that process."""
        candil.trap_exit(traps)
        while True:
            message = await candil.receive()
            if type(message) is Command:
                await self.do(message.step)
                self.recorder.busy.discard(self.role)
            else:
                self.write("message", self.recorder.message(message))

    def write(self, *line: object) -> None:
        self.recorder.write(self.role, *line)

    async def do(self, step: Line) -> None:  # noqa: C901, PLR0912  # one line a step
        """Do what one line of a timeline says."""
        recorder = self.recorder
        match step:
            case ["start", _]:
                await self.start()
            case ["call", _, target, script, timeout]:
                await self.call(target, script, timeout)
            case ["cast", _, target, script]:
                self.cast(recorder.target(target), script)
            case ["send", _, target, script]:
                self.send(recorder.target(target), script)
            case ["signal", _, reason]:
                candil.exit(recorder.target("server"), reason_of(reason))
            case ["stop", _, target, reason, timeout]:
                await self.stop(recorder.target(target), reason_of(reason), seconds(timeout))
            case ["sys", _, what, *argument]:
                await self.ask_sys(what, *argument)
            case ["reply", _, tag, value]:
                recorder.reply(tag, value)
            case ["monitor", _]:
                candil.monitor(recorder.target("server"))
            case ["link", _]:
                self.link(recorder.target("server"))
            case ["unlink", _]:
                candil.unlink(recorder.target("server"))
            case ["die", _, reason]:
                raise candil.ProcessExit(reason_of(reason))
            case _:
                raise ValueError(f"a timeline cannot say {step!r}")

    async def start(self) -> None:
        options = self.recorder.server
        latest = self.recorder.latest("server")
        if latest is not None and candil.is_alive(latest) and "name" not in options:
            self.write("skipped")
            return
        function = getattr(candil, options["start"])
        try:
            await function(
                self.cls,
                self.recorder,
                name=NAME if "name" in options else None,
                timeout=START_SOON if "start_timeout" in options else float("inf"),
            )
        except candil.AlreadyStarted:
            self.write("start", "already_started")
        except candil.StartIgnored:
            self.write("start", "ignore")
        except candil.StartError as error:
            self.write("start", ["error", written(error.reason)])
        else:
            self.write("start", "ok")

    async def call(self, target: str, script: Line, timeout: str) -> None:
        server = self.recorder.target(target)
        self.recorder.asked_by[script["tag"]] = self.role
        client = getattr(self.cls, "ask", None)
        try:
            if client is not None:
                value = await client.within(seconds(timeout))(server, script)
            else:
                value = await candil.call(server, script, timeout=seconds(timeout))
        except candil.CallError as error:
            self.write("failed", outcome(error))
        else:
            self.write("reply", value)

    def cast(self, server: Any, script: Line) -> None:
        client = getattr(self.cls, "tell", None)
        if client is not None:
            client(server, script)
        else:
            candil.cast(server, script)

    def send(self, server: Any, script: Line) -> None:
        try:
            candil.send(server, script)
        except candil.NoProc:
            self.write("not_sent")

    async def stop(self, server: Any, reason: candil.ExitReason, timeout: float) -> None:
        try:
            await candil.stop(server, reason, timeout=timeout)
        except candil.CallError as error:
            self.write("not_stopped", outcome(error))
        else:
            self.write("stopped")

    async def ask_sys(self, what: str, *argument: Any) -> None:
        server = self.recorder.target("server")
        result: object
        try:
            match what:
                case "get_state":
                    result = (await candil.sys.get_state(server, timeout=LONG)).mark
                case "replace_state":
                    replaced = await candil.sys.replace_state(
                        server, lambda state: marked(state, *argument), timeout=LONG
                    )
                    result = replaced.mark
                case "change_code":
                    await candil.sys.change_code(server, "old", *argument, timeout=LONG)
                    result = "ok"
                case _:
                    await getattr(candil.sys, what)(server, timeout=LONG)
                    result = "ok"
        except candil.CallError as error:
            result = ["exit", outcome(error)]
        except (Raised, RuntimeError):
            result = "refused"
        self.write("sys", what, result)

    def link(self, server: Any) -> None:
        if candil.is_alive(server):
            candil.link(server)
        else:
            self.write("skipped")


def marked(state: Scripted, mark: object) -> Scripted:
    """A state like *state*, with another mark."""
    if mark == "bug":
        raise Raised("bug")
    changed = copy.copy(state)
    changed.mark = mark
    return changed


def seconds(timeout: str) -> float:
    """How long a client waits."""
    return {"soon": CALL_SOON, "long": LONG}[timeout]


def outcome(error: candil.CallError) -> object:
    """Why a call failed, as a trace writes it."""
    match error:
        case candil.NoProc():
            return "noproc"
        case candil.CallTimeout():
            return "timeout"
        case candil.CallingSelf():
            return "calling_self"
        case candil.ServerExited(reason=reason):
            return written(reason)
    raise error


async def play(program: dict[str, Any], style: str) -> list[Line]:
    """The trace of *program*."""
    program = copy.deepcopy(program)
    recorder = Recorder(program["server"])
    cls = class_of(style, program["server"])
    with candil.subscribe(recorder.observe):
        async with candil.open_node(log=False):
            recorder.enter("dead", candil.spawn(trio.lowlevel.checkpoint))
            for role, traps in CLIENTS.items():
                client = Client(role, recorder, cls)
                does_trap = traps or (role == "parent" and "parent_traps" in program["server"])
                recorder.enter(role, candil.spawn(client.run, does_trap))
            await trio.testing.wait_all_tasks_blocked()
            recorder.lines.clear()
            await play_step(recorder, ["start", "parent"])
            for number, step in enumerate(program["timeline"], start=1):
                recorder.write("step", number)
                await play_step(recorder, step)
            return recorder.lines[:]
    raise AssertionError("a node swallows nothing")


async def play_step(recorder: Recorder, step: Line) -> None:
    """Do what one line of a timeline says, and wait until all are at rest."""
    match step:
        case ["open"]:
            recorder.open_gate()
        case ["sleep"]:
            await trio.sleep(SLEEP)
        case [_, role, *_]:
            client = recorder.target(role)
            if not candil.is_alive(client):
                recorder.write(role, "dead")
            elif role in recorder.busy:
                recorder.write(role, "busy")
            else:
                recorder.busy.add(role)
                candil.send(client, Command(step))
    await trio.testing.wait_all_tasks_blocked()


def trace_of(program: dict[str, Any], style: str) -> dict[str, Any]:
    """Play *program* in a run of its own; the line to print."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    try:
        trace = trio.run(play, program, style, clock=clock)
    except Exception as error:  # noqa: BLE001  # a broken player is no disagreement
        trace = [["driver_crash", f"{type(error).__name__}: {error}"]]
    return {"name": program.get("name"), "trace": trace}


def main() -> None:
    """Read programs, print traces."""
    logging.disable()
    style = " ".join(sys.argv[1:]) or next(iter(STYLES))
    for program in data.parse(sys.stdin):
        print(data.line_of(trace_of(program, style)), flush=True)


if __name__ == "__main__":
    main()
