"""Foreign faults are contained: what code raises or swallows ends one process, not the tree."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import candil
from candil import Crashed, Down, ExitSignal, Killed
from tests.otp.bodies import crash, end_of, wait_for_ever

ROOT = Path(__file__).resolve().parents[2]


class FaultyServer(candil.GenServer):
    """Raises what it is told to, in every kind of callback."""

    @candil.handle_call
    async def asynchronous(self, error: BaseException) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    @candil.handle_call
    def plain(self, error: BaseException) -> None:
        raise error

    @candil.handle_call
    def ping(self) -> str:
        return "pong"

    def handle_cast(self, error: BaseException) -> None:
        raise error

    def handle_info(self, error: BaseException) -> None:
        raise error


async def provoke(way: str, name: str, error: BaseException) -> None:
    """Have the server *name* meet *error*; its caller gets ServerExited."""
    if way == "cast":
        candil.cast(name, error)
    elif way == "info":
        candil.send(name, error)
    else:
        if way == "in place":
            await wait_all_tasks_blocked()
        with pytest.raises(candil.ServerExited) as raised:
            await candil.call(name, "asynchronous" if way == "asynchronous" else "plain", error)
        assert error is raised.value.reason.exception


WAYS = ["asynchronous", "plain", "in place", "cast", "info"]

CRASHES = {
    "an error": ValueError("x"),
    "S10: a group": ExceptionGroup("g", [ValueError(), KeyError()]),
    "S10: a group in a group": ExceptionGroup("g", [ExceptionGroup("h", [ValueError()])]),
    "S13: SystemExit": SystemExit(3),
    "S13: SystemExit in a group": BaseExceptionGroup("g", [SystemExit(3), ValueError()]),
    "S14: MemoryError": MemoryError(),
    "S14: RecursionError": RecursionError(),
    "S15: GeneratorExit": GeneratorExit(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", CRASHES)
async def test_a_fault_in_a_server_is_the_crash_of_that_server_alone(fault: str, way: str) -> None:
    """One restart, the tree lives, its neighbour notices nothing, and no caller hangs."""
    error = CRASHES[fault]
    starts: list[object] = []

    def count(event: object) -> None:
        if isinstance(event, candil.ChildStarted):
            starts.append(event.child_id)

    with candil.subscribe(count):
        async with candil.open_supervisor(
            [
                candil.child_spec(FaultyServer, name="faulty"),
                candil.child_spec(wait_for_ever, name="neighbour"),
            ],
            log=False,
        ):
            neighbour, ref = candil.whereis("neighbour"), candil.monitor("faulty")
            with trio.fail_after(20):
                await provoke(way, "faulty", error)
                down = await candil.receive(Down)
                await wait_all_tasks_blocked()

                assert error is down.reason.exception
                assert ref is down.ref
                assert "pong" == await candil.call("faulty", "ping")
            assert neighbour is candil.whereis("neighbour")
            assert ["faulty", "neighbour", "faulty"] == starts


@pytest.mark.parametrize("fault", CRASHES)
async def test_a_fault_in_a_plain_process_is_its_crash(fault: str) -> None:
    """Whatever class the exception is of."""
    error = CRASHES[fault]
    async with candil.open_node(log=False):
        assert Crashed(error) == await end_of(candil.spawn(crash, error))


async def test_s14_a_real_recursion_is_an_ordinary_crash() -> None:
    """And the traceback of a thousand frames still makes a bounded report."""

    async def recurses() -> None:
        def deeper(n: int) -> int:
            return deeper(n + 1) + 1

        deeper(0)

    events: list[object] = []
    with candil.subscribe(events.append):
        async with candil.open_node(log=False):
            reason = await end_of(candil.spawn(recurses))

    assert isinstance(reason.exception, RecursionError)
    assert len(candil.describe_event(events[-2 if len(events) > 2 else -1]) or "") <= 16_000


async def test_s14_a_recursion_of_coroutines_is_an_ordinary_crash() -> None:
    """Also when the frames are those of awaits."""

    async def recurses() -> None:
        await recurses()

    async with candil.open_node(log=False):
        reason = await end_of(candil.spawn(recurses))

    assert isinstance(reason.exception, RecursionError)


async def test_s15_stop_iteration_is_a_crash() -> None:
    """Python makes a RuntimeError of it on its way out of a coroutine."""
    async with candil.open_node(log=False):
        reason = await end_of(candil.spawn(crash, StopIteration()))

    assert isinstance(reason.exception, RuntimeError)
    assert isinstance(reason.exception.__cause__, StopIteration)


async def test_s10_a_group_from_a_processs_own_nursery_is_the_reason_as_a_whole() -> None:
    """The monitor gets it; the report shows ten leaves."""

    async def opens_a_nursery() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(crash, ValueError(f"leaf {number}."))

    events: list[object] = []
    with candil.subscribe(events.append):
        async with candil.open_node(log=False):
            pid = candil.spawn(opens_a_nursery)
            reason = await end_of(pid)
    [event] = [e for e in events if isinstance(e, candil.ProcessExited) and e.pid is pid]

    assert 50 == len(reason.exception.exceptions)
    assert 10 == candil.describe_reason(event.reason).count("leaf ")


# --- S11: KeyboardInterrupt in a process


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("way", [*WAYS, "plain process", "init", "async init"])
async def test_s11_keyboard_interrupt_in_a_process_stops_the_tree_in_order(
    way: str, grouped: bool
) -> None:
    """No restart, reverse order, and then it leaves the block as itself."""
    interrupt = KeyboardInterrupt()
    error = BaseExceptionGroup("g", [ValueError(), interrupt]) if grouped else interrupt
    starts: list[object] = []
    stops: list[str] = []

    def count(event: object) -> None:
        starts.extend([event.child_id] if isinstance(event, candil.ChildStarted) else [])

    class Traps(candil.GenServer):
        def __init__(self, name: str) -> None:
            self.name = name

        def init(self) -> None:
            candil.trap_exit(True)

        def terminate(self, reason: candil.ExitReason) -> None:
            assert candil.Shutdown() == reason
            stops.append(self.name)

    class Init(candil.GenServer):
        def init(self) -> None:
            raise error

    class AsyncInit(candil.GenServer):
        async def init(self) -> None:
            raise error

    async def block() -> None:
        async with candil.open_supervisor(
            [
                candil.child_spec(Traps, "a", id="a"),
                candil.child_spec(FaultyServer, name="faulty"),
                candil.child_spec(Traps, "b", id="b"),
            ],
            log=False,
        ):
            await provokes[way]()
            await trio.sleep_forever()

    async def starts_badly(cls: type[candil.GenServer]) -> None:
        with pytest.raises(candil.StartError):
            await candil.start(cls)

    async def spawns() -> None:
        candil.spawn(crash, error)

    provokes: dict[str, Any] = {known: partial(provoke, known, "faulty", error) for known in WAYS}
    provokes |= {
        "plain process": spawns,
        "init": partial(starts_badly, Init),
        "async init": partial(starts_badly, AsyncInit),
    }
    with candil.subscribe(count), trio.fail_after(20), pytest.raises(KeyboardInterrupt) as raised:
        await block()

    assert interrupt is raised.value
    assert ["a", "faulty", "b"] == starts
    assert ["b", "a"] == stops


async def test_s11_only_the_first_of_two_interrupts_counts() -> None:
    """The second process ends with the rest."""
    first = KeyboardInterrupt()

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.spawn(crash, first)
            await wait_all_tasks_blocked()

    async def interrupts_in_cleanup() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    async def both() -> None:
        async with candil.open_node(log=False):
            candil.spawn(interrupts_in_cleanup)
            await wait_all_tasks_blocked()
            candil.spawn(crash, first)
            await trio.sleep_forever()

    for play in (block, both):
        with trio.fail_after(20), pytest.raises(KeyboardInterrupt) as raised:
            await play()
        assert first is raised.value


async def test_s11_two_interrupts_in_one_step_are_one_stop() -> None:
    """The first of them leaves the block."""
    first, second = KeyboardInterrupt(), KeyboardInterrupt()

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.spawn(crash, first)
            candil.spawn(crash, second)
            await trio.sleep_forever()

    with trio.fail_after(20), pytest.raises(KeyboardInterrupt) as raised:
        await block()
    assert raised.value in (first, second)


async def test_s11_an_interrupt_while_the_block_is_left_still_leaves_it() -> None:
    """Ctrl-C is never lost."""

    async def interrupts_in_cleanup() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    async def block() -> None:
        async with candil.open_node(log=False):
            candil.spawn(interrupts_in_cleanup)
            await wait_all_tasks_blocked()

    with trio.fail_after(20), pytest.raises(KeyboardInterrupt):
        await block()


async def test_s11_callers_of_a_process_that_was_interrupted_do_not_hang() -> None:
    """They learn of it at once, not when the tree has stopped."""
    ends: list[object] = []

    async def asks() -> None:
        try:
            await candil.call("faulty", "asynchronous", KeyboardInterrupt(), timeout=60)
        except candil.ServerExited as error:
            ends.append(error.reason.exception)

    async def block() -> None:
        async with candil.open_supervisor(
            [candil.child_spec(FaultyServer, name="faulty")], log=False
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asks)
            await trio.sleep_forever()

    with trio.fail_after(20), pytest.raises(KeyboardInterrupt) as raised:
        await block()
    assert [raised.value] == ends


# --- S12: a real SIGINT


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["run", "embedded"])
def test_s12_a_real_sigint_at_any_instant_is_an_orderly_stop_with_exit_130(mode: str) -> None:
    """It never lands as an exception in the middle of something, and every server cleans up."""
    seed = random.randrange(2**32)
    run = subprocess.run(
        [sys.executable, "-m", "tests.otp.sigint_program", "60", str(seed), mode],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    lines = run.stdout.splitlines()

    assert 60 == len(lines), run.stderr
    in_init = 1 if mode == "embedded" else 0  # Ctrl-C may end an init that has noted its start
    for line in lines:
        code, starts, stops = map(int, line.split())
        assert 130 == code, f"seed {seed}: {lines}\n{run.stderr}"
        assert 0 <= starts - stops <= in_init, f"seed {seed}: {lines}\n{run.stderr}"


# --- S16: a leaked Cancelled


async def stored_cancelled() -> trio.Cancelled:
    """Get hold of a Cancelled, as nobody should."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            stored = cancelled
    return stored


