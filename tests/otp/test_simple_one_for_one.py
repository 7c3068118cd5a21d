"""Supervisors whose children are made on demand from one template."""

import math

import attrs
import pytest
import trio

import candil
from tests.otp.bodies import exit_and_settle

from .workers import Boom, Journal, Worker, is_gone, settle


def template(journal, *, script=None, trap=True, hang=0.0, last="", **options):
    """Give a template of workers that are labelled when they are started."""

    class Labelled(Worker):
        def __init__(self, label):
            super().__init__(label, journal, [] if script is None else script, trap, hang, last)

    return candil.child_spec(Labelled, id="template", **options)


def dynamic(spec, **options):
    """Open a simple_one_for_one supervisor."""
    return candil.open_supervisor([spec], strategy="simple_one_for_one", log=False, **options)


async def listed(sup):
    """Give what ``which_children`` shows for each child, in order."""
    return [info.child for info in await candil.which_children(sup)]


async def test_children_are_started_with_further_arguments():
    """They follow those of the template; the template itself starts nothing."""
    started = []

    async def job(*args, **kwargs):
        started.append((args, kwargs))
        await trio.sleep_forever()

    async with dynamic(candil.child_spec(job, 1, key="k")) as sup:
        assert await listed(sup) == []
        await candil.start_child(sup, [2, 3])
        await candil.start_child(sup, ())
        await settle()

    assert sorted(started) == [((1,), {"key": "k"}), ((1, 2, 3), {"key": "k"})]


async def test_children_have_no_ids_and_are_listed_latest_first():
    """All are workers of one spec."""
    async with dynamic(template(Journal())) as sup:
        pids = [await candil.start_child(sup, [label]) for label in "abc"]

        infos = await candil.which_children(sup)
        assert [(i.id, i.child, i.type) for i in infos] == [
            (None, pid, "worker") for pid in reversed(pids)
        ]
        assert await candil.count_children(sup) == candil.ChildCounts(1, 3, 0, 3)


async def test_children_of_type_supervisor_are_counted_as_such():
    """A tree can be a template, too."""
    inner = candil.supervisor_spec([candil.GenServer])
    async with dynamic(candil.child_spec(inner)) as sup:
        for _ in range(2):
            await candil.start_child(sup, [])
        with pytest.raises(candil.SpecError, match="takes no arguments"):
            await candil.start_child(sup, ["x"])

        assert await candil.count_children(sup) == candil.ChildCounts(1, 2, 2, 0)


async def test_a_child_is_restarted_with_the_arguments_of_its_own_start():
    """It has another pid; the others do not notice."""
    journal = Journal()
    async with dynamic(template(journal)) as sup:
        first, second = [await candil.start_child(sup, [label]) for label in "ab"]
        candil.exit(first, "kill")
        await settle()

        assert journal == ["start a", "start b", "start a"]
        assert second in await listed(sup)
        assert first not in await listed(sup)


@pytest.mark.parametrize(
    ("restart", "reason", "left"),
    [
        ("permanent", "normal", 1),
        ("transient", "boom", 1),
        ("transient", "normal", 0),
        ("transient", ("shutdown", "x"), 0),
        ("temporary", "boom", 0),
        ("temporary", "normal", 0),
    ],
)
async def test_a_child_that_is_not_restarted_is_forgotten(restart, reason, left):
    """There is no stopped child of a template."""
    async with dynamic(template(Journal(), restart=restart)) as sup:
        Worker.end(await candil.start_child(sup, ["a"]), reason)
        await settle()

        assert len(await listed(sup)) == left
        assert await candil.count_children(sup) == candil.ChildCounts(1, left, 0, left)


# --- requests -------------------------------------------------------------------------------------


async def test_requests_by_id_are_refused():
    """Children are known by their pids."""
    async with dynamic(template(Journal())) as sup:
        await candil.start_child(sup, ["a"])
        for request in (candil.terminate_child, candil.restart_child, candil.delete_child):
            with pytest.raises(candil.SimpleOneForOneError) as caught:
                await request(sup, "template")
            assert caught.value.child_id == "template"


async def test_a_child_is_terminated_by_its_pid():
    """An ended process is terminated already; a living stranger is not found."""
    journal = Journal()
    async with dynamic(template(journal)) as sup:
        pid = await candil.start_child(sup, ["a"])
        await candil.terminate_child(sup, pid)
        await candil.terminate_child(sup, pid)

        assert await listed(sup) == []
        assert journal == ["start a", "terminate a shutdown"]
        for stranger in (sup, candil.self()):
            with pytest.raises(candil.ChildNotFound):
                await candil.terminate_child(sup, stranger)


async def test_a_child_that_died_unnoticed_is_terminated_by_its_pid():
    """Its exit comes behind the request, and is no reason to restart it any more."""
    journal = Journal()
    async with dynamic(template(journal), max_restarts=0) as sup:
        pid = await candil.start_child(sup, ["a"])
        await candil.sys.suspend(sup)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(candil.terminate_child, sup, pid)
            await settle()
            candil.exit(pid, "kill")
            await settle()
            await candil.sys.resume(sup)

        assert await listed(sup) == []
        assert journal == ["start a"]


