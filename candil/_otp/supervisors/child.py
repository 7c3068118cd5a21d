"""
Starting and stopping one child, as a supervisor does.

Not here: which child and when (``supervisor.py``, ``strategy.py``).
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, final

import attrs
import trio

from candil._otp.behaviours.errors import AlreadyStarted, StartError, StartIgnored
from candil._otp.behaviours.proc_lib import IGNORE, Startable, start_process
from candil._otp.processes.process import (
    Process,
    join,
    kill,
    link_processes,
    send_exit,
    unlink_processes,
)
from candil._otp.processes.registration import claim_name
from candil._otp.processes.task import keyboard_interrupt_in, reason_of
from candil._otp.supervisors.child_spec import ChildSpec, StartFunction
from candil._otp.values.exit_reasons import (
    SHUTDOWN,
    Exit,
    ExitReason,
    Killed,
    as_exit_reason,
    is_abnormal,
    is_pair,
)
from candil._otp.values.names import name_key
from candil._otp.values.pids import Pid, is_pid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from candil._otp.processes.timers import Timer


@final
@attrs.define(eq=False)
class Child:
    """
    What a supervisor knows of one child.

    ``pid`` is ``None`` while it is stopped. A child that is being restarted has ``restarting`` set
    and no pid.
    """

    spec: ChildSpec[Any]
    pid: Pid[Any] | None = None
    arguments: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None  # instead of the spec's
    restarting: bool = False
    crashes: int = 0
    started_at: float = -math.inf
    timer: Timer | None = None
    last_pid: Pid[Any] | None = None

    def cancel_timer(self) -> None:
        """Cancel a start that is delayed."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def describe(self) -> dict[str, object]:
        """Give the offender of a report."""
        spec = self.spec
        return {
            "id": spec.id,
            "pid": self.pid,
            "start": spec.target,
            "restart": spec.restart,
            "shutdown": spec.shutdown,
            "type": spec.type,
            "significant": spec.significant,
        }


@final
@attrs.define(eq=False)
class RetryRestart:
    """
    A supervisor's message to itself: start this child again.

    Attributes:
        child: Which.

        failure: Why its last start failed; ``None`` after a delay, when that has been counted.

        timer: What posted this, after a delay.
    """

    child: Child
    failure: ExitReason | None = None
    timer: Timer | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the child was stopped or started since, or is delayed anew."""
        delayed = self.timer is not None
        return not self.child.restarting or (delayed and self.timer is not self.child.timer)


async def start_child_process(own: Process, child: Child) -> Pid[Any] | None:
    """
    Start what the child's spec says, linked to its supervisor *own*. Gives ``None`` if it wants to
    be ignored.

    Raises:
        StartError: It did not start; ``.reason`` as OTP's ``{error, Reason}``.
    """
    spec = child.spec
    args, options = child.arguments or (spec.args, spec.kwargs)
    kwargs = dict(options)
    try:
        if isinstance(spec.target, StartFunction):
            return await _run_start_function(spec.target, args, kwargs)
        if _is_server(spec.target):
            process = await start_process(
                spec.target, args, kwargs, spec.name, math.inf, parent=own
            )
            return process.pid
        return _spawn_function(own, spec, args, kwargs)
    except StartIgnored:
        return None
    except AlreadyStarted as error:
        raise AlreadyStarted(
            error.pid, error.reason, spec.id, label=error.label, name=error.name
        ) from error
    except StartError as error:
        raise StartError(error.reason, spec.id, label=error.label) from error.__cause__


def _is_server(target: object) -> bool:
    return isinstance(target, type | Startable)


def _spawn_function(
    own: Process, spec: ChildSpec[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Pid[Any]:
    """
    Start a plain async function as a process; it counts as up at once. OTP:
    ``proc_lib:spawn_link``.
    """
    label = getattr(spec.target, "__qualname__", None) or type(spec.target).__name__
    if spec.name is not None and (holder := own.runtime.names.get(name_key(spec.name))) is not None:
        reason = Exit(("already_started", holder.pid))
        raise AlreadyStarted(holder.pid, reason, label=label, name=spec.name)
    process = own.node.spawn(label, own, partial(spec.target, **kwargs), *args)
    link_processes(own, process)
    if spec.name is not None:
        claim_name(process, spec.name)
    return process.pid


async def _run_start_function(
    start: StartFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Pid[Any] | None:
    try:
        result: object = await start.function(*args, **kwargs)
    except StartError:
        raise
    except BaseException as error:
        if not _is_its_own(error):
            raise
        raise StartError(Exit(("EXIT", reason_of(error)))) from error  # noqa: ASYNC104  # a leaked one
    if result is IGNORE:
        return None
    first = result[0] if is_pair(result) else result
    if is_pid(first):
        return first
    raise StartError(as_exit_reason(result))


def _is_its_own(error: BaseException) -> bool:
    """
    Tell whether a start function failed with *error*; otherwise it is the end of the supervisor
    that runs it, or of the program.
    """
    if isinstance(error, Exception | SystemExit):
        return True
    if isinstance(error, GeneratorExit) or keyboard_interrupt_in(error) is not None:
        return False
    return trio.current_effective_deadline() != -math.inf


async def stop_child_process(own: Process, child: Child) -> ExitReason | None:
    """
    End the child as its spec says, wait until it has ended, and give its reason.

    Gives ``None`` if it had ended before. OTP: supervisor's ``shutdown/1``.
    """
    process = None if child.pid is None else child.pid.process
    if process is None:
        return None
    unlink_processes(own, process)
    budget = child.spec.shutdown
    if budget == "brutal_kill":
        kill(process)
    else:
        send_exit(process, own.pid, SHUTDOWN)
        if await join(process, budget):
            return process.exit_reason
        kill(process)
    await join(process, math.inf)
    return process.exit_reason


def is_expected(reason: ExitReason, spec: ChildSpec[Any]) -> bool:
    """Tell whether a child that was stopped ended as it should, for which nobody need be told."""
    if isinstance(reason, Killed):
        return spec.shutdown == "brutal_kill"
    if reason == SHUTDOWN and spec.shutdown != "brutal_kill":
        return True
    return not is_abnormal(reason) and spec.restart != "permanent"
