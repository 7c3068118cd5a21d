"""Opening a tree in a trio program: a block, or a task of a nursery."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Unpack

import trio

from candil._otp.behaviours.errors import StartError
from candil._otp.behaviours.gen_server import GenServer
from candil._otp.behaviours.proc_lib import start_process
from candil._otp.processes.interrupts import ki_protected_context
from candil._otp.processes.node import Node, current_node
from candil._otp.processes.open_node import open_node
from candil._otp.processes.runtime import current_process
from candil._otp.supervisors.child_spec import ChildSpec
from candil._otp.supervisors.supervisor_spec import (
    SupervisorOptions,
    SupervisorSpec,
    supervisor_spec,
)
from candil._otp.values.exit_reasons import Shutdown

if TYPE_CHECKING:
    from candil._otp.processes.process import Process
    from candil._otp.supervisors.supervisor import Supervisor
    from candil._otp.values.pids import Pid

Tree = SupervisorSpec | Iterable[ChildSpec[Any] | SupervisorSpec | type[GenServer]]


def as_tree(tree: Tree, options: SupervisorOptions) -> SupervisorSpec:
    """Return the supervisor spec that *tree* is, or is the children of."""
    if not isinstance(tree, SupervisorSpec):
        return supervisor_spec(tree, **options)
    if options:
        message = (
            f"options {sorted(options)} belong to a list of children; a SupervisorSpec has its own"
        )
        raise TypeError(message)
    return tree


@ki_protected_context
async def open_tree(
    spec: SupervisorSpec, *, log: bool, opened: Callable[[Node], None] | None = None
) -> AsyncGenerator[tuple[Node, Pid[Supervisor]]]:
    """Open a node with *spec* as its root; *opened* gets it before anything starts."""
    async with open_node(log=log) as node:
        if opened is not None:
            opened(node)
        try:
            root = await start_process(
                spec, (), {}, None, math.inf, parent=node.opener, is_root=True
            )
        except StartError as error:
            if isinstance(error.reason, Shutdown) and isinstance(error.reason.cause, StartError):
                raise error.reason.cause from error.reason.cause.__cause__
            raise
        yield node, root.pid


def root() -> Pid[Supervisor] | None:
    """
    Return the root supervisor of the tree that this code belongs to.

    That is the tree of the process that runs it; outside every process, the one that is open. A
    root that still starts its children answers when all are up.

    Returns:
        Its pid; ``None`` if the block was opened by ``open_node`` and has none, or in an ``init``
        that the root waits for while it starts. What asks or stops a process takes ``None`` as
        well, and raises ``NoProc``.

    Raises:
        RuntimeError: No tree is open, or this task belongs to none of several.
    """
    found = current_node().root
    if found is None or (_is_starting(found) and _is_starting(current_process.get())):
        return None
    return found.pid


def _is_starting(process: Process | None) -> bool:
    """Tell whether this is a server whose ``init`` is not done."""
    return (
        process is not None and process.behaviour is not None and not process.behaviour.initialised
    )


@ki_protected_context
async def open_supervisor(
    tree: Tree, *, log: bool = True, **options: Unpack[SupervisorOptions]
) -> AsyncGenerator[Pid[Supervisor]]:
    """
    Run a supervision tree while the block lasts.

    Entering returns when every child's ``init`` is done. Leaving stops the tree: children in
    reverse start order, each within its ``shutdown`` seconds. The block's own task is a process,
    the parent of the root: it can link, monitor and receive.

    Args:
        tree: A ``SupervisorSpec``, or a list of children.

        log: Whether crashes and reports also go to the logger ``candil``.

        options: With a list of children, the options of ``supervisor_spec``.

    Raises:
        SpecError: The children or options are wrong.

        StartError: A child did not start; those before it were stopped again.

        RestartIntensityExceeded: The root gave up. The body was cancelled, and all children were
            stopped.

        ProcessTerminated: The root, or something linked to the block, ended abnormally in another
            way.

        An exception of the body leaves the block as itself. A root that ends by ``auto_shutdown``
        cancels the body, and the block ends without an exception.

    Cancellation:
        The body is cancelled at once. The tree then stops in order, shielded, and only then does
        the cancellation go on.
    """
    async with open_tree(as_tree(tree, options), log=log) as (_node, root):
        yield root


async def serve(
    tree: Tree,
    *,
    log: bool = True,
    task_status: trio.TaskStatus[Pid[Supervisor]] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[SupervisorOptions],
) -> None:
    """
    Run a supervision tree as a task: ``root = await nursery.start(candil.serve, tree)``.

    Returns when the tree has ended by ``auto_shutdown``; otherwise runs until it is cancelled.

    Args:
        tree: As for ``open_supervisor``.

        log: As for ``open_supervisor``.

        task_status: Gets the root's pid when all children are up.

        options: As for ``open_supervisor``.

    Raises:
        As ``open_supervisor``.

    Cancellation:
        Stops the tree in order.
    """
    async with open_supervisor(tree, log=log, **options) as root:
        task_status.started(root)
        await trio.sleep_forever()
