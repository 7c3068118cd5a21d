"""How long a restart is put off, and what the supervisor does meanwhile."""

import itertools
import math

import pytest
import trio
from hypothesis import given, strategies as st

import candil
from candil._otp.supervisors import restarts as restarts_module

from .workers import Journal, end, kill, pid_of, settle, shown, worker, workers

SECOND = candil.Backoff(initial=1.0, factor=2.0, maximum=8.0, jitter=0.0, reset_after=100.0)

# --- the delays -----------------------------------------------------------------------------------


def test_delays_grow_by_the_factor_up_to_the_maximum():
    """Each crash waits longer than the one before."""
    delays = [SECOND.delay(crashes, 0.5) for crashes in range(6)]

    assert delays == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_an_initial_delay_of_0_restarts_once_at_once():
    """Then come the steps."""
    backoff = candil.Backoff(initial=0.0, step=0.5, factor=3.0, jitter=0.0)

    assert [backoff.delay(crashes, 0.5) for crashes in range(4)] == [0.0, 0.5, 1.5, 4.5]


def test_jitter_moves_a_delay_by_its_fraction():
    """From all of it less to all of it more."""
    backoff = candil.Backoff(initial=1.0, jitter=0.25)

    assert [backoff.delay(0, chance) for chance in (0.0, 0.5, 1.0)] == [0.75, 1.0, 1.25]


backoffs = st.builds(
    candil.Backoff,
    initial=st.floats(0, 1e6),
    factor=st.one_of(st.just(1.0), st.floats(1.001, 1e6)),
    step=st.floats(1e-3, 1e6),
    maximum=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
)


@given(backoffs, st.integers(0, 10**9), st.floats(0, 1))
def test_every_delay_is_a_time_within_the_maximum_and_its_jitter(backoff, crashes, chance):
    """No number of crashes overflows."""
    delay = backoff.delay(crashes, chance)

    assert 0 <= delay <= backoff.maximum * (1 + backoff.jitter)


@given(backoffs, st.integers(0, 5000))
def test_delays_never_shrink(backoff, crashes):
    """As long as nothing resets them."""
    assert backoff.delay(crashes, 0.5) <= backoff.delay(crashes + 1, 0.5) * (1 + 1e-12)


@pytest.mark.parametrize("factor", [1.001, 1.1, 2.0, 1e6])
def test_delays_reach_the_maximum(factor):
    """However slowly they grow."""
    backoff = candil.Backoff(initial=0.1, factor=factor, maximum=30.0, jitter=0.0)

    assert backoff.delay(100_000, 0.5) == 30.0


def test_all_mistakes_of_a_backoff_are_told_at_once():
    """What is no number is out of every range."""
    with pytest.raises(candil.SpecError) as caught:
        candil.Backoff(
            initial=-1, factor=0.5, step=0, maximum=math.inf, jitter=2, reset_after=math.nan
        )
    assert [mistake.split(":")[0] for mistake in caught.value.mistakes] == [
        f"backoff.{name}"
        for name in ("initial", "factor", "step", "maximum", "jitter", "reset_after")
    ]

    with pytest.raises(candil.SpecError) as caught:
        candil.Backoff(initial="1", factor=None, jitter=True)
    assert len(caught.value.mistakes) == 3


# --- under a supervisor ---------------------------------------------------------------------------


class Times:
    """When children started, or failed to: subscribe it."""

    def __init__(self):
        self.seen = []

    def __call__(self, event):
        failed = isinstance(event, candil.SupervisorReport) and event.context == "start_error"
        if failed or isinstance(event, candil.ChildStarted):
            self.seen.append(trio.current_time())

    def take(self, since):
        """Give the seconds since then, and forget them."""
        seen, self.seen = self.seen, []
        return [time - since for time in seen]


async def test_each_crash_is_put_off_longer_until_the_child_was_stable(autojump_clock):
    """A child that has run for reset_after seconds starts anew with the first delay."""
    times = Times()
    delays = []
    with candil.subscribe(times):
        spec = worker("a", Journal(), backoff=SECOND)
        async with candil.open_supervisor([spec], max_restarts=99, log=False) as sup:
            times.take(0.0)
            for pause in (9.0, 9.0, 4.0 + 99.0, 8.0 + 100.0, 9.0):
                before = trio.current_time()
                await kill(sup, "a")
                await trio.sleep(pause)
                delays += times.take(before)

    assert delays == [1.0, 2.0, 4.0, 8.0, 1.0]


