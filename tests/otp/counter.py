"""A server that counts, with one of each kind of handler."""

from __future__ import annotations

import trio

import candil


class Counter(candil.GenServer):
    """One of each kind of handler."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    @candil.handle_call
    def value(self) -> int:
        """Give the count."""
        return self.count

    @candil.handle_call
    def increment(self, by: int = 1, *, twice: bool = False) -> int:
        """Add to the count."""
        self.count += by * (1 + twice)
        return self.count

    @candil.handle_call
    async def slow_increment(self, by: int) -> int:
        await trio.lowlevel.checkpoint()
        self.count += by
        return self.count

    @candil.handle_call
    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    @candil.handle_cast
    def reset(self, to: int = 0) -> None:
        """Set the count."""
        self.count = to

    @candil.handle_cast
    async def slow_reset(self, *, to: int) -> None:
        await trio.lowlevel.checkpoint()
        self.count = to

    def increment_by_hand(self) -> int:
        return self.increment(by=1)
