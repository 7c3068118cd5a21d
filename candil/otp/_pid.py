"""Pids and references: what stands for a process, and for one act of watching it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar, final

import attrs

if TYPE_CHECKING:
    from candil.otp._process import Process

S_co = TypeVar("S_co", covariant=True)


@final
@attrs.define(eq=False, repr=False)
class Pid(Generic[S_co]):
    """
    One incarnation of a process; a restarted child has another.

    Pids compare by identity. A pid outlives its process: sending to it is then ignored, calling it
    raises ``NoProc``.

    Attributes:
        node: Name of the node that the process runs on.

        incarnation: Which run of that node.

        id: Serial number within the run.

        label: What the process runs, for people.

        process: candil's own record while the process lives; not for users.
    """

    node: str
    incarnation: int
    id: int
    label: str
    process: Process | None = None

    def __repr__(self) -> str:
        return f"<Pid {self.node}.{self.id} {self.label}>"


def is_pid(value: object) -> TypeGuard[Pid[Any]]:
    """Tell whether *value* is a pid."""
    return type(value) is Pid


@final
@attrs.define(eq=False, repr=False)
class Ref:
    """A unique reference: one monitor, or one timer. Compares by identity. OTP: ``make_ref``."""

    id: int

    def __repr__(self) -> str:
        return f"<Ref {self.id}>"
