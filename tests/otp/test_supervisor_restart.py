"""When a supervisor restarts, which children, how often, and when it gives up."""

import pytest
import trio

import candil
from tests.otp.bodies import exit_and_settle

from .workers import (
    Journal,
    Worker,
    end,
    end_all,
    kill,
    pid_of,
    settle,
    shown,
    worker,
    workers,
)

# --- classification -------------------------------------------------------------------------------

ORDERLY = ["normal", "shutdown", ("shutdown", "x")]
ABNORMAL = ["boom", "killed", "noproc", ("shutdown",), ("shutdown", "x", "y"), ("x", "shutdown")]


@pytest.mark.parametrize("reason", [*ORDERLY, *ABNORMAL], ids=str)
async def test_a_permanent_child_is_always_restarted(reason):
    """However it ended."""
    async with candil.open_supervisor([worker("a", Journal())], log=False) as sup:
        before = await pid_of(sup, "a")
        await end(sup, "a", reason)

        assert await pid_of(sup, "a") != before


@pytest.mark.parametrize("reason", ORDERLY, ids=str)
async def test_a_transient_child_that_ended_in_order_stays_stopped(reason):
    """Normal, shutdown and shutdown with a detail are ends in order; its spec is kept."""
    spec = worker("a", Journal(), restart="transient")
    async with candil.open_supervisor([spec], max_restarts=0, log=False) as sup:
        await end(sup, "a", reason)

        assert await shown(sup) == {"a": "stopped"}
        assert (await candil.get_childspec(sup, "a")) == spec


@pytest.mark.parametrize("reason", ABNORMAL, ids=str)
async def test_a_transient_child_is_restarted_after_every_other_end(reason):
    """What only looks like a shutdown is abnormal."""
    async with candil.open_supervisor(
        [worker("a", Journal(), restart="transient")], log=False
    ) as sup:
        before = await pid_of(sup, "a")
        await end(sup, "a", reason)

        assert await pid_of(sup, "a") != before


@pytest.mark.parametrize("reason", [*ORDERLY, *ABNORMAL], ids=str)
async def test_a_temporary_child_is_never_restarted_and_its_spec_is_deleted(reason):
    """Its end is not counted, either."""
    spec = worker("a", Journal(), restart="temporary")
    async with candil.open_supervisor([spec], max_restarts=0, log=False) as sup:
        await end(sup, "a", reason)

        assert await shown(sup) == {}
        with pytest.raises(candil.ChildNotFound):
            await candil.get_childspec(sup, "a")


async def test_signals_are_classified_as_ends_are():
    """A transient child that does not trap stays stopped by shutdown, and is restarted by kill."""
    journal = Journal()
    specs = workers("ab", journal, restart="transient", trap=False)
    async with candil.open_supervisor(specs, log=False) as sup:
        await exit_and_settle(await pid_of(sup, "a"), "shutdown")
        await kill(sup, "b")

        assert await shown(sup) == {"b": "up", "a": "stopped"}


async def test_a_crash_in_a_handler_is_an_abnormal_end():
    """The restarted server has fresh state and the same arguments."""
    journal = Journal()
    async with candil.open_supervisor([worker("a", journal)], log=False) as sup:
        Worker.crash(await pid_of(sup, "a"))
        await settle()

        assert journal == ["start a", "terminate a Boom", "start a"]


# --- intensity ------------------------------------------------------------------------------------


async def gives_up(sup):
    """Wait for the end of a supervisor that nobody restarts, and give its reason."""
    candil.monitor(sup)
    return (await candil.receive(candil.Down)).reason


@pytest.mark.parametrize("allowed", [0, 1, 3])
async def test_exactly_max_restarts_are_allowed_and_one_more_ends_the_supervisor(
    allowed, autojump_clock
):
    """It stops its other children in reverse, and ends with shutdown."""
    journal = Journal()
    spec = candil.supervisor_spec(workers("abc", journal, trap=False), max_restarts=allowed)
    async with candil.open_node(log=False):
        sup = await candil.start(spec)
        for _ in range(allowed):
            await kill(sup, "b")
        assert candil.is_alive(sup)
        candil.exit(await pid_of(sup, "b"), "kill")

        assert await gives_up(sup) == candil.Shutdown()
    assert journal == ["start a", "start b", "start c", *["start b"] * allowed]


