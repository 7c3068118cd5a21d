"""Counting what work costs: how often a task is resumed, and how many functions are called."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import trio


class Steps(trio.abc.Instrument):
    """Counts how often one task is resumed."""

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task = task
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self.task


@contextlib.contextmanager
def counted_steps() -> Iterator[Steps]:
    """Count how often this task is resumed within the block."""
    steps = Steps(trio.lowlevel.current_task())
    trio.lowlevel.add_instrument(steps)
    try:
        yield steps
    finally:
        trio.lowlevel.remove_instrument(steps)


class Calls:
    """How many functions were called, those of C included."""

    count = 0

    def __call__(self, _frame: object, event: str, _argument: object) -> None:
        self.count += event in {"call", "c_call"}


@contextlib.contextmanager
def counted_calls() -> Iterator[Calls]:
    """Count the calls of functions in this thread within the block: work, whatever its speed."""
    calls = Calls()
    sys.setprofile(calls)
    try:
        yield calls
    finally:
        sys.setprofile(None)
