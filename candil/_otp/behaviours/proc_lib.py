"""
How a server process comes up: the new process says when it is up, and its starter waits for that.
OTP: ``proc_lib``, ``gen``.

1. The start returns when ``init`` is done; what comes after is ``handle_continue``'s.
2. A failed start leaves nothing: no process, no name, no exit message at its starter.

Not here: what users call (``start.py``), the server's loop (``loop.py``).
"""

from __future__ import annotations

import contextvars
import math
from functools import singledispatch
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final, get_origin

import trio
from trio.lowlevel import checkpoint, current_task

from candil._otp.behaviours.arity import completed, is_async
from candil._otp.behaviours.errors import AlreadyStarted, StartError, StartIgnored, StartTimeout
from candil._otp.behaviours.gen_server import GenServer
from candil._otp.behaviours.loop import ServerLoop
from candil._otp.behaviours.unhandled import bad_return_value
from candil._otp.processes.call_deadlines import check_timeout, expire_after
from candil._otp.processes.node import current_node
from candil._otp.processes.nurseries import refuse_open_nursery
from candil._otp.processes.process import Process, join, kill, link_processes, unlink_processes
from candil._otp.processes.registration import check_name, claim_name
from candil._otp.processes.requests import Request
from candil._otp.processes.runtime import current_process
from candil._otp.processes.task import finish, keyboard_interrupt_in, reason_of
from candil._otp.processes.trio_internals import open_nurseries
from candil._otp.values.errors import ProcessExit
from candil._otp.values.events import Hint
from candil._otp.values.exit_reasons import NORMAL, SHUTDOWN, Exit, ExitReason, cause_of
from candil._otp.values.names import ServerName, name_key

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from trio.lowlevel import Abort


S_co = TypeVar("S_co", covariant=True)


