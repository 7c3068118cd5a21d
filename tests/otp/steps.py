"""Counting how often a task is resumed, which is what waiting costs."""

from __future__ import annotations

import contextlib
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
