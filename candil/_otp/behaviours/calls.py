"""
Calls and casts as messages, and the answers to them.

A call is handed over directly: it is its own reply slot, parks the caller's task, and is put into
no channel. The caller's deadline is a number in the call: no cancel scope is opened, no timer set
(``call_deadlines.py``).

Not here: how a call is made (``call_fast.py``), the functions that users call (``clients.py``).
"""

from __future__ import annotations

import math
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, final

import attrs
from trio.lowlevel import in_trio_run

from candil._otp.processes.requests import Request
from candil._otp.processes.runtime import current_process, outside_of_trio
from candil._otp.values.errors import CallTimeout
from candil._otp.values.exit_errors import ServerExited
from candil._otp.values.exit_reasons import Crashed

if TYPE_CHECKING:
    from candil._otp.processes.process import Process
    from candil._otp.values.exit_reasons import ExitReason
    from candil._otp.values.pids import Pid

    class Reducible(Protocol):
        """
        Any object but a ``Deferred``, which alone is said not to have this method: the types know
        no other way to ask whether a union holds one.
        """

        def __reduce__(self) -> str | tuple[Any, ...]: ...

    # For mypy, classes and None have no such method.
    Immediate: TypeAlias = Reducible | type[object] | None


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

    A ``handle_call`` that returns ``NO_REPLY`` keeps it, or sends it to the process that answers.

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
        args: tuple[object, ...],
        kwargs: dict[str, object],
        timeout: float,
    ) -> None:
        # Not by super(): one call more for every call. ``value`` is not read before it is put.
        self.task = None
        self.error = None
        self.done = False
        self.target = target
        self.request = request
        self.args = args
        self.kwargs = kwargs
        self.timeout = timeout
        self.deadline = math.inf
        self.holders = ()

    @property
    def pid(self) -> Pid[Any] | None:
        """The caller while it waits, or ``None`` if it is no process."""
        sender = None if self.task is None else self.task.context.get(current_process)
        return None if sender is None else sender.pid

    def expire(self) -> None:
        """Return the caller a ``CallTimeout``; the deadline's task calls it."""
        self.refuse(CallTimeout(self.target, self.request, self.timeout))

    def exited_error(self, reason: ExitReason) -> BaseException:
        """Return the ``ServerExited`` for this very call, chained to the crash."""
        error = ServerExited(self.target, self.request, reason)
        error.__cause__ = reason.exception if isinstance(reason, Crashed) else None
        return error


@final
@attrs.define(eq=False)
class Cast:
    """One message that wants no answer."""

    message: object
    args: tuple[object, ...]
    kwargs: dict[str, object]


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
        """Whether no caller waits for it any more: its callers gave up, or were answered."""
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
