"""
Registered names: one table per ``trio.run``. OTP: ``register/2``, ``unregister/1``, ``whereis/1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from candil._otp.processes.runtime import get_runtime
from candil._otp.values.arguments import check_is_name, check_pid
from candil._otp.values.errors import RegistrationError
from candil._otp.values.names import Name, ServerName, Via, name_key

if TYPE_CHECKING:
    from candil._otp.processes.process import Process
    from candil._otp.values.pids import Pid

S = TypeVar("S")


def check_name(name: object) -> None:
    """Raise an error if *name* is held by a process, or is none that can be."""
    check_is_name("name=", name)
    key = name_key(name)
    if key == "":
        raise RegistrationError(name, "a name must not be empty")
    holder = get_runtime().names.get(key)
    if holder is not None:
        raise RegistrationError(
            name, f"already taken by {holder.pid}; unregister it, or choose another"
        )


def claim_name(process: Process, name: ServerName[object]) -> None:
    """Return *name* to a living process."""
    check_name(name)
    if not isinstance(name, Via):
        if process.registered is not None:
            raise RegistrationError(
                name, f"{process.pid} is already registered as {process.registered!r}"
            )
        process.registered = name.name if isinstance(name, Name) else str(name)
    key = name_key(name)
    if process.names is None:
        process.names = {}
    process.names[key] = name
    process.runtime.names[key] = process
    if process.runtime.name_waiters:
        process.runtime.name_registered(key)


def register(name: ServerName[object], pid: Pid[object]) -> None:
    """
    Return a name to a process; it keeps it until it ends or ``unregister``.

    Args:
        name: A string, ``Name`` or ``Via``. A process has at most one string or ``Name``, and any
            number of ``Via``.

        pid: The process.

    Raises:
        RegistrationError: The name is taken or empty, the process has ended, or it has a name
            already. OTP: ``badarg``.

        TypeError: *name* is no name, or *pid* no pid.
    """
    check_is_name("register", name)
    check_pid("register", pid)
    process = pid.process
    if process is None or not process.alive:
        raise RegistrationError(name, f"{pid} has ended")
    claim_name(process, name)


def unregister(name: ServerName[object]) -> None:
    """
    Take a name away from its process.

    Args:
        name: The name.

    Raises:
        RegistrationError: No process has it. OTP: ``badarg``.

        TypeError: It is no name.
    """
    check_is_name("unregister", name)
    key = name_key(name)
    process = get_runtime().names.pop(key, None)
    if process is None:
        raise RegistrationError(name, "no process is registered under it")
    (process.names or {}).pop(key, None)
    if not isinstance(name, Via):
        process.registered = None


@overload
def whereis(name: Name[S] | Via[S]) -> Pid[S] | None: ...
@overload
def whereis(name: str) -> Pid[Any] | None: ...
def whereis(name: ServerName[object]) -> Pid[Any] | None:
    """
    Return the process that holds a name now.

    Args:
        name: The name.

    Returns:
        Its pid, or ``None`` if no process holds it. A process that was told to end does not count.
        Whatever asks, tells or ends a process takes either, and treats ``None`` as a pid that has
        ended; ``send`` and ``exit`` raise ``NoProc`` instead. ``link``, ``monitor`` and timers
        refuse it.

    Raises:
        TypeError: It is no name.
    """
    check_is_name("whereis", name)
    process = get_runtime().names.get(name_key(name))
    return process.pid if process is not None and process.alive else None
