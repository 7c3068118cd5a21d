"""
Play scenarios on candil.

``python -m tests.conformance.replay < scenarios.jsonl > traces.jsonl``

A scenario is a tree and a timeline. Its player starts the tree under a process that traps exits,
does to it what the timeline says, and after each event waits until the tree is at rest. One
scenario, one ``trio.run``, one line.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, final

import attrs
import trio
from trio.testing import MockClock

import candil

from . import data
from .collector import Collector, Line
from .normalise import normalise
from .snapshot import at_rest, deserted
from .terms import reason_of, written
from .tree import child_spec, supervisor_spec

Scenario = dict[str, Any]

_LIMIT_MS = 20_000
_PARTING_SECONDS = 2.0
_REFUSALS = {
    candil.ChildNotFound: "not_found",
    candil.ChildRunning: "running",
    candil.ChildRestarting: "restarting",
    candil.ChildAlreadyPresent: "already_present",
    candil.AlreadyStarted: "already_started",
    candil.SimpleOneForOneError: "simple_one_for_one",
}
_STARTING = {"start_child", "start_dyn", "restart_child"}

Operation = Callable[[candil.Pid[Any]], Awaitable[object]]


@final
@attrs.define
class Player:
    """Plays one timeline on one running tree."""

    collector: Collector
    root: candil.Pid[Any]
    root_reason: candil.ExitReason | None = None
    is_over: bool = False

    async def play(self, timeline: list[Line]) -> None:
        """Play the whole *timeline*, and stop the root if that has not happened by then."""
        await self.settle()
        for event in timeline:
            if self.is_over:
                self.collector.write("skipped_root_dead")
                continue
            await self.play_event(event)
            await self.settle()
        if not self.is_over:
            self.collector.write("driver", "stop_root")
            await self.stop_root("shutdown")
            await self.settle()

    async def play_event(self, event: Line) -> None:
        """Do what one line of a timeline says."""
        match event:
            case ["exit" | "raise" | "signal" as what, id, value]:
                await self.poke(what, id, value)
            case ["batch", id, pokes]:
                await self.poke_while_suspended(id, pokes)
            case ["start_child", sup, node]:
                await self.operate(
                    "start_child",
                    sup,
                    node["id"],
                    lambda pid: candil.start_child(pid, child_spec(node, sup, self.collector)),
                )
            case ["start_dyn", sup, id]:
                await self.operate("start_dyn", sup, id, lambda pid: candil.start_child(pid, [id]))
            case ["terminate_dyn", sup, id]:
                child = self.collector.latest(id) or "a child that never was"
                await self.operate(
                    "terminate_dyn", sup, id, lambda pid: candil.terminate_child(pid, child)
                )
            case ["terminate_child" | "restart_child" | "delete_child" as what, sup, id]:
                function = getattr(candil, what)
                await self.operate(what, sup, id, lambda pid: function(pid, id))
            case ["script", id, script]:
                self.collector.rewrite_script(id, script)
            case ["sleep_ms", milliseconds]:
                await trio.sleep(milliseconds / 1000)
            case ["stop_sup", reason]:
                await self.stop_root(reason)
            case _:
                raise ValueError(f"a timeline cannot say {event!r}")

    async def settle(self) -> None:
        """Wait until the tree is at rest or gone, and write which."""
        state = await at_rest(self.root, self.collector)
        if state is not None:
            self.collector.write("state", state)
            return
        self.is_over = True
        reason = self.root_reason or await self.parting_reason(_PARTING_SECONDS)
        self.collector.write("root_exit", "?" if reason is None else written(reason))

    async def stop_root(self, reason: object) -> None:
        """Stop the root as its parent, and wait for its end."""
        candil.exit(self.root, reason_of(reason))
        self.root_reason = await self.parting_reason(float("inf"))

    async def parting_reason(self, seconds: float) -> candil.ExitReason | None:
        """Why the root exited, as its link tells its parent; None if it does not in time."""
        try:
            signal = await candil.receive(self.is_from_root, timeout=seconds)
        except candil.ReceiveTimeout:
            return None
        return signal.reason

    def is_from_root(self, message: object) -> bool:
        """Whether *message* is the exit signal of the root."""
        return isinstance(message, candil.ExitSignal) and message.pid == self.root

    async def poke(self, what: str, id: str, value: object) -> None:
        """Make a process stop, raise or get a signal; wait until it has taken note or is dead."""
        self.collector.write("do", what, id, value)
        pid = self.collector.living(id)
        if pid is None:
            self.collector.write("no_such_live", id)
        elif what == "signal":
            candil.exit(pid, reason_of(value))
            await keep_in_step(pid)
        else:
            candil.cast(pid, (what, value))
            await keep_in_step(pid)

    async def poke_while_suspended(self, id: str, pokes: list[Line]) -> None:
        """Let several processes die before the supervisor *id* may react to any of them."""
        self.collector.write("do", "batch", id)
        supervisor = self.collector.living(id)
        if supervisor is None:
            self.collector.write("no_such_live", id)
            return
        await candil.sys.suspend(supervisor)
        for what, target, value in pokes:
            await self.poke(what, target, value)
        await candil.sys.resume(supervisor)

    async def operate(self, what: str, sup: str, id: str, function: Operation) -> None:
        """Call one function of the supervisor API and write what came of it."""
        pid = self.root if sup == "root" else self.collector.living(sup)
        outcome = ["exit", "noproc"] if pid is None else await outcome_of(what, function, pid)
        self.collector.write("op", what, sup, id, outcome)


async def outcome_of(what: str, function: Operation, pid: candil.Pid[Any]) -> object:
    """What *function* returned or was refused with, as a trace writes it."""
    try:
        value = await function(pid)
    except candil.NoProc:
        return ["exit", "noproc"]
    except candil.ServerExited as error:
        return ["exit", written(error.reason)]
    except tuple(_REFUSALS) as refusal:
        return ["error", _REFUSALS[type(refusal)]]
    except candil.StartError as error:
        return ["error", written(error.reason)]
    except candil.SpecError:
        return ["error", "bad_spec"]  # OTP refuses it too, in its own words
    return ["ok", written(value)] if what in _STARTING else "ok"


async def keep_in_step(pid: candil.Pid[Any]) -> None:
    """
    Wait until *pid* has handled everything sent to it so far, or has died.

    Its supervisor has been told of its death by then.
    """
    ref = candil.monitor(pid)
    try:
        await candil.call(pid, "sync", timeout=float("inf"))
    except candil.CallError:
        # One that is still on its way out refuses calls already.
        await candil.receive(
            lambda message: isinstance(message, candil.Down) and message.ref == ref
        )
    candil.demonitor(ref, flush=True)


async def play(scenario: Scenario) -> list[Line]:
    """The trace of *scenario*."""
    collector = Collector()
    with trio.move_on_after(scenario.get("limit_ms", _LIMIT_MS) / 1000) as limit:
        with candil.subscribe(collector.observe):
            async with candil.open_node():
                await _play_in_node(scenario, collector)
                lines = list(collector.lines)
    return [["limit"]] if limit.cancelled_caught else normalise(lines, scenario)


async def _play_in_node(scenario: Scenario, collector: Collector) -> None:
    candil.trap_exit(True)
    try:
        root = await candil.start_link(supervisor_spec(scenario["sup"], "root", collector))
    except candil.StartError as error:
        await deserted(collector)
        collector.write("root_start", ["error", written(error.reason)])
        return
    if not collector.is_alive(root):
        collector.started("root", root)
    await Player(collector, root).play(scenario.get("timeline", []))


def trace_of(scenario: Scenario) -> dict[str, Any]:
    """Play *scenario* in a run of its own; the line to print."""
    try:
        # A virtual clock: how long a machine stands still is no part of what is compared.
        trace = trio.run(play, scenario, clock=MockClock(autojump_threshold=0))
    except Exception as error:  # noqa: BLE001  # a broken player is no disagreement
        trace = [["driver_crash", f"{type(error).__name__}: {error}"]]
    return {"name": scenario.get("name"), "trace": trace}


def main() -> None:
    """Read scenarios, print traces."""
    logging.disable()
    for scenario in data.parse(sys.stdin):
        print(data.line_of(trace_of(scenario)), flush=True)


if __name__ == "__main__":
    main()
