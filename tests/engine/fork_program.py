"""
A program that has an engine's port and guard, and forks: ``python -m tests.engine.fork_program``.

Its arguments are the port and how it forks. It says ``forked PORT GUARD`` with the port that it has
and the process id of its guard, and then what is still open in the child: of its pipes and sockets
those that belong to candil. The child lives on when the program is killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import trio

from candil.engine._guard.guard import open_guard
from candil.engine._system.ports import PortLease


def own_files() -> set[str]:
    """The pipes and sockets of this process, by their kernel's names."""
    found: set[str] = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith(("pipe:", "socket:")):
            found.add(target)
    return found


def live(before: set[str], held: set[str]) -> None:
    """Be the child: say what of *held* is open that was not *before*."""
    print(json.dumps(sorted(own_files() & held - before)), flush=True)
    time.sleep(600)


async def main(base: int, how: str) -> None:
    """Fork, and live until the end."""
    before = own_files()
    lease = PortLease("127.0.0.1", base)
    with_trio = own_files()
    port = lease.acquire()
    async with open_guard("fork", dict(os.environ)) as guard:
        held = own_files() - with_trio
        print("forked", port, guard.pid, flush=True)
        if how == "os.fork":
            if os.fork() == 0:
                live(before, held)
        else:
            fork = multiprocessing.get_context("fork")
            fork.Process(target=live, args=(before, held), daemon=True).start()
        assert held <= own_files()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), sys.argv[2])
