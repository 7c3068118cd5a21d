"""
The one entry of each alias: which engine has it, and what is known of that engine.

Between two incarnations of a server, which a back-off can make long, there is no server that could
be asked. The entry is there all the time. It announces each change, so that waiting for one needs
no polling.

Not here: what is done with it (``lifecycle``).
"""

from __future__ import annotations

import math
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

import attrs
import trio

import candil
from candil._otp.processes.node import current_node
from candil.engine._config.addresses import url
from candil.engine._config.states import EngineState

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable

    from candil._otp.processes.node import Node
    from candil.engine._config.errors import EngineError
    from candil.engine._server.restart_state import RestartState

_run_entries: trio.lowlevel.RunVar[_Entries] = trio.lowlevel.RunVar("candil.engine.entries")


@final
@attrs.define(eq=False)
class EngineEntry:
    """
    What is known of the engine that has an alias.

    Attributes:
        alias: The alias.

        start_lock: Held by a start. Without it, one that replaces a failed engine could stop what
            another start has just begun.

        server: The engine's server, the last one; ``None`` before the first.

        supervisor: The supervisor that starts the next server; ``None`` if there is none.

        node: Where it runs. A weak reference, as the next: the node's root has the spec.

        restart_state: Port, guard and failures. A weak reference: when the supervisor and its spec
            are gone, the port must be free again.

        state: What the last server said of its engine.

        last_error: Why the last server ended by itself, or the last start failed; ``None`` once
            it is ready, or was stopped.

        ending: Whether the last server ends, or has ended: it answers nothing any more.

        stopped: Whether ``stop`` ends it, or has ended it, for good.

        stopping: Set when the ``stop`` that is under way is over; ``None`` if none is.
    """

    alias: str
    start_lock: trio.Lock = attrs.field(factory=trio.Lock)
    server: candil.Pid[Any] | None = None
    supervisor: candil.Pid[candil.Supervisor] | None = None
    node: weakref.ref[Node] | None = None
    restart_state: weakref.ref[RestartState] | None = None
    state: EngineState | None = None
    last_error: EngineError | None = None
    ending: bool = False
    stopped: bool = False
    stopping: trio.Event | None = None
    changed: trio.Event = attrs.field(factory=trio.Event)

    # --- what its server writes

    def register(self, restart_state: RestartState) -> None:
        """Let the process that calls be the engine's server, the first or the next."""
        info = candil.process_info(candil.self())
        self.server = candil.self()
        self.supervisor = None if info is None else info.parent
        self.node = weakref.ref(current_node())
        if self.restart_state is None or self.restart_state() is not restart_state:
            self.restart_state = weakref.ref(restart_state)
            self.last_error = None
        self.stopped = self.ending = False
        entries().keep(self)
        self.set_state(EngineState.STARTING)

    def set_state(self, state: EngineState) -> None:
        """Note how the engine is, and announce it."""
        self.state = state
        self.announce()

    def note_ending(self) -> None:
        """Note that the server ends from now on, and announce it."""
        self.ending = True
        self.announce()

    def note_stopped(self) -> None:
        """Note that the engine is stopped for good, and announce it."""
        self.stopped = True
        self.announce()

    def announce(self) -> None:
        """Wake every task that waits for a change."""
        changed, self.changed = self.changed, trio.Event()
        changed.set()

    # --- what is known at once

    @property
    def is_open(self) -> bool:
        """Whether the tree of its last server is open, or closes: a closed one has no engines."""
        node = None if self.node is None else self.node()
        return node is not None and not node.closed

    @property
    def is_closing(self) -> bool:
        """Whether the tree of its last server closes, or is closed."""
        node = None if self.node is None else self.node()
        return node is None or node.closing

    @property
    def has_server(self) -> bool:
        """Whether it has a server that does not end."""
        return self.current_server() is not None

    def current_server(self) -> candil.Pid[Any] | None:
        """Return its server, unless that ends or has ended."""
        if self.server is None or self.ending or not self.is_open:
            return None
        return self.server if candil.is_alive(self.server) else None

    @property
    def is_ready(self) -> bool:
        """Whether the engine answers requests, as far as is known."""
        return self.state is EngineState.READY and self.has_server

    @property
    def address(self) -> str | None:
        """Where the engine listens or will listen; ``None`` without a port."""
        state = None if self.restart_state is None else self.restart_state()
        if state is None or state.lease.port is None:
            return None
        return url(state.lease.host, state.lease.port)

    def belongs_to(self, restart_state: RestartState) -> bool:
        """Return whether the engine of *restart_state* has the alias."""
        return self.restart_state is not None and self.restart_state() is restart_state

    # --- what its supervisor knows

    async def child_id(self) -> Hashable | None:
        """
        Ask the supervisor by which id it has this engine, running or to be started again.

        Returns:
            The id, or for a child of a template the pid; ``None`` when it has no such child.
        """
        state = None if self.restart_state is None else self.restart_state()
        if state is None or self.supervisor is None:
            return None
        try:
            for info in await candil.which_children(self.supervisor):
                if info.child is None:
                    continue
                key: Hashable = self.server if info.id is None else info.id
                spec = await candil.get_childspec(self.supervisor, key)
                if spec.metadata is state:
                    return key
        except (candil.CallError, candil.SupervisorError):
            pass  # it has ended, or the child has, while it was asked
        return None

    async def wait_server(self, gap: float) -> candil.Pid[Any] | None:
        """
        Return the server; between two incarnations wait for the next one.

        Args:
            gap: Seconds to wait for a server where no supervisor is known to start one: its
                supervisor may be restarted itself.

        Returns:
            The server; ``None`` if no other is to come.

        Cancellation:
            Safe.
        """
        with self._announcing_decisions():
            while (server := self.current_server()) is None:
                changed = self.changed
                is_coming = not self.stopped and await self.child_id() is not None
                with trio.move_on_after(math.inf if is_coming else gap) as scope:
                    await changed.wait()
                if scope.cancelled_caught:
                    return self.current_server()
        await trio.lowlevel.checkpoint()
        return server

    @contextmanager
    def _announcing_decisions(self) -> Generator[None]:
        """Announce it while the block lasts when the supervisor gives the engine up, or ends."""

        def note(event: object) -> None:
            match event:
                case candil.ChildStopped(supervisor=name) if self._is_supervised_by(name):
                    self.announce()
                case candil.ProcessExited(pid=pid) if pid in {self.supervisor, self.server}:
                    self.announce()
                case _:
                    pass

        with candil.subscribe(note):
            yield

    def _is_supervised_by(self, supervisor: object) -> bool:
        """Return whether *supervisor*, a name or a pid, starts the servers of this engine."""
        found = candil.whereis(supervisor) if isinstance(supervisor, str) else supervisor
        return found is not None and found == self.supervisor

    async def release(self, server: candil.Pid[Any] | None) -> None:
        """
        Release what waits for the start after *server*: the guard and the port.

        If the supervisor has started the engine again meanwhile, they are the next server's.
        """
        state = None if self.restart_state is None else self.restart_state()
        if state is not None and self.server is server:
            await state.guard.close()
            if self.server is server:
                state.lease.release()


@final
class _Entries:
    """All entries of one run: kept from their first server on, before that while they are used."""

    def __init__(self) -> None:
        self._used = weakref.WeakValueDictionary[str, EngineEntry]()
        self._kept: dict[str, EngineEntry] = {}

    def find(self, alias: str) -> EngineEntry:
        """Return the entry of *alias*, an empty one if it has never had an engine."""
        entry = self._used.get(alias)
        if entry is None:
            entry = self._used[alias] = EngineEntry(alias)
        return entry

    def keep(self, entry: EngineEntry) -> None:
        """Keep an entry for the rest of the run."""
        self._kept[entry.alias] = entry

    def is_engine(self, pid: candil.Pid[Any]) -> bool:
        """Return whether *pid* is the server of an engine."""
        return any(entry.server == pid for entry in self._kept.values())


def entries() -> _Entries:
    """Return the entries of this run of trio."""
    try:
        return _run_entries.get()
    except LookupError:
        _run_entries.set(made := _Entries())
        return made


def entry_of(alias: str) -> EngineEntry:
    """Return the entry of *alias*."""
    return entries().find(alias)
