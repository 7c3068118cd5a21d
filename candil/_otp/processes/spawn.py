"""Processes of plain async functions. OTP: ``spawn/1`` and its like."""

from __future__ import annotations

import functools
import inspect
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast, get_origin

from candil._otp.processes.node import current_node
from candil._otp.processes.process import Process, add_monitor, link_processes
from candil._otp.processes.registration import check_name, claim_name
from candil._otp.processes.runtime import current_process
from candil._otp.values.errors import short_repr

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVarTuple

    from candil._otp.values.names import ServerName
    from candil._otp.values.pids import Pid, Ref

    Args = TypeVarTuple("Args")


def self() -> Pid[Any]:
    """
    Return the pid of the process that runs this code.

    Raises:
        RuntimeError: No process runs it: the task was started outside every tree.
    """
    return own_process("self").pid


def own_process(what: str) -> Process:
    """Return the record of the current process, which *what* needs."""
    process = current_process.get()
    if process is None:
        message = (
            f"candil.{what}() needs a process to act for, and this task is none. Call it inside "
            "`async with candil.open_supervisor(...)`, inside `candil.open_node()`, or "
            "from a process"
        )
        raise RuntimeError(message)
    return process


def spawn(
    function: Callable[[*Args], Awaitable[object]],
    *args: *Args,
    name: ServerName[object] | None = None,
) -> Pid[Any]:
    """
    Run an async function as a new process without links.

    It belongs to the current tree: it cannot outlive the block. It runs from the next checkpoint
    on.

    Args:
        function: Called with *args*. Its return is ``Normal()``, its exception ``Crashed``.

        args: Positional arguments.

        name: Registered before it runs.

    Returns:
        Its pid.

    Raises:
        RegistrationError: The name is taken; nothing was spawned.

        TypeError: It is no function, or one that is known not to be async.

        RuntimeError: No tree is open.
    """
    _check_function("spawn", function)
    return _spawn(function, args, name).pid


def spawn_link(
    function: Callable[[*Args], Awaitable[object]],
    *args: *Args,
    name: ServerName[object] | None = None,
) -> Pid[Any]:
    """
    Run an async function as a new process linked to this one. As ``spawn`` otherwise. OTP:
    ``spawn_link``.

    Returns:
        Its pid.
    """
    _check_function("spawn_link", function)
    parent = own_process("spawn_link")
    process = _spawn(function, args, name)
    link_processes(parent, process)
    return process.pid


def spawn_monitor(
    function: Callable[[*Args], Awaitable[object]],
    *args: *Args,
    name: ServerName[object] | None = None,
) -> tuple[Pid[Any], Ref]:
    """
    Run an async function as a new process and monitor it. As ``spawn`` otherwise. OTP:
    ``spawn_monitor``.

    Returns:
        Its pid, and the reference that its ``Down`` will carry.
    """
    _check_function("spawn_monitor", function)
    parent = own_process("spawn_monitor")
    process = _spawn(function, args, name)
    return process.pid, add_monitor(parent, process, process.pid)


def _check_function(what: str, function: object) -> None:
    """
    Refuse at once what is known not to run as a process: later, its crash would not show by whom it
    was spawned. What else can be called may give something to await, and only a call tells.
    """
    if type(function) is FunctionType and function.__code__.co_flags & inspect.CO_COROUTINE:
        return
    while isinstance(function, functools.partial):
        function = function.func
    got = _what_is_wrong(what, get_origin(function) or function)
    if got is not None:
        if inspect.iscoroutine(function):
            function.close()  # it will not be awaited
        raise TypeError(f"{what} takes an async function and its arguments; got {got}")


def _what_is_wrong(what: str, function: Any) -> str | None:
    if inspect.iscoroutine(function):
        return f"a coroutine object: write {what}(f, x), not {what}(f(x))"
    if not callable(function):
        return short_repr(cast("object", function))
    if isinstance(function, type):
        return _wrong_class(function)
    inner = function.__func__ if inspect.ismethod(function) else function
    flags = inner.__code__.co_flags if inspect.isfunction(inner) else 0
    if flags & inspect.CO_ASYNC_GENERATOR or (
        flags & inspect.CO_GENERATOR and not flags & inspect.CO_ITERABLE_COROUTINE
    ):
        return f"{inner.__qualname__}, which yields: a process cannot"
    return None


def _wrong_class(cls: type[object]) -> str | None:
    if hasattr(cls, "__candil_calls__"):
        return f"the GenServer class {cls.__name__}: use candil.start"
    makes: object = cls.__new__  # a __new__ or a metaclass may give anything
    if makes is object.__new__ and type(cls) is type and not hasattr(cls, "__await__"):
        return f"the class {cls.__name__}"
    return None


def _spawn(
    function: Callable[..., Awaitable[object]],
    args: tuple[object, ...],
    name: ServerName[object] | None,
) -> Process:
    node = current_node()
    label = getattr(function, "__qualname__", type(function).__name__)
    if name is not None:
        check_name(name)
    process = node.spawn(label, current_process.get(), function, *args)
    if name is not None:
        claim_name(process, name)
    return process
