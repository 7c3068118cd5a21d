"""What candil weighs: memory of an idle server, and the time that its import takes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio
import trio.testing

import candil
from benchmarks._measure import Comparison, Meter

IDLE = 20_000
IMPORTS = 5
_STATM = Path("/proc/self/statm")


class Idle(candil.GenServer):
    """A server with nothing to do."""


def resident_bytes() -> int:
    """Give how much memory this process occupies now."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def idle_tasks() -> None:
    """Print the bytes that each of many waiting trio tasks adds to a fresh process."""
    async with trio.open_nursery() as nursery:
        before = resident_bytes()
        for _ in range(IDLE):
            nursery.start_soon(trio.sleep_forever)
        await trio.testing.wait_all_tasks_blocked()
        print((resident_bytes() - before) / IDLE)
        nursery.cancel_scope.cancel()


async def idle_servers() -> None:
    """Print the bytes that each of many idle servers adds to a fresh process."""
    async with candil.open_node():
        before = resident_bytes()
        for _ in range(IDLE):
            await candil.start(Idle)
        await trio.testing.wait_all_tasks_blocked()
        print((resident_bytes() - before) / IDLE)


def in_fresh_process(what: str, meter: Meter) -> None:
    """Measure the memory of *what*, a function of this module, in an interpreter of its own."""
    code = f"import trio, benchmarks._weight as weight; trio.run(weight.{what})"
    # What it logs while it ends 20,000 servers at once is not the subject.
    done = subprocess.run(  # noqa: S603  # our own interpreter, our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    meter.cost = float(done.stdout)


def importing(module: str, meter: Meter) -> None:
    """Measure the CPU time of interpreters that import *module*, compiled before, and end."""
    with tempfile.TemporaryDirectory(prefix="candil-benchmark-") as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", f"import {module}"]
        subprocess.run(command, env=environment, check=True)  # noqa: S603  # as above
        _measure_imports(command, environment, meter)


def _measure_imports(command: list[str], environment: dict[str, str], meter: Meter) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(IMPORTS):
        subprocess.run(command, env=environment, check=True)  # noqa: S603  # as above
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    meter.cost = spent / IMPORTS


def no_statm() -> str | None:
    """Tell that memory cannot be read here."""
    return None if _STATM.exists() else f"there is no {_STATM} on this system"


COMPARISONS = [
    Comparison(
        name="memory",
        what="memory of an idle `GenServer`",
        against="memory of a waiting trio task",
        subject=partial(in_fresh_process, "idle_servers"),
        base=partial(in_fresh_process, "idle_tasks"),
        unit="bytes",
        rounds=5,
        note="20,000 of them, each time in a fresh process",
        unavailable=no_statm,
    ),
    Comparison(
        name="import",
        what="`python -c 'import candil'`",
        against="`python -c 'import trio'`",
        subject=partial(importing, "candil"),
        base=partial(importing, "trio"),
        rounds=7,
        note="the interpreter's own start included",
    ),
]
