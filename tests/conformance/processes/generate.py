"""
Make programs: ``python -m tests.conformance.processes.generate SEED COUNT > programs.jsonl``.

The same seed makes the same program. What is made stays inside what OTP itself fixes:

- a burst, operations of one process between which nobody else runs, ends with what makes others
  run: exit signals, all to one target, a new process with a script, its own end, a wait;
- nobody asks about the target of an exit signal, or links, monitors or names it, before the burst
  is over: whether it still exists is open in OTP, and settled at once in candil;
- ``receive`` looks for what one sender sent, since who comes first of several is open;
- a process that takes a message as soon as it is there does nothing more with it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from typing import Any, final

from tests.conformance import data

Op = list[Any]
Step = list[Any]

_REASONS = [
    "normal",
    "shutdown",
    "kill",
    "killed",
    "boom",
    "noproc",
    ["shutdown", "x"],
    ["a", 1],
    7,
]
_SIGNALS = ["kill", "normal", "normal", "boom", "shutdown", "killed", ["shutdown", "x"], ["a", "b"]]
_NAMES = ["alpha", "beta"]


@final
class Author:
    """Writes one program."""

    def __init__(self, seed: int) -> None:
        self.name = f"p{seed}"
        self.random = random.Random(f"candil processes {seed}")
        count = self.random.randint(*self.pick([(2, 5), (2, 5), (6, 12)]))
        self.processes = [f"p{number}" for number in range(1, count + 1)]
        self.living = list(self.processes)  # as far as it is easy to tell
        self.monitors: dict[str, list[str]] = {}
        self.timers: list[str] = []
        self.made = 0
        self.trapping = self.pick([0.2, 0.5, 0.8])
        self.linking = self.pick([0.3, 0.8])

    def program(self) -> dict[str, Any]:
        """The processes and the timeline."""
        processes = list(self.processes)
        timeline = self.opening()
        for _ in range(self.random.randint(5, 30)):
            timeline.append(self.step())
        return {"name": self.name, "processes": processes, "timeline": timeline}

    def opening(self) -> list[Step]:
        """Who traps exits, and who is linked to whom: in chains, more often than not."""
        steps: list[Step] = [
            [id, "trap_exit", True] for id in self.processes if self.chance(self.trapping)
        ]
        pairs = zip(self.processes, self.processes[1:], strict=False)
        steps += [[one, "link", other] for one, other in pairs if self.chance(self.linking)]
        return steps

    def step(self) -> Step:
        """One process does one thing, or several at once."""
        id = self.actor()
        if self.chance(0.25):
            return [id, "burst", self.burst(id)]
        return [id, *self.any_op(id)]

    def any_op(self, id: str) -> Op:
        """One operation; nothing comes after it."""
        choices: list[tuple[int, Callable[[str], Op]]] = [
            (60, self.calm_op),
            (14, self.signal),
            (5, self.own_end),
            (8, self.spawn_with_script),
            (2, self.send_soon),
        ]
        return self.weighted(choices)(id)

    def burst(self, id: str) -> list[Op]:
        """Some operations of the process *id* between which nobody else runs."""
        ops = [self.calm_op(id) for _ in range(self.random.randint(1, 4))]
        ending = self.random.random()
        if ending < 0.4:
            ops += self.signals(id)
        elif ending < 0.7:
            ops.append(self.any_op(id))
        return list(_without_pauses(ops))

    def signals(self, id: str) -> list[Op]:
        """Exit signals to one target, and what may happen before it takes note."""
        target = self.other(id)
        self.may_die(target)
        reasons = self.pick([["kill"], [one for one in _SIGNALS if one != "kill"]])
        choices: list[tuple[int, Callable[[str], Op]]] = [
            (5, lambda _: ["signal", target, self.pick(reasons)]),
            (3, self.send),
            (2, lambda _: ["unlink", self.pick([target, self.anybody()])]),
            (2, lambda id: ["demonitor", self.own_monitor(id)]),
            (1, self.trap_exit),
            (1, lambda _: ["info"]),
        ]
        return [self.weighted(choices)(id) for _ in range(self.random.randint(1, 4))]

    # ------------------------------------------------------------------------- operations

    def calm_op(self, id: str) -> Op:
        """An operation that ends nobody and makes nobody run."""
        choices: list[tuple[int, Callable[[str], Op]]] = [
            (14, self.send),
            (14, self.link),
            (6, lambda _: ["unlink", self.anybody()]),
            (12, self.monitor),
            (6, self.demonitor),
            (6, self.trap_exit),
            (6, lambda _: ["register", self.pick(_NAMES), self.anybody()]),
            (4, lambda _: ["unregister", self.pick(_NAMES)]),
            (4, lambda _: ["whereis", self.pick(_NAMES)]),
            (3, lambda _: ["is_alive", self.anybody()]),
            (10, self.receive),
            (4, self.want),
            (5, self.spawn),
            (3, self.send_after),
            (3, self.cancel_timer),
            (2, lambda _: ["info"]),
        ]
        return self.weighted(choices)(id)

    def send(self, _id: str) -> Op:
        """A message, by pid or name."""
        return ["send", self.target(0.2), self.new("")]

    def link(self, id: str) -> Op:
        """A link, now and then to itself."""
        return ["link", self.pick([self.anybody(), self.other(id), self.other(id)])]

    def monitor(self, id: str) -> Op:
        """A monitor, by pid or name."""
        key = self.new("m")
        self.monitors.setdefault(id, []).append(key)
        return ["monitor", key, self.target(0.15)]

    def demonitor(self, id: str) -> Op:
        """One of its monitors, whatever has become of it."""
        key = self.own_monitor(id)
        return ["demonitor", key, "flush"] if self.chance(0.5) else ["demonitor", key]

    def trap_exit(self, _id: str) -> Op:
        """Traps exits, or no longer."""
        return ["trap_exit", self.chance(self.trapping)]

    def receive(self, id: str) -> Op:
        """Looks for something in its mailbox."""
        return ["receive", *self.pattern(id)]

    def want(self, id: str) -> Op:
        """Takes something as soon as it is there."""
        return ["want", *self.pattern(id), []]

    def pattern(self, id: str) -> Op:
        """Something that may come."""
        kind = self.pick(["message", "exit", "down", "any"])
        return [kind, self.own_monitor(id) if kind == "down" else self.anybody()]

    def spawn(self, id: str) -> Op:
        """A new process that waits for commands."""
        return self.spawn_op(id, [])

    def spawn_with_script(self, id: str) -> Op:
        """A new process that begins with something of its own."""
        own = f"s{self.made + 1}"
        script = [self.calm_op(own) for _ in range(self.random.randint(0, 3))]
        # Whom it spawned would begin while it goes on.
        script = [op for op in script if op[0] not in ("spawn", "spawn_link", "spawn_monitor")]
        if self.chance(0.5):
            script.append(self.pick([self.own_end(own), ["signal", id, self.pick(_SIGNALS)]]))
        return self.spawn_op(id, list(_without_pauses(script)))

    def spawn_op(self, id: str, script: list[Op]) -> Op:
        """A new process, linked, monitored or neither."""
        new = self.new("s")
        self.processes.append(new)
        self.living.append(new)
        how = self.pick(["spawn", "spawn_link", "spawn_link", "spawn_monitor"])
        if how != "spawn_monitor":
            return [how, new, script]
        key = self.new("m")
        self.monitors.setdefault(id, []).append(key)
        return [how, new, key, script]

    def signal(self, id: str) -> Op:
        """An exit signal, now and then to itself."""
        target = self.pick([self.other(id), self.other(id), self.other(id), id, self.anybody()])
        self.may_die(target)
        return ["signal", target, self.pick(_SIGNALS)]

    def own_end(self, id: str) -> Op:
        """Ends itself, one way or the other."""
        self.may_die(id)
        reason = self.pick(_REASONS)
        return self.pick([["exit", reason], ["raise", reason], ["return"]])

    def send_after(self, _id: str) -> Op:
        """A timer that does not fire."""
        return ["send_after", self.new_timer(), self.target(0.2), self.new("")]

    def send_soon(self, _id: str) -> Op:
        """A timer that fires."""
        return ["send_soon", self.new_timer(), self.target(0.2), self.new("")]

    def cancel_timer(self, _id: str) -> Op:
        """A timer, whatever has become of it."""
        return ["cancel_timer", self.pick(self.timers or ["none"])]

    # --------------------------------------------------------------------------- the dice

    def actor(self) -> str:
        """Who has its turn; now and then one that may be dead."""
        living = [id for id in self.living if id in self.processes]
        return self.pick(living) if living and self.chance(0.9) else self.anybody()

    def anybody(self) -> str:
        """Any process, dead or alive."""
        return self.pick(self.processes)

    def other(self, id: str) -> str:
        """A process that is probably alive, and not *id*."""
        others = [one for one in self.living if one != id]
        return self.pick(others or [one for one in self.processes if one != id])

    def target(self, by_name: float) -> str:
        """A process or a name."""
        return f"@{self.pick(_NAMES)}" if self.chance(by_name) else self.anybody()

    def own_monitor(self, id: str) -> str:
        """A monitor that *id* may have made."""
        return self.pick(self.monitors.get(id) or ["none"])

    def may_die(self, id: str) -> None:
        """Give *id* fewer turns from now on."""
        if id in self.living and self.chance(0.6):
            self.living.remove(id)

    def new(self, prefix: str) -> Any:
        """A key, or a tag, that nothing else has."""
        self.made += 1
        return f"{prefix}{self.made}" if prefix else self.made

    def new_timer(self) -> str:
        """A key for a timer."""
        key: str = self.new("t")
        self.timers.append(key)
        return key

    def chance(self, probability: float) -> bool:
        """Whether something of this *probability* happens."""
        return self.random.random() < probability

    def pick(self, options: Any) -> Any:
        """One of the *options*."""
        return self.random.choice(options)

    def weighted(self, choices: list[tuple[int, Callable[[str], Op]]]) -> Callable[[str], Op]:
        """One of the *choices*, by their weights."""
        weights = [weight for weight, _ in choices]
        return self.random.choices([choice for _, choice in choices], weights)[0]


def _without_pauses(ops: list[Op]) -> Iterator[Op]:
    """Leave out what waits for others, but at the beginning, and what a Down in flight decides."""
    has_monitored = False
    for index, op in enumerate(ops):
        is_pause = op[0] in ("receive", "is_alive") or op[-1] == "flush"
        is_open = has_monitored and op[0] in ("demonitor", "info", "link")
        if index == 0 or not (is_pause or is_open):
            yield op
        has_monitored = has_monitored or op[0] == "monitor"


def program(seed: int) -> dict[str, Any]:
    """The program that *seed* stands for."""
    return Author(seed).program()


def main() -> None:
    """Print *COUNT* programs, from the seed *SEED* on."""
    first, count = map(int, sys.argv[1:3])
    for seed in range(first, first + count):
        print(data.line_of(program(seed)))


if __name__ == "__main__":
    main()
