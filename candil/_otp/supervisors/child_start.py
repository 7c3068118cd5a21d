"""
How a child comes up: one ``Start`` for each kind of target. A spec makes it when it is built, and
nothing else asks what a target is.

Not here: which child and when (``supervisor.py``), how a server process comes up (``proc_lib.py``).
"""

from __future__ import annotations

import functools
import inspect
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, final

import attrs
import trio

from candil._otp.behaviours.errors import AlreadyStarted, StartError, StartIgnored
from candil._otp.behaviours.gen_server import GenServer
from candil._otp.behaviours.proc_lib import IGNORE, Startable, server_class, start_process
from candil._otp.processes.process import Process, link_processes
from candil._otp.processes.registration import claim_name
from candil._otp.processes.task import keyboard_interrupt_in, reason_of
from candil._otp.supervisors.child_arguments import argument_mistakes
from candil._otp.values.errors import short_repr
from candil._otp.values.exit_reasons import Exit, as_exit_reason, is_pair
from candil._otp.values.names import Name, ServerName, name_key
from candil._otp.values.pids import Pid, is_pid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence


@final
@attrs.frozen
class StartFunction:
    """
    A start function of your own, as OTP's ``{Module, Function, Args}``: it runs in the supervisor,
    and must start and link a process.

    Args:
        function: An async function. It returns the pid that ``candil.start_link`` gave, or ``(pid,
            extra)``, or ``IGNORE``. What it raises is a failed start.
    """

    function: Callable[..., Awaitable[Any]]


@final
class StartedChild(NamedTuple):
    """
    What ``start_child`` and ``restart_child`` return when a ``StartFunction`` returned a pid with
    something beside it. OTP: ``{ok, Child, Info}``.

    Attributes:
        pid: The child.

        extra: What stood beside its pid.
    """

    pid: Pid[Any]
    extra: Any


Started: TypeAlias = Pid[Any] | StartedChild | None
"""What a start gives; ``None`` is a child that wants to be ignored."""


@attrs.frozen
class Start(ABC):
    """
    How the children of one target come up.

    Attributes:
        target: What is called: a class, a function or a spec.
    """

    target: Any

    is_supervisor = False
    fails_at_once = False  # with arguments that the target does not take

    @property
    def label(self) -> str:
        """What errors call the target."""
        return getattr(self.target, "__qualname__", None) or short_repr(self.target)

    def default_id(self, name: ServerName[object] | None) -> Hashable:
        """Return the id of a child that was given none; *name* is the one it registers under."""
        bare = name.name if isinstance(name, Name) else name
        return getattr(self.target, "__name__", None) if bare is None else bare

    def mistakes(
        self, args: Sequence[Any], kwargs: Mapping[str, object], *, partial: bool = False
    ) -> list[str]:
        """Say what is wrong with the arguments; if *partial*, some may be missing yet."""
        return argument_mistakes(self.label, self.target, args, kwargs, partial=partial)

    @abstractmethod
    async def start(
        self,
        own: Process,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        name: ServerName[object] | None,
    ) -> Started:
        """
        Start a process linked to the supervisor *own*.

        Raises:
            StartError: It did not start; ``.reason`` as OTP's ``{error, Reason}``.
        """


@attrs.frozen
class ServerStart(Start):
    """A ``GenServer`` subclass. It is up when ``init`` is done."""

    fails_at_once = True

    async def start(
        self,
        own: Process,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        name: ServerName[object] | None,
    ) -> Started:
        """Start the server."""
        try:
            process = await start_process(
                self.target, args, dict(kwargs), name, math.inf, parent=own
            )
        except StartIgnored:
            return None
        return process.pid


@final
@attrs.frozen
class SpecStart(ServerStart):
    """A value that describes a server: the spec of a supervisor."""

    is_supervisor = True
    fails_at_once = False

    @property
    def label(self) -> str:
        """What errors call the target."""
        return short_repr(self.target)

    def default_id(self, name: ServerName[object] | None) -> Hashable:
        """Return the spec's own id first."""
        own: Hashable = self.target.id
        if own is not None:
            return own
        return "supervisor" if name is None else super().default_id(name)

    def mistakes(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, object],
        *,
        partial: bool = False,  # noqa: ARG002  # none is none
    ) -> list[str]:
        """Refuse all arguments: the spec says everything about its start."""
        return ["target: a supervisor spec takes no arguments"] if args or kwargs else []


@final
@attrs.frozen
class FunctionStart(Start):
    """An async function, which then is the process; it counts as up at once."""

    async def start(
        self,
        own: Process,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        name: ServerName[object] | None,
    ) -> Started:
        """Spawn it. OTP: ``proc_lib:spawn_link``."""
        target = self.target
        label = getattr(target, "__qualname__", None) or type(target).__name__
        if name is not None and (holder := own.runtime.names.get(name_key(name))) is not None:
            reason = Exit(("already_started", holder.pid))
            raise AlreadyStarted(holder.pid, reason, label=label, name=name)
        body = functools.partial(target, **kwargs) if kwargs else target
        process = own.node.spawn(label, own, body, *args)
        link_processes(own, process)
        if name is not None:
            claim_name(process, name)
        return process.pid


@final
@attrs.frozen
class StartFunctionStart(Start):
    """A start function of the program's own, which runs in the supervisor."""

    fails_at_once = True

    async def start(
        self,
        own: Process,  # noqa: ARG002  # the function links its process itself
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        name: ServerName[object] | None,  # noqa: ARG002  # and registers it
    ) -> Started:
        """Run it, and take what it started."""
        try:
            result: object = await self.target(*args, **kwargs)
        except StartIgnored:
            return None
        except StartError:
            raise
        except BaseException as error:
            if not _is_its_own(error):
                raise
            raise StartError(Exit(("EXIT", reason_of(error)))) from error  # noqa: ASYNC104  # a leaked one
        return _started(result)


def start_of(target: object) -> Start | None:
    """Return how *target* is started; ``None`` if it cannot be."""
    target = server_class(target)
    if isinstance(target, Startable):
        return SpecStart(target)
    function = target.function if isinstance(target, StartFunction) else target
    if not _can_run(function):
        return None
    if function is not target:
        return StartFunctionStart(function)
    return ServerStart(target) if isinstance(target, type) else FunctionStart(target)


def _can_run(target: object) -> bool:
    if isinstance(target, type):
        return issubclass(target, GenServer)
    if inspect.iscoroutinefunction(target):
        return True
    inner = getattr(target, "func", None) or getattr(target, "__call__", None)  # noqa: B004  # partials, callable objects
    return inspect.iscoroutinefunction(inner)


def _started(result: object) -> Started:
    """Return what a start function's result stands for."""
    if result is IGNORE:
        return None
    if is_pid(result):
        return result
    if is_pair(result):
        pid, extra = result
        if is_pid(pid):
            return StartedChild(pid, extra)
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
