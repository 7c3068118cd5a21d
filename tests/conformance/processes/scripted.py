"""
Processes that follow a script.

A process executes the commands that the player sends it, one at a time. Every other message stays
in its mailbox until a command takes it out, so the commands do not disturb what is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import attrs
import trio

import candil
from tests.conformance.terms import Raised, reason_of, term_of

from .recorder import Key, Message, Monitor, Recorder, Unknown

Op = list[Any]

_NEVER_SECONDS = 1_000_000.0
_SOON_SECONDS = 0.001


@final
@attrs.frozen(eq=False)
class Command:
    """What the player wants done; ``done`` is set when it is, or when the process died of it."""

    ops: list[Op]
    done: trio.Event = attrs.field(factory=trio.Event)


@final
@attrs.frozen
class Due:
    """A timer that was set before this one has fired."""


@final
class _Returned(Exception):
    """The process's function returns."""


@final
@attrs.define
class ScriptedProcess:
    """One process of a program."""

    id: str
    recorder: Recorder
    wanted: dict[Key, list[Op]] = attrs.field(factory=dict)

    async def live(self, script: list[Op]) -> None:
        """Do what the *script* says, then what the player says, until the end."""
        try:
            await self.do_all(script)
            while True:
                await self.take(await self.next(self.wanted))
        except _Returned:
            return

    async def take(self, message: object) -> None:
        """Obey a command, or react to a message that was wanted."""
        if isinstance(message, Command):
            try:
                await self.do_all(message.ops)
            finally:
                message.done.set()
        else:
            ops = self.wanted.pop(self.recorder.key_of(message))
            self.note("want", self.recorder.written(message))
            await self.do_all(ops)

    async def next(self, keys: dict[Key, list[Op]], *, timeout: float = float("inf")) -> object:
        """The next command, or message that is looked for, in the order of the mailbox."""
        return await candil.receive(
            lambda message: isinstance(message, Command) or self.recorder.key_of(message) in keys,
            timeout=timeout,
        )

    def note(self, what: str, result: object) -> None:
        """Tell the player."""
        self.recorder.notes.append(["note", self.id, what, result])

    async def do_all(self, ops: list[Op]) -> None:
        """One after the other; as long as none of them waits, nobody else runs meanwhile."""
        for op in ops:
            await self.do(op)

    async def do(self, op: Op) -> None:
        """Do one thing, and note what came of it if there is anything to tell."""
        match op:
            case ["burst", ops]:
                await self.do_all(ops)
            case ["return"]:
                raise _Returned
            case ["exit", reason]:
                raise candil.ProcessExit(reason_of(reason))
            case ["raise", reason]:
                raise Raised(term_of(reason))
            case [what, *arguments]:
                try:
                    result = await self.outcome_of(what, arguments)
                except Unknown:
                    result = "unknown"
                if result is not True:
                    self.note(what, result)

    async def outcome_of(self, what: str, arguments: list[Any]) -> object:
        """The result of an operation; True where there is nothing to tell."""
        match what, arguments:
            case "receive", [kind, who]:
                try:
                    return self.recorder.written(await self.next(self.keys(kind, who), timeout=0))
                except candil.ReceiveTimeout:
                    return "nothing"
            case "send_soon", [key, target, tag]:
                self.set_timer(key, _SOON_SECONDS, target, tag)
                candil.send_after(candil.self(), Due(), 2 * _SOON_SECONDS)
                await candil.receive(Due)
                return True
        operation: Callable[..., object] = getattr(self, f"do_{what}")
        result = operation(*arguments)
        return True if result is None else result

    # --------------------------------------------------------------------------- operations

    def do_send(self, target: str, tag: object) -> object:
        """A name that nobody has is a mistake, a process that has ended is none."""
        try:
            return candil.send(self.recorder.target(target), Message(self.id, tag))
        except candil.NoProc:
            return "badarg"

    def do_link(self, id: str) -> object:
        """To a process that has ended, an error or a message."""
        try:
            return candil.link(self.recorder.pid(id))
        except candil.NoProc:
            return "noproc"

    def do_unlink(self, id: str) -> None:
        """Linked or not."""
        candil.unlink(self.recorder.pid(id))

    def do_monitor(self, key: str, target: str) -> None:
        """By pid or by name."""
        ref = candil.monitor(self.recorder.target(target))
        self.recorder.monitors[ref] = Monitor(key, self.id, target, ref)

    def do_demonitor(self, key: str, option: str = "") -> None:
        """One of its own."""
        candil.demonitor(self.recorder.monitor(self.id, key).ref, flush=option == "flush")

    def do_trap_exit(self, flag: bool) -> object:
        """Tells what it was before."""
        return [candil.trap_exit(flag)]

    def do_signal(self, id: str, reason: object) -> None:
        """``exit/2``."""
        candil.exit(self.recorder.pid(id), reason_of(reason))

    def do_register(self, name: str, id: str) -> object:
        """Itself or another."""
        try:
            return candil.register(name, self.recorder.pid(id))
        except candil.RegistrationError:
            return "badarg"

    def do_unregister(self, name: str) -> object:
        """Whoever has it."""
        try:
            return candil.unregister(name)
        except candil.RegistrationError:
            return "badarg"

    def do_whereis(self, name: str) -> object:
        """Null if nobody has it."""
        pid = candil.whereis(name)
        return [self.recorder.id(pid)] if pid else [None]

    def do_is_alive(self, id: str) -> object:
        """Of any process."""
        return [candil.is_alive(self.recorder.pid(id))]

    def do_info(self) -> object:
        """What it sees of itself between two operations of a burst."""
        info = candil.process_info(candil.self())
        if info is None:
            return "dead"
        links = self.recorder.ids(info.links)
        return [links, info.trap_exit, info.registered_name or [], len(info.monitors)]

    def do_want(self, kind: str, who: str, ops: list[Op]) -> None:
        """Take such a message as soon as it is there, and then do something."""
        self.wanted |= dict.fromkeys(self.keys(kind, who), ops)

    def do_spawn(self, id: str, script: list[Op]) -> None:
        """A new process, which begins with a script of its own."""
        self.recorder.enter(id, candil.spawn(ScriptedProcess(id, self.recorder).live, script))

    def do_spawn_link(self, id: str, script: list[Op]) -> None:
        """The same, linked."""
        self.recorder.enter(id, candil.spawn_link(ScriptedProcess(id, self.recorder).live, script))

    def do_spawn_monitor(self, id: str, key: str, script: list[Op]) -> None:
        """The same, watched."""
        pid, ref = candil.spawn_monitor(ScriptedProcess(id, self.recorder).live, script)
        self.recorder.enter(id, pid)
        self.recorder.monitors[ref] = Monitor(key, self.id, id, ref)

    def do_send_after(self, key: str, target: str, tag: object) -> None:
        """So late that no program gets there."""
        self.set_timer(key, _NEVER_SECONDS, target, tag)

    def do_cancel_timer(self, key: str) -> object:
        """Any process's."""
        if key not in self.recorder.timers:
            raise Unknown
        left = candil.cancel_timer(self.recorder.timers[key])
        return [None if left is None else "some"]

    def set_timer(self, key: str, seconds: float, target: str, tag: object) -> None:
        """Note a new timer under its key."""
        message = Message(self.id, tag)
        self.recorder.timers[key] = candil.send_after(
            self.recorder.target(target), message, seconds
        )

    def keys(self, kind: str, who: str) -> dict[Key, list[Op]]:
        """What to look for: a process's message or exit, a monitor's Down, or any of these."""
        match kind:
            case "message":
                return {("message", who): []}
            case "exit":
                self.recorder.pid(who)
                return {("exit", who): []}
            case "down":
                return {("down", self.recorder.monitor(self.id, who).key): []}
        self.recorder.pid(who)
        monitors = [
            ("down", monitor.key)
            for monitor in self.recorder.monitors.values()
            if (monitor.owner, monitor.target) == (self.id, who)
        ]
        return {key: [] for key in [("message", who), ("exit", who), *monitors]}
