"""
A program without processes for a moment: ``python -m tests.engine.shortage_program``.

The kernel holds the superuser to no limit of processes, so `test_shortages` runs this program under
a user id of its own. Its arguments are where the first process is missing, and two paths.

``program``: the program may start nothing when its engine is to be started. ``thread``: the same,
but a worker thread exists already. ``guard``: the guard may be started, and start nothing itself.
It says ``ok`` when the engine is ready after there are processes again, with no restart spent on
the shortage.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

import candil
from candil import engine
from candil.engine import EngineStateChanged
from tests.engine.engines import told
from tests.engine.waiting import until


@contextmanager
def limited(pid: int, limit: int, value: int) -> Iterator[None]:
    """Hold process *pid* to *value* of a resource while the block lasts."""
    soft, hard = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (value, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, limit, (soft, hard))


def delayed(seen: list[EngineStateChanged]) -> list[EngineStateChanged]:
    """Those starts that were delayed."""
    return [event for event in seen if event.old is event.new]


@contextmanager
def room_for(processes: int) -> Iterator[None]:
    """Have room for so many more processes of this user while the block lasts."""
    tasks = sum(len(list((entry / "task").iterdir())) for entry in own_processes())
    hogs: list[subprocess.Popen[bytes]] = []
    with limited(0, resource.RLIMIT_NPROC, tasks + 10):
        with suppress(BlockingIOError):
            while True:
                hogs.append(subprocess.Popen(["/bin/sleep", "600"]))
        for hog in hogs[:processes]:
            hog.kill()
            hog.wait()
        try:
            yield
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()


def own_processes() -> list[Path]:
    """The processes of this user."""
    found = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [entry for entry in found if f"Uid:\t{os.getuid()}\t" in status_of(entry)]


def status_of(entry: Path) -> str:
    """What the kernel tells of a process; nothing of one that is no more."""
    try:
        return (entry / "status").read_text()
    except OSError:
        return ""


async def main(where: str, folder: Path, model: Path) -> None:
    """Play one case: the start is delayed, twice at least, and then works."""
    spec = engine.child_spec(
        engine.Engine(alias="fake", binary_dir=folder, port=0),
        engine.Model(alias="tiny", model_dir=model.parent, filename=model.name, context_size=512),
    )
    if where != "program":
        await trio.to_thread.run_sync(int)
    with trio.fail_after(200), told() as seen:
        async with candil.open_supervisor([], max_restarts=0, log=False) as root:
            with room_for(1 if where == "guard" else 0):
                await candil.start_child(root, spec)
                await until(lambda: len(delayed(seen)) > 1)
                print({str(event.error) for event in delayed(seen)}, file=sys.stderr)
            await engine.wait_ready("tiny", 60)
    print("ok")


if __name__ == "__main__":
    where, *paths = sys.argv[1:]
    trio.run(main, where, *map(Path, paths))
