"""Memory is flat: after twice as many operations no more of it is in use than after once."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import candil
from tests.otp.bodies import do_nothing, wait_for_ever

Run = Callable[[int], Awaitable[None]]
"""Does something so many times."""

Workload = Callable[[], AbstractAsyncContextManager[Run]]
"""What is done, with the processes that it needs."""

PORTION = 250  # so many processes live at once


class Server(candil.GenServer):
    """Answers at once, later, or never."""

    @candil.handle_call
    def now(self, value: object) -> object:
        return value

    @candil.handle_call
    async def soon(self, value: object) -> object:
        await trio.lowlevel.checkpoint()
        return value

    @candil.handle_call
    def deferred(self, value: object) -> candil.Deferred[object]:
        answer = candil.Deferred[object]()
        candil.cast(candil.self(), (answer, value))
        return answer

    @candil.handle_call
    async def never(self) -> None:
        await trio.sleep_forever()

    @candil.handle_cast
    def crash(self) -> None:
        raise ZeroDivisionError(object())

    def handle_cast(self, message: Any) -> None:
        if isinstance(message, tuple):
            answer, value = message
            answer.reply(value)


async def fail() -> None:
    """Crash. No local variable holds the exception, which would be a cycle of the test's own."""
    raise ZeroDivisionError(object())


@asynccontextmanager
async def served(operation: Callable[[candil.Pid[Server]], Awaitable[Any]]) -> AsyncIterator[Run]:
    """Do *operation* with one server again and again."""
    pid = await candil.start(Server)

    async def run(count: int) -> None:
        for _ in range(count):
            await operation(pid)

    yield run


# --- what is done ---------------------------------------------------------------------------------


@asynccontextmanager
async def casts() -> AsyncIterator[Run]:
    """Casts, with a call now and then so that the mailbox stays short."""
    pid = await candil.start(Server)

    async def run(count: int) -> None:
        for number in range(count):
            candil.cast(pid, {"number": number})
            if number % PORTION == 0:
                await candil.call(pid, "now", None)
        await candil.call(pid, "now", None)

    yield run


@asynccontextmanager
async def messages() -> AsyncIterator[Run]:
    """Messages that are received one by one."""

    async def run(count: int) -> None:
        for number in range(count):
            candil.send(candil.self(), [number])
            await candil.receive(list)

    yield run


def answered(request: str) -> Workload:
    """Calls that have a timeout, and are answered before it."""
    return lambda: served(lambda pid: candil.call(pid, request, [], timeout=3600))


@asynccontextmanager
async def calls_that_run_out() -> AsyncIterator[Run]:
    """Calls to a server that never answers, which is killed then."""

    async def run(count: int) -> None:
        for start in range(0, count, PORTION):
            pid = await candil.start(Server)
            async with trio.open_nursery() as nursery:
                for _ in range(min(PORTION, count - start)):
                    nursery.start_soon(gives_up, pid)
            candil.exit(pid, "kill")

    async def gives_up(pid: candil.Pid[Server]) -> None:
        with contextlib.suppress(candil.CallTimeout):
            await candil.call(pid, "never", timeout=0.001)

    yield run


def spawned(make: Callable[[], candil.Pid[Any]], *, kill: bool = False) -> Workload:
    """Processes that end by themselves, or are killed."""

    @asynccontextmanager
    async def workload() -> AsyncIterator[Run]:
        async def run(count: int) -> None:
            for start in range(0, count, PORTION):
                pids = [make() for _ in range(min(PORTION, count - start))]
                if kill:
                    await wait_all_tasks_blocked()
                    for pid in pids:
                        candil.exit(pid, "kill")
                await wait_all_tasks_blocked()

        yield run

    return workload


@asynccontextmanager
async def servers() -> AsyncIterator[Run]:
    """Servers that are started and stopped."""

    async def run(count: int) -> None:
        for _ in range(count):
            await candil.stop(await candil.start(Server))

    yield run


@asynccontextmanager
async def restarts() -> AsyncIterator[Run]:
    """Crashes of a supervised server."""
    spec = candil.child_spec(Server, name="crashing")
    window = {"max_restarts": 10**9, "max_seconds": 0.001}  # crashes within it are remembered
    async with candil.open_supervisor([spec], **window, log=False):

        async def run(count: int) -> None:
            for _ in range(count):
                Server.crash("crashing")
                await wait_all_tasks_blocked()

        yield run


@asynccontextmanager
async def dynamic_children() -> AsyncIterator[Run]:
    """Short-lived children of one template."""
    template = candil.child_spec(do_nothing, restart="temporary")
    spec = candil.supervisor_spec([template], strategy="simple_one_for_one")
    async with candil.open_supervisor(spec, log=False) as supervisor:

        async def run(count: int) -> None:
            for _ in range(count):
                await candil.start_child(supervisor, [])
            await wait_all_tasks_blocked()

        yield run


@asynccontextmanager
async def temporary_children() -> AsyncIterator[Run]:
    """Short-lived children, each with a spec of its own."""
    async with candil.open_supervisor([], log=False) as supervisor:

        async def run(count: int) -> None:
            for number in range(count):
                spec = candil.child_spec(do_nothing, id=number, restart="temporary")
                await candil.start_child(supervisor, spec)
            await wait_all_tasks_blocked()

        yield run


