"""Starting and stopping the children of a supervisor."""

import math

import pytest
import trio

import candil

from .workers import Boom, Journal, kill, pid_of, settle, shown, worker, workers

# --- starting -------------------------------------------------------------------------------------


async def test_children_start_in_list_order_each_fully_up_before_the_next():
    """A child's init is over before the next child's begins."""
    journal = Journal()

    class Slow(candil.GenServer):
        def __init__(self, label):
            self.label = label

        async def init(self):
            journal.append(f"begin {self.label}")
            await trio.lowlevel.checkpoint()
            journal.append(f"end {self.label}")

    specs = [candil.child_spec(Slow, label, id=label) for label in "ab"]
    async with candil.open_supervisor(specs, log=False) as sup:
        assert journal == ["begin a", "end a", "begin b", "end b"]
        assert await shown(sup) == {"b": "up", "a": "up"}


async def test_children_stop_in_reverse_order_each_waited_for_before_the_next(autojump_clock):
    """A child is told to end when the one started after it has ended."""
    journal = Journal()
    async with candil.open_supervisor(workers("abc", journal, hang=1.0), log=False):
        journal.take()
        before = trio.current_time()

    assert journal == [
        *("terminate c shutdown", "done c"),
        *("terminate b shutdown", "done b"),
        *("terminate a shutdown", "done a"),
    ]
    assert trio.current_time() - before == pytest.approx(3.0)


async def test_a_supervisor_without_children_starts_and_stops():
    """An empty list of children is a tree, too."""
    async with candil.open_supervisor([], log=False) as sup:
        assert await candil.which_children(sup) == []
        assert await candil.count_children(sup) == candil.ChildCounts(0, 0, 0, 0)

    assert not candil.is_alive(sup)


async def test_a_child_that_fails_to_start_takes_those_before_it_down_in_reverse():
    """The start fails with the child's id and its reason; nothing is retried, nothing is left."""
    journal = Journal()
    specs = [
        *workers("ab", journal),
        worker("c", journal, script=["e1", "ok"]),
        worker("d", journal),
    ]

    async with candil.open_node(log=False):
        with pytest.raises(candil.StartError) as caught:
            await candil.start_link(candil.supervisor_spec(specs, name="tree"))

        assert journal == [
            "start a",
            "start b",
            "fail c",
            "terminate b shutdown",
            "terminate a shutdown",
        ]
        assert caught.value.reason == candil.Shutdown(
            ("failed_to_start_child", "c", candil.Exit("e1"))
        )
        assert candil.whereis("tree") is None


