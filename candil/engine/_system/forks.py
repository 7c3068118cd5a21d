"""
Forked copies of the program, which inherit all that it has open.

A worker of `multiprocessing` may live on when the program has ended. With the pipes to a guard it
would keep the end of the program from the guard; with the sockets of a lease it would keep a port
from the next program. So a forked child closes both. The parent's own stay open.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ClosesInChild(Protocol):
    """An object with files that belong to this process alone."""

    def close_in_child(self) -> None:
        """Close them in a forked child."""


_owners: weakref.WeakSet[ClosesInChild] = weakref.WeakSet()


def close_in_forked_child(owner: ClosesInChild) -> None:
    """Call ``owner.close_in_child`` in each child that is forked while *owner* exists."""
    _owners.add(owner)


def _after_fork_in_child() -> None:
    for owner in list(_owners):
        owner.close_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
