"""
The children of one supervisor, as it finds them again.

1. Children are found in dictionaries: a restart costs the same among ten and among ten thousand.
2. There are two kinds, and each answers what depends on it: what a request may name, which children
   stay without a process, whether all are stopped together. See ``ordered_table.py`` and
   ``dynamic_table.py``.

Not here: starting and stopping children (``children.py``), and which (``supervisor.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from candil._otp.supervisors.child import Child
    from candil._otp.supervisors.child_spec import ChildSpec
    from candil._otp.supervisors.strategy import AutoShutdown
    from candil._otp.values.pids import Pid


@final
@attrs.frozen
class ChildInfo:
    """
    One child, as ``which_children`` lists it.

    Attributes:
        id: Its id; ``None`` under simple_one_for_one.

        child: Its pid, ``None`` while it is stopped, or ``"restarting"``.

        type: ``"worker"`` or ``"supervisor"``.
    """

    id: object
    child: Pid[Any] | Literal["restarting"] | None
    type: str


@final
@attrs.frozen
class ChildCounts:
    """
    How many children a supervisor has.

    Attributes:
        specs: Child specs, running or not; 1 under simple_one_for_one.

        active: Living child processes.

        supervisors: Children of type supervisor, running or not.

        workers: Children of type worker, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


class ChildTable(ABC):
    """
    Children in start order.

    Attributes:
        by_pid: Those that have a process.

        stops_together: Whether a supervisor that ends stops all at once, and not one by one.
    """

    stops_together = False

    def __init__(self) -> None:
        self.by_pid: dict[Pid[object], Child] = {}
        self._children: dict[object, Child] = {}

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children.values())

    def __contains__(self, child: Child) -> bool:
        return self._children.get(self._key(child)) is child

    def add(self, child: Child) -> None:
        """Add one more, as the last."""
        self._children[self._key(child)] = child

    def remove(self, child: Child) -> None:
        """Drop one for good."""
        self._children.pop(self._key(child), None)

    def note_started(self, child: Child, pid: Pid[object] | None) -> None:
        """Note the process that a child has now; ``None`` if it wants to be ignored."""
        self.note_process_gone(child)
        if pid is not None:
            child.pid = child.last_pid = pid
            self.by_pid[pid] = child
        elif not self._keeps(child):
            self.remove(child)

    def note_process_gone(self, child: Child) -> None:
        """Note that the child has no process, and is not being restarted."""
        child.pid = None
        child.restarting = False

    def mark_restarting(self, child: Child) -> None:
        """Note that the child has no process, and will."""
        child.pid = None
        child.restarting = True

    def forget(self, child: Child) -> None:
        """Note that the child has no process; drop it unless it may be started again."""
        self.note_process_gone(child)
        if not self._keeps(child):
            self.remove(child)

    def info(self) -> list[ChildInfo]:
        """List the children, the last started first, as OTP does."""
        return [
            ChildInfo(
                self._shown_id(child),
                "restarting" if child.restarting else child.pid,
                child.spec.type,
            )
            for child in reversed(self._children.values())
        ]

    def counts(self) -> ChildCounts:
        """Count the children."""
        active = sum(child.pid is not None and child.pid.process is not None for child in self)
        supervisors = sum(child.spec.type == "supervisor" for child in self)
        return ChildCounts(self._spec_count(), active, supervisors, len(self) - supervisors)

    # --- what depends on the kind

    @abstractmethod
    def new_child(self, wanted: object, auto_shutdown: AutoShutdown) -> Child:
        """
        Return the child that a request asks for, not added yet.

        Raises:
            SpecError: What was asked for does not fit this supervisor.

            AlreadyStarted, ChildAlreadyPresent: A child has its id.
        """

    @abstractmethod
    def find(self, child_id: object) -> Child | None:
        """
        Find a child to stop; ``None`` if it is gone already.

        Raises:
            ChildNotFound, SimpleOneForOneError: There is none.
        """

    @abstractmethod
    def find_stopped(self, child_id: object) -> Child:
        """
        Find a child that is to be started again, or deleted.

        Raises:
            ChildNotFound, ChildRunning, ChildRestarting, SimpleOneForOneError: There is none.
        """

    @abstractmethod
    def spec_of(self, child_id: object) -> ChildSpec[Any] | None:
        """Return a child's spec, by id or pid; ``None`` if there is none."""

    @abstractmethod
    def change_specs(self, specs: tuple[ChildSpec[object], ...]) -> None:
        """Take new specs; running children keep their processes."""

    @abstractmethod
    def _key(self, child: Child) -> object: ...

    @abstractmethod
    def _keeps(self, child: Child) -> bool:
        """Tell whether a child without a process stays."""

    @abstractmethod
    def _shown_id(self, child: Child) -> object: ...

    @abstractmethod
    def _spec_count(self) -> int: ...
