"""
What candil uses of trio beyond its documentation. ``tests/otp/test_trio_internals.py`` has a test
for each, which says what to change here if another trio breaks it.

Not here: ``oneshot.py`` hands itself to ``reschedule``, which only needs an ``unwrap`` method; its
test is in ``tests/otp/test_oneshot.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from candil._otp.processes.process import Process

if TYPE_CHECKING:
    from types import FrameType


def is_idle_wait(frame: FrameType) -> bool:
    """Tell whether this innermost frame of a loop's thread is trio's own wait for events."""
    return frame.f_code.co_name == "get_events"


def running_process(frame: FrameType) -> tuple[Process | None, int]:
    """
    Find the process that runs, and how many of the innermost frames are its own.

    trio's current task can be asked for in its own thread only, and the watchdog is another: each
    task of a process has a frame of candil's below its code, with a local named ``process``.
    """
    walk: FrameType | None = frame
    depth = 0
    while walk is not None:
        if walk.f_globals.get("__name__", "").startswith("candil._otp."):
            process = walk.f_locals.get("process")
            if isinstance(process, Process):
                return process, max(depth, 1)
        depth += 1
        walk = walk.f_back
    return None, depth


def is_system_clock(clock: trio.abc.Clock) -> bool:
    """Tell whether this is trio's own clock: ``perf_counter`` and an offset that never changes."""
    return type(clock).__name__ == "SystemClock"


def open_nurseries(task: trio.lowlevel.Task) -> list[trio.Nursery]:
    """Return the task's own list of the nurseries that it is in: empty again when they are left."""
    live: Any = task
    nurseries: list[trio.Nursery] = live._child_nurseries  # noqa: SLF001  # the public property copies, for each message
    return nurseries


async def leave_nursery(nursery: trio.Nursery) -> None:
    """Cancel a nursery and leave it, as the ``async with`` that entered it never will."""
    nursery.cancel_scope.cancel()
    manager: Any = trio.open_nursery()
    manager._scope, manager._nursery = nursery.cancel_scope, nursery  # noqa: SLF001  # the one that it was entered by is lost
    await manager.__aexit__(None, None, None)
