"""Waiting for what another program does, which announces nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return once *condition* holds; fail after *seconds*."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - see above
            await trio.sleep(0.002)


async def until_async(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """As `until`, for a condition that is awaited."""
    with trio.fail_after(seconds):
        while not await condition():  # noqa: ASYNC110 - see above
            await trio.sleep(0.002)
