"""
Make programs: ``python -m tests.conformance.servers.generate SEED COUNT > programs.jsonl``.

The same seed makes the same program. What is made stays inside what OTP itself fixes:

- a parent whose server may fail in ``init`` traps exits;
- a client that the server may be linked to is never one that it monitors, for which of the two
  messages comes first is open;
- whom the server signals is not linked to it, and the server starts nothing else in that callback;
- who was just signalled is not killed: of one that still ends, candil takes that as the reason;
- a server that exits itself never ceases to trap exits, for the signal may come later than that;
- who exits itself does nothing more in that callback, for Erlang ends it there and then;
- time goes on in ``sleep`` only, and what is to happen soon happens then.
"""

from __future__ import annotations

import random
import sys
from typing import Any, final

from tests.conformance import data

from .recorder import Line, Script

_REASONS = [
    "normal",
    "shutdown",
    ["shutdown", "x"],
    "boom",
    "boom",
    "kill",
    "killed",
    "noproc",
    "timeout",
    ["oops", "now"],
]
_BUGS = ["bad", ["bad", "luck"], "normal"]
_CALLERS = ["a", "b", "c", "d", "a", "b", "c", "d", "parent"]
_STARTING = {"cast", "send", "monitor", "link"}
_OPTIONAL = ["handle_call", "handle_cast", "handle_info", "handle_continue", "terminate"]

_STEPS = {
    "call": 30,
    "cast": 12,
    "send": 8,
    "signal": 6,
    "stop": 4,
    "suspend": 5,
    "resume": 6,
    "sys": 5,
    "reply": 8,
    "monitor": 4,
    "link": 4,
    "unlink": 1,
    "die": 3,
    "open": 6,
    "start": 5,
    "lost": 4,
}
_EFFECTS = {
    "reply": 6,
    "mark": 2,
    "cast": 3,
    "send": 3,
    "trap": 2,
    "exit_self": 2,
    "monitor": 2,
    "link": 2,
    "unlink": 1,
    "signal": 2,
    "tell": 3,
    "unregister": 1,
}
_WAITING = {"wait": 6, "call_self": 1, "stop_self": 1, "call_nobody": 1}
_GOING_ON = {"continue", "timeout"}
_DEEPEST = 3


