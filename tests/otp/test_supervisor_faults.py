"""Children that misbehave, at every moment when they can."""

import time

import pytest
import trio

import candil
from candil._otp.processes import node as node_module

from .workers import (
    Boom,
    Journal,
    end,
    is_gone,
    kill,
    opened,
    pid_of,
    settle,
    shown,
    worker,
    workers,
)


async def test_names_are_free_after_a_failed_start():
    """That of the child, those of its siblings, and that of the supervisor."""
    specs = [
        worker("a", Journal(), name="a"),
        worker("b", Journal(), name="b", script=["raise"]),
    ]
    async with candil.open_node(log=False):
        with pytest.raises(candil.StartError):
            await candil.start_link(candil.supervisor_spec(specs, name="root"))

        assert [candil.whereis(name) for name in ("a", "b", "root")] == [None] * 3


@pytest.mark.parametrize("checkpoint", range(8))
async def test_a_start_that_is_cancelled_leaves_nothing(checkpoint):
    """At whichever checkpoint: no name, no process, and what init had opened is closed."""
    opened_now = []

    class Careful(candil.GenServer):
        async def init(self):
            opened_now.append(self)
            try:
                for _ in range(3):
                    await trio.lowlevel.checkpoint()
            except trio.Cancelled:
                opened_now.remove(self)
                raise

    spec = candil.supervisor_spec(
        [candil.child_spec(Careful, id=number, name=f"n{number}") for number in range(2)],
        name="root",
    )
    async with candil.open_node(log=False):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(candil.start, spec)
            for _ in range(checkpoint):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await settle()

        if candil.whereis("root") is None:
            assert [candil.whereis(f"n{number}") for number in range(2)] == [None, None]


async def test_a_terminate_that_raises_does_not_break_the_order():
    """Those before it are stopped as they should be."""
    journal = Journal()

    class Bad(candil.GenServer):
        def init(self):
            candil.trap_exit(True)

        def terminate(self, reason):
            journal.append("terminate bad")
            raise Boom

    async with opened([worker("a", journal), Bad, worker("b", journal)]):
        journal.take()

    assert journal == ["terminate b shutdown", "terminate bad", "terminate a shutdown"]


@pytest.mark.slow
async def test_a_terminate_that_cannot_even_be_cancelled_is_given_up(monkeypatch):
    """After its seconds it is killed, reported and left behind; the supervisor goes on."""
    monkeypatch.setattr(node_module, "ABANDON_SECONDS", 0.05)
    events = []
    released = trio.Event()

    class Stubborn(candil.GenServer):
        def init(self):
            candil.trap_exit(True)

        async def terminate(self, reason):
            with trio.CancelScope(shield=True):
                await released.wait()

    specs = [*workers("a", Journal()), candil.child_spec(Stubborn, id="s", shutdown=0.05)]
    with candil.subscribe(events.append):
        async with opened(specs) as sup:
            pid = await pid_of(sup, "s")
            with trio.fail_after(20):
                await candil.terminate_child(sup, "s")
            assert await shown(sup) == {"s": "stopped", "a": "up"}
            assert await candil.restart_child(sup, "s") != pid
            released.set()

    lingering = [e for e in events if isinstance(e, candil.ProcessLingers) and e.abandoned]
    assert [event.pid for event in lingering] == [pid]
    assert "terminate" in lingering[0].stack


async def test_a_child_that_crashes_again_while_its_siblings_are_restarted():
    """The second crash is counted, and no child is ever there twice."""
    journal = Journal()
    living = set()
    most = []

    class Counted(candil.GenServer):
        def __init__(self, label):
            self.label = label

        async def init(self):
            candil.trap_exit(True)
            living.add((self.label, self))
            most.append(max(sum(label == name for name, _ in living) for label in "abc"))
            await trio.lowlevel.checkpoint()
            if self.label == "c" and len(journal) < 2:
                journal.append("crash b")
                candil.exit("b", "kill")

        def terminate(self, reason):
            living.discard((self.label, self))

    def note(event):
        if isinstance(event, candil.ProcessExited):
            ended = {one for one in living if one[0] == event.pid.label}
            living.difference_update(ended)

    specs = [candil.child_spec(Counted, label, id=label, name=label) for label in "abc"]
    with candil.subscribe(note):
        async with opened(specs, strategy="rest_for_one", max_restarts=10) as sup:
            await settle()
            state = await candil.sys.get_state(sup)
            assert state.window.count == 2
            assert await shown(sup) == {"c": "up", "b": "up", "a": "up"}


