"""
Children of specs, each with an id: the table of every strategy but ``simple_one_for_one``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from candil._otp.behaviours.errors import AlreadyStarted
from candil._otp.supervisors.child import Child
from candil._otp.supervisors.child_table import ChildTable
from candil._otp.supervisors.errors import (
    ChildAlreadyPresent,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    SpecError,
)
from candil._otp.supervisors.supervisor_spec import as_child_spec, children_mistakes
from candil._otp.values.exit_reasons import Exit
from candil._otp.values.names import typed_key
from candil._otp.values.pids import is_pid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from candil._otp.supervisors.child_spec import ChildSpec
    from candil._otp.supervisors.strategy import AutoShutdown


@final
class OrderedTable(ChildTable):
    """Children found by their ids. Those of the supervisor's own spec come first."""

    def __init__(self, specs: Iterable[ChildSpec[object]]) -> None:
        super().__init__()
        for spec in specs:
            self.add(Child(spec))

    def new_child(self, wanted: object, auto_shutdown: AutoShutdown) -> Child:
        """Return a child of the spec *wanted*."""
        spec = as_child_spec(wanted)
        mistakes = children_mistakes((spec,), "one_for_one", auto_shutdown)
        if mistakes:
            raise SpecError(mistakes)
        present = self.get(spec.id)
        if present is None:
            return Child(spec)
        if present.pid is None:
            raise ChildAlreadyPresent(spec.id)
        raise AlreadyStarted(present.pid, Exit(("already_started", present.pid)), spec.id)

    def get(self, child_id: object) -> Child | None:
        """Find a child by its id."""
        try:
            return self._children.get(typed_key(child_id))
        except TypeError:  # it cannot be hashed, so no child has it; no reason to crash
            return None

    def find(self, child_id: object) -> Child:
        """Find it by its id."""
        child = self.get(child_id)
        if child is None:
            raise ChildNotFound(child_id)
        return child

    def find_stopped(self, child_id: object) -> Child:
        """Find it by its id."""
        child = self.find(child_id)
        if child.restarting:
            raise ChildRestarting(child_id)
        if child.pid is not None:
            raise ChildRunning(child_id)
        return child

    def spec_of(self, child_id: object) -> ChildSpec[Any] | None:
        """Return the child's own spec."""
        child = self.by_pid.get(child_id) if is_pid(child_id) else None
        child = child or self.get(child_id)
        return None if child is None else child.spec

    def change_specs(self, specs: tuple[ChildSpec[object], ...]) -> None:
        """Take new specs by id, in their order; children that have none keep theirs, at the end."""
        old, self._children = self._children, {}
        for spec in specs:
            child = old.pop(typed_key(spec.id), None)
            if child is None:
                child = Child(spec)
            child.change_spec(spec)
            self.add(child)
        self._children.update(old)

    def _key(self, child: Child) -> object:
        return typed_key(child.spec.id)

    def _keeps(self, child: Child) -> bool:
        return child.spec.restart != "temporary"

    def _shown_id(self, child: Child) -> object:
        return child.spec.id

    def _spec_count(self) -> int:
        return len(self)