@pytest.mark.parametrize("way", WAYS)
async def test_s16_a_foreign_cancelled_that_a_server_lets_out_is_its_crash(way: str) -> None:
    """Its siblings stay alive, and it is restarted."""
    async with candil.open_supervisor(
        [
            candil.child_spec(FaultyServer, name="faulty"),
            *[candil.child_spec(wait_for_ever, id=n) for n in range(5)],
        ],
        log=False,
    ) as root:
        before = {c.id: c.child for c in await candil.which_children(root)}
        candil.monitor("faulty")
        stored = await stored_cancelled()
        with trio.fail_after(20):
            if way in ("cast", "info"):
                await provoke(way, "faulty", stored)
            else:
                with pytest.raises(candil.ServerExited):
                    await candil.call(
                        "faulty", "asynchronous" if way == "asynchronous" else "plain", stored
                    )
            down = await candil.receive(Down)
            await wait_all_tasks_blocked()
        after = {c.id: c.child for c in await candil.which_children(root)}

        assert isinstance(down.reason.exception, candil.LeakedCancellation)
        assert stored is down.reason.exception.__cause__
        assert before.pop("faulty") is not after.pop("faulty")
        assert before == after
        assert "pong" == await candil.call("faulty", "ping")


async def test_s16_a_foreign_cancelled_that_a_plain_process_lets_out_is_its_crash() -> None:
    """Its neighbours in the same nursery are not cancelled."""
    async with candil.open_node(log=False):
        neighbours = [candil.spawn(wait_for_ever) for _ in range(20)]
        reason = await end_of(candil.spawn(crash, await stored_cancelled()))
        await wait_all_tasks_blocked()

        assert isinstance(reason.exception, candil.LeakedCancellation)
        assert all(candil.is_alive(pid) for pid in neighbours)


