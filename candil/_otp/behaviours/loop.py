"""
The loop of a server process: one message after the other. OTP: ``gen_server:loop``.

1. A message that the loop has taken is handled to its end, and then the next; nothing is handled
   after the process was told to end.
2. What a callback asks for beside its answer (to stop, to continue, a timeout) are ``Actions``,
   applied before the next message.
3. ``terminate`` runs where OTP runs it: the server stops by itself, crashes, or traps exits and its
   parent tells it to end.

Not here: the class that users write (``gen_server.py``), how callers ask (``calls.py``).
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast, final

import attrs
import trio
from trio.lowlevel import checkpoint, current_task, wait_task_rescheduled

from candil._otp.behaviours.actions import Actions, SystemCall
from candil._otp.behaviours.arity import Functions, completed
from candil._otp.behaviours.calls import NO_ANSWERS, NO_REPLY, Call, Cast, Deferred
from candil._otp.behaviours.crash_report import Client, Message, crash_report, message_of
from candil._otp.behaviours.suspension import answer_system, stay_suspended
from candil._otp.behaviours.unhandled import (
    bad_return_value,
    report_unhandled,
    unawaited_reply,
    undefined_callback,
)
from candil._otp.processes.nurseries import refuse_open_nursery
from candil._otp.processes.process import Process, park, unpark
from candil._otp.processes.task import fail_requests, keyboard_interrupt_in, reason_of
from candil._otp.processes.trio_internals import open_nurseries
from candil._otp.values.errors import ProcessExit
from candil._otp.values.exit_reasons import Crashed, ExitReason, is_abnormal
from candil._otp.values.messages import ExitSignal, Timeout

if TYPE_CHECKING:
    from candil._otp.processes.timers import Timer
    from candil._otp.values.pids import Pid

LOOK_EVERY = 8  # a busy server looks at the clock after so many messages
LOOP_SECONDS = 0.001  # and gives way to other tasks after so long


@final
@attrs.define(eq=False)
class ServerLoop:
    """The loop of one server process."""

    process: Process
    parent: Pid[object]  # whose exit signal it obeys even when it traps them
    cls: Any  # of the instance, also before there is one
    instance: Any = None
    calls: Functions = attrs.field(factory=Functions)
    casts: Functions = attrs.field(factory=Functions)
    sync_handlers: dict[str, Callable[..., object]] = attrs.field(
        factory=dict[str, Callable[..., object]]
    )
    context: contextvars.Context = attrs.field(init=False)
    actions: Actions | None = None
    initialised: bool = False
    suspended: bool = False
    _system_calls: int = 0  # among the messages that it took
    _timeout: float | None = None
    _last: tuple[Message | None, Client | None] = (None, None)  # of a crash: message, and client
    _final_reply: tuple[Call, object] | None = None

    @property
    def handled(self) -> int:
        """How many messages it has taken, without requests of ``candil.sys``."""
        return self.process.taken - self._system_calls

    def serve(self, instance: object) -> None:
        """Take the user's instance, whose constructor has run."""
        cls = self.cls = cast("Any", type(instance))
        self.instance = instance
        self.calls = cls.__candil_calls__
        self.casts = cls.__candil_casts__
        self.sync_handlers = cls.__candil_sync_handlers__

    def let_go(self) -> None:
        """
        Refer to the process no more, which has ended.

        A crash keeps its frames, the innermost of these loops among them, and the process keeps the
        crash as its reason.
        """
        self.context = contextvars.Context()
        del self.process

    async def wait_for_work(self) -> None:
        """Be idle until there is a message, or an exit signal."""
        process = self.process
        task = current_task()
        self.context = task.context
        if not process.mailbox and self.actions is None and process.exit_requested is None:
            process.idle = True
            process.parked = task
            await wait_task_rescheduled(process.abort_park)

    async def run(self) -> None:
        """Handle messages until the end; leaves the reason in ``process.own_reason``."""
        reason: ExitReason
        self.context = trio.lowlevel.current_task().context
        try:
            await self._loop()
        except BaseException as error:  # noqa: ASYNC103  # what is not its own is raised again
            interrupt = keyboard_interrupt_in(error)
            if interrupt is not None and self.process.exit_requested is None:
                fail_requests(self.process, Crashed(interrupt))
                self.process.node.interrupt(interrupt)
                await self._end(Crashed(interrupt))  # noqa: ASYNC102  # it cleans up as after any crash
                raise
            if self.process.exit_requested is not None or not self._is_own(error):
                raise
            reason = reason_of(error)
            if is_abnormal(reason) and self.process.runtime.reports_crashes:
                self.process.crash = crash_report(self.instance, *self._last)
        else:
            return  # an exit signal came, whose reason counts
        await self._end(reason)

    def request(self, actions: Actions) -> None:
        """Note what a callback wants; the loop sees to it next."""
        self.actions = actions
        unpark(self.process)

    def end(self, reason: ExitReason) -> None:
        """Stop next, before anything in the mailbox; ``terminate`` runs."""
        self.request(Actions(stop=reason))

    def crash(self, call: Call, error: BaseException) -> None:
        """Crash as the handler of *call* did, which its caller ran in place."""
        call.attach(self.process)
        if self.process.runtime.reports_crashes:
            self._last = (message_of(call), Client.running())
        self.request(Actions(crash=error))

    def attach_current(self) -> None:
        """Have the current request fail if the process ends now, for any reason."""
        if self.process.current_request is not None:
            self.process.current_request.attach(self.process)

    def finish_call(self, call: Call, value: object) -> None:
        """Do with a call handler's return value what it means."""
        kind: type = type(value)
        if kind is Deferred:
            cast("Deferred[Any]", value).answers(call, self.process)
        elif kind is CoroutineType:  # it would not be awaited
            self.crash(call, unawaited_reply(self.calls, call.request, value))
        elif value is NO_REPLY or not self.process.alive:
            call.attach(self.process)
        elif self.actions is not None and self.actions.stop is not None:
            self._final_reply = (call, value)
            call.attach(self.process)
        else:
            call.reply(value)

    async def _loop(self) -> None:  # noqa: C901, PLR0912, PLR0915  # each await costs every message
        process = self.process
        task = process.task
        mailbox = process.mailbox
        calls = self.calls
        instance = self.instance
        message: Any = None
        call: Any
        request: Any
        value: Any
        turns = 0
        until = math.inf
        nurseries = open_nurseries(current_task())
        try:
            while True:
                if nurseries:
                    refuse_open_nursery(process)
                if process.exit_requested is not None:
                    return
                if self.actions is not None:
                    await self._apply_actions()
                    calls, instance = self.calls, self.instance
                    continue
                if not mailbox:
                    turns = 0
                    if self._timeout is not None:
                        await self._wait_with_timeout(self._timeout)
                        continue
                    message = call = request = value = None  # the idle loop keeps none of them
                    process.idle = True
                    process.parked = task
                    await wait_task_rescheduled(process.abort_park)
                    continue
                turns += 1
                if turns % LOOK_EVERY == 0:
                    until = await self._checkpoint_if_due(turns, until)
                    # Both may have changed while others ran.
                    if process.exit_requested is not None or not mailbox:  # type: ignore[redundant-expr]
                        turns -= 1
                        continue
                message = mailbox.popleft()
                process.taken += 1
                if type(message) is not Call:
                    await self._handle_message(message)
                    calls, instance = self.calls, self.instance
                    continue
                self._timeout = None
                call = process.current_request = message
                request = call.request
                handler = calls.get(request) if type(request) is str else None
                if handler is None:
                    value = await self._handle_other_call(call)
                elif handler[1]:
                    value = await handler[0](instance, *call.args, **call.kwargs)
                else:
                    value = handler[0](instance, *call.args, **call.kwargs)
                if (
                    self.actions is None  # type: ignore[redundant-expr]  # the handler sets it
                    and type(value) not in NO_ANSWERS
                    and process.exit_requested is None  # type: ignore[redundant-expr]  # as above
                    and not call.holders
                ):
                    call.put(value)
                else:
                    self.finish_call(call, value)
                process.current_request = None
        except BaseException:
            if message is not None and self._last[0] is None:
                self._note_last(message)
            self.attach_current()
            # The frame of a plain handler, which the error keeps, leads to this one.
            del self, process, task, mailbox, instance
            raise

    def _note_last(self, message: object) -> None:
        """Keep for the report what was being handled."""
        if self.process.runtime.reports_crashes:
            client = Client.of_call(message) if isinstance(message, Call) else None
            self._last = (message_of(message), client)

    async def _checkpoint_if_due(self, turns: int, until: float) -> float:
        """Let other tasks run when the mailbox has kept this one busy for long enough."""
        now = perf_counter()
        if turns == LOOK_EVERY:  # the first look since the server was last idle
            return now + LOOP_SECONDS
        if now < until:
            return until
        await checkpoint()
        return perf_counter() + LOOP_SECONDS

    async def _wait_with_timeout(self, seconds: float) -> None:
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            unpark(self.process)

        timer: Timer = self.process.node.timers.call_later(seconds, expire)
        try:
            await park(self.process)
        finally:
            timer.cancel()
        if expired and not self.process.mailbox:
            self._timeout = None
            self._last = (message_of(Timeout()), None)
            await self._handle_info(Timeout())
            self._last = (None, None)

    async def _handle_message(self, message: object) -> None:
        """Handle what is no call."""
        if type(message) is Cast:
            self._timeout = None
            await self._handle_cast(message)
        else:
            await self.handle_other(message)

    async def _handle_other_call(self, call: Call) -> object:
        if isinstance(call.request, str) and (handler := self.calls.get(call.request)) is not None:
            return await completed(handler[0](self.instance, *call.args, **call.kwargs))
        callback = getattr(self.instance, "handle_call", None)
        if callback is None:
            raise undefined_callback(self.cls, "handle_call", call.request)
        return await completed(callback(call.request, call))

    async def _handle_cast(self, cast: Cast) -> None:
        message = cast.message
        handler = self.casts.get(message) if isinstance(message, str) else None
        if handler is None:
            if cast.args or cast.kwargs:  # which only a handler of that name could take
                raise undefined_callback(self.cls, "handle_cast", message)
            await self._callback("handle_cast", message)
            return
        result = handler[0](self.instance, *cast.args, **cast.kwargs)
        if handler[1]:
            result = await result
        if result is not None:
            raise bad_return_value(str(message), result, awaited=handler[1])

    async def handle_other(self, message: object) -> None:
        """Handle what is neither call nor cast."""
        if isinstance(message, SystemCall):
            self._system_calls += 1
            await answer_system(self, message)
            if self.suspended and self.actions is None:
                await stay_suspended(self)
            return
        self._timeout = None
        if type(message) is ExitSignal and self.is_parents_exit(message):
            raise ProcessExit(message.reason)
        await self._handle_info(message)

    async def _handle_info(self, message: object) -> None:
        if hasattr(self.instance, "handle_info"):
            await self._callback("handle_info", message)
        else:
            report_unhandled(self.process, self.instance, message)

    async def _callback(self, name: str, message: object) -> None:
        callback = getattr(self.instance, name, None)
        if callback is None:
            raise undefined_callback(self.cls, name, message)
        result = await completed(callback(message))
        if result is not None:
            raise bad_return_value(name, result, awaited=True)

    async def _apply_actions(self) -> None:
        """
        Do what callbacks asked for: stop, or continue, or wait for so long.

        A callback that continues may ask for more; a chain of them gives way as messages do.
        """
        until = perf_counter() + LOOP_SECONDS
        while self.actions is not None:
            actions, self.actions = self.actions, None
            if actions.crash is not None:
                raise actions.crash
            if actions.stop is not None:
                raise ProcessExit(actions.stop)
            if actions.timeout is not None:
                self._timeout = actions.timeout
            if actions.continues:
                argument = actions.continues.popleft()
                if actions.continues:  # those behind it wait, in case it stops
                    self.actions = Actions(continues=actions.continues)
                self._timeout = None
                self._last = (("continue", argument), None)
                await self._callback("handle_continue", argument)
                self._last = (None, None)
            if perf_counter() > until:
                await checkpoint()
                until = perf_counter() + LOOP_SECONDS
            if self.process.exit_requested is not None:
                await checkpoint()
        if self.suspended:
            await stay_suspended(self)

    def is_parents_exit(self, message: object) -> bool:
        """Tell whether the parent tells this server to end."""
        return type(message) is ExitSignal and message.pid is self.parent

    def _is_own(self, error: BaseException) -> bool:
        """
        Tell whether *error* is the server's own end, and not the node's or the interpreter's. A
        ``Cancelled`` that is neither was stored by a handler.
        """
        if isinstance(error, Exception):
            return True
        if isinstance(error, trio.Cancelled | BaseExceptionGroup):
            return trio.current_effective_deadline() != -math.inf
        if isinstance(error, GeneratorExit):  # by a handler, or by the interpreter's end?
            return trio.lowlevel.in_trio_task() and current_task() is self.process.task
        return True

    async def _end(self, reason: ExitReason) -> None:
        """Run ``terminate``, give the last answer, and end."""
        try:
            callback = getattr(self.instance, "terminate", None)
            if callback is not None:
                await completed(callback(reason))
        except BaseException as error:
            if isinstance(reason, Crashed) and error.__context__ is None:
                error.__context__ = reason.exception  # which the new reason would hide
            raise
        finally:
            if self._final_reply is not None and self.process.exit_requested is None:
                call, value = self._final_reply
                call.reply(value)
        self.process.own_reason = reason