@asynccontextmanager
async def cancelled_timers() -> AsyncIterator[Run]:
    """Messages for later that are cancelled."""

    async def run(count: int) -> None:
        for number in range(count):
            candil.cancel_timer(candil.send_after(candil.self(), [number], 3600))
        await trio.lowlevel.checkpoint()

    yield run


@asynccontextmanager
async def fired_timers() -> AsyncIterator[Run]:
    """Messages for later that come."""

    async def run(count: int) -> None:
        for start in range(0, count, PORTION):
            portion = min(PORTION, count - start)
            for number in range(portion):
                candil.send_after(candil.self(), [number], 0.001)
            for _ in range(portion):
                await candil.receive(list)

    yield run


@asynccontextmanager
async def monitors() -> AsyncIterator[Run]:
    """Monitors of a process that lives."""
    other = candil.spawn(wait_for_ever)

    async def run(count: int) -> None:
        for _ in range(count):
            candil.demonitor(candil.monitor(other), flush=True)
        await trio.lowlevel.checkpoint()

    yield run


@asynccontextmanager
async def downs() -> AsyncIterator[Run]:
    """Monitors of processes that end."""

    async def run(count: int) -> None:
        for _ in range(count):
            candil.spawn_monitor(do_nothing)
            await candil.receive(candil.Down)

    yield run


@asynccontextmanager
async def links() -> AsyncIterator[Run]:
    """Links to a process that lives."""
    other = candil.spawn(wait_for_ever)

    async def run(count: int) -> None:
        for _ in range(count):
            candil.link(other)
            candil.unlink(other)
        await trio.lowlevel.checkpoint()

    yield run


@asynccontextmanager
async def names() -> AsyncIterator[Run]:
    """Names that are registered and free again."""

    async def run(count: int) -> None:
        for number in range(count):
            candil.register(f"name {number}", candil.self())
            candil.unregister(f"name {number}")
        await trio.lowlevel.checkpoint()

    yield run


# --- how much is left -----------------------------------------------------------------------------


async def blocks_after(run: Run, count: int) -> tuple[int, Counter[str]]:
    """Return how many blocks of memory are in use after *run*, and how many objects of a type."""
    await run(count)
    await wait_all_tasks_blocked()
    types = Counter(type(thing).__qualname__ for thing in gc.get_objects())
    return sys.getallocatedblocks(), types


@contextlib.contextmanager
def without_collector() -> Any:
    """What is freed within the block is freed at once; a collector would come at any moment."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


async def assert_flat(workload: Workload, count: int) -> None:
    """Do half of *count*, and the other half: that leaves less than a block for ten of them."""
    half = count // 2
    async with candil.open_node(log=False), workload() as run:
        with without_collector():
            await run(count // 10)  # what is made once is there from now on
            before, types_before = await blocks_after(run, half)
            after, types_after = await blocks_after(run, half)

    grown = (types_after - types_before).most_common(5)
    assert after - before < half / 10, f"{after - before} blocks after {half}: {grown}"


WORKLOADS: dict[str, tuple[Workload, int]] = {
    "casts": (casts, 10_000),
    "messages": (messages, 10_000),
    "calls in place": (answered("now"), 10_000),
    "calls by mailbox": (answered("soon"), 4_000),
    "deferred answers": (answered("deferred"), 4_000),
    "calls that run out": (calls_that_run_out, 2_000),
    "processes": (spawned(lambda: candil.spawn(do_nothing)), 4_000),
    "linked processes": (spawned(lambda: candil.spawn_link(do_nothing)), 4_000),
    "crashes": (spawned(lambda: candil.spawn(fail)), 2_000),
    "kills": (spawned(lambda: candil.spawn(wait_for_ever), kill=True), 2_000),
    "servers": (servers, 2_000),
    "restarts": (restarts, 1_000),
    "dynamic children": (dynamic_children, 2_000),
    "temporary children": (temporary_children, 2_000),
    "cancelled timers": (cancelled_timers, 40_000),  # up to 256 of them stay at any time
    "fired timers": (fired_timers, 4_000),
    "monitors": (monitors, 10_000),
    "downs": (downs, 4_000),
    "links": (links, 10_000),
    "names": (names, 10_000),
}

MANY = {
    "casts": 1_000_000,
    "calls by mailbox": 100_000,
    "calls that run out": 100_000,
    "crashes": 10_000,
    "restarts": 10_000,
    "dynamic children": 100_000,
    "fired timers": 100_000,
    "cancelled timers": 100_000,
    "monitors": 100_000,
}


@pytest.mark.parametrize("what", WORKLOADS)
async def test_memory_is_flat(what: str) -> None:
    """Some thousand operations leave no object behind, not even one for the collector."""
    await assert_flat(*WORKLOADS[what])


@pytest.mark.slow
@pytest.mark.parametrize("what", MANY)
async def test_memory_is_flat_in_the_long_run(what: str) -> None:
    """As many operations as a busy day has leave no object behind."""
    await assert_flat(WORKLOADS[what][0], MANY[what])
