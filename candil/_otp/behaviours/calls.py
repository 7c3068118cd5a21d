"""
Calls and casts: asking a server for an answer, and telling it something.

1. A call is handed over directly: it is its own reply slot, parks the caller's task, and is put
   into no channel.
2. The caller's deadline is a number in the call: no cancel scope is opened, no timer set
   (``call_deadlines.py``).
3. A handler that is a plain ``def`` cannot wait. If its server is idle, with nothing in its
   mailbox, the caller runs it at once, in the server's context: it is what the server would have
   done next. Whatever else follows (a crash, ``stop``, a late answer) is left to the server's own
   task.
4. Running handlers in place is still a checkpoint: cancellation is looked at each time, and the
   scheduler gets its turn after ``TURNS`` calls or ``SECONDS`` of handlers.
"""

from __future__ import annotations

import math
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, final

import attrs
from trio.lowlevel import checkpoint, current_task, in_trio_run, wait_task_rescheduled

from candil._otp.processes.call_deadlines import arm_deadline_timer, check_timeout, expire_after
from candil._otp.processes.process import Process, post
from candil._otp.processes.requests import Request
from candil._otp.processes.runtime import current_process, outside_of_trio, resolve
from candil._otp.values.errors import CallingSelf, CallTimeout, NoProc
from candil._otp.values.exit_errors import ServerExited
from candil._otp.values.exit_reasons import Crashed, ExitReason
from candil._otp.values.pids import Pid

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from candil._otp.behaviours.loop import ServerLoop
    from candil._otp.values.names import Server

    class Reducible(Protocol):
        """
        Any object but a ``Deferred``, which alone is said not to have this method: the types know
        no other way to ask whether a union holds one.
        """

        def __reduce__(self) -> str | tuple[Any, ...]: ...

    # For mypy, classes and None have no such method.
    Immediate: TypeAlias = Reducible | type[Any] | None


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

DEFAULT_TIMEOUT = 5.0


class _NoReply:
    """
    What the callback ``handle_call(request, caller)`` returns when the answer comes later: the
    caller waits on, until anybody calls ``caller.reply(value)``. OTP: ``noreply``.

    If the server ends before, the caller gets ``ServerExited``. A ``@handle_call`` method, which is
    given no caller, returns a ``Deferred`` instead.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "candil.NO_REPLY"


NO_REPLY = _NoReply()
"""What ``handle_call`` returns when the answer comes later, by ``caller.reply(value)``."""


@final
class Call(Request[Any]):
    """
    One call that waits for its answer; what ``handle_call(request, caller)`` gets as *caller*. OTP:
    ``From``.

    A ``handle_call`` that returns ``NO_REPLY`` keeps it, or sends it to whoever shall answer.

    Attributes:
        reply: Answers it: ``caller.reply(value)``, in any process; all but the first answer, and
            those that come too late, are dropped.

        pid: The caller while it waits, or ``None`` if it is no process.

        target: What was called, as it was given.

        request: What was asked.

        args: Further positional arguments.

        kwargs: Further keyword arguments.

        timeout: Seconds that the caller waits.
    """

    __slots__ = ("args", "kwargs", "request", "target", "timeout")

    def __init__(
        self,
        target: object,
        request: object,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float,
    ) -> None:
        # Not by super(): one call more for every call. Nobody reads ``value`` before it is put.
        self.task = None
        self.error = None
        self.done = False
        self.target = target
        self.request = request
        self.args = args
        self.kwargs = kwargs
        self.timeout = timeout
        self.deadline = math.inf
        self.servers = ()

    @property
    def pid(self) -> Pid[Any] | None:
        """The caller while it waits, or ``None`` if it is no process."""
        sender = None if self.task is None else self.task.context.get(current_process)
        return None if sender is None else sender.pid

    def expire(self) -> None:
        """Give the caller a ``CallTimeout``; the deadline's task calls it."""
        self.refuse(CallTimeout(self.target, self.request, self.timeout))

    def exited_error(self, reason: ExitReason) -> BaseException:
        """Give the ``ServerExited`` for this very call, chained to the crash."""
        error = ServerExited(self.target, self.request, reason)
        error.__cause__ = reason.exception if isinstance(reason, Crashed) else None
        return error


new_call = Call.__new__


@final
@attrs.define(eq=False)
class Cast:
    """One message that wants no answer."""

    message: object
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Later(Generic[T_co]):
    """
    What will hold an answer, for the types: covariant, as who waits for it sees a ``Deferred``.
    """

    __slots__ = ()


@final
class Deferred(Later[T]):
    """
    An answer that comes later: a call handler returns it, keeps it, and anybody gives it its value.
    OTP: ``noreply`` + ``reply``.

    Its client gets the value; if the server ends before, its client gets ``ServerExited``. One that
    is returned to several callers answers them all.
    """

    __slots__ = ("_calls", "_replied", "_sweep_at", "_value")

    if TYPE_CHECKING:  # what tells it from any other answer, see Reducible
        __reduce__: None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._sweep_at = 1  # so many are kept before those who gave up are looked for
        self._replied = False
        self._value: T | None = None

    def reply(self, value: T) -> None:
        """
        Answer; all but the first answer are dropped.

        Args:
            value: What the caller gets.

        Raises:
            RuntimeError: This thread is not the one that trio runs in. Nothing has changed; use
                ``trio.from_thread.run_sync(deferred.reply, value)``.
        """
        if not in_trio_run():  # first: calls that are attached meanwhile would never be answered
            raise outside_of_trio()
        if self._replied:
            return
        self._replied = True
        self._value = value
        calls, self._calls = self._calls, []
        for call in calls:
            call.reply(value)

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more: its callers gave up, or were answered."""
        return self._replied or (bool(self._calls) and all(call.done for call in self._calls))

    def answers(self, call: Call, server: Process) -> None:
        """Let this be the answer to *call*; the server's loop calls it."""
        if self._replied:
            call.reply(self._value)
        else:
            self._calls.append(call)
            if len(self._calls) > self._sweep_at:
                self._calls = [waiting for waiting in self._calls if not waiting.done]
                self._sweep_at = 2 * len(self._calls) + 1
            call.attach(server)