async def test_restart_and_delete_by_pid_are_refused_too():
    """A child of a template is never stopped, so there is nothing to restart."""
    async with dynamic(template(Journal())) as sup:
        pid = await candil.start_child(sup, ["a"])
        for request in (candil.restart_child, candil.delete_child):
            with pytest.raises(candil.SimpleOneForOneError):
                await request(sup, pid)


async def test_the_spec_of_every_child_is_the_template():
    """By its id, and by the pid of a child, living or ended."""
    spec = template(Journal())
    async with dynamic(spec) as sup:
        pid = await candil.start_child(sup, ["a"])
        assert await candil.get_childspec(sup, "template") is spec
        assert await candil.get_childspec(sup, pid) is spec
        await candil.terminate_child(sup, pid)
        assert await candil.get_childspec(sup, pid) is spec
        for unknown in ("zz", [], candil.self()):
            with pytest.raises(candil.ChildNotFound):
                await candil.get_childspec(sup, unknown)


@pytest.mark.parametrize("other", [True, 1.0])
async def test_the_id_of_the_template_is_told_by_type_as_well(other):
    """As under every other strategy, ``1`` is neither ``True`` nor ``1.0``."""
    async with dynamic(attrs.evolve(template(Journal()), id=1)) as sup:
        assert (await candil.get_childspec(sup, 1)).id == 1
        with pytest.raises(candil.ChildNotFound):
            await candil.get_childspec(sup, other)


@pytest.mark.parametrize("extra", ["ab", 5, None, {"a": 1}, candil.GenServer], ids=str)
async def test_further_arguments_are_a_list(extra):
    """A child spec, or anything else, is refused."""
    async with dynamic(template(Journal())) as sup:
        with pytest.raises(candil.SpecError, match="give a list of further arguments"):
            await candil.start_child(sup, extra)


async def test_arguments_that_a_template_does_not_take_start_nothing():
    """Of a function as of a server: the supervisor does not pay for it."""

    async def job(needed):
        await trio.sleep_forever()

    async with dynamic(candil.child_spec(job), max_restarts=0) as sup:
        for extra in ([], [1, 2]):
            with pytest.raises(candil.SpecError, match="does not take these arguments"):
                await candil.start_child(sup, extra)
        assert await candil.start_child(sup, [1]) is not None
    async with dynamic(template(Journal()), max_restarts=0) as sup:
        with pytest.raises(candil.StartError) as caught:
            await candil.start_child(sup, [])
        assert isinstance(caught.value.reason.exception, TypeError)


# --- starts that fail -----------------------------------------------------------------------------


async def test_a_start_that_fails_or_is_ignored_is_not_kept():
    """The error has the reason bare; an ignored one gives None."""
    async with dynamic(template(Journal(), script=["e1", "ignore"])) as sup:
        with pytest.raises(candil.StartError) as caught:
            await candil.start_child(sup, ["a"])
        assert caught.value.reason == candil.Exit("e1")
        assert await candil.start_child(sup, ["b"]) is None

        assert await candil.count_children(sup) == candil.ChildCounts(1, 0, 0, 0)


async def test_a_restart_that_is_ignored_drops_the_child():
    """As newer OTPs do."""
    async with dynamic(template(Journal(), script=["ok", "ignore"])) as sup:
        candil.exit(await candil.start_child(sup, ["a"]), "kill")
        await settle()

        assert await candil.count_children(sup) == candil.ChildCounts(1, 0, 0, 0)


async def test_restarts_that_fail_are_counted_and_end_the_supervisor():
    """One crash and two allowed are two attempts."""
    journal = Journal()
    spec = template(journal, script=["ok", *["e"] * 9])
    with pytest.raises(candil.RestartIntensityExceeded):
        async with dynamic(spec, max_restarts=2) as sup:
            candil.exit(await candil.start_child(sup, ["a"]), "kill")
            await trio.sleep_forever()

    assert journal == ["start a", "fail a", "fail a"]


async def test_a_failing_restart_is_shown_counted_and_called_off_by_the_last_pid():
    """All that is known of such a child is the pid that it had."""
    failing = False
    knocked = trio.Event()

    async def start(label):
        if failing:
            knocked.set()
            await trio.lowlevel.checkpoint()
            raise Boom
        return await candil.start_link(Worker, label, Journal(), [], True, 0.0, "")

    spec = candil.child_spec(candil.StartFunction(start))
    async with dynamic(spec, max_restarts=100_000) as sup:
        pid = await candil.start_child(sup, ["a"])
        other = await candil.start_child(sup, ["b"])
        failing = True
        candil.exit(pid, "kill")
        await knocked.wait()

        assert await listed(sup) == [other, "restarting"]
        assert await candil.count_children(sup) == candil.ChildCounts(1, 1, 0, 2)
        await candil.terminate_child(sup, pid)
        assert await listed(sup) == [other]
        await settle()
        assert (await candil.sys.get_state(sup)).children.by_last_pid == {}