async def test_a_supervisor_that_gives_up_stops_its_children_in_reverse():
    """Those that run, that is; the one that crashed is dead already."""
    journal = Journal()
    spec = candil.supervisor_spec(workers("abcd", journal), max_restarts=0)
    async with candil.open_node(log=False):
        sup = await candil.start(spec)
        await kill(sup, "b")

        assert journal[4:] == [f"terminate {label} shutdown" for label in "dca"]


async def test_a_restart_counts_for_exactly_max_seconds(autojump_clock):
    """A restart as old as the window is long still counts; one that is older does not."""
    spec = [worker("a", Journal())]
    async with candil.open_node(log=False):
        for pause, survives in ((5.0, False), (5.001, True)):
            sup = await candil.start(candil.supervisor_spec(spec, max_restarts=1, max_seconds=5.0))
            await kill(sup, "a")
            await trio.sleep(pause)
            await kill(sup, "a")

            assert candil.is_alive(sup) is survives


async def test_many_restarts_are_allowed_as_long_as_they_are_slow(autojump_clock):
    """A child that crashes for ever under the limit is restarted for ever."""
    async with candil.open_supervisor(
        [worker("a", Journal())], max_restarts=2, max_seconds=1.0, log=False
    ) as sup:
        for _ in range(100):
            await kill(sup, "a")
            await trio.sleep(0.51)

        assert await shown(sup) == {"a": "up"}


async def test_what_is_not_a_crash_is_not_counted():
    """terminate_child, restart_child, a temporary's crash and an end in order are free."""
    specs = [
        worker("p", Journal()),
        worker("t", Journal(), restart="transient"),
        worker("x", Journal(), restart="temporary"),
    ]
    async with candil.open_supervisor(specs, max_restarts=0, log=False) as sup:
        await candil.terminate_child(sup, "p")
        await candil.restart_child(sup, "p")
        await end(sup, "t", "normal")
        await end(sup, "x", "boom")

        assert await shown(sup) == {"t": "stopped", "p": "up"}
        assert (await candil.sys.get_state(sup)).window.count == 0


async def test_one_for_all_counts_one_restart_per_crash():
    """However many siblings are restarted with it."""
    async with candil.open_supervisor(
        workers("abcdef", Journal()), strategy="one_for_all", max_restarts=1, log=False
    ) as sup:
        await kill(sup, "c")

        assert set((await shown(sup)).values()) == {"up"}


# --- one_for_all ----------------------------------------------------------------------------------


async def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order():
    """The one that crashed is not told to stop again."""
    journal = Journal()
    async with candil.open_supervisor(
        workers("abcd", journal), strategy="one_for_all", log=False
    ) as sup:
        journal.take()
        await kill(sup, "b")

        assert journal == [
            *[f"terminate {label} shutdown" for label in "dca"],
            *[f"start {label}" for label in "abcd"],
        ]
        assert list(await shown(sup)) == ["d", "c", "b", "a"]


async def test_temporary_siblings_are_stopped_and_dropped_not_restarted():
    """By one_for_all all of them, by rest_for_one those that were started later."""
    for strategy, dropped in (("one_for_all", "ac"), ("rest_for_one", "c")):
        journal = Journal()
        specs = [
            worker(label, journal, restart="temporary" if label in "ac" else "permanent")
            for label in "abcd"
        ]
        async with candil.open_supervisor(specs, strategy=strategy, log=False) as sup:
            await kill(sup, "b")

            assert list(await shown(sup)) == [label for label in "dcba" if label not in dropped]
            assert [line for line in journal[4:] if line[-1] == "a"] == []


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_the_crash_of_a_temporary_child_leaves_its_siblings_alone(strategy):
    """It is not restarted, so nothing is restarted with it."""
    journal = Journal()
    specs = [
        *workers("a", journal),
        worker("t", journal, restart="temporary"),
        *workers("c", journal),
    ]
    async with candil.open_supervisor(specs, strategy=strategy, log=False) as sup:
        journal.take()
        await kill(sup, "t")

        assert journal == []
        assert await shown(sup) == {"c": "up", "a": "up"}


