"""Processes: how they start, stop, crash and come back, against bare trio tasks."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Literal

import trio

import candil
from benchmarks._measure import Comparison, Meter, in_trio

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

CRASHES = 200
STARTS = 1_000
GROUP = 1_000
MANY = 10_000
FEW = 10
SLOW_ROUNDS = 7
WITHOUT_LOG = "without the log of crashes, whose formatting is not what is measured"


class Worker(candil.GenServer):
    """Answers until it is told to crash."""

    @candil.handle_call
    async def answer(self) -> bool:
        """Answer from the server's own task."""
        return True

    @candil.handle_call
    async def fail(self) -> None:
        """Crash as a bug would."""
        raise ZeroDivisionError


async def bare_start(meter: Meter) -> None:
    """Start tasks one after the other, each of which has run before the next is started."""
    async with trio.open_nursery() as nursery:
        with meter.measure(STARTS):
            for _ in range(STARTS):
                nursery.start_soon(trio.sleep_forever)
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def bare_starts(meter: Meter) -> None:
    """Start many tasks at once; the last one to run says that all are up."""
    async with trio.open_nursery() as nursery:
        with meter.measure(MANY):
            await start_tasks(nursery, MANY)
        nursery.cancel_scope.cancel()


async def start_tasks(nursery: trio.Nursery, count: int) -> None:
    """Start tasks that wait for ever, and return when all of them have begun to."""
    begun = 0
    all_begun = trio.Event()

    async def task() -> None:
        nonlocal begun
        begun += 1
        if begun == count:
            all_begun.set()
        await trio.sleep_forever()

    for _ in range(count):
        nursery.start_soon(task)
    await all_begun.wait()


async def bare_stop(meter: Meter) -> None:
    """Cancel a nursery full of waiting tasks, and wait until all have ended."""
    with ExitStack() as measured:
        async with trio.open_nursery() as nursery:
            await start_tasks(nursery, MANY)
            measured.enter_context(meter.measure(MANY))
            nursery.cancel_scope.cancel()


async def bare_replacement(meter: Meter) -> None:
    """Cancel a nursery full of waiting tasks, and start as many in another."""
    with ExitStack() as measured:
        async with trio.open_nursery() as nursery:
            await start_tasks(nursery, GROUP)
            measured.enter_context(meter.measure(GROUP))
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            await start_tasks(nursery, GROUP)
            measured.close()
            nursery.cancel_scope.cancel()


def workers(count: int) -> list[candil.ChildSpec[Worker]]:
    """Give the specs of so many named workers."""
    return [candil.child_spec(Worker, name=f"worker {number}") for number in range(count)]


def open_tree(
    count: int,
    *,
    strategy: Literal["one_for_one", "one_for_all"] = "one_for_one",
    log: bool = False,
) -> AbstractAsyncContextManager[candil.Pid[candil.Supervisor]]:
    """Open a tree of workers that may crash as often as a benchmark wants."""
    spec = candil.supervisor_spec(workers(count), strategy=strategy, max_restarts=1_000_000)
    return candil.open_supervisor(spec, log=log)


async def crashes(children: int, meter: Meter, *, log: bool = False) -> None:
    """Have a handler raise, and call its server's replacement until it has answered."""
    name = f"worker {children // 2}"
    async with open_tree(children, log=log) as supervisor:
        with meter.measure(CRASHES):
            for _ in range(CRASHES):
                with contextlib.suppress(candil.ServerExited):
                    await Worker.fail(name)
                # The supervisor answers after it has dealt with the exit: no need to try again.
                await candil.get_childspec(supervisor, name)
                await Worker.answer(name)


async def exits(children: int, meter: Meter) -> None:
    """Send an exit signal to a server, and have its replacement answer."""
    name = f"worker {children // 2}"
    async with open_tree(children):
        with meter.measure(CRASHES):
            for _ in range(CRASHES):
                candil.exit(name, "boom")
                await candil.wait_for(name)
                await Worker.answer(name)