async def test_a_supervisor_serves_while_a_restart_is_put_off(autojump_clock):
    """The child shows as restarting; others crash, start and stop as ever."""
    journal = Journal()
    specs = [worker("a", journal, backoff=SECOND), worker("b", journal)]
    async with candil.open_supervisor(specs, max_restarts=99, log=False) as sup:
        await kill(sup, "a")
        assert await shown(sup) == {"b": "up", "a": "restarting"}
        assert await candil.count_children(sup) == candil.ChildCounts(2, 1, 0, 2)
        await kill(sup, "b")
        await candil.start_child(sup, worker("c", journal))
        for refused in (candil.restart_child, candil.delete_child):
            with pytest.raises(candil.ChildRestarting):
                await refused(sup, "a")
        assert await shown(sup) == {"c": "up", "b": "up", "a": "restarting"}

        await trio.sleep(1.0)
        await settle()
        assert await shown(sup) == {"c": "up", "b": "up", "a": "up"}


async def test_terminate_child_calls_a_restart_off(autojump_clock):
    """It stays stopped when its time comes; a restart by hand does not wait."""
    journal = Journal()
    spec = worker("a", journal, backoff=SECOND)
    async with candil.open_supervisor([spec], max_restarts=99, log=False) as sup:
        await kill(sup, "a")
        await candil.terminate_child(sup, "a")
        await trio.sleep(10.0)
        assert await shown(sup) == {"a": "stopped"}

        await kill_and_revive(sup)
        await trio.sleep(10.0)
        assert journal == ["start a"] * 3


async def kill_and_revive(sup):
    """Have a restart put off, and start the child by hand before its time."""
    await candil.restart_child(sup, "a")
    await kill(sup, "a")
    await candil.terminate_child(sup, "a")
    await candil.restart_child(sup, "a")


async def test_a_delay_that_was_called_off_does_not_cut_the_next_one_short(autojump_clock):
    """Each crash waits for its own."""
    async with candil.open_supervisor(
        [worker("a", Journal(), backoff=SECOND)], max_restarts=99, log=False
    ) as sup:
        await kill(sup, "a")
        await candil.terminate_child(sup, "a")
        await candil.restart_child(sup, "a")
        await kill(sup, "a")
        await trio.sleep(1.5)
        assert await shown(sup) == {"a": "restarting"}

        await trio.sleep(1.0)
        await settle()
        assert await shown(sup) == {"a": "up"}


async def test_a_delay_that_is_over_while_its_supervisor_is_busy_may_be_called_off(autojump_clock):
    """A sibling's crash came before it, and the start that failed with that waits for its own."""
    journal = Journal()
    delayed = worker("b", journal, script=["ok", "e1"], backoff=SECOND)
    specs = [worker("a", journal), delayed]
    async with candil.open_supervisor(specs, strategy="rest_for_one", log=False) as sup:
        first = await pid_of(sup, "a")
        await kill(sup, "b")
        await candil.sys.suspend(sup)
        candil.exit(first, "kill")
        await trio.sleep(1.5)
        journal.take()
        await candil.sys.resume(sup)
        await settle()
        assert journal.take() == ["start a", "fail b"]
        assert await shown(sup) == {"b": "restarting", "a": "up"}

        await trio.sleep(2.0)
        await settle()
        assert journal == ["start b"]


async def test_calling_off_a_delayed_restart_reports_nothing(autojump_clock):
    """The child was dead when it was asked to stop, and that had been told already."""
    reports = []

    def listen(event):
        if isinstance(event, candil.SupervisorReport):
            reports.append(event)

    async with candil.open_supervisor([worker("a", Journal(), backoff=SECOND)], log=False) as sup:
        await kill(sup, "a")
        with candil.subscribe(listen):
            await candil.terminate_child(sup, "a")

    assert reports == []


@pytest.mark.parametrize(("strategy", "stopped"), [("one_for_all", "ca"), ("rest_for_one", "c")])
async def test_those_that_go_with_it_are_stopped_now_and_started_later(
    strategy, stopped, autojump_clock
):
    """In reverse down at the crash, in order up after the delay."""
    journal = Journal()
    specs = [worker("a", journal), worker("b", journal, backoff=SECOND), worker("c", journal)]
    async with candil.open_supervisor(specs, strategy=strategy, log=False) as sup:
        journal.take()
        await kill(sup, "b")
        assert journal.take() == [f"terminate {label} shutdown" for label in stopped]
        assert (await shown(sup))["b"] == "restarting"
        assert (await shown(sup))["c"] == "stopped"

        await trio.sleep(1.0)
        await settle()
        assert journal == [f"start {label}" for label in sorted({"b", *stopped})]
        assert (await candil.sys.get_state(sup)).window.count == 1