async def test_s16_a_cancelled_of_the_process_itself_is_no_leak() -> None:
    """One that was told to end has the reason that it was told."""
    async with candil.open_node():
        candil.trap_exit(True)
        pid = candil.spawn_link(wait_for_ever)
        await wait_all_tasks_blocked()
        candil.exit(pid, "kill")

        assert ExitSignal(pid, Killed()) == await candil.receive()


async def test_s16_a_process_may_cancel_its_own_scopes() -> None:
    """What it catches is nobody's business."""

    async def cancels() -> str:
        with trio.move_on_after(0):
            await trio.sleep_forever()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.cancel_scope.cancel()
        return "done"

    async with candil.open_node():
        assert candil.Normal() == await end_of(candil.spawn(cancels))


# --- S17: a swallowed Cancelled


class Swallows:
    """A process body that swallows Cancelled until it is let go."""

    let_go = False

    async def __call__(self) -> None:
        while not self.let_go:
            with contextlib.suppress(trio.Cancelled):
                await trio.sleep_forever()


@pytest.mark.slow
@pytest.mark.parametrize("reason", ["boom", "kill"])
async def test_s17_a_swallowed_cancelled_is_reported_within_half_a_second_with_its_stack(
    reason: str,
) -> None:
    """While it spins, everybody else goes on."""
    reports: list[candil.ProcessLingers] = []

    def listen(event: object) -> None:
        if isinstance(event, candil.ProcessLingers):
            reports.append(event)

    swallows = Swallows()
    with candil.subscribe(listen):
        async with candil.open_node(log=False):
            pid = candil.spawn(swallows)
            server = await candil.start(FaultyServer)
            await wait_all_tasks_blocked()
            candil.exit(pid, reason)
            with trio.fail_after(20):
                while not reports:
                    assert "pong" == await candil.call(server, "ping")
                    await trio.sleep(0.01)
            swallows.let_go = True
    [report] = reports

    assert report.seconds <= 0.5
    assert pid is report.pid
    assert "in __call__" in report.stack
    assert "await trio.sleep_forever()" in report.stack
    assert (reason == "kill") is report.abandoned


