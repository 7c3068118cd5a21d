"""A worker that writes down what happens to it, and a few ways to look at its supervisor."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

import candil


class Journal(list[str]):
    """What happened, in order; read it with ``take``."""

    def take(self) -> list[str]:
        """Give what was written since the last time."""
        lines = list(self)
        self.clear()
        return lines


class Boom(Exception):
    """What a worker crashes with."""


def word(reason: candil.ExitReason) -> str:
    """Give a reason as OTP would print it, more or less."""
    match reason:
        case candil.Shutdown(detail=None):
            return "shutdown"
        case candil.Shutdown(detail=detail):
            return f"shutdown:{detail}"
        case candil.Crashed(exception=exception):
            return type(exception).__name__
        case candil.Exit(term=term):
            return str(term)
        case _:
            return type(reason).__name__.lower()


class Worker(candil.GenServer):
    """Ends as it is told; *script* says how each of its starts goes, "ok" when it is used up."""

    def __init__(
        self, label: Any, journal: Journal, script: list[Any], trap: bool, hang: float, last: str
    ) -> None:
        self.label = label
        self.journal = journal
        self.script = script
        self.trap = trap
        self.hang = hang
        self.last = last

    async def init(self) -> object:
        outcome = self.script.pop(0) if self.script else "ok"
        if outcome == "ignore":
            self.journal.append(f"ignore {self.label}")
            return candil.IGNORE
        if outcome == "raise":
            self.journal.append(f"fail {self.label}")
            raise Boom(self.label)
        if outcome != "ok":
            self.journal.append(f"fail {self.label}")
            candil.stop_self(outcome)
            return None
        candil.trap_exit(self.trap)
        self.journal.append(f"start {self.label}")
        return None

    @candil.handle_cast
    def end(self, reason: object = "normal") -> None:
        candil.stop_self(reason)

    @candil.handle_cast
    def crash(self) -> None:
        raise Boom(self.label)

    @candil.handle_cast
    async def ask(self, supervisor: candil.Server[candil.Supervisor]) -> None:
        """Ask its own supervisor for something, as a child may."""
        await candil.count_children(supervisor)
        self.journal.append(f"asked {self.label}")

    async def terminate(self, reason: candil.ExitReason) -> None:
        self.journal.append(f"terminate {self.label} {word(reason)}")
        if self.hang:
            await trio.sleep(self.hang)
            self.journal.append(f"done {self.label}")
        if self.last:
            raise candil.ProcessExit(self.last)


def worker(
    label: object,
    journal: Journal,
    *,
    script: list[Any] | None = None,
    trap: bool = True,
    hang: float = 0.0,
    last: str = "",
    **options: Any,
) -> candil.ChildSpec[Worker]:
    """Give the child spec of a worker; *options* are those of ``child_spec``."""
    options.setdefault("id", label)
    script = [] if script is None else script
    return candil.child_spec(Worker, label, journal, script, trap, hang, last, **options)


def workers(labels: str, journal: Journal, **options: Any) -> list[candil.ChildSpec[Worker]]:
    """Give one worker for each letter."""
    return [worker(label, journal, **options) for label in labels]


def opened(
    specs: candil.SupervisorSpec | list[Any], **options: Any
) -> AbstractAsyncContextManager[candil.Server[candil.Supervisor]]:
    """Open a tree without a log."""
    return candil.open_supervisor(specs, log=False, **options)


settle = wait_all_tasks_blocked
"""Wait until every process has done what there was to do; no time passes on a virtual clock."""

Sup = candil.Server[candil.Supervisor]


async def shown(supervisor: Sup) -> dict[Any, str]:
    """Give what ``which_children`` shows, in its order: "up", "stopped" or "restarting"."""
    names = {"restarting": "restarting", None: "stopped"}
    listed = await candil.which_children(supervisor)
    return {info.id: names.get(info.child, "up") for info in listed}  # type: ignore[arg-type]


async def pid_of(supervisor: Sup, child_id: object) -> candil.Pid[Any]:
    """Give the pid of a running child."""
    for info in await candil.which_children(supervisor):
        if info.id == child_id and isinstance(info.child, candil.Pid):
            return info.child
    raise AssertionError(f"{child_id!r} does not run")


async def end(supervisor: Sup, child_id: object, reason: object = "boom") -> None:
    """Have a child end by itself, and wait until its supervisor has dealt with it."""
    Worker.end(await pid_of(supervisor, child_id), reason)
    await settle()


async def kill(supervisor: Sup, child_id: object) -> None:
    """Kill a child, and wait until its supervisor has dealt with it."""
    candil.exit(await pid_of(supervisor, child_id), "kill")
    await settle()


async def end_all(supervisor: Sup, *ids: object, reason: object = "boom") -> None:
    """Have children end in this order before their supervisor learns of the first."""
    await candil.sys.suspend(supervisor)
    for child_id in ids:
        state = await candil.sys.get_state(supervisor)
        Worker.end(state.children.get(child_id).pid, reason)
        await settle()
    await candil.sys.resume(supervisor)
    await settle()


def is_gone(pid: candil.Pid[Any]) -> bool:
    """Whether the process has ended."""
    return not candil.is_alive(pid)