async def test_a_sibling_that_crashes_meanwhile_takes_the_delayed_one_along(autojump_clock):
    """Under one_for_all everything starts at once then, and the delayed restart is off."""
    journal = Journal()
    specs = [worker("a", journal, backoff=SECOND), *workers("bc", journal)]
    async with candil.open_supervisor(specs, strategy="one_for_all", log=False) as sup:
        await kill(sup, "a")
        await candil.restart_child(sup, "b")
        journal.take()
        await kill(sup, "b")
        assert journal.take() == ["start a", "start b", "start c"]

        await trio.sleep(10.0)
        assert journal == []


async def test_a_start_that_fails_is_put_off_as_a_crash_is(autojump_clock):
    """Also long after the child was stable once: the delays grow with each failure."""
    times = Times()
    spec = worker("a", Journal(), script=["ok", "e1", "e2", "e3", "ok"], backoff=SECOND)
    async with candil.open_supervisor([spec], max_restarts=99, log=False) as sup:
        await trio.sleep(1000.0)
        before = trio.current_time()
        with candil.subscribe(times):
            await kill(sup, "a")
            await trio.sleep(60.0)

    assert times.take(before) == [1.0, 3.0, 7.0, 15.0]


async def test_a_put_off_restart_is_counted_when_the_child_crashes(autojump_clock):
    """One more than allowed in the window, and the supervisor gives up without waiting."""
    spec = worker("a", Journal(), backoff=candil.Backoff(initial=1.0, factor=1.0, jitter=0.0))
    async with candil.open_node(log=False):
        sup = await candil.start(candil.supervisor_spec([spec], max_restarts=2))
        for _ in range(2):
            await end(sup, "a")
            await trio.sleep(1.0)
            await settle()
        before = trio.current_time()
        await end(sup, "a")

        assert not candil.is_alive(sup)
        assert trio.current_time() == before


async def test_leaving_the_tree_does_not_wait_for_a_delay(autojump_clock):
    """Nor does it start anything."""
    journal = Journal()
    async with candil.open_supervisor([worker("a", journal, backoff=SECOND)], log=False) as sup:
        await kill(sup, "a")
        before = trio.current_time()
    assert trio.current_time() == before

    await trio.sleep(10.0)
    assert journal == ["start a"]


async def test_instances_of_a_template_are_put_off_one_by_one(autojump_clock):
    """Each has delays of its own, and can be called off by its last pid."""
    journal = Journal()

    async def idle(label):
        journal.append(label)
        await trio.sleep_forever()

    template = candil.child_spec(idle, backoff=SECOND)
    async with candil.open_supervisor(
        [template], strategy="simple_one_for_one", max_restarts=99, log=False
    ) as sup:
        pids = [await candil.start_child(sup, [label]) for label in "ab"]
        await settle()
        for pid in pids:
            candil.exit(pid, "kill")
        await settle()
        assert [i.child for i in await candil.which_children(sup)] == ["restarting"] * 2

        await candil.terminate_child(sup, pids[0])
        await trio.sleep(1.0)
        await settle()
        assert journal == ["a", "b", "b"]
        assert len(await candil.which_children(sup)) == 1


async def test_the_delay_has_its_jitter(autojump_clock, monkeypatch):
    """A random one, so that what crashed together does not come back together."""
    chances = itertools.count()  # chance itself has all eight on one side now and then
    monkeypatch.setattr(restarts_module.random, "random", lambda: next(chances) / 7)
    backoff = candil.Backoff(initial=100.0, maximum=100.0, jitter=0.5)
    specs = [worker(label, Journal(), backoff=backoff) for label in "abcdefgh"]
    async with candil.open_supervisor(specs, max_restarts=99, log=False) as sup:
        for label in "abcdefgh":
            candil.exit(await pid_of(sup, label), "kill")
        await settle()
        await trio.sleep(49.0)
        assert set((await shown(sup)).values()) == {"restarting"}
        await trio.sleep(51.0)
        assert sorted((await shown(sup)).values()) == ["restarting"] * 4 + ["up"] * 4
        await trio.sleep(51.0)
        assert set((await shown(sup)).values()) == {"up"}