@pytest.mark.slow
async def test_s17_a_supervisor_goes_on_without_a_child_that_swallows() -> None:
    """It is given up for dead, reported, and replaced."""
    swallows = Swallows()
    async with candil.open_supervisor(
        [
            candil.child_spec(swallows.__call__, name="swallows", shutdown="brutal_kill"),
            candil.child_spec(FaultyServer, name="faulty"),
        ],
        log=False,
    ) as root:
        first = candil.whereis("swallows")
        await wait_all_tasks_blocked()
        try:
            with trio.fail_after(20):
                await candil.terminate_child(root, "swallows")
                assert candil.whereis("swallows") is None
                second = await candil.restart_child(root, "swallows")

                assert second is not first
                assert second is candil.whereis("swallows")
                assert "pong" == await candil.call("faulty", "ping")
                assert 2 == (await candil.count_children(root)).active
        finally:
            swallows.let_go = True


# --- S19: a loop that stays dead


@pytest.mark.slow
def test_s19_a_loop_that_is_blocked_is_told_on_stderr_while_it_is() -> None:
    """The log hears of it from the watch's thread, so whoever ends the program can say why."""
    program = (
        "import time, trio, candil\n"
        "async def dead():\n"
        "    for _ in range(10): await trio.lowlevel.checkpoint()\n"
        "    while True: time.sleep(0.01)\n"
        "candil.run([candil.child_spec(dead, name='dead')])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            told = any(
                "dead> has kept the event loop from running" in line
                for line in process.stderr  # which may tell of a machine that paused before
            )
        finally:
            process.kill()

    assert told
