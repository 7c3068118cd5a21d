"""
The functions that talk to a supervisor. OTP: the module ``supervisor``. None of them has a timeout,
as there. What ``root`` gives can be passed on as it is: ``None`` is no process, and they raise
``NoProc``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar, overload

from candil._otp.supervisors.errors import ChildNotFound
from candil._otp.supervisors.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candil._otp.supervisors.child_spec import ChildSpec
    from candil._otp.supervisors.child_start import Started, StartFunction
    from candil._otp.supervisors.child_table import ChildCounts, ChildInfo
    from candil._otp.supervisors.supervisor_spec import SupervisorSpec
    from candil._otp.values.names import Server
    from candil._otp.values.pids import Pid


S = TypeVar("S")


_start_child = Supervisor.do_start_child.within(math.inf)
_terminate_child = Supervisor.do_terminate_child.within(math.inf)
_restart_child = Supervisor.do_restart_child.within(math.inf)
_delete_child = Supervisor.do_delete_child.within(math.inf)
_which_children = Supervisor.do_which_children.within(math.inf)
_count_children = Supervisor.do_count_children.within(math.inf)
_get_childspec = Supervisor.do_get_childspec.within(math.inf)


# A start function decides what it gives; every other child has the pid of the next signature.
@overload
async def start_child(  # type: ignore[overload-overlap]
    supervisor: Server[Supervisor] | None, child: ChildSpec[StartFunction]
) -> Started: ...
@overload
async def start_child(
    supervisor: Server[Supervisor] | None, child: ChildSpec[S] | type[S]
) -> Pid[S] | None: ...
@overload
async def start_child(
    supervisor: Server[Supervisor] | None, child: SupervisorSpec
) -> Pid[Supervisor] | None: ...
@overload
async def start_child(
    supervisor: Server[Supervisor] | None, child: Sequence[object]
) -> Started: ...
async def start_child(supervisor: Server[Supervisor] | None, child: object) -> Started:
    """
    Add a child and start it. OTP: ``supervisor:start_child``.

    It becomes the last: started last, stopped first.

    Args:
        supervisor: Its pid or name, or what ``root`` gave.

        child: A child spec; for a simple_one_for_one supervisor, a list of arguments that follow
            those of its template.

    Returns:
        The child's pid; ``None`` if its ``init`` returned ``IGNORE``, in which case it is kept as
        stopped unless it is temporary. A child whose ``StartFunction`` returned something beside
        the pid gives a ``StartedChild``, which has both.

    Raises:
        StartError: It did not start, and is not kept.

        AlreadyStarted: A child with this id runs.

        ChildAlreadyPresent: A stopped child has this id.

        SpecError: The spec does not fit this supervisor.

        NoProc, ServerExited: As for ``call``.
    """
    return await _start_child(supervisor, child)


async def terminate_child(supervisor: Server[Supervisor] | None, child_id: object) -> None:
    """
    Stop a child as its spec says, and wait for its end. OTP: ``supervisor:terminate_child``.

    It stays as a stopped child, unless it is temporary. Its siblings are not touched, and no
    restart is counted.

    Args:
        supervisor: As for ``start_child``.

        child_id: The child's id; for a simple_one_for_one supervisor, its pid.

    Raises:
        ChildNotFound, SimpleOneForOneError, NoProc, ServerExited: As they say.
    """
    await _terminate_child(supervisor, child_id)


async def restart_child(supervisor: Server[Supervisor] | None, child_id: object) -> Started:
    """
    Start a stopped child again, in its old place. OTP: ``supervisor:restart_child``.

    Args:
        supervisor: As for ``start_child``.

        child_id: The child's id.

    Returns:
        Its pid, or ``None`` if it wants to be ignored; a ``StartedChild`` as for ``start_child``.

    Raises:
        StartError: It did not start; it stays stopped.

        ChildNotFound, ChildRunning, ChildRestarting, SimpleOneForOneError, NoProc, ServerExited: As
            they say.
    """
    return await _restart_child(supervisor, child_id)


async def delete_child(supervisor: Server[Supervisor] | None, child_id: object) -> None:
    """
    Forget a stopped child. OTP: ``supervisor:delete_child``.

    Args:
        supervisor: As for ``start_child``.

        child_id: The child's id.

    Raises:
        ChildNotFound, ChildRunning, ChildRestarting, SimpleOneForOneError, NoProc, ServerExited: As
            they say.
    """
    await _delete_child(supervisor, child_id)


async def which_children(supervisor: Server[Supervisor] | None) -> list[ChildInfo]:
    """
    List the children, the last started first. OTP: ``supervisor:which_children``.

    Args:
        supervisor: As for ``start_child``.

    Raises:
        NoProc, ServerExited: As for ``call``.
    """
    return await _which_children(supervisor)


async def count_children(supervisor: Server[Supervisor] | None) -> ChildCounts:
    """
    Count the children. OTP: ``supervisor:count_children``.

    Args:
        supervisor: As for ``start_child``.

    Raises:
        NoProc, ServerExited: As for ``call``.
    """
    return await _count_children(supervisor)


async def get_childspec(supervisor: Server[Supervisor] | None, child_id: object) -> ChildSpec[Any]:
    """
    Return the spec of a child, without arguments if it is temporary and runs. OTP:
    ``supervisor:get_childspec``.

    Args:
        supervisor: As for ``start_child``.

        child_id: The child's id or pid.

    Raises:
        ChildNotFound, NoProc, ServerExited: As they say.
    """
    spec = await _get_childspec(supervisor, child_id)
    if spec is None:
        raise ChildNotFound(child_id)
    return spec
