"""
What outlives one incarnation of an engine's server: its port, its guard, and what its starts have
taught.

A restart state is a handle in the child's spec, as its metadata, which tells an engine from
any other child. Each incarnation of the server gets the same one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

import attrs
import trio

from candil.engine._config.errors import PortUnavailable
from candil.engine._guard.guarded_run import present_folder
from candil.engine._guard.reusable_guard import ReusableGuard
from candil.engine._system.ports import PortLease  # noqa: TC001 - attrs may read it

MOST_FAILED_STARTS: Final = 3
MOST_PORT_CHANGES: Final = 3


@final
@attrs.define(eq=False)
class RestartState:
    """
    What is kept of one engine over its restarts.

    Attributes:
        alias: The alias of its model.

        lease: The port, held from the first start to a deliberate stop.

        unsupported_flags: Flags that this build of the program does not know.

        failed_starts: How many starts in a row ended before the engine was ready.

        port_changes: How many times in a row another port had to be taken.

        guard: The guard that waits between two starts.

        log_is_checked: Whether the log file could be written at a start. A failure after that costs
            log lines, never the engine.

        folder: The working directory when the spec was built.

        process_lock: Held as long as a process of this engine lives. The next process waits for
            it: two at once would compete for the port and for the memory.
    """

    alias: str
    lease: PortLease
    unsupported_flags: set[str] = attrs.field(factory=set[str])
    failed_starts: int = 0
    port_changes: int = 0
    guard: ReusableGuard = attrs.field(factory=ReusableGuard)
    log_is_checked: bool = False
    folder: str = attrs.field(factory=present_folder)
    process_lock: trio.Lock = attrs.field(factory=trio.Lock)

    @property
    def working_directory(self) -> str:
        """
        Where the program runs: its arguments may name files there, at each start the same.

        The present folder, if that of the spec has been removed.
        """
        return self.folder if Path(self.folder).is_dir() else present_folder()

    def note_ready(self) -> None:
        """Forget the failures: this start has worked."""
        self.failed_starts = 0
        self.port_changes = 0

    def give_up_starting(self) -> bool:
        """Count a failed start. Return whether there have been too many in a row."""
        self.failed_starts += 1
        return self.failed_starts >= MOST_FAILED_STARTS

    def try_another_port(self) -> bool:
        """Move to another port, unless that has been tried too many times in a row."""
        self.port_changes += 1
        if self.port_changes > MOST_PORT_CHANGES:
            return False
        try:
            self.lease.move()
        except PortUnavailable:
            return False
        return True