class _Ignore:
    """
    What ``init`` returns when there is nothing to run. OTP: ``ignore``.

    The process ends at once, as ``Normal``. ``start`` and its neighbours raise ``StartIgnored``; a
    supervisor goes on without the child, and keeps one that is not temporary as stopped.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "candil.IGNORE"


IGNORE = _Ignore()
"""What ``init`` returns when there is nothing to run. OTP: ``ignore``."""


class Startable(Generic[S_co]):
    """
    A value that describes a server to start, and is none itself: a supervisor spec.

    Attributes:
        id: Names it in the supervisor above.

        name: Registered at its start.
    """

    __slots__ = ()

    id: Hashable
    name: ServerName[object] | None


@singledispatch
def server_of(
    target: object,
) -> tuple[type[GenServer], tuple[object, ...], ServerName[object] | None]:
    """
    Return class, arguments and name of the server that a ``Startable`` stands for.

    Whoever runs a kind of them registers how: data need not know what runs it.
    """
    message = f"start takes a GenServer subclass or a supervisor spec; got {target!r}"
    raise TypeError(message)


def server_class(target: object) -> Any:
    """Return ``Box`` for ``Box[int]``, the same class at run time; anything else as it is."""
    origin = get_origin(target)
    return origin if isinstance(origin, type) and issubclass(origin, GenServer) else target


@final
class Starting(Request[bool]):
    """One start that is waited for."""

    __slots__ = ("arguments", "expired", "ignored", "in_order", "process", "timeout")

    def __init__(self, process: Process, timeout: float, *, in_order: bool = False) -> None:
        super().__init__()
        self.in_order = in_order
        self.process = process
        self.arguments: tuple[tuple[object, ...], dict[str, object]] = ((), {})
        self.timeout = timeout
        self.expired = False
        self.ignored = False

    def exited_error(self, reason: ExitReason) -> BaseException:
        """Say that the process ended before it was up."""
        label = self.process.pid.label
        if self.expired:
            return StartTimeout(self.timeout, Exit("timeout"), label=label)
        kind = StartIgnored if self.ignored else StartError
        error = kind(reason, label=label)
        error.__cause__ = cause_of(reason)
        return error

    def expire(self) -> None:
        """
        Give up on the process; the deadline's task calls it. The starter learns of it from the end
        of the process, when the name is free.
        """
        self.expired = True
        self._give_up()

    def abort(self, raise_cancel: object) -> Abort:
        """
        Let a cancellation end the wait, and the half-started process with it: no other process
        knows of it.

        That process may wait for a start of its own, and so on: they take their turns here, since a
        chain of calls would be as deep as the tree.
        """
        turns = self.process.runtime.cancelled_starts
        turns.append(self._cancel_start)
        if len(turns) == 1:
            while turns:
                turns[0]()
                turns.popleft()
        return super().abort(raise_cancel)

    def _cancel_start(self) -> None:
        if self.in_order and self.process.exit_requested is None:
            self._unlink()
            self.process.exit_requested = SHUTDOWN
            if self.process.scope is not None:
                self.process.scope.cancel()
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._unlink()
        kill(self.process)

    def _unlink(self) -> None:
        parent = None if self.process.parent is None else self.process.parent.process
        if parent is not None:
            unlink_processes(parent, self.process)


async def start_process(  # one start, seen from inside
    target: Any,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    name: ServerName[object] | None,
    timeout: float,
    *,
    parent: Process | None,
    unlinked_parent: Process | None = None,
    is_root: bool = False,
) -> Process:
    """
    Start a server and wait until it is up. A *parent* is linked to it; one without any parent is
    its own, as in OTP.
    """
    check_timeout(timeout)
    cls, args, name = _resolve_target(target, args, kwargs, name)
    node = parent.node if parent is not None else current_node()
    in_place = _has_plain_init(cls)
    if in_place:
        await (
            node.runtime.checkpoint_if_due()
        )  # now, while there is nothing that a cancellation would leave
    if name is not None:
        if (holder := node.runtime.names.get(name_key(name))) is not None:
            reason = Exit(("already_started", holder.pid))
            raise AlreadyStarted(holder.pid, reason, label=cls.__name__, name=name)
        check_name(name)
    process = node.new_process(cls.__name__, current_process.get())
    node.add(process)
    if is_root:
        node.root = process
    loop = ServerLoop(process, (parent or unlinked_parent or process).pid, cls)
    process.behaviour = loop
    if name is not None:
        claim_name(process, name)
    if parent is not None:
        link_processes(parent, process)
    if in_place:
        _start_in_place(loop, parent, args, kwargs)
        return process
    starting = Starting(process, timeout, in_order=cls.__candil_stops_in_order__)
    starting.arguments = (args, kwargs)
    starting.attach(process)
    node.run(process, _run_server, loop, parent, starting)
    expire_after(process, starting, timeout)
    try:
        await starting.wait()
    except trio.Cancelled:
        with trio.CancelScope(shield=True):  # it ends in its own time, or is given up for dead
            await join(process, math.inf)  # noqa: ASYNC102
        raise
    return process


def _has_plain_init(cls: type[object]) -> bool:
    init = getattr(cls, "init", None)
    return init is None or not is_async(init)


def _start_in_place(
    loop: ServerLoop, parent: Process | None, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    """
    Run constructor and a plain ``init`` at once, as the new process, not waiting for its task.

    As with plain handlers it is what the scheduler would have done next, without the two switches.
    """
    process = loop.process
    context = contextvars.copy_context()
    starting = Starting(process, math.inf)
    reason: ExitReason | None = None
    try:
        starting.ignored = context.run(_initialise_now, loop, args, kwargs)
        reason = NORMAL if starting.ignored else process.exit_requested
    except BaseException as error:  # noqa: ASYNC103, BLE001  # whatever it is, it is why the process did not start
        reason = process.exit_requested or reason_of(error)
        interrupt = keyboard_interrupt_in(error)
        if interrupt is not None:
            process.node.interrupt(interrupt)
    process.node.runtime.inline_calls += 1
    if reason is None:
        loop.initialised = True
        _hint_at_terminate(process, loop.cls)
        context.run(process.node.run_server, process, loop.run, loop.wait_for_work)
        return
    _unlink_parent(process, parent)
    finish(process, reason)
    process.behaviour = None
    raise starting.exited_error(reason)


def _initialise_now(loop: ServerLoop, args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
    current_process.set(loop.process)
    return _check_init_result(loop, _build(loop, args, kwargs)())


def _resolve_target(
    target: object,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    name: ServerName[object] | None,
) -> tuple[type[GenServer], tuple[object, ...], ServerName[object] | None]:
    target = server_class(target)
    if isinstance(target, type) and issubclass(target, GenServer):
        return target, args, name
    cls, own_args, own_name = server_of(target)
    if args or kwargs:
        raise TypeError(f"{target!r} says all about its start: it takes no further arguments")
    return cls, own_args, name if name is not None else own_name


async def _run_server(loop: ServerLoop, parent: Process | None, starting: Starting) -> None:
    """
    Be a server process: build the instance, run ``init``, say so, and handle messages.

    The arguments come in *starting*: a process that runs for long must not keep what its
    constructor let go.
    """
    process = loop.process
    try:
        (args, kwargs), starting.arguments = starting.arguments, ((), {})
        init = _build(loop, args, kwargs)
        del args, kwargs
        result = await completed(init())
        starting.ignored = _check_init_result(loop, result)
        if open_nurseries(current_task()):
            refuse_open_nursery(process)
        if process.exit_requested is not None:  # as if it had noticed: it is not up
            await checkpoint()
    except BaseException:
        _unlink_parent(process, parent)
        raise
    if starting.ignored:
        _unlink_parent(process, parent)
        return
    loop.initialised = True
    _hint_at_terminate(process, loop.cls)
    starting.reply(True)
    await loop.run()


def _build(
    loop: ServerLoop, args: tuple[object, ...], kwargs: dict[str, object]
) -> Callable[[], Any]:
    """Run the constructor, and return ``init``."""
    instance = loop.cls(*args, **kwargs)
    loop.serve(instance)
    return getattr(instance, "init", None) or _no_init


def _no_init() -> None:
    """Stand in for an ``init`` that a class does not have."""


def _check_init_result(loop: ServerLoop, result: object) -> bool:
    """Tell whether the server wants to be ignored; raises if it must not start, or speaks oddly."""
    if loop.actions is not None and loop.actions.stop is not None:
        raise ProcessExit(loop.actions.stop)
    if result is not None and result is not IGNORE:
        raise bad_return_value("init", result, awaited=is_async(loop.instance.init))
    return (
        result is IGNORE and loop.process.exit_requested is None
    )  # a signal came first, and counts


def _unlink_parent(process: Process, parent: Process | None) -> None:
    """Keep a failed start from reaching its starter twice: as the error, and as an exit signal."""
    if parent is not None:
        unlink_processes(parent, process)


def _hint_at_terminate(process: Process, cls: type[object]) -> None:
    """Tell once a class whose ``terminate`` will seldom run."""
    hinted = process.runtime.hinted
    if process.trap_exit or cls in hinted or not hasattr(cls, "terminate"):
        return
    hinted.add(cls)
    text = (
        f"{cls.__name__} defines terminate() but does not trap exits, so its supervisor's "
        "shutdown ends it without. "
        "Call candil.trap_exit(True) in init() if terminate() must run"
    )
    process.runtime.emit(Hint(process.pid, text))