async def test_a_failed_start_leaves_no_exit_signal_at_a_trapping_parent():
    """The error is told once: as the error."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        bad = candil.supervisor_spec([worker("a", Journal(), script=["raise"])])
        with pytest.raises(candil.StartError):
            await candil.start_link(bad)
        await settle()

        with pytest.raises(candil.ReceiveTimeout):
            await candil.receive(timeout=0)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ("e1", candil.Exit("e1")),
        ("normal", candil.Normal()),
        ("shutdown", candil.Shutdown()),
        (("shutdown", "x"), candil.Shutdown("x")),
    ],
)
async def test_the_reason_of_init_is_the_reason_of_the_failed_start(outcome, reason):
    """Whatever init stops with, even normally, is why the child did not start."""
    async with candil.open_supervisor([], log=False) as sup:
        with pytest.raises(candil.StartError) as caught:
            await candil.start_child(sup, worker("a", Journal(), script=[outcome]))

        assert (caught.value.child_id, caught.value.reason) == ("a", reason)


async def test_an_exception_of_init_is_the_reason_and_the_cause():
    """What init raised is in the reason, and chained for the traceback."""
    async with candil.open_supervisor([], log=False) as sup:
        with pytest.raises(candil.StartError) as caught:
            await candil.start_child(sup, worker("a", Journal(), script=["raise"]))

        assert isinstance(caught.value.reason, candil.Crashed)
        assert isinstance(caught.value.reason.exception, Boom)
        assert caught.value.__cause__ is caught.value.reason.exception
        assert await shown(sup) == {}


# --- the shutdown of one child --------------------------------------------------------------------


async def stop_time(spec):
    """Give the seconds that terminate_child takes, and the reason the child ended with."""
    async with candil.open_supervisor([spec], log=False) as sup:
        pid = await pid_of(sup, spec.id)
        candil.monitor(pid)
        before = trio.current_time()
        await candil.terminate_child(sup, spec.id)
        down = await candil.receive(candil.Down)
        return trio.current_time() - before, down.reason


async def test_shutdown_seconds_are_waited_for_and_then_the_child_is_killed(autojump_clock):
    """A terminate that hangs gets its seconds, and no more."""
    seconds, reason = await stop_time(worker("h", Journal(), hang=60.0, shutdown=2.0))

    assert (seconds, reason) == (pytest.approx(2.0), candil.Killed())


async def test_shutdown_infinity_waits_for_as_long_as_it_takes(autojump_clock):
    """An hour of terminate is an hour of waiting."""
    journal = Journal()
    seconds, reason = await stop_time(worker("h", journal, hang=3600.0, shutdown=math.inf))

    assert (seconds, reason) == (pytest.approx(3600.0), candil.Shutdown())
    assert journal[-1] == "done h"


async def test_brutal_kill_does_not_even_ask(autojump_clock):
    """No terminate, no time, and the reason is killed."""
    journal = Journal()
    seconds, reason = await stop_time(worker("h", journal, shutdown="brutal_kill"))

    assert (seconds, reason) == (0.0, candil.Killed())
    assert journal == ["start h"]


async def test_shutdown_0_kills_at_once(autojump_clock):
    """A child with no seconds at all does not get to finish its terminate."""
    journal = Journal()
    seconds, reason = await stop_time(worker("h", journal, hang=1.0, shutdown=0))

    assert (seconds, reason) == (0.0, candil.Killed())
    assert "done h" not in journal


async def test_a_child_that_does_not_trap_dies_at_once_of_shutdown(autojump_clock):
    """In the middle of whatever it waits for; its terminate does not run, its finally does."""
    journal = Journal()

    async def sleeper():
        try:
            await trio.sleep_forever()
        finally:
            journal.append("cleaned up")

    seconds, reason = await stop_time(candil.child_spec(sleeper))

    assert (seconds, reason) == (0.0, candil.Shutdown())
    assert journal == ["cleaned up"]
    assert await stop_time(worker("w", journal, trap=False)) == (0.0, candil.Shutdown())
    assert journal == ["cleaned up", "start w"]


async def test_the_supervisors_own_reason_does_not_depend_on_how_its_children_ended():
    """A terminate that ends in another way is reported; the rest stops in order."""
    journal = Journal()
    events = []
    specs = [worker("a", journal), worker("b", journal, last="bad"), worker("c", journal)]
    with candil.subscribe(events.append):
        async with candil.open_supervisor(specs, name="tree", log=False) as sup:
            journal.take()

    assert journal == [f"terminate {label} shutdown" for label in "cba"]
    ends = {e.pid: e.reason for e in events if isinstance(e, candil.ProcessExited)}
    assert ends[sup] == candil.Shutdown()
    (report,) = [e for e in events if isinstance(e, candil.SupervisorReport)]
    assert (report.supervisor, report.context, report.reason) == (
        "tree",
        "shutdown_error",
        candil.Exit("bad"),
    )
    assert report.offender["id"] == "b"


async def test_a_child_that_crashes_while_the_supervisor_stops_is_not_restarted():
    """Once a supervisor stops, nothing is started any more."""
    journal = Journal()
    async with candil.open_supervisor([], log=False) as sup:
        first = worker("a", journal)
        await candil.start_child(sup, first)
        victim = await pid_of(sup, "a")

        class Slow(candil.GenServer):
            def init(self):
                candil.trap_exit(True)

            async def terminate(self, reason):
                candil.exit(victim, "kill")
                await settle()

        await candil.start_child(sup, Slow)
        journal.take()

    assert journal == []


# --- plain functions and nested trees -------------------------------------------------------------


async def test_a_plain_async_function_can_be_a_child():
    """It gets its arguments, its name and its restarts."""
    seen = []

    async def ticker(start, step=1):
        seen.append((start, step, candil.whereis("ticker") == candil.self()))
        await trio.sleep_forever()

    spec = candil.child_spec(ticker, 5, step=2, name="ticker")
    async with candil.open_supervisor([spec], log=False) as sup:
        await settle()
        await kill(sup, "ticker")

        assert seen == [(5, 2, True), (5, 2, True)]


async def test_a_function_whose_name_is_taken_does_not_start():
    """It fails as a server does."""

    async def idle():
        await trio.sleep_forever()

    specs = [candil.child_spec(idle, id=1, name="x"), candil.child_spec(idle, id=2, name="x")]
    with pytest.raises(candil.AlreadyStarted) as caught:
        async with candil.open_supervisor(specs, log=False):
            pytest.fail("it must not start")

    assert caught.value.child_id == 2


async def test_an_object_with_an_async_call_can_be_a_child():
    """Its process is labelled with its class."""

    class Job:
        async def __call__(self):
            await trio.sleep_forever()

    async with candil.open_supervisor([candil.child_spec(Job(), id="job")], log=False) as sup:
        assert "Job" in str(await pid_of(sup, "job"))


async def test_a_nested_tree_is_data_within_data():
    """Specs nest, start from the root down, and stop in the exact reverse."""
    journal = Journal()
    inner = candil.supervisor_spec(workers("bc", journal), id="inner", name="inner")
    specs = [worker("a", journal), inner, worker("d", journal)]
    async with candil.open_supervisor(specs, log=False) as sup:
        assert await shown(sup) == {"d": "up", "inner": "up", "a": "up"}
        assert await shown("inner") == {"c": "up", "b": "up"}
        assert await candil.count_children(sup) == candil.ChildCounts(3, 3, 1, 2)

    assert journal[:4] == [f"start {label}" for label in "abcd"]
    assert journal[4:] == [f"terminate {label} shutdown" for label in "dcba"]
