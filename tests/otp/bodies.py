"""What the processes of these tests run, and how a test waits for one to end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import trio
import trio.testing

import candil

BOOM = candil.Exit("boom")


def raise_(error: BaseException) -> Any:
    """Raise, where Python wants an expression."""
    raise error


async def wait_for_ever() -> None:
    """Live until a signal comes."""
    await trio.sleep_forever()


async def do_nothing() -> None:
    """End normally."""


async def crash(error: BaseException) -> None:
    """End with an exception."""
    raise error


async def leave(reason: object) -> None:
    """End with a reason of one's own."""
    raise candil.ProcessExit(reason)


async def trap(tell: candil.Pid[Any]) -> None:
    """Trap exits, and forward each message to *tell*."""
    candil.trap_exit(True)
    while True:
        candil.send(tell, await candil.receive())


async def be_linked(other: candil.Pid[Any]) -> None:
    """Link to another, and live until a signal comes."""
    candil.link(other)
    await trio.sleep_forever()


async def linger(done: trio.Event) -> None:
    """Heed no signal until something is done."""
    with trio.CancelScope(shield=True):
        await done.wait()


async def clean_up(log: list[str], word: str = "clean") -> None:
    """Take a few checkpoints, when a signal has come, before saying a word."""
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            for _ in range(5):
                await trio.lowlevel.checkpoint()
        log.append(word)


async def exit_and_settle(target: Any, reason: object) -> None:
    """Send an exit signal, and wait until every process has done what follows from it."""
    candil.exit(target, reason)
    await trio.testing.wait_all_tasks_blocked()


async def send_exit(target: Any, reason: object) -> None:
    """Be a process that sends an exit signal."""
    candil.exit(target, reason)


async def end_of(pid: candil.Pid[Any]) -> candil.ExitReason:
    """Wait until a process has ended, and give its reason. It must not have ended already."""
    ref = candil.monitor(pid)
    down: candil.Down = await candil.receive(
        lambda message: isinstance(message, candil.Down) and message.ref is ref
    )
    return down.reason


async def end(pid: candil.Pid[Any]) -> candil.ExitReason:
    """Have a process end by a signal, and wait until it has."""
    candil.exit(pid, "boom")
    return await end_of(pid)


class Ends(dict[str, candil.ExitReason]):
    """Who ended with what, by label and number, in order."""

    def __call__(self, event: object) -> None:
        if isinstance(event, candil.ProcessExited):
            label = event.pid.label
            self[label if label == "block" else f"{label} {event.pid.id}"] = event.reason


@contextlib.contextmanager
def noted_ends() -> Iterator[Ends]:
    """Note every end of a process within the block."""
    ends = Ends()
    with candil.subscribe(ends):
        yield ends