async def test_one_for_all_revives_those_that_were_stopped():
    """A terminated child, and a transient one that ended in order, start again with the rest."""
    journal = Journal()
    specs = [worker("a", journal), worker("t", journal, restart="transient"), worker("c", journal)]
    async with candil.open_supervisor(specs, strategy="one_for_all", log=False) as sup:
        await candil.terminate_child(sup, "a")
        await end(sup, "t", "normal")
        assert await shown(sup) == {"c": "up", "t": "stopped", "a": "stopped"}
        await kill(sup, "c")

        assert await shown(sup) == {"c": "up", "t": "up", "a": "up"}


async def test_one_for_one_leaves_a_terminated_child_stopped():
    """A sibling's crash is no reason to start it."""
    async with candil.open_supervisor(workers("ac", Journal()), log=False) as sup:
        await candil.terminate_child(sup, "a")
        await kill(sup, "c")

        assert await shown(sup) == {"c": "up", "a": "stopped"}


async def test_one_for_all_starts_over_when_one_of_all_fails_to_start():
    """Those that were up again are stopped again, and all are tried once more."""
    journal = Journal()
    specs = [
        *workers("ab", journal),
        worker("c", journal, script=["ok", "e1"]),
        *workers("d", journal),
    ]
    async with candil.open_supervisor(specs, strategy="one_for_all", log=False) as sup:
        journal.take()
        await kill(sup, "b")

        assert journal == [
            *[f"terminate {label} shutdown" for label in "dca"],
            *("start a", "start b", "fail c"),
            *("terminate b shutdown", "terminate a shutdown"),
            *[f"start {label}" for label in "abcd"],
        ]
        assert (await candil.sys.get_state(sup)).window.count == 2


# --- rest_for_one ---------------------------------------------------------------------------------


async def test_rest_for_one_takes_those_that_were_started_later():
    """In reverse down, in order up; those before it do not notice."""
    journal = Journal()
    async with candil.open_supervisor(
        workers("abcd", journal), strategy="rest_for_one", log=False
    ) as sup:
        journal.take()
        await kill(sup, "b")

        assert journal == [
            *("terminate d shutdown", "terminate c shutdown"),
            *("start b", "start c", "start d"),
        ]


async def test_rest_for_one_revives_later_ones_only():
    """A terminated child before the one that crashed stays stopped."""
    async with candil.open_supervisor(
        workers("abc", Journal()), strategy="rest_for_one", log=False
    ) as sup:
        await candil.terminate_child(sup, "a")
        await candil.terminate_child(sup, "c")
        await kill(sup, "b")

        assert await shown(sup) == {"c": "up", "b": "up", "a": "stopped"}


async def test_rest_for_one_goes_on_from_the_one_that_failed_to_start():
    """What came up before it stays."""
    journal = Journal()
    specs = [
        *workers("ab", journal),
        worker("c", journal, script=["ok", "e1"]),
        *workers("d", journal),
    ]
    async with candil.open_supervisor(specs, strategy="rest_for_one", log=False) as sup:
        journal.take()
        await kill(sup, "b")

        assert journal == [
            *("terminate d shutdown", "terminate c shutdown"),
            *("start b", "fail c", "start c", "start d"),
        ]


# --- several at once ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "order", "restarts"),
    [
        ("one_for_one", "ab", 2),
        ("one_for_all", "ab", 1),
        ("one_for_all", "ba", 1),
        ("rest_for_one", "ac", 1),
        ("rest_for_one", "ca", 2),
    ],
)
async def test_siblings_that_die_before_the_supervisor_looks(strategy, order, restarts):
    """One that is found dead while it is stopped with its siblings is not counted again."""
    async with candil.open_supervisor(
        workers("abc", Journal()), strategy=strategy, log=False
    ) as sup:
        await end_all(sup, *order)

        assert (await candil.sys.get_state(sup)).window.count == restarts
        assert await shown(sup) == {"c": "up", "b": "up", "a": "up"}


async def test_a_significant_child_that_a_sibling_revives_ends_nothing():
    """Its end in order is found only after it was started again."""
    specs = [worker("a", Journal()), worker("s", Journal(), restart="transient", significant=True)]
    async with candil.open_supervisor(
        specs, strategy="one_for_all", auto_shutdown="any_significant", log=False
    ) as sup:
        await candil.sys.suspend(sup)
        state = await candil.sys.get_state(sup)
        candil.exit(state.children.get("a").pid, "kill")
        await settle()
        Worker.end(state.children.get("s").pid, "normal")
        await settle()
        await candil.sys.resume(sup)
        await settle()

        assert await shown(sup) == {"s": "up", "a": "up"}
