"""
The functions that talk to a supervisor. OTP: the module ``supervisor``. None of them has a timeout,
as there. What ``root`` gives can be passed on as it is: ``None`` is nobody, and they raise
``NoProc``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar, overload

from candil._otp.behaviours.call_fast import perform
from candil._otp.supervisors.supervisor import Refusal, Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candil._otp.supervisors.child_spec import ChildSpec
    from candil._otp.supervisors.children import ChildCounts, ChildInfo
    from candil._otp.supervisors.supervisor_spec import SupervisorSpec
    from candil._otp.values.names import Server
    from candil._otp.values.pids import Pid


S = TypeVar("S")


async def _ask(supervisor: Server[Supervisor] | None, request: str, *args: object) -> Any:
    answer = await perform(supervisor, request, args, {}, math.inf, Supervisor)
    if isinstance(answer, Refusal):
        raise answer.error
    return answer


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
) -> Pid[Any] | None: ...
async def start_child(supervisor: Server[Supervisor] | None, child: object) -> Pid[Any] | None:
    """
    Add a child and start it. OTP: ``supervisor:start_child``.

    It becomes the last: started last, stopped first.

    Args:
        supervisor: Its pid or name, or what ``root`` gave.

        child: A child spec; for a simple_one_for_one supervisor, a list of arguments that follow
            those of its template.

    Returns:
        The child's pid; ``None`` if its ``init`` returned ``IGNORE``, in which case it is kept as
        stopped unless it is temporary.

    Raises:
        StartError: It did not start, and is not kept.

        AlreadyStarted: A child with this id runs.

        ChildAlreadyPresent: A stopped child has this id.

        SpecError: The spec does not fit this supervisor.

        NoProc, ServerExited: As for ``call``.
    """
    pid: Pid[Any] | None = await _ask(supervisor, "do_start_child", child)
    return pid


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
    await _ask(supervisor, "do_terminate_child", child_id)


async def restart_child(supervisor: Server[Supervisor] | None, child_id: object) -> Pid[Any] | None:
    """
    Start a stopped child again, in its old place. OTP: ``supervisor:restart_child``.

    Args:
        supervisor: As for ``start_child``.

        child_id: The child's id.

    Returns:
        Its pid, or ``None`` if it wants to be ignored.

    Raises:
        StartError: It did not start; it stays stopped.

        ChildNotFound, ChildRunning, ChildRestarting, SimpleOneForOneError, NoProc, ServerExited: As
            they say.
    """
    pid: Pid[Any] | None = await _ask(supervisor, "do_restart_child", child_id)
    return pid


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
    await _ask(supervisor, "do_delete_child", child_id)


async def which_children(supervisor: Server[Supervisor] | None) -> list[ChildInfo]:
    """
    List the children, the last started first. OTP: ``supervisor:which_children``.

    Args:
        supervisor: As for ``start_child``.

    Raises:
        NoProc, ServerExited: As for ``call``.
    """
    children: list[ChildInfo] = await _ask(supervisor, "do_which_children")
    return children


async def count_children(supervisor: Server[Supervisor] | None) -> ChildCounts:
    """
    Count the children. OTP: ``supervisor:count_children``.

    Args:
        supervisor: As for ``start_child``.

    Raises:
        NoProc, ServerExited: As for ``call``.
    """
    counts: ChildCounts = await _ask(supervisor, "do_count_children")
    return counts


async def get_childspec(supervisor: Server[Supervisor] | None, child_id: object) -> ChildSpec[Any]:
    """
    Give the spec of a child. OTP: ``supervisor:get_childspec``.

    Args:
        supervisor: As for ``start_child``.

        child_id: The child's id or pid.

    Raises:
        ChildNotFound, NoProc, ServerExited: As they say.
    """
    spec: ChildSpec[Any] = await _ask(supervisor, "do_get_childspec", child_id)
    return spec