async def boot(meter: Meter) -> None:
    """Start a tree: each child has run its `init` before the next one starts."""
    specs = workers(MANY)
    with ExitStack() as measured:
        measured.enter_context(meter.measure(MANY))
        async with candil.open_supervisor(specs):
            measured.close()


async def start_children(meter: Meter) -> None:
    """Add children to a running supervisor, one request each."""
    specs = workers(MANY)
    async with candil.open_supervisor([]) as supervisor:
        with meter.measure(MANY):
            for spec in specs:
                await candil.start_child(supervisor, spec)


async def stop_tree(meter: Meter) -> None:
    """Stop a tree: each child has ended before the next one is told to."""
    with ExitStack() as measured:
        async with open_tree(MANY):
            measured.enter_context(meter.measure(MANY))


async def replace_all(meter: Meter) -> None:
    """Crash one child whose supervisor restarts all of them."""
    async with open_tree(GROUP, strategy="one_for_all") as supervisor:
        with meter.measure(GROUP):
            with contextlib.suppress(candil.ServerExited):
                await Worker.fail("worker 0")
            await candil.get_childspec(supervisor, "worker 0")
            await Worker.answer(f"worker {GROUP - 1}")


_bare_start = in_trio(bare_start)
_bare_starts = in_trio(bare_starts)
_crash = in_trio(partial(crashes, 1))
BARE_START = "bare `nursery.start_soon` of a task, until it has run"
BARE_STARTS = "bare `nursery.start_soon` of 10,000 tasks, until all have run, per task"

COMPARISONS = [
    Comparison(
        name="restart",
        what="crash of a handler to an answer from the replacement",
        against=BARE_START,
        subject=_crash,
        base=_bare_start,
        target=10,
        limit=6.3,
        note=WITHOUT_LOG,
    ),
    Comparison(
        name="restart-exit",
        what="exit signal to an answer from the replacement",
        against=BARE_START,
        subject=in_trio(partial(exits, 1)),
        base=_bare_start,
        note="by the README's `candil.exit` and `wait_for`; " + WITHOUT_LOG,
    ),
    Comparison(
        name="restart-logged",
        what="crash of a handler to an answer, with the default log",
        against="the same without",
        subject=in_trio(partial(crashes, 1, log=True)),
        base=_crash,
        note="the log writes 20 reports at once, then 5 a second, and counts the others",
    ),
    Comparison(
        name="restart-many",
        what="one restart among 10,000 children",
        against="one among 10",
        subject=in_trio(partial(crashes, MANY)),
        base=in_trio(partial(crashes, FEW)),
        target=1.2,
        limit=1.03,
        note=WITHOUT_LOG,
    ),
    Comparison(
        name="boot",
        what="start of a tree of 10,000 servers, per server",
        against=BARE_STARTS,
        subject=in_trio(boot),
        base=_bare_starts,
        rounds=SLOW_ROUNDS,
        note="each is up before the next one starts",
    ),
    Comparison(
        name="start-child",
        what="`start_child` of 10,000 servers, per server",
        against=BARE_STARTS,
        subject=in_trio(start_children),
        base=_bare_starts,
        rounds=SLOW_ROUNDS,
    ),
    Comparison(
        name="stop",
        what="stop of a tree of 10,000 servers, per server",
        against="cancelling a nursery of 10,000 tasks, per task",
        subject=in_trio(stop_tree),
        base=in_trio(bare_stop),
        rounds=SLOW_ROUNDS,
        note="in reverse order, each has ended before the next one is told to",
    ),
    Comparison(
        name="one-for-all",
        what="crash of one of 1,000 children under `one_for_all`, until all are back, per child",
        against="cancelling a nursery of 1,000 tasks and starting another, per task",
        subject=in_trio(replace_all),
        base=in_trio(bare_replacement),
        note=WITHOUT_LOG,
    ),
]
