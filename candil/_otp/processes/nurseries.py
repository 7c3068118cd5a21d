"""
Nurseries that the code of a process opened and did not leave.

1. What was entered in one callback and should be left in another is left by nobody when the process
   is killed, or crashes in between.
2. trio answers a task that ends so by an error in the nursery which that task lives in. Here it is
   the one of all processes of the block: it would end them all.
3. Hence it is refused as soon as a callback has returned, and left at the end of the process in any
   case, as ``async with`` would have left it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import trio

from candil._otp.values.errors import NurseryLeftOpen

if TYPE_CHECKING:
    from candil._otp.processes.process import Process


def open_nurseries(task: trio.lowlevel.Task) -> list[trio.Nursery]:
    """Give the task's own list of the nurseries that it is in: empty again when they are left."""
    live: Any = task
    nurseries: list[trio.Nursery] = live._child_nurseries  # noqa: SLF001  # the public property copies, for each message
    return nurseries


def refuse_open_nursery(process: Process) -> NoReturn:
    """End the process: its code has returned from within a nursery."""
    raise NurseryLeftOpen(process.pid.label)


async def leave_nurseries(process: Process, task: trio.lowlevel.Task) -> BaseException:
    """Cancel and leave what *task* is still in, the innermost first; gives what came of it."""
    error: BaseException | None = None
    for nursery in reversed(task.child_nurseries):
        try:
            await _leave(nursery)
        except BaseException as raised:  # noqa: ASYNC103, BLE001  # what their tasks raised
            error = error or raised
    return error or NurseryLeftOpen(process.pid.label)


async def _leave(nursery: trio.Nursery) -> None:
    nursery.cancel_scope.cancel()
    manager: Any = trio.open_nursery()
    manager._scope, manager._nursery = nursery.cancel_scope, nursery  # noqa: SLF001  # nobody else has the one that it was entered by
    await manager.__aexit__(None, None, None)
