"""
Children of one template, which are started on demand: the table of ``simple_one_for_one``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, final

from candil._otp.supervisors.child import Child
from candil._otp.supervisors.child_table import ChildTable
from candil._otp.supervisors.errors import ChildNotFound, SimpleOneForOneError, SpecError
from candil._otp.values.names import typed_key
from candil._otp.values.pids import Pid, is_pid

if TYPE_CHECKING:
    from candil._otp.supervisors.child_spec import ChildSpec
    from candil._otp.supervisors.strategy import AutoShutdown


@final
class DynamicTable(ChildTable):
    """
    Children found by their pids. They have no ids, and leave with their processes.

    Attributes:
        by_last_pid: Those that are being restarted, by the pids that they had.
    """

    stops_together = True

    def __init__(self, template: ChildSpec[object]) -> None:
        super().__init__()
        self.template = template
        self.by_last_pid: dict[Pid[object], Child] = {}

    def new_child(self, wanted: object, auto_shutdown: AutoShutdown) -> Child:  # noqa: ARG002  # checked with the template
        """Return a child of the template, with the further arguments *wanted*."""
        if not isinstance(wanted, list | tuple):
            mistake = (
                "a simple_one_for_one supervisor starts children of its template; give a "
                "list of further arguments"
            )
            raise SpecError([mistake])
        template = self.template
        args = (*template.args, *cast("list[Any]", wanted))
        if not template.start.fails_at_once:
            mistakes = template.start.mistakes(args, template.kwargs)
            if mistakes:
                raise SpecError(mistakes)
        return Child(template, arguments=(args, template.kwargs))

    def find(self, child_id: object) -> Child | None:
        """Find it by its pid; by the last one while it is being restarted."""
        if not is_pid(child_id):
            raise SimpleOneForOneError(child_id)
        child = self.by_pid.get(child_id) or self.by_last_pid.get(child_id)
        if child is None and child_id.process is not None:
            raise ChildNotFound(child_id)
        return child

    def find_stopped(self, child_id: object) -> Child:
        """Find none: a child of a template leaves with its process."""
        raise SimpleOneForOneError(child_id)

    def spec_of(self, child_id: object) -> ChildSpec[Any] | None:
        """Return the template, for its id and for every pid that is no other process's."""
        if is_pid(child_id):
            known = child_id in self.by_pid or child_id in self.by_last_pid
            return self.template if known or child_id.process is None else None
        return self.template if typed_key(child_id) == typed_key(self.template.id) else None

    def change_specs(self, specs: tuple[ChildSpec[object], ...]) -> None:
        """Take another template."""
        (self.template,) = specs
        for child in self:
            child.change_spec(self.template)

    def note_process_gone(self, child: Child) -> None:
        """Note that its last pid is of no use any more."""
        super().note_process_gone(child)
        if child.last_pid is not None:
            self.by_last_pid.pop(child.last_pid, None)

    def mark_restarting(self, child: Child) -> None:
        """Note its last pid, all that it can be named by."""
        super().mark_restarting(child)
        assert child.last_pid is not None
        self.by_last_pid[child.last_pid] = child

    def _key(self, child: Child) -> object:
        return child

    def _keeps(self, child: Child) -> bool:  # noqa: ARG002  # none can be named without a process
        return False

    def _shown_id(self, child: Child) -> object:  # noqa: ARG002  # as above
        return None

    def _spec_count(self) -> int:
        return 1
