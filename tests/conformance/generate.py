"""
Make scenarios: ``python -m tests.conformance.generate SEED COUNT > scenarios.jsonl``.

The same seed makes the same scenario. What is made stays inside what OTP itself fixes:

- a supervisor gets no signal but ``kill``, for its callbacks do not know the player's calls;
- a dynamic child is a worker, for how the stops of several supervisors mix is open;
- a batch pokes children of the suspended supervisor only, for others would be restarted meanwhile;
- a dynamic child is never ignored when it is restarted, for OTP 25 keeps a ghost of it then;
- what hangs in ``terminate`` hangs far longer than its shutdown allows, or hardly at all;
- restart windows are too long to run out.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any, final

import attrs

from . import data

Node = dict[str, Any]
Event = list[Any]

_EXITS = ["normal", "shutdown", ["shutdown", "x"], "boom", "killed", "kill", ["oops", "now"]]
_SIGNALS = ["kill", "kill", "boom", "shutdown", "normal", "killed", ["shutdown", "x"], ["shutdown"]]
_BUGS = ["bad", ["bad", "luck"], "normal"]
_PARTINGS = ["oops", "normal", "shutdown", ["shutdown", "late"], ["a", "b"], "kill"]
_ROOT_STOPS = ["shutdown", "normal", "boom", "kill", ["shutdown", "x"]]
_FAILURES = [["error", "e1"], ["error", ["e", "2"]], ["raise", "rr"], ["init_stop", "is"]]


@final
@attrs.frozen
class Shape:
    """How large a scenario is and what it tends to."""

    name: str
    weight: int
    depth: int
    children: tuple[int, int]
    processes: int
    events: tuple[int, int]
    nesting: float
    intensities: tuple[int, ...]


SHAPES = (
    Shape("small", 6, 1, (1, 4), 6, (3, 10), 0.25, (0, 1, 2, 3)),
    Shape("nested", 6, 3, (1, 4), 16, (4, 14), 0.4, (0, 1, 2, 3, 5)),
    Shape("large", 3, 4, (2, 6), 48, (12, 36), 0.35, (1, 3, 6, 12)),
    Shape("wide", 2, 1, (8, 24), 40, (10, 30), 0.08, (2, 5, 20)),
    Shape("deep", 2, 12, (1, 3), 28, (6, 18), 0.75, (0, 1, 2, 4)),
    Shape("huge", 1, 5, (4, 9), 140, (30, 60), 0.35, (4, 10, 40)),
    Shape("flat and busy", 2, 0, (3, 7), 7, (15, 40), 0.0, (3, 8, 30)),
)


@final
@attrs.define
class Family:
    """A supervisor of the scenario and the ids it may have."""

    id: str
    is_dynamic: bool
    children: list[str] = attrs.field(factory=list)
    supervisors: set[str] = attrs.field(factory=set)


@final
class Author:
    """Writes one scenario."""

    def __init__(self, seed: int) -> None:
        self.name = f"g{seed}"
        self.random = random.Random(f"candil {seed}")  # a string: close seeds are not alike
        self.shape = self.random.choices(SHAPES, [shape.weight for shape in SHAPES])[0]
        self.families: list[Family] = []
        self.made = 0

    def scenario(self) -> Node:
        """The tree and its timeline."""
        sup = self.sup("root", self.shape.depth, self.shape.processes)
        wanted = self.random.randint(*self.shape.events)
        timeline: list[Event] = []
        while len(timeline) < wanted:
            timeline += self.next_events()
        return {"name": self.name, "sup": sup, "timeline": timeline}

    # ------------------------------------------------------------------------------- the tree

    def sup(self, id: str, depth: int, room: int) -> Node:
        """A supervisor and all below it: *depth* levels, and about *room* processes at most."""
        strategies = ["one_for_one", "one_for_all", "rest_for_one"]
        is_dynamic = self.chance(0.12)
        sup: Node = {"strategy": "simple_one_for_one" if is_dynamic else self.pick(strategies)}
        if self.chance(0.9):
            sup |= {"intensity": self.pick(self.shape.intensities), "period": 1000}
        # Newer OTP refuses the combination that older ones, and candil, accept.
        if not is_dynamic and self.chance(0.25):
            sup["auto_shutdown"] = self.pick(["any_significant", "all_significant"])
        family = Family(id, is_dynamic)
        self.families.append(family)
        count = 1 if is_dynamic else min(self.random.randint(*self.shape.children), room)
        share = room // max(count, 1)
        sup["children"] = [
            self.child(family, 0 if is_dynamic else depth, share, "auto_shutdown" in sup)
            for _ in range(count)
        ]
        return sup

    def child(self, family: Family, depth: int, room: int, may_matter: bool) -> Node:
        """A child specification; *may_matter* allows it to be significant."""
        node: Node = {"id": self.new_id()}
        if self.chance(0.9):
            node["restart"] = self.pick(["permanent", "permanent", "transient", "temporary"])
        if may_matter and node.get("restart") in ("transient", "temporary") and self.chance(0.6):
            node["significant"] = True
        if family.is_dynamic:
            return node | self.worker(can_be_ignored=False)
        family.children.append(node["id"])
        if depth > 0 and room > 0 and self.chance(self.shape.nesting):
            family.supervisors.add(node["id"])
            return node | self.nested(node["id"], depth, room)
        return node | self.worker(can_be_ignored=True)

    def nested(self, id: str, depth: int, room: int) -> Node:
        """What makes a child a supervisor."""
        options: Node = {"type": "supervisor", "sup": self.sup(id, depth - 1, room - 1)}
        if self.chance(0.15):
            options["shutdown"] = self.pick(["brutal_kill", 5000])
        if self.chance(0.1):
            options["start"] = self.script(can_be_ignored=True)
        return options

    def worker(self, *, can_be_ignored: bool) -> Node:
        """What makes a child a worker."""
        options: Node = {"trap": True} if self.chance(0.55) else {}
        if self.chance(0.25):
            options["shutdown"] = self.pick(["brutal_kill", "infinity", 2000, 0])
        if self.chance(0.18):
            options["start"] = self.script(can_be_ignored)
        if "trap" in options:
            self.add_parting(options)
        return options

    def add_parting(self, options: Node) -> None:
        """Give a worker that traps exits an end of its own, now and then."""
        if options.get("shutdown") == 0:
            del options["shutdown"]  # whether terminate runs then is a matter of luck
        if self.chance(0.12):
            options["term_exit"] = self.pick(_PARTINGS)
        elif self.chance(0.02):
            options |= {"term_hang_ms": 400, "shutdown": 15}
        elif self.chance(0.03):
            options["term_hang_ms"] = 1

    def script(self, can_be_ignored: bool) -> list[Any]:
        """What the starts of a child do, one after the other."""
        endings = [*_FAILURES, "ok", "ok", *(["ignore"] if can_be_ignored else [])]
        first = self.pick(endings) if self.chance(0.08) else "ok"
        return [first, *(self.pick(endings) for _ in range(self.random.randint(1, 4)))]

    # --------------------------------------------------------------------------- the timeline

    def next_events(self) -> list[Event]:
        """One thing that happens, or a few that belong together."""
        family = self.pick(self.families)
        if family.is_dynamic:
            return self.dynamic_events(family)
        choices: list[tuple[int, Callable[[Family], list[Event]]]] = [
            (40, self.poke),
            (14, self.batch),
            (18, self.administer),
            (10, self.administer_at_length),
            (10, self.add),
            (4, self.rewrite_script),
            (2, self.kill_supervisor),
            (1, self.rest),
            (1, self.stop_root),
        ]
        weights = [weight for weight, _ in choices]
        return self.random.choices([choice for _, choice in choices], weights)[0](family)

    def poke(self, family: Family) -> list[Event]:
        """A child stops, raises or gets a signal."""
        return [self.poke_of(family)] if family.children else []

    def poke_of(self, family: Family) -> Event:
        id = self.pick(family.children)
        if id in family.supervisors:
            return ["signal", id, "kill"]
        match self.pick(["exit", "exit", "raise", "signal", "signal"]):
            case "exit":
                return ["exit", id, self.pick(_EXITS)]
            case "raise":
                return ["raise", id, self.pick(_BUGS)]
            case _:
                return ["signal", id, self.pick(_SIGNALS)]

    def batch(self, family: Family) -> list[Event]:
        """Several children die before their supervisor can react."""
        pokes = [self.poke_of(family) for _ in range(self.random.randint(2, 5)) if family.children]
        pokes = [poke for poke in pokes if poke[0] != "raise"]
        return [["batch", family.id, pokes]] if pokes else []

    def administer(self, family: Family) -> list[Event]:
        """One call of the supervisor's functions, for a child it has, had or never had."""
        functions = ["terminate_child", "terminate_child", "restart_child", "delete_child"]
        return [[self.pick(functions), family.id, self.pick([*family.children, "nobody"])]]

    def administer_at_length(self, family: Family) -> list[Event]:
        """Calls that follow each other on one child."""
        if not family.children:
            return []
        id = self.pick(family.children)
        calls = self.pick(
            [
                ["terminate_child", "restart_child"],
                ["terminate_child", "delete_child", "restart_child"],
                ["terminate_child", "delete_child", "start_child"],
                ["terminate_child", "start_child", "restart_child", "restart_child"],
                ["terminate_child", "terminate_child", "delete_child", "delete_child"],
                ["start_child", "delete_child"],
            ]
        )
        again = {"id": id, "restart": self.pick(["permanent", "transient", "temporary"])}
        again |= self.worker(can_be_ignored=True)
        if id in family.supervisors:
            calls = [call for call in calls if call != "start_child"]
        return [[call, family.id, again if call == "start_child" else id] for call in calls]

    def add(self, family: Family) -> list[Event]:
        """A new child, sometimes a whole tree."""
        return [["start_child", family.id, self.child(family, 2, 5, may_matter=False)]]

    def rewrite_script(self, family: Family) -> list[Event]:
        """From now on the starts of a child go otherwise."""
        ids = [*family.children]
        return [["script", self.pick(ids), self.script(can_be_ignored=True)]] if ids else []

    def kill_supervisor(self, family: Family) -> list[Event]:
        """The supervisor itself is killed."""
        return [["signal", family.id, "kill"]] if family.id != "root" or self.chance(0.2) else []

    def rest(self, _: Family) -> list[Event]:
        """A moment passes."""
        return [["sleep_ms", self.random.randint(1, 4)]]

    def stop_root(self, _: Family) -> list[Event]:
        """The whole tree is stopped early."""
        return [["stop_sup", self.pick(_ROOT_STOPS)]] if self.chance(0.4) else []

    def dynamic_events(self, family: Family) -> list[Event]:
        """What happens to the children of a simple_one_for_one supervisor."""
        if not family.children or self.chance(0.3):
            ids = [self.new_id() for _ in range(self.random.randint(1, 3))]
            family.children += ids
            return [["start_dyn", family.id, id] for id in ids]
        id = self.pick(family.children)
        stranger = self.pick(self.pick(self.families).children or ["nobody"])
        refused = self.pick(["terminate_child", "restart_child", "delete_child"])
        choices = [
            (3, self.poke(family)),
            (1, self.batch(family)),
            (1, [["terminate_dyn", family.id, id]]),
            (1, [["terminate_dyn", family.id, stranger]]),
            (1, [[refused, family.id, id]]),
            (1, [["script", id, self.script(can_be_ignored=False)]]),
        ]
        weights = [weight for weight, _ in choices]
        return self.random.choices([events for _, events in choices], weights)[0]

    # -------------------------------------------------------------------------------- the dice

    def new_id(self) -> str:
        """An id that nobody has."""
        self.made += 1
        return f"p{self.made}"

    def chance(self, probability: float) -> bool:
        """Whether something of this *probability* happens."""
        return self.random.random() < probability

    def pick(self, options: Any) -> Any:
        """One of the *options*."""
        return self.random.choice(options)


def scenario(seed: int) -> Node:
    """The scenario that *seed* stands for."""
    return Author(seed).scenario()


def main() -> None:
    """Print *COUNT* scenarios, from the seed *SEED* on."""
    first, count = map(int, sys.argv[1:3])
    for seed in range(first, first + count):
        print(data.line_of(scenario(seed)))


if __name__ == "__main__":
    main()
