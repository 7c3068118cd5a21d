"""
Nurseries that the code of a process opened and did not leave.

1. What was entered in one callback and should be left in another stays open when the process
   is killed, or crashes in between.
2. trio answers a task that ends so by an error in the nursery which that task lives in. Here it is
   the one of all processes of the block: it would end them all.
3. Hence it is refused as soon as a callback has returned, and left at the end of the process in any
   case, as ``async with`` would have left it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from candil._otp.processes.trio_internals import leave_nursery
from candil._otp.values.errors import NurseryLeftOpen

if TYPE_CHECKING:
    import trio

    from candil._otp.processes.process import Process


def refuse_open_nursery(process: Process) -> NoReturn:
    """End the process: its code has returned from within a nursery."""
    raise NurseryLeftOpen(process.pid.label)


async def leave_nurseries(process: Process, task: trio.lowlevel.Task) -> BaseException:
    """Cancel and leave what *task* is still in, the innermost first; gives what came of it."""
    error: BaseException | None = None
    for nursery in reversed(task.child_nurseries):
        try:
            await leave_nursery(nursery)
        except BaseException as raised:  # noqa: ASYNC103, BLE001  # what their tasks raised
            error = error or raised
    return error or NurseryLeftOpen(process.pid.label)
