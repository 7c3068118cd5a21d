"""
System requests of a server, and what a suspended one does: answer those, and nothing else. OTP:
``sys:handle_system_msg``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from candil._otp.behaviours.actions import SystemCall
from candil._otp.behaviours.arity import completed
from candil._otp.processes.process import park

if TYPE_CHECKING:
    from candil._otp.behaviours.loop import ServerLoop


async def answer_system(loop: ServerLoop, call: SystemCall) -> None:
    """Answer a request of ``candil.sys``."""
    call.attach(loop.process)
    try:
        call.reply(await completed(call.run(loop)))
    except Exception as error:  # noqa: BLE001  # the caller's fault, as in OTP: the server goes on
        call.refuse(error)


async def stay_suspended(loop: ServerLoop) -> None:
    """
    Handle nothing but requests of ``candil.sys`` and the parent's signal; the rest stays queued in
    order.
    """
    process = loop.process
    mailbox = process.mailbox
    seen = removals = 0
    while loop.suspended and loop.actions is None:
        if removals != process.removals:
            seen, removals = 0, process.removals
        urgent = next((i for i in range(seen, len(mailbox)) if _is_urgent(loop, mailbox[i])), None)
        if urgent is None:
            seen = len(mailbox)
            await park(process)
            continue
        seen = urgent
        message = mailbox[urgent]
        del mailbox[urgent]
        process.removals += 1
        removals = process.removals
        if isinstance(message, SystemCall):
            await answer_system(loop, message)
        else:
            await loop.handle_other(message)


def _is_urgent(loop: ServerLoop, message: object) -> bool:
    return isinstance(message, SystemCall) or loop.is_parents_exit(message)
