"""
What outlives one incarnation of an engine's server: its port, its guard, and what its starts have
taught.

A lineage is a handle in the child's spec. Each incarnation gets the same one, whatever else begins
anew with it.
"""

from __future__ import annotations

from typing import Final, final

import attrs
import trio

from candil.engine._config.errors import PortUnavailable
from candil.engine._guard.reusable_guard import ReusableGuard
from candil.engine._system.ports import PortLease  # noqa: TC001 - attrs may read it

MOST_FAILED_STARTS: Final = 3
MOST_MOVES: Final = 3


@final
@attrs.define(eq=False)
class Lineage:
    """
    The memory of one engine over its restarts.

    Attributes:
        lease: The port, held from the first start to a deliberate stop.

        refused: Flags that this build of the program does not know.

        failed_starts: How many starts in a row ended before the engine was ready.

        moves: How many times in a row another port had to be taken.

        post: The guard that waits between two starts.

        log_is_checked: Whether the log file could be written at a start. What becomes of it later
            costs log lines, never the engine.

        turn: Held as long as a process of this engine lives. The next one waits for it: two at
            once would fight for the port, and for the memory.
    """

    lease: PortLease
    refused: set[str] = attrs.field(factory=set[str])
    failed_starts: int = 0
    moves: int = 0
    post: ReusableGuard = attrs.field(factory=ReusableGuard)
    log_is_checked: bool = False
    turn: trio.Lock = attrs.field(factory=trio.Lock)

    def note_ready(self) -> None:
        """Forget the failures: this start has worked."""
        self.failed_starts = 0
        self.moves = 0

    def give_up_starting(self) -> bool:
        """Count a failed start, and tell whether there have been too many in a row."""
        self.failed_starts += 1
        return self.failed_starts >= MOST_FAILED_STARTS

    def try_another_port(self) -> bool:
        """Move to another port, unless that has been tried too many times in a row."""
        self.moves += 1
        if self.moves > MOST_MOVES:
            return False
        try:
            self.lease.move()
        except PortUnavailable:
            return False
        return True