async def test_a_crash_during_init_of_a_later_sibling_is_found_afterwards():
    """The supervisor is busy starting; the exit waits for its turn."""
    journal = Journal()

    class Killer(candil.GenServer):
        async def init(self):
            candil.exit("a", "kill")
            await settle()

    async with opened([worker("a", journal, name="a"), Killer]) as sup:
        await settle()

        assert journal == ["start a", "start a"]
        assert await shown(sup) == {"Killer": "up", "a": "up"}


async def test_a_child_that_ends_before_its_start_function_returns_is_restarted():
    """Its exit was sent before the supervisor knew its pid."""
    starts = []

    async def short():
        starts.append("short")

    async def function():
        pid = candil.spawn_link(short)
        await settle()
        return pid

    spec = candil.child_spec(candil.StartFunction(function), id="f")
    with pytest.raises(candil.RestartIntensityExceeded):
        async with opened([spec], max_restarts=2):
            await trio.sleep_forever()

    assert starts == ["short"] * 3


async def test_a_function_that_returns_at_once_is_a_restart_loop_that_ends():
    """A permanent child that ends is restarted, also after a normal end; the limit holds."""
    runs = []

    async def short():
        runs.append(1)

    with pytest.raises(candil.RestartIntensityExceeded) as caught:
        async with opened([candil.child_spec(short)], max_restarts=5):
            await trio.sleep_forever()

    assert len(runs) == 6
    assert caught.value.reason == candil.Normal()


async def test_a_restart_loop_does_not_starve_others():
    """Between two restarts everybody has had a turn."""
    turns = []

    async def short():
        pass

    async def other():
        while True:
            turns.append(1)
            await trio.lowlevel.checkpoint()

    specs = [candil.child_spec(other), candil.child_spec(short)]
    with pytest.raises(candil.RestartIntensityExceeded):
        async with opened(specs, max_restarts=200, max_seconds=3600.0):
            await trio.sleep_forever()

    assert len(turns) > 100


@pytest.mark.parametrize("seed", range(30))
async def test_a_cancellation_that_races_a_crash_leaves_nothing(seed):
    """Whichever comes first: all processes end, and nothing is started during the stop."""
    journal = Journal()
    events = []

    async def crash():
        for _ in range(seed % 6):
            await trio.lowlevel.checkpoint()
        raise Boom

    with candil.subscribe(events.append), trio.CancelScope() as scope:
        async with opened([*workers("ab", journal), candil.child_spec(crash)], max_restarts=99):
            for _ in range(seed // 3):
                await trio.lowlevel.checkpoint()
            scope.cancel()
            await trio.lowlevel.checkpoint()

    assert journal[-2:] == ["terminate b shutdown", "terminate a shutdown"]
    started = [e.pid for e in events if isinstance(e, candil.ProcessStarted)]
    ended = [e.pid for e in events if isinstance(e, candil.ProcessExited)]
    assert len(ended) == len(set(ended)) == len(started) + 1  # the block was there before
    assert all(is_gone(pid) for pid in started)


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_the_wall_clock_plays_no_part(jump, monkeypatch):
    """A day back or forth changes nothing: restarts are counted on the monotonic clock."""
    now = time.time()
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        spec = candil.supervisor_spec(workers("a", Journal()), max_restarts=1)
        sup = await candil.start_link(spec)
        await kill(sup, "a")
        monkeypatch.setattr(time, "time", lambda: now + jump)
        assert await shown(sup) == {"a": "up"}
        await end(sup, "a")

        assert not candil.is_alive(sup)


async def test_children_are_linked_to_their_supervisor_alone():
    """The death of a supervisor reaches them, that of a sibling does not."""
    async with opened(workers("ab", Journal())) as sup:
        info = candil.process_info(await pid_of(sup, "a"))

        assert info.links == (sup,)
        assert info.parent == sup


async def test_a_child_whose_handler_never_returns_is_ended_in_its_time(autojump_clock):
    """It traps exits, but never looks at its mailbox."""

    class Busy(candil.GenServer):
        def init(self):
            candil.trap_exit(True)
            candil.continue_with()

        async def handle_continue(self, argument):
            await trio.sleep_forever()

    async with opened([candil.child_spec(Busy, shutdown=3.0)]):
        before = trio.current_time()

    assert trio.current_time() - before == pytest.approx(3.0)


async def test_a_child_may_be_terminated_by_its_sibling():
    """And even ask for its own end, without waiting for it."""
    journal = Journal()

    class Sibling(candil.GenServer):
        @candil.handle_call
        async def stop(self, child_id):
            await candil.terminate_child("root", child_id)
            return "done"

    specs = [worker("a", journal), candil.child_spec(Sibling, name="s")]
    async with opened(specs, name="root") as sup:
        assert await candil.call("s", "stop", "a") == "done"
        with pytest.raises(candil.ServerExited):
            await candil.call("s", "stop", "s")

        assert await shown(sup) == {"s": "stopped", "a": "stopped"}
