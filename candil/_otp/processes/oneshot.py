"""
Where a task waits to be handed one thing: the direct hand-off under calls, starts and mailboxes.

1. A parked task is resumed exactly once: the code that resumes it clears the slot first, and a
   cancellation clears it too.
2. What is handed to ``reschedule`` only needs an ``unwrap`` method: trio calls it in the task that
   wakes. So the slot itself is handed over, and no ``outcome`` object is made per call.
   ``tests/otp/test_oneshot.py`` fails if a trio stops doing so.
3. In a thread that trio does not run in, a hand-off raises and changes nothing: the task still
   waits, and a later value still reaches it.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, final

from trio.lowlevel import Abort, Task, checkpoint, current_task, reschedule, wait_task_rescheduled

from candil._otp.processes.runtime import outside_of_trio

T = TypeVar("T")


@final
class Resumed:
    """What a task gets that is resumed without a value."""

    __slots__ = ()

    def unwrap(self) -> None:
        """Return nothing; trio calls it."""


RESUMED: Any = Resumed()


class OneShot(Generic[T]):
    """
    One task waits here for one value or one error. The first of them counts; later ones are
    dropped.
    """

    __slots__ = ("done", "error", "task", "value")

    def __init__(self) -> None:
        self.task: Task | None = None
        self.value: T | None = None
        self.error: BaseException | None = None
        self.done = False

    def put(self, value: T) -> None:
        """Hand over *value*, if nothing came before."""
        if not self.done:
            task = self.task
            if task is not None:  # not through a method: every answer of every call comes this way
                this: Any = self
                try:
                    reschedule(task, this)  # first: in a foreign thread it raises
                except RuntimeError:
                    raise outside_of_trio() from None
                self.task = None
            self.done = True
            self.value = value

    def fail(self, error: BaseException) -> None:
        """Raise *error* in the waiting task, if nothing came before."""
        if not self.done:
            task = self.task
            if task is not None:
                this: Any = self
                try:
                    reschedule(task, this)  # first: in a foreign thread it raises
                except RuntimeError:
                    raise outside_of_trio() from None
                self.task = None
            self.done = True
            self.error = error

    async def wait(self) -> T:
        """
        Wait for what comes. Cancellation: the slot counts as done, and what comes later is dropped.
        """
        if self.done:
            await checkpoint()
            return self.unwrap()
        self.task = current_task()
        result: T = await wait_task_rescheduled(self.abort)
        return result

    def unwrap(self) -> T:
        """Return the value or raise the error; trio calls it in the task that waited."""
        error = self.error
        if error is not None:
            self.error = None
            try:
                raise error
            finally:
                del error  # else the traceback and this frame keep each other alive
        value: Any = self.value
        return value  # type: ignore[no-any-return]

    def abort(self, _raise_cancel: object) -> Abort:
        """Let a cancellation end the wait; trio calls it."""
        self.task = None
        self.done = True
        return Abort.SUCCEEDED
