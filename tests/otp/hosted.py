"""Tests that are a process themselves."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

import candil

P = ParamSpec("P")


def hosted(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Run a test in a node, as its block, which traps exits: a stray exit message would show."""

    @functools.wraps(test)
    async def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async with candil.open_node(log=False):
            candil.trap_exit(True)
            await test(*args, **kwargs)

    return run