async def test_a_restart_that_succeeds_at_last_forgets_the_old_pid():
    """From then on the new pid names the child."""
    async with dynamic(template(Journal(), script=["ok", "e1", "ok"])) as sup:
        pid = await candil.start_child(sup, ["a"])
        candil.exit(pid, "kill")
        await settle()
        (new,) = await listed(sup)

        await candil.terminate_child(sup, pid)
        assert await listed(sup) == [new]
        assert (await candil.sys.get_state(sup)).children.by_last_pid == {}


# --- stopping -------------------------------------------------------------------------------------


async def test_all_children_are_stopped_at_once_with_one_time_for_all(autojump_clock):
    """Five that take a second each take one second together."""
    journal = Journal()
    async with dynamic(template(journal, hang=1.0)) as sup:
        for label in "abcde":
            await candil.start_child(sup, [label])
        before = trio.current_time()

    assert trio.current_time() - before == pytest.approx(1.0)
    assert sorted(journal[5:10]) == [f"terminate {label} shutdown" for label in "abcde"]
    assert sorted(journal[10:]) == [f"done {label}" for label in "abcde"]


async def test_those_that_take_longer_are_killed_together(autojump_clock):
    """The time is not given to one after the other."""
    journal = Journal()
    async with dynamic(template(journal, hang=60.0, shutdown=2.0)) as sup:
        pids = [await candil.start_child(sup, [label]) for label in "abc"]
        before = trio.current_time()

    assert trio.current_time() - before == pytest.approx(2.0)
    assert all(is_gone(pid) for pid in pids)
    assert not [line for line in journal if "done" in line]


@pytest.mark.parametrize(
    ("shutdown", "lines"), [("brutal_kill", ["start a"]), (0, ["start a", "terminate a shutdown"])]
)
async def test_children_may_get_no_time_at_all(shutdown, lines, autojump_clock):
    """Brutally killed they are not even asked."""
    journal = Journal()
    async with dynamic(template(journal, hang=1.0, shutdown=shutdown)) as sup:
        await candil.start_child(sup, ["a"])
        before = trio.current_time()

    assert trio.current_time() == before
    assert journal in (lines, ["start a"])


async def test_children_may_get_all_the_time_they_want(autojump_clock):
    """An infinite shutdown is waited for."""
    journal = Journal()
    async with dynamic(template(journal, hang=3600.0, shutdown=math.inf)) as sup:
        await candil.start_child(sup, ["a"])

    assert journal[-1] == "done a"


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_children_that_end_in_another_way_do_not_disturb_the_stop(restart):
    """The supervisor ends with shutdown, whatever they end with."""
    ends = {}

    def note(event):
        if isinstance(event, candil.ProcessExited):
            ends[event.pid] = event.reason

    class Own(candil.GenServer):
        def __init__(self, reason):
            self.reason = reason

        def init(self):
            candil.trap_exit(True)

        def terminate(self, reason):
            raise candil.ProcessExit(self.reason)

    reasons = ["normal", "shutdown", ("shutdown", "x"), "other"]
    with candil.subscribe(note):
        async with dynamic(candil.child_spec(Own, restart=restart)) as sup:
            pids = [await candil.start_child(sup, [reason]) for reason in reasons]

    assert [ends[pid] for pid in pids] == [candil.as_exit_reason(reason) for reason in reasons]
    assert ends[sup] == candil.Shutdown()


async def test_a_stop_forgets_restarts_that_are_put_off(autojump_clock):
    """Nothing is started after the stop has begun."""
    journal = Journal()
    spec = template(journal, backoff=candil.Backoff(initial=1.0))
    async with dynamic(spec) as sup:
        candil.exit(await candil.start_child(sup, ["a"]), "kill")
        await candil.start_child(sup, ["b"])
        await settle()
    await trio.sleep(5.0)

    assert journal == ["start a", "start b", "terminate b shutdown"]


async def test_a_stop_leaves_no_timers_of_restarts_that_were_put_off():
    """A delay may be long, and nobody waits for it any more."""
    spec = template(Journal(), backoff=candil.Backoff(initial=1e6, maximum=1e6))
    async with candil.open_node(log=False) as node:
        sup = await candil.start(
            candil.supervisor_spec([spec], strategy="simple_one_for_one", max_restarts=9)
        )
        for label in "abc":
            await exit_and_settle(await candil.start_child(sup, [label]), "kill")
        await candil.stop(sup)

        long = trio.current_time() + 1e5
        assert not any(timer.callback and timer.deadline > long for timer in node.timers._heap)


async def test_a_process_that_has_ended_is_not_waited_for():
    """Its exit lies in the mailbox when the stop begins."""
    journal = Journal()
    async with dynamic(template(journal)) as sup:
        pids = [await candil.start_child(sup, [label]) for label in "ab"]
        await candil.sys.suspend(sup)
        candil.exit(pids[0], "kill")
        await settle()

    assert journal == ["start a", "start b", "terminate b shutdown"]