@final
class Author:
    """Writes one program."""

    def __init__(self, seed: int) -> None:
        self.name = f"s{seed}"
        self.random = random.Random(f"candil servers {seed}")  # a string: close seeds are not alike
        self.made = 0
        self.calls: list[str] = []
        self.may_wait = self.chance(0.4)
        self.takes_time = self.chance(0.25)
        self.is_named = self.chance(0.5)
        self.answers_twice = self.chance(0.3)
        self.may_untrap = self.chance(0.3)
        self.calmness = self.pick([2, 6, 20])
        self.soon = False

    def program(self) -> dict[str, Any]:
        """The server and its timeline."""
        server = self.server()
        timeline: list[Line] = []
        wanted = self.random.randint(3, 16)
        while len(timeline) < wanted:
            timeline.append(self.step())
            if self.soon and self.chance(0.6):
                self.soon = False
                timeline.append(["sleep"])
        return {"name": self.name, "server": server, "timeline": timeline}

    # ----------------------------------------------------------------------------- the server

    def server(self) -> dict[str, Any]:
        """How it is started, and what it does when nobody's request says."""
        server: dict[str, Any] = {
            "start": self.pick(["start", "start_link", "start_link", "start_monitor"]),
            "init": self.init(),
        }
        if self.chance(0.1):
            server["without"] = self.random.sample(_OPTIONAL, self.random.randint(1, 2))
        server |= {key: True for key in ["trap", "parent_traps"] if self.chance(0.5)}
        if self.is_named:
            server["name"] = True
        if server["start"] == "start_link" and server["init"].keys() & {"then", "does"}:
            server["parent_traps"] = True
        if self.takes_time and self.may_wait and self.chance(0.3):
            server["start_timeout"] = self.soon = True
            server["parent_traps"] = True
        server["on"] = {
            kind: [self.script("info", 1) for _ in range(self.random.randint(1, 2))]
            for kind in ["EXIT", "DOWN", "timeout"]
            if self.chance(0.5)
        }
        if self.chance(0.3):
            server["terminate"] = self.script("terminate", 1)
        return server

    def init(self) -> Script:
        """What ``init`` does: mostly nothing."""
        return self.script("init", 0) if self.chance(0.4) else {"tag": self.new_tag()}

    # --------------------------------------------------------------------------- the timeline

    def step(self) -> Line:  # noqa: C901, PLR0911  # one line a kind of step
        """One thing that happens."""
        who = self.pick(_CALLERS)
        match kind := self.one_of(_STEPS):
            case "call":
                return ["call", who, self.target(), self.script("call", 0), self.timeout()]
            case "cast" | "send":
                return [kind, who, self.target(), self.script(kind, 0)]
            case "signal":
                return ["signal", self.pick([*_CALLERS, "parent", "parent"]), self.reason()]
            case "stop":
                return ["stop", who, self.target(), self.wanted(), self.timeout()]
            case "suspend" | "resume":
                return ["sys", who, kind]
            case "sys":
                return ["sys", who, *self.question()]
            case "reply":
                return ["reply", who, self.known_call(), self.number()]
            case "monitor" | "unlink":
                return [kind, who]
            case "link":
                return ["link", self.pick(["b", "c"])]
            case "die":
                return ["die", who, self.reason()]
            case "open":
                return ["open"]
            case "start":
                return ["start", "parent"]
        return self.lost(who)

    def lost(self, who: str) -> Line:
        """Something for a server that is not there."""
        target = self.pick(["unknown", "none", "dead", "dead"])
        match what := self.pick(["call", "cast", "send", "stop"]):
            case "stop":
                return ["stop", who, target, self.wanted(), "long"]
            case "call":
                return ["call", who, target, {"tag": self.new_tag()}, "long"]
        target = "unknown" if target == "none" else target
        return [what, who, target, {"tag": self.new_tag()}]

    def target(self) -> str:
        """The server, by pid or by name."""
        return "name" if self.is_named and self.chance(0.5) else "server"

    def timeout(self) -> str:
        """How long a client waits."""
        if self.takes_time and self.chance(0.4):
            self.soon = True
            return "soon"
        return "long"

    def question(self) -> Line:
        """What somebody asks by ``sys``, beside suspending."""
        return self.pick(
            [
                ["get_state"],
                ["replace_state", self.number()],
                ["replace_state", "bug"],
                ["change_code", "new"],
                ["change_code", "bug"],
            ]
        )

    # ---------------------------------------------------------------------------- the scripts

    def script(self, kind: str, depth: int) -> Script:
        """What one callback does."""
        script: Script = {"tag": self.new_tag()}
        if kind == "call":
            if self.chance(0.7):
                script["reply"] = self.number()
            if self.answers_twice or "reply" not in script:
                self.calls.append(script["tag"])
        does = [self.effect(depth) for _ in range(self.pick([0, 0, 0, 1, 1, 2, 3]))]
        ends = [at for at, effect in enumerate(does) if effect[0] == "exit_self"]
        does = does[: ends[0] + 1] if ends else does
        does = _without_late_kills(does, is_late=kind == "terminate")
        signals = any(effect[0] == "signal" for effect in does)
        if signals:
            does = [effect for effect in does if effect[0] not in _STARTING]
        if does:
            script["does"] = does
        then = self.then(kind, depth)
        if then and not (signals and then[0] in _GOING_ON):
            script["then"] = then
        return script

    def effect(self, depth: int) -> Line:  # noqa: PLR0911  # one line a kind of effect
        """One thing that a callback does before it returns."""
        waits = self.may_wait and self.chance(0.3)
        match kind := self.one_of(_WAITING if waits else _EFFECTS):
            case "reply":
                return ["reply", self.known_call(), self.number()]
            case "mark":
                return ["mark", self.number()]
            case "cast" | "send" if depth < _DEEPEST:
                return [kind, self.script(kind, depth + 1)]
            case "trap":
                return ["trap", not self.may_untrap or self.chance(0.5)]
            case "exit_self" if not self.may_untrap and self.random.randrange(self.calmness) == 0:
                return ["exit_self", self.reason()]
            case "monitor":
                return ["monitor", "a"]
            case "link" | "unlink":
                return [kind, self.pick(["b", "c"])]
            case "signal":
                return ["signal", self.pick(["a", "d"]), self.reason()]
            case "unregister" | "wait" | "call_self" | "stop_self" | "call_nobody":
                return [kind]
        return ["tell", self.pick(_CALLERS), self.number()]

    def then(self, kind: str, depth: int) -> Line | None:
        """How a callback ends."""
        ends = self.random.randrange(self.calmness) == 0
        if kind == "terminate":
            return [self.pick(["raise", "exit"]), self.pick(_BUGS)] if ends else None
        if ends:
            return self.parting(kind)
        if depth < _DEEPEST and self.chance(0.15):
            return ["continue", self.script("continue", depth + 1)]
        if self.chance(0.2):
            return ["timeout", self.after()]
        return None

    def parting(self, kind: str) -> Line:
        """The end of the server."""
        match self.pick(["stop", "stop", "stop", "raise", "exit", "bad", "ignore"]):
            case "raise":
                return ["raise", self.pick(_BUGS)]
            case "exit":
                return ["exit", self.reason()]
            case "bad" if kind != "call":
                return ["bad", self.pick(["nonsense", 7])]
            case "ignore" if kind == "init":
                return ["ignore"]
        return ["stop", self.reason()]

    def after(self) -> object:
        """When a server wants a timeout."""
        if self.takes_time and self.chance(0.6):
            self.soon = True
            return "soon"
        return self.pick([0, 0, "long"])

    # ------------------------------------------------------------------------------- the dice

    def known_call(self) -> str:
        """A call that the server may have seen; mostly a late one."""
        return self.pick([*self.calls[-3:], *self.calls[-1:], *self.calls[-1:]] or ["none"])

    def new_tag(self) -> str:
        """What names a script in a trace."""
        self.made += 1
        return f"t{self.made}"

    def reason(self) -> Any:
        """Why something ends."""
        return self.pick(_REASONS)

    def wanted(self) -> Any:
        """What ``stop`` asks for; not what it fails with where there is no server."""
        return self.pick([reason for reason in _REASONS if reason != "noproc"])

    def number(self) -> int:
        """A value that is not like the others."""
        return self.random.randrange(100)

    def one_of(self, weights: dict[str, int]) -> str:
        """One of the keys, as often as their *weights* say."""
        return self.random.choices(list(weights), list(weights.values()))[0]

    def chance(self, probability: float) -> bool:
        """Whether something of this *probability* happens."""
        return self.random.random() < probability

    def pick(self, options: Any) -> Any:
        """One of the *options*."""
        return self.random.choice(options)


def _without_late_kills(does: list[Line], *, is_late: bool) -> list[Line]:
    """Without kills of ``d``, who traps no exits, behind another signal or in ``terminate``."""
    kept: list[Line] = []
    for effect in does:
        if not is_late or effect != ["signal", "d", "kill"]:
            kept.append(effect)
        is_late = is_late or effect[:2] == ["signal", "d"]
    return kept


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
