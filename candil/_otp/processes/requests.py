"""
What somebody waits for an answer to: a call, a start, a question of ``candil.sys``.

A process that took a request holds it until the answer; if it ends first, the request fails. A
request that is done is held by no process and no timer: its arguments may be large, and its
deadline an hour away.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from candil._otp.processes.oneshot import OneShot
from candil._otp.values.exit_errors import ServerExited
from candil._otp.values.exit_reasons import Crashed

if TYPE_CHECKING:
    from trio.lowlevel import Abort

    from candil._otp.processes.process import Process
    from candil._otp.values.exit_reasons import ExitReason

T = TypeVar("T")


class Holder(Protocol):
    """What keeps a request until it is done: the process that took it, or a deadline timer."""

    def drop(self, request: Request[Any], /) -> None:
        """Let go of a request that is done."""


class Request(OneShot[T], Generic[T]):
    """
    A task waits for the answer to this; if the process that took it ends first, it gets an error.
    """

    __slots__ = ("deadline", "holders")

    def __init__(self) -> None:
        super().__init__()
        self.deadline = math.inf
        self.holders: tuple[Holder, ...] = ()

    def expire(self) -> None:
        """Fail because it took too long; a request that has a deadline says how."""

    def attach(self, process: Process) -> None:
        """Fail if *process* ends without an answer."""
        if not self.done:
            self.holders = (*self.holders, process)
            if process.pending is None:
                process.pending = {}
            process.pending[self] = None

    def reply(self, value: T) -> None:
        """
        Answer. May come from any process; all but the first answer, and those that come too late,
        are dropped.

        Args:
            value: What the caller gets.

        Raises:
            RuntimeError: This thread is not the one that trio runs in. Nothing has changed; use
                ``trio.from_thread.run_sync(caller.reply, value)``.
        """
        self.put(value)
        self._detach()

    def refuse(self, error: BaseException) -> None:
        """Raise *error* in the task that waits."""
        self.fail(error)
        self._detach()

    def server_exited(self, reason: ExitReason) -> None:
        """Fail because the answer will never come."""
        if not self.done:
            self.refuse(self.exited_error(reason))

    def exited_error(self, reason: ExitReason) -> BaseException:
        """Return the error for an answer that will never come."""
        error = ServerExited(None, None, reason)
        error.__cause__ = reason.exception if isinstance(reason, Crashed) else None
        return error

    def abort(self, raise_cancel: object) -> Abort:
        """Let a cancellation end the wait; the process with the request does not learn of it."""
        self._detach()
        return super().abort(raise_cancel)

    def _detach(self) -> None:
        holders, self.holders = self.holders, ()
        for holder in holders:
            holder.drop(self)
