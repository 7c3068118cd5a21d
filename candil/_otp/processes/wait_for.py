"""
Waiting for a registered name: after a crash for the replacement, at start-up for the first holder.

1. A holder that was told to end is not living, so the wait goes on until its successor registers.
2. Registration wakes the waiters; they look again, since the holder may have ended meanwhile.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar, overload

import trio

from candil._otp.processes.call_deadlines import check_timeout
from candil._otp.processes.oneshot import OneShot
from candil._otp.processes.registration import whereis
from candil._otp.processes.runtime import Runtime, get_runtime
from candil._otp.values.errors import WaitTimeout
from candil._otp.values.names import Name, ServerName, Via, name_key
from candil._otp.values.pids import is_pid

if TYPE_CHECKING:
    from candil._otp.values.pids import Pid

S = TypeVar("S")


@overload
async def wait_for(name: Name[S] | Via[S], *, timeout: float = ...) -> Pid[S]: ...
@overload
async def wait_for(name: str, *, timeout: float = ...) -> Pid[Any]: ...
async def wait_for(name: ServerName[Any], *, timeout: float = math.inf) -> Pid[Any]:  # noqa: ASYNC109
    """
    Wait until a living process holds a name.

    Returns at once if one does. A process that was told to end is not living, so after
    ``candil.exit(name, reason)`` this waits for the replacement. The holder may still be in its
    ``init``; a call to it waits for that. In an ``init``, wait for no child that starts later.

    Args:
        name: The name. A pid is one incarnation and has no successor; ``monitor`` waits for its
            end.

        timeout: Seconds to wait.

    Returns:
        The pid of the holder.

    Raises:
        WaitTimeout: No living process held the name within *timeout* seconds.

        TypeError: It is no name.

        ValueError: The timeout is negative or no number.

    Cancellation:
        Only the wait ends.
    """
    if is_pid(name):
        raise TypeError(
            f"wait_for takes a name; {name!r} is one process, which no other replaces. "
            "Monitor it to wait for its end"
        )
    key = name_key(name)
    check_timeout(timeout)
    runtime = get_runtime()
    await trio.lowlevel.checkpoint()
    with trio.move_on_after(timeout):
        while (pid := whereis(name)) is None:
            await _registration(runtime, key)
        return pid
    raise WaitTimeout(name, timeout)


async def _registration(runtime: Runtime, key: object) -> None:
    """Wait until a process registers under *key*."""
    registered = OneShot[bool]()
    waiters = runtime.name_waiters.setdefault(key, {})
    waiters[registered] = None
    try:
        await registered.wait()
    finally:
        waiters.pop(registered, None)
        if not waiters and runtime.name_waiters.get(key) is waiters:
            del runtime.name_waiters[key]
