"""
How a call is made: through the mailbox, or in place. The one path that is unrolled by hand.

A handler that is a plain ``def`` cannot wait. If its server is idle, with nothing in its mailbox,
the caller runs it at once, in the server's context: it is what the server would have done next.
What else follows (a crash, ``stop``, a late answer) is left to the server's own task. Four rules:

1. A call in place is still a checkpoint: cancellation is looked at each time, and the scheduler
   gets its turn after ``MAX_INLINE_CALLS`` calls or ``MAX_INLINE_SECONDS`` of handlers.
2. The caller's stack is not the server's business: a caller that is deep in a recursion goes
   through the mailbox, or the server would die of the caller's depth.
3. Neither is the caller's exception: one that is inside an ``except`` goes through the mailbox, or
   the handler would see that exception and could raise it again.
4. What the server would not take fails at the caller, and the server never hears of it.

This module repeats what stands elsewhere as functions of its own. A call of a plain handler takes
about two microseconds, of which each Python call takes a tenth, each coroutine more. So:

- ``perform`` does what ``Call.__init__``, ``expire_after`` and ``post`` do, in its own body. That
  saves three calls, a sixth of the time of a call that goes through the mailbox.
- It asks ``checkpoint_if_due``'s question itself and awaits that only if others are due. That saves
  a coroutine, a tenth of the time of a call in place.
- The depth of the caller's stack is not counted each time: the frame that was the runner's at the
  last call is looked at first.
- The server's loop answers with ``call.put``, not through ``finish_call``, where a handler asked
  for nothing else (``loop.py``).

``tests/otp/test_call_fast.py`` plays the same calls on the functions that are repeated here, and
compares.
"""

from __future__ import annotations

import sys
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Any

from trio.lowlevel import (
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    wait_task_rescheduled,
)

from candil._otp.behaviours.calls import NO_ANSWERS, Call
from candil._otp.behaviours.loop import ServerLoop
from candil._otp.behaviours.unhandled import check_request
from candil._otp.processes.call_deadlines import arm_deadline_timer, expire_after
from candil._otp.processes.process import Process, post
from candil._otp.processes.runtime import (
    MAX_INLINE_CALLS,
    MAX_INLINE_SECONDS,
    Runtime,
    resolve,
)
from candil._otp.values.errors import CallingSelf, NoProc
from candil._otp.values.pids import Pid

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from candil._otp.behaviours.arity import Owner
    from candil._otp.values.names import Server

ROOM = 10  # a caller may use up one part of so many of the stack that its server would have

new_call = Call.__new__
exception_in_flight = sys.exception
frame_above = sys._getframe  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # documented, and the only way


async def perform(  # noqa: C901, PLR0915  # see above
    target: Server[object] | None,
    request: object,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    timeout: float,
    owner: Owner = object,
) -> Any:
    """
    Do what ``call`` says. One function, since each await in it is paid for by every call.

    Args:
        target: As for ``call``.

        request: As for ``call``.

        args: For the handler.

        kwargs: For the handler.

        timeout: As for ``call``; it was checked.

        owner: The class or classes on which the handler stands, one of which the server must be of.
    """
    process = target.process if type(target) is Pid else resolve(target)
    if process is None or process.exit_requested is not None:
        await checkpoint()
        raise NoProc(target, request)
    server = process.behaviour
    if (
        process.idle
        and type(request) is str
        and type(server) is ServerLoop
        and (function := server.sync_handlers.get(request)) is not None
        and isinstance(server.instance, owner)
        and exception_in_flight() is None
    ):
        runtime = process.runtime
        if runtime.inline_calls >= MAX_INLINE_CALLS or runtime.inline_seconds >= MAX_INLINE_SECONDS:
            await runtime.checkpoint_if_due()  # all may be different afterwards
            return await perform(target, request, args, kwargs, timeout, owner)
        try:
            has_room = frame_above(runtime.inline_depth).f_code is runtime.runner_code
        except ValueError:  # the stack is not that deep
            has_room = False
        if has_room or stack_has_room(runtime):
            await checkpoint_if_cancelled()  # without a cancellation no other task runs meanwhile
            started = perf_counter()
            value: Any
            try:
                value = server.context.run(function, server.instance, *args, **kwargs)
            except BaseException as error:  # noqa: ASYNC103, BLE001  # the server's crash, not the caller's
                crashed = Call(target, request, args, kwargs, timeout)
                server.crash(crashed, error)
                waiting = _wait(process, crashed)
                # The handler's frame, which the error keeps, leads to this one.
                del process, server, crashed, function
                return await waiting  # noqa: ASYNC102, ASYNC104  # shielded, or the wait of a live caller
            runtime.inline_calls += 1
            runtime.inline_seconds += perf_counter() - started
            if type(value) not in NO_ANSWERS and process.idle:
                return value
            return await _leave_to_server(
                server, Call(target, request, args, kwargs, timeout), value
            )
    task = current_task()
    if task is process.task:
        raise CallingSelf(target, request)
    if type(server) is ServerLoop and not (
        type(request) is str and request in server.calls and isinstance(server.instance, owner)
    ):
        check_request(server, target, request, owner)
    message = new_call(Call)  # and what ``__init__`` does: calling it costs as much as it does
    message.task = task
    message.error = None
    message.done = False
    message.target = target
    message.request = request
    message.args = args
    message.kwargs = kwargs
    message.timeout = timeout
    message.holders = ()
    message.deadline = deadline = process.node.timers.now() + timeout
    if deadline < process.next_deadline:  # as expire_after does
        arm_deadline_timer(process, deadline)
    mailbox = process.mailbox
    if process.parked is None and len(mailbox) < process.high_water:
        mailbox.append(message)  # as post does, for a busy server
    else:
        post(process, message)
    return await wait_task_rescheduled(message.abort)


def named_perform(name: str, qualname: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    """
    Return ``perform`` under another name: a coroutine that is not awaited is reported by its name.
    """
    copied = FunctionType(
        perform.__code__, perform.__globals__, name, perform.__defaults__, perform.__closure__
    )
    copied.__qualname__ = qualname
    return copied


def stack_has_room(runtime: Runtime) -> bool:
    """
    Tell whether a handler that ran on its caller's stack would have hardly less room on it than in
    its server's own task, and remember where the runner's frame is.

    The stack below the runner is the same for both.
    """
    frame = frame_above(1)
    own = getattr(current_task().coro, "cr_frame", None)
    for depth in range(sys.getrecursionlimit() // ROOM):
        if frame.f_back is None:
            return False
        if frame is own:
            runtime.inline_depth = depth + 1
            runtime.runner_code = frame.f_back.f_code
            return True
        frame = frame.f_back
    return False


async def _leave_to_server(server: ServerLoop, message: Call, value: object) -> Any:
    """
    A handler that was run in place asked for more than an answer: to stop, to answer later, or its
    server was ended.
    """
    server.finish_call(message, value)
    if message.done:
        return message.unwrap()
    return await _wait(server.process, message)


async def _wait(process: Process, message: Call) -> Any:
    """Wait for the answer to a call that is in no mailbox, for as long as its caller would."""
    expire_after(process, message, message.timeout)
    return await message.wait()
