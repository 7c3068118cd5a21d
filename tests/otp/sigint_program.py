"""
A program that is interrupted: ``python -m tests.otp.sigint_program COUNT SEED MODE``.

Runs a busy tree COUNT times, each in a forked child, and sends each a real SIGINT at a random
instant. MODE says how: by ``candil.run``, or ``embedded`` in the program's own ``trio.run``. Prints
for each child a line ``exit-code starts stops``.
"""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import time

import trio

import candil

STARTED, STOPPED = b"+", b"-"
LATEST = 0.02  # seconds after the first start
LONG = 30  # seconds until a child that ignored its signal is ended, which shows in its code


class Traps(candil.GenServer):
    """Notes each start and each orderly end."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    async def init(self) -> None:
        candil.trap_exit(True)
        await trio.lowlevel.checkpoint()
        os.write(self.pipe, STARTED)

    async def terminate(self, reason: candil.ExitReason) -> None:
        await trio.lowlevel.checkpoint()
        os.write(self.pipe, STOPPED)


async def crashes() -> None:
    """Keep the supervisor busy."""
    for _ in range(3):
        await trio.lowlevel.checkpoint()
    raise candil.ProcessExit("again")


async def computes() -> None:
    """Be where a signal arrives most of the time."""
    while True:
        sum(range(1000))
        await trio.lowlevel.checkpoint()


def tree(pipe: int) -> candil.SupervisorSpec:
    """Nested supervisors, servers that trap and have all their time, and work."""
    inner = candil.supervisor_spec(
        [candil.child_spec(Traps, pipe, id=number, shutdown=math.inf) for number in range(3)]
        + [candil.child_spec(crashes)],
        id="inner",
        max_restarts=1_000_000,
    )
    return candil.supervisor_spec(
        [candil.child_spec(Traps, pipe, shutdown=math.inf), inner, candil.child_spec(computes)]
    )


async def embedded(pipe: int) -> None:
    """Use the tree, and never stop."""
    async with candil.open_supervisor(tree(pipe), log=False):
        while True:
            candil.spawn_monitor(trio.lowlevel.checkpoint)
            await candil.receive(candil.Down)


def run(mode: str, pipe: int) -> None:
    """Run the tree until it is interrupted."""
    if mode == "run":
        candil.run(tree(pipe), log=False)
    try:
        trio.run(embedded, pipe)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def interrupt_one(mode: str, instant: float) -> str:
    """Run the tree in a child and interrupt it *instant* seconds after its first start."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(LONG)
        code = 0
        try:
            run(mode, writer)
        except SystemExit as leaving:
            code = leaving.code
        except BaseException:  # noqa: BLE001  # above all a KeyboardInterrupt: the thing to be proved absent
            code = 99
        os._exit(code)
    os.close(writer)
    notes = os.read(reader, 1)
    time.sleep(instant)
    os.kill(child, signal.SIGINT)
    while more := os.read(reader, 4096):
        notes += more
    os.close(reader)
    status = os.waitpid(child, 0)[1]
    return f"{os.waitstatus_to_exitcode(status)} {notes.count(STARTED)} {notes.count(STOPPED)}"


def main() -> None:
    """Do what the module says."""
    count, seed = map(int, sys.argv[1:3])
    rng = random.Random(seed)
    for _ in range(count):
        print(interrupt_one(sys.argv[3], rng.random() * LATEST), flush=True)


if __name__ == "__main__":
    main()
