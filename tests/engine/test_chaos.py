"""Whatever is done to engines at the same time, in any order: the real llama-server."""

import gc
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx  # noqa: ASYNC127 - as candil does
import pytest
import trio

import candil
from candil import engine
from tests.engine import census
from tests.engine.engines import opened
from tests.engine.waiting import until_async

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    # httpx leaves one behind when a request is cancelled at the moment it is sent.
    pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning"),
]

ALIASES = ("static", "placed", "started")
STEPS = 9
CLIENTS = 3
LONGEST = 60.0  # for anything: far more than it needs, and far less than for ever


@attrs.define(eq=False)
class Chaos:
    """Does what it likes to the engines of a tree, by the dice."""

    dice: random.Random
    llama: engine.Engine
    tiny: engine.Model
    mark: str
    asleep: set[int] = attrs.field(factory=set[int])

    def model(self, alias: str) -> engine.Model:
        """The counting model under another name."""
        return attrs.evolve(self.tiny, alias=alias)

    def spec(self, alias: str) -> candil.ChildSpec[engine.EngineServer]:
        """A child that comes back at once, or after a while."""
        pause = self.dice.choice([None, candil.Backoff(initial=0.2, maximum=0.4)])
        return engine.child_spec(self.llama, self.model(alias), timing=self.timing(), backoff=pause)

    def timing(self) -> engine.Timing:
        """Short times; the drain may end first, or the answer."""
        return engine.Timing(
            probe_interval=0.1,
            probe_timeout=0.4,
            drain_timeout=self.dice.choice([0, 0.3]),
            grace_period=0.3,
        )

    async def client(self) -> None:
        """Do one thing after the other."""
        deeds = (self.start, self.stop, self.wait, self.ask, self.signal, self.end, self.by_hand)
        for _ in range(STEPS):
            with trio.fail_after(LONGEST):
                await self.perhaps_cut_short(self.dice.choice(deeds))
            await trio.sleep(self.dice.choice([0, 0, 0.01, 0.1]))

    async def perhaps_cut_short(self, deed: Callable[[str], Awaitable[None]]) -> None:
        """Cancel it in the midst, now and then."""
        seconds = self.dice.uniform(0, 0.05) if self.dice.random() < 0.2 else LONGEST
        with trio.move_on_after(seconds):
            await deed(self.dice.choice(ALIASES))

    async def start(self, alias: str) -> None:
        """Start an engine, whether or not there is one."""
        with suppress(engine.AlreadyRunning, engine.NotRunning):
            await engine.start(self.llama, self.model(alias), timing=self.timing())

    async def stop(self, alias: str) -> None:
        """Stop an engine, whether or not there is one."""
        with suppress(engine.NotRunning):
            await engine.stop(alias)

    async def wait(self, alias: str) -> None:
        """Wait for an engine, whatever becomes of it."""
        with suppress(engine.EngineError):
            await engine.wait_ready(alias, self.dice.choice([0, 0.01, 0.5]))

    async def ask(self, alias: str) -> None:
        """Ask how it is, and have it answer something."""
        await engine.healthy(alias)
        url = await engine.base_url(alias)
        if url is not None:
            body = {"prompt": ">", "max_tokens": 400, "stream": True}
            with suppress(httpx.HTTPError):
                async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
                    await client.post(f"{url}/v1/completions", json=body)

    async def signal(self, _alias: str) -> None:
        """Kill an engine or a guard, or put it to sleep."""
        await trio.lowlevel.checkpoint()
        living = sorted(census.living(self.mark, "llama-server"))
        if living:
            target = self.dice.choice(living)
            number = self.dice.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
            with suppress(ProcessLookupError):
                os.kill(target, number)
            if number == signal.SIGSTOP:
                self.asleep.add(target)

    async def end(self, alias: str) -> None:
        """Send an exit signal to the server, or to one that it is linked to."""
        await trio.lowlevel.checkpoint()
        pid = candil.whereis(alias)
        info = None if pid is None else candil.process_info(pid)
        if pid is not None and info is not None:
            targets = [pid, *(other for other in info.links if other != info.parent)]
            reason = self.dice.choice(["kill", "boom", candil.Shutdown(), candil.Normal()])
            candil.exit(self.dice.choice(targets), reason)

    async def by_hand(self, alias: str) -> None:
        """Do what its supervisor is there for."""
        deed: Any = self.dice.choice([candil.terminate_child, candil.restart_child])
        root = candil.root()
        with suppress(candil.CandilError):
            await deed(engine.SUPERVISOR if alias != "static" else root, alias)

    def wake_all(self) -> None:
        """Let those go on who were put to sleep."""
        for target in self.asleep & census.living(self.mark):
            with suppress(ProcessLookupError):
                os.kill(target, signal.SIGCONT)
        self.asleep.clear()


async def is_so(alias: str, mark: str) -> bool:
    """Whether what is said of an engine that nobody disturbs any more is so."""
    try:
        url = await engine.wait_ready(alias, LONGEST)
    except engine.EngineError:
        address = await engine.base_url(alias)
        return not await engine.healthy(alias) and address is None and not processes(alias, mark)
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            models = (await client.get(f"{url}/v1/models")).json()
    except httpx.HTTPError:
        return False  # it slept, and had been told to end
    served = [model["id"] for model in models["data"]] == [alias]
    one = len(processes(alias, mark)) == 1
    return served and one and await engine.base_url(alias) == url and await engine.healthy(alias)


def processes(alias: str, mark: str) -> list[int]:
    """Those that serve *alias*."""
    found: list[int] = []
    for pid in census.living(mark, "--alias"):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if f"\0{alias},".encode() in words:
                found.append(pid)
    return found


@pytest.mark.parametrize("round_", range(3))
async def test_whatever_is_done_to_engines_what_is_said_of_them_is_so_and_nothing_is_left(
    llama: engine.Engine, tiny: engine.Model, marked: str, round_: int
) -> None:
    """Random deeds, overlapping; the seed is printed, for who wants to begin from it again."""
    seed = time.time_ns() + round_
    print("seed", seed)
    files = census.open_files()
    chaos = Chaos(random.Random(seed), llama, tiny, marked)
    # Nobody keeps the specs: they hold the ports.
    async with opened(chaos.spec("static"), engine.engines_spec([chaos.spec("placed")])):
        async with trio.open_nursery() as nursery:
            for _ in range(CLIENTS):
                nursery.start_soon(chaos.client)
        chaos.wake_all()
        for alias in ALIASES:
            await until_async(partial(is_so, alias, marked), LONGEST)
    assert not census.living(marked)
    assert [alias for alias in ALIASES if candil.whereis(alias) is not None] == []
    gc.collect()
    assert census.open_files() <= files
