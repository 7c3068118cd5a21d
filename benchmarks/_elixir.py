"""The same call in Elixir, where it is installed: the language that candil's words come from."""

from __future__ import annotations

import functools
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import IO, final

import attrs

from benchmarks._calls import PLAIN_CALLS, Echo, one_caller
from benchmarks._measure import Comparison, Meter, in_trio

CALLS = 300_000
SCRIPT = Path(__file__).with_name("call.exs")


@final
@attrs.define
class Elixir:
    """A running Elixir that answers how long its calls take."""

    process: subprocess.Popen[str]
    version: str

    def nanoseconds_per_call(self, calls: int) -> float:
        """Have it call its own server so many times."""
        _pipe(self.process.stdin).write(f"{calls}\n")
        _pipe(self.process.stdin).flush()
        return float(_pipe(self.process.stdout).readline())


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@functools.cache
def elixir() -> Elixir:
    """Give the one Elixir of this run, started at the first use; it ends with its input."""
    # One scheduler is its best case: on two, a call may cross from one core to the other.
    process = subprocess.Popen(  # noqa: S603  # our own script
        ["elixir", "--erl", "+S 1:1", str(SCRIPT)],  # noqa: S607  # wherever it is installed
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Elixir(process, _pipe(process.stdout).readline().strip())


def in_elixir(meter: Meter) -> None:
    """Measure the call of Elixir's ``GenServer``, by its own clock."""
    meter.cost = elixir().nanoseconds_per_call(CALLS) / 1e9


def not_installed() -> str | None:
    """Tell that there is no Elixir here."""
    return None if shutil.which("elixir") else "Elixir is not installed"


def version() -> str | None:
    """Give Elixir's version and OTP's, or ``None``."""
    return None if not_installed() else elixir().version


def close() -> None:
    """End the Elixir of this run, if there is one."""
    if elixir.cache_info().currsize:
        process = elixir().process
        process.communicate()
        elixir.cache_clear()


COMPARISONS = [
    Comparison(
        name="elixir",
        what="call of a plain-`def` handler on an idle server",
        against="Elixir's `GenServer.call`, one scheduler",
        subject=in_trio(partial(one_caller, Echo.say_plainly, PLAIN_CALLS)),
        base=in_elixir,
        target=1.0,
        clock="wall",
        unavailable=not_installed,
    )
]
