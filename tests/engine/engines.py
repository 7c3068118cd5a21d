"""What the tests of engines in a tree do again and again."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx  # noqa: ASYNC127 - as candil does
import trio

import candil
from candil.engine import EngineServer, EngineState, EngineStateChanged
from tests.engine.waiting import until


@asynccontextmanager
async def opened(*children: Any, seconds: float = 250) -> AsyncIterator[candil.Pid[Any]]:
    """A tree of *children*, without a log, for *seconds* at most."""
    with trio.fail_after(seconds):
        async with candil.open_supervisor(list(children), max_restarts=100, log=False) as root:
            yield root


async def answer(url: str, tokens: int = 8, **options: Any) -> str:
    """What the model says after `>`."""
    body = {"prompt": "hello>", "max_tokens": tokens, **options}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return str(
            (await client.post(f"{url}/v1/completions", json=body)).json()["choices"][0]["text"]
        )


async def killed(alias: str) -> candil.ExitReason:
    """Kill the engine of *alias* and return why its server ended."""
    pid = candil.whereis(alias)
    assert pid is not None
    os_pid = await EngineServer.os_pid(pid)
    assert os_pid is not None
    ref = candil.monitor(pid)
    os.kill(os_pid, signal.SIGKILL)
    down = await candil.receive(lambda message: getattr(message, "ref", None) == ref, timeout=60)
    assert isinstance(down, candil.Down)
    return down.reason


async def successor_of(server: candil.Pid[Any]) -> candil.Pid[Any]:
    """Wait until the tiny model's server is another one."""
    await until(lambda: candil.whereis("tiny") not in {None, server})
    found = candil.whereis("tiny")
    assert found is not None
    return found


async def is_answering(url: str) -> bool:
    """Whether the engine works on a request."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        slots = (await client.get(f"{url}/slots")).json()
    return any(slot["is_processing"] for slot in slots)


async def caught_at_work(
    nursery: trio.Nursery,
    ask: Callable[[], Awaitable[None]],
    is_at_work: Callable[[], Awaitable[bool]],
) -> None:
    """Have *ask* ask in *nursery*, again if need be, until the engine is seen at work on it."""
    while True:
        over = trio.Event()
        nursery.start_soon(_ask_once, ask, over)
        while not over.is_set():
            if await is_at_work():
                return
            await trio.sleep(0.002)


async def _ask_once(ask: Callable[[], Awaitable[None]], over: trio.Event) -> None:
    await ask()
    over.set()


@contextmanager
def told() -> Iterator[list[EngineStateChanged]]:
    """Collect what engines tell of their states."""
    seen: list[EngineStateChanged] = []

    def note(event: object) -> None:
        if isinstance(event, EngineStateChanged):
            seen.append(event)

    with candil.subscribe(note):
        yield seen


def without_loading(seen: list[EngineStateChanged]) -> list[EngineState | None]:
    """
    The states that an engine went through, each from where the last one led.

    Whether it was seen loading is a matter of the moment.
    """
    for before, after in itertools.pairwise(seen):
        assert before.new == after.old
    states = [event.old for event in seen[:1]] + [event.new for event in seen]
    return [state for state in states if state is not EngineState.LOADING]
