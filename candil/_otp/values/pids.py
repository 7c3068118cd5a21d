"""Pids and references: what stands for a process, and for one act of watching it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeGuard, TypeVar, final

if TYPE_CHECKING:
    from typing import Self

    # A pid holds the record of its process, so that a send needs no table.
    from candil._otp.processes.process import Process

S_co = TypeVar("S_co", covariant=True)


class _Identity:
    """
    What is nothing but itself: its copy is the same object, and it is of no use elsewhere.

    No attrs class: ``attrs.asdict`` of a message would take it apart, and the whole run with it.
    """

    __slots__ = ("__weakref__",)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} means something in this run only and cannot be pickled. Send a name instead"
        )


@final
class Pid(_Identity, Generic[S_co]):
    """
    One incarnation of a process; a restarted child has another.

    Pids compare by identity, and a copy of a pid is the pid. A pid outlives its process: sending to
    it is then ignored, calling it raises ``NoProc``.

    Attributes:
        node: Name of the node that the process runs on.

        incarnation: Which run of that node.

        id: Serial number within the run.

        label: What the process runs, for people.

        process: candil's own record while the process lives; not for users.
    """

    __slots__ = ("id", "incarnation", "label", "node", "process")

    def __init__(
        self,
        node: str,
        incarnation: int,
        id: int,  # as the attribute is called
        label: str,
        process: Process | None = None,
    ) -> None:
        self.node = node
        self.incarnation = incarnation
        self.id = id
        self.label = label
        self.process = process

    def __repr__(self) -> str:
        return f"<Pid {self.node}.{self.id} {self.label}>"


def is_pid(value: object) -> TypeGuard[Pid[Any]]:
    """Tell whether *value* is a pid."""
    return type(value) is Pid


@final
class Ref(_Identity):
    """A unique reference: one monitor, or one timer. Compares by identity. OTP: ``make_ref``."""

    __slots__ = ("id",)

    def __init__(self, id: int) -> None:
        self.id = id

    def __repr__(self) -> str:
        return f"<Ref {self.id}>"
