"""
Play programs on candil.

``python -m tests.conformance.processes.play < programs.jsonl > traces.jsonl``

A program is some processes and a timeline of what each of them does. After each step the player
waits until nothing moves any more and writes what has changed. One program, one ``trio.run``, one
line.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, final

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import candil
from tests.conformance import data
from tests.conformance.terms import written

from .recorder import Recorder, StepMark, in_one_order
from .scripted import Command, ScriptedProcess

Program = dict[str, Any]
Line = list[Any]

_LIMIT_SECONDS = 20_000


@final
@attrs.define
class Player:
    """Plays one program in the current node."""

    recorder: Recorder = attrs.field(factory=Recorder)
    lines: list[Line] = attrs.field(factory=list)
    deaths: list[Line] = attrs.field(factory=list)
    states: dict[str, Any] = attrs.field(factory=dict)

    async def play(self, program: Program) -> None:
        """Play the whole *program*, and end all that is left of it."""
        for id in program["processes"]:
            self.recorder.enter(id, candil.spawn(ScriptedProcess(id, self.recorder).live, []))
        await self.write_snapshot()
        for step in program["timeline"]:
            await self.play_step(step)
        for id in self.recorder.living():
            candil.exit(self.recorder.pid(id), "kill")
        await wait_all_tasks_blocked()

    async def play_step(self, step: Line) -> None:
        """Have one process do one thing."""
        self.lines.append(["do", *step])
        id, *op = step
        if id not in self.recorder.living():
            self.lines.append(["gone", id])
            return
        command = Command([op])
        candil.send(self.recorder.pid(id), command)
        await command.done.wait()
        await self.write_snapshot()

    async def write_snapshot(self) -> None:
        """Write what has been told, who has died, and who looks otherwise than before."""
        await wait_all_tasks_blocked()
        self.lines += sorted(self.recorder.notes, key=_id)
        self.lines += sorted(self.deaths, key=_id)
        self.recorder.notes.clear()
        self.deaths.clear()
        before, self.states = self.states, {id: self.state(id) for id in self.recorder.living()}
        self.lines += [
            ["state", id, state] for id, state in self.states.items() if state != before.get(id)
        ]
        for id in self.states:
            self.add_step_mark(id)

    def state(self, id: str) -> dict[str, Any]:
        """What can be seen of a process, without what is empty, zero or false."""
        pid = self.recorder.pid(id)
        info = candil.process_info(pid)
        messages = _mailbox(pid)
        step_marks = sum(isinstance(message, StepMark) for message in messages)
        if info is None:
            raise AssertionError(f"{id} is alive and has no process_info")
        state = {
            "links": self.recorder.ids(info.links),
            "trap_exit": info.trap_exit,
            "name": info.registered_name,
            "monitors": len(info.monitors),
            "monitored_by": self.recorder.ids(info.monitored_by),
            "message_queue_len": info.message_queue_len - step_marks,
            "mailbox": [
                self.recorder.written(one) for one in in_one_order(messages, self.recorder)
            ],
        }
        return {key: value for key, value in state.items() if value}

    def add_step_mark(self, id: str) -> None:
        """Mark the end of a mailbox, unless it is empty or marked already."""
        pid = self.recorder.pid(id)
        messages = _mailbox(pid)
        if messages and not isinstance(messages[-1], StepMark):
            candil.send(pid, StepMark())

    def observe(self, event: object) -> None:
        """Write down the death of a process; every other event is no concern of it."""
        if isinstance(event, candil.ProcessExited):
            id = self.recorder.id(event.pid)
            if id is not None:
                self.deaths.append(["died", id, written(event.reason)])


def _id(line: Line) -> str:
    id: str = line[1]
    return id


def _mailbox(pid: candil.Pid[Any]) -> list[object]:
    process = pid.process
    return [] if process is None else list(process.mailbox)


async def play(program: Program) -> list[Line]:
    """The trace of *program*."""
    player = Player()
    with trio.move_on_after(_LIMIT_SECONDS) as limit, candil.subscribe(player.observe):
        async with candil.open_node(log=False):
            await player.play(program)
    return [["limit"]] if limit.cancelled_caught else player.lines


def trace_of(program: Program) -> dict[str, Any]:
    """Play *program* in a run of its own; the line to print."""
    try:
        # Timers fire at once when everybody waits, and a program that hangs reaches its limit.
        trace = trio.run(play, program, clock=MockClock(autojump_threshold=0))
    except Exception as error:  # noqa: BLE001  # a broken player is no disagreement
        trace = [["driver_crash", f"{type(error).__name__}: {error}"]]
    return {"name": program.get("name"), "trace": trace}


def main() -> None:
    """Read programs, print traces."""
    logging.disable()
    for program in data.parse(sys.stdin):
        print(data.line_of(trace_of(program)), flush=True)


if __name__ == "__main__":
    main()