NO_ANSWERS = frozenset({Deferred, _NoReply, CoroutineType})  # types of what is no answer itself


def call(
    server: Server[Any] | None,
    request: object,
    /,
    *args: Any,
    timeout: float = DEFAULT_TIMEOUT,
    **kwargs: Any,
) -> Coroutine[Any, Any, Any]:
    """
    Ask a server and wait for its answer. OTP: ``gen_server:call/3``.

    The server handles one message at a time, so the wait includes all that is ahead in its mailbox.

    Args:
        server: Its pid or name.

        request: The name of one of its ``@handle_call`` methods, which gets *args* and *kwargs*; or
            any other object, which its ``handle_call`` callback gets.

        args: For the handler.

        timeout: Seconds to wait; ``math.inf`` waits for ever.

        kwargs: For the handler.

    Returns:
        Its answer.

    Raises:
        ValueError: The timeout is negative or no number.

        NoProc: There is no such server, as when it is the ``None`` that ``whereis`` or ``root``
            gave.

        ServerExited: It ended first, for whatever reason; the request may have been half done.

        CallTimeout: No answer in time. The server still handles the request, and its answer is
            dropped.

        CallingSelf: The server called itself.

    Cancellation:
        Safe: the server is not disturbed, and a late answer is dropped.
    """
    if type(timeout) is not float or not timeout >= 0:  # else there is nothing to check
        check_timeout(timeout)
    return perform(server, request, args, kwargs, timeout)


async def perform(
    target: Server[Any] | None,
    request: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    timeout: float,
) -> Any:
    """Do what ``call`` says. One function, since each await in it is paid for by every call."""
    server: ServerLoop
    process = target.process if type(target) is Pid else resolve(target)
    if process is None or process.exit_requested is not None:
        await checkpoint()
        raise NoProc(target, request)
    if (
        process.idle
        and type(request) is str
        and (function := (handlers := (server := process.server).sync_handlers).get(request))
        is not None
    ):
        runtime = process.runtime
        await runtime.checkpoint_if_due()
        if not process.alive:  # ended while others ran; its name may have a new holder by now
            return await perform(target, request, args, kwargs, timeout)
        if (
            server.sync_handlers is handlers and process.idle
        ):  # else its state was replaced meanwhile
            started = perf_counter()
            value: Any
            try:
                value = server.context.run(function, server.instance, *args, **kwargs)
            except BaseException as error:  # noqa: ASYNC103, BLE001  # the server's crash, not the caller's
                crashed = Call(target, request, args, kwargs, timeout)
                server.crash(crashed, error)
                waiting = _wait(process, crashed)
                # The handler's frame, which the error keeps, leads to this one.
                del process, server, handlers, crashed, function
                return await waiting  # noqa: ASYNC102, ASYNC104  # shielded, or the wait of a live caller
            runtime.inline_calls += 1
            runtime.inline_seconds += perf_counter() - started
            if type(value) not in NO_ANSWERS and process.idle:
                return value
            return await _leave_to_server(
                process,
                Call(target, request, args, kwargs, timeout),
                value,
            )
    task = current_task()
    if task is process.task:
        raise CallingSelf(target, request)
    message = new_call(Call)  # and what ``__init__`` does: calling it costs as much as it does
    message.task = task
    message.error = None
    message.done = False
    message.target = target
    message.request = request
    message.args = args
    message.kwargs = kwargs
    message.timeout = timeout
    message.servers = ()
    message.deadline = deadline = process.node.timers.now() + timeout
    if deadline < process.next_deadline:  # as expire_after does
        arm_deadline_timer(process, deadline)
    mailbox = process.mailbox
    if process.parked is None and len(mailbox) < process.high_water:
        mailbox.append(message)  # as post does, for a busy server
    else:
        post(process, message)
    return await wait_task_rescheduled(message.abort)


async def _leave_to_server(process: Process, message: Call, value: object) -> Any:
    """
    A handler that was run in place asked for more than an answer: to stop, to answer later, or its
    server was ended.
    """
    server: ServerLoop = process.server
    server.finish_call(message, value)
    if message.done:
        return message.unwrap()
    return await _wait(process, message)


async def _wait(process: Process, message: Call) -> Any:
    """Wait for the answer to a call that is in no mailbox, for as long as its caller would."""
    expire_after(process, message, message.timeout)
    return await message.wait()


def cast(server: Server[Any] | None, message: object, /, *args: Any, **kwargs: Any) -> None:
    """
    Tell a server something, and return at once. Never fails, even if there is no such server. OTP:
    ``gen_server:cast/2``.

    Args:
        server: Its pid or name, or the ``None`` that ``whereis`` gave.

        message: The name of one of its ``@handle_cast`` methods, which gets *args* and *kwargs*; or
            any other object, which its ``handle_cast`` callback gets.

        args: For the handler.

        kwargs: For the handler.
    """
    process = server.process if type(server) is Pid else resolve(server)
    if process is not None:
        post(process, Cast(message, args, kwargs))
