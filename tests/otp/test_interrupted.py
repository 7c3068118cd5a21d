"""Ctrl-C at each step of a block: KeyboardInterrupt itself leaves, and everything has ended."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import trio
import trio.lowlevel

import candil
from candil._otp.processes.oneshot import OneShot
from candil._otp.processes.open_node import _wait_in_any_case
from tests.otp.bodies import clean_up, wait_for_ever


class InterruptAt(trio.abc.Instrument):
    """Raises SIGINT before the steps with the given numbers, counted from the block's first."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps
        self.count = -1

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1
        if self.count in self.steps:
            signal.raise_signal(signal.SIGINT)


async def clean_up_slowly() -> None:
    """Take a few checkpoints at the end."""
    await clean_up([])


class Traps(candil.GenServer):
    """Ends in order, by some steps."""

    def init(self) -> None:
        candil.trap_exit(True)

    async def terminate(self, _reason: candil.ExitReason) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()


RAISED: list[ValueError] = []  # by the body of the present run


def fail() -> None:
    """Raise the error of a body, and note that it was raised."""
    RAISED.append(ValueError("body"))
    raise RAISED[-1]


async def leaves_with_an_error() -> None:
    """Leave a block of processes by an error of the body."""
    async with candil.open_node(log=False):
        candil.spawn(clean_up_slowly)
        candil.spawn_link(wait_for_ever)
        await trio.lowlevel.checkpoint()
        fail()


async def leaves_a_tree_with_an_error() -> None:
    """Leave a tree by an error of the body."""
    async with candil.open_supervisor([Traps, candil.child_spec(clean_up_slowly)], log=False):
        await trio.lowlevel.checkpoint()
        fail()


async def leaves_two_trees() -> None:
    """Leave one tree within another, without an error."""
    async with (
        candil.open_supervisor([Traps], log=False),
        candil.open_supervisor([Traps], log=False),
    ):
        await trio.lowlevel.checkpoint()


async def is_cancelled() -> None:
    """Leave a tree by a cancellation from outside."""
    with trio.CancelScope() as scope:
        async with candil.open_supervisor([Traps], log=False):
            scope.cancel()
            await trio.sleep_forever()


BODIES = [leaves_with_an_error, leaves_a_tree_with_an_error, leaves_two_trees, is_cancelled]


def outcome_of(body: Any, *steps: int) -> tuple[BaseException | None, int]:
    """Run *body*, interrupted at *steps*; gives what left it, and how many steps it took."""
    left: list[BaseException] = []
    alive: list[candil.Pid[Any]] = []
    counter = InterruptAt(*steps)
    RAISED.clear()

    def listen(event: object) -> None:
        if isinstance(event, candil.ProcessStarted):
            alive.append(event.pid)
        elif isinstance(event, candil.ProcessExited) and event.pid in alive:
            alive.remove(event.pid)

    async def main() -> None:
        with candil.subscribe(listen):
            trio.lowlevel.add_instrument(counter)
            try:
                await body()
            except BaseException as error:  # noqa: BLE001  # it is what the test looks at
                left.append(error)
            trio.lowlevel.remove_instrument(counter)
            assert [] == alive

    try:
        trio.run(main)
    except KeyboardInterrupt as late:  # it came with the last step, when the block was left
        if not left or isinstance(left[0], ValueError):
            RAISED.clear()  # which had left the block by then, as itself
            left[:] = [late]
    return (left[0] if left else None), counter.count


def chain_of(error: BaseException | None) -> list[BaseException]:
    """Give an exception and those that it is chained to."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


@pytest.mark.parametrize("body", BODIES)
def test_an_interrupt_at_any_step_leaves_as_itself(body: Any) -> None:
    """While the block opens, runs or closes; an error that the body had raised is chained."""
    _, steps = outcome_of(body)
    assert steps > 5
    chained = 0
    for step in range(steps):
        error, taken = outcome_of(body, step)
        if taken < step:  # trio's random order made it a shorter run
            continue
        assert type(error) is KeyboardInterrupt, (step, error)
        assert not RAISED or RAISED[0] in chain_of(error), (step, chain_of(error))
        chained += bool(RAISED)
    assert ("error" in body.__name__) is (chained > 0)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("body", BODIES)
def test_two_interrupts_leave_as_one(body: Any, gap: int) -> None:
    """However quickly the second follows."""
    _, steps = outcome_of(body)
    for step in range(steps):
        error, taken = outcome_of(body, step, step + gap)
        assert taken < step or type(error) is KeyboardInterrupt, (step, gap, error)


async def test_a_wait_that_nothing_ends_returns_what_came_before_it() -> None:
    """A host that has ended already is not waited for."""
    slot = OneShot[int]()
    slot.put(7)
    assert 7 == await _wait_in_any_case(slot)
