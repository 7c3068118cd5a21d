"""Opening a tree: what enters, what leaves, and in which order things stop."""

import traceback
from functools import partial

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

import candil
from tests.otp.bodies import exit_and_settle

from .workers import Boom, Journal, end, is_gone, kill, opened, settle, shown, worker, workers

# --- entering -------------------------------------------------------------------------------------


async def test_entering_returns_when_every_child_is_up():
    """The block gets the pid of the root."""
    journal = Journal()
    async with opened(workers("ab", journal)) as sup:
        assert journal == ["start a", "start b"]
        assert candil.is_alive(sup)


async def test_a_spec_or_a_list_with_its_options():
    """Options belong to a list of children; a spec has its own."""
    spec = candil.supervisor_spec(workers("a", Journal()), name="one")
    async with opened(spec):
        assert candil.whereis("one") is not None
    async with opened(workers("a", Journal()), name="two", strategy="one_for_all"):
        assert candil.whereis("two") is not None

    with pytest.raises(TypeError, match=r"\['name'\] belong to a list of children"):
        async with opened(spec, name="three"):
            pytest.fail("it must not open")


async def test_a_wrong_spec_is_told_before_anything_starts():
    """All of its mistakes, and no process."""
    journal = Journal()
    with pytest.raises(candil.SpecError) as caught:
        async with opened([*workers("a", journal), "x"], max_restarts=-1):
            pytest.fail("it must not open")

    assert len(caught.value.mistakes) == 2
    assert journal == []


async def test_a_start_error_names_the_child():
    """It is the child's own error, with what caused it; those before it were stopped again."""
    journal = Journal()
    with pytest.raises(candil.StartError, match="child 'b' did not start") as caught:
        async with opened([worker("a", journal), worker("b", journal, script=["raise"])]):
            pytest.fail("it must not open")

    assert caught.value.child_id == "b"
    assert isinstance(caught.value.__cause__, Boom)
    assert journal == ["start a", "fail b", "terminate a shutdown"]


async def test_a_start_error_of_a_nested_tree_tells_the_way_down():
    """The root's child, and within its reason the child that is at fault."""
    inner = candil.supervisor_spec([worker("x", Journal(), script=["e1"])], id="inner")
    with pytest.raises(candil.StartError) as caught:
        async with opened([inner]):
            pytest.fail("it must not open")

    assert caught.value.child_id == "inner"
    assert caught.value.reason == candil.Shutdown(("failed_to_start_child", "x", candil.Exit("e1")))
    assert isinstance(caught.value.__cause__, candil.StartError)
    assert caught.value.__cause__.child_id == "x"


async def test_a_root_whose_name_is_taken_does_not_start():
    """The other tree is not touched."""
    async with opened([], name="root") as first:
        with pytest.raises(candil.AlreadyStarted) as caught:
            async with opened([], name="root"):
                pytest.fail("it must not open")

        assert caught.value.pid == first
        assert candil.is_alive(first)


async def test_two_trees_may_be_open_at_once():
    """One inside the other; each stops when its own block is left."""
    journal = Journal()
    async with opened(workers("a", journal), name="outer"):
        async with opened(workers("b", journal), name="inner"):
            assert await shown("outer") == {"a": "up"}
            assert await shown("inner") == {"b": "up"}
        assert journal[2:] == ["terminate b shutdown"]
        assert await shown("outer") == {"a": "up"}


# --- leaving --------------------------------------------------------------------------------------


async def test_leaving_stops_the_tree_and_frees_its_names():
    """In reverse order, and nothing is left."""
    journal = Journal()
    async with opened(workers("ab", journal), name="root") as sup:
        pids = [info.child for info in await candil.which_children(sup)]

    assert journal[2:] == ["terminate b shutdown", "terminate a shutdown"]
    assert all(is_gone(pid) for pid in [sup, *pids])


async def test_leaving_takes_other_processes_of_the_block_along():
    """Those that were spawned beside the root end, too."""

    async def idle():
        await trio.sleep_forever()

    async with opened([]):
        pid = candil.spawn(idle)

    assert is_gone(pid)


async def test_a_tree_whose_body_raises_is_stopped_in_order():
    """As when it is left; that the exception is the body's own, test_node.py proves."""
    journal = Journal()
    with pytest.raises(Boom):
        async with opened(workers("ab", journal)):
            raise Boom

    assert journal[2:] == ["terminate b shutdown", "terminate a shutdown"]


async def test_the_traceback_of_the_body_points_to_the_body():
    """Its last line is the one that raised."""

    def culprit():
        raise Boom

    with pytest.raises(Boom) as caught:
        async with opened([]):
            culprit()

    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "culprit"


# --- cancelled from outside -----------------------------------------------------------------------


async def test_cancelled_from_outside_the_tree_stops_in_order_shielded(autojump_clock):
    """The body ends at once; children get all their seconds; only then the cancellation goes on."""
    journal = Journal()
    before = trio.current_time()
    with trio.move_on_after(1.0) as scope:
        async with opened(workers("ab", journal, hang=2.0)):
            try:
                await trio.sleep_forever()
            finally:
                journal.append(f"body left after {trio.current_time() - before:.0f} s")

    assert scope.cancelled_caught
    assert trio.current_time() - before == pytest.approx(5.0)
    assert journal[2:] == [
        "body left after 1 s",
        *("terminate b shutdown", "done b"),
        *("terminate a shutdown", "done a"),
    ]


async def test_children_can_still_call_each_other_while_the_tree_stops():
    """The shield covers their awaits."""
    journal = Journal()

    class Last(candil.GenServer):
        def init(self):
            candil.trap_exit(True)

        async def terminate(self, reason):
            journal.append(await candil.call("first", "value"))

    class First(candil.GenServer):
        @candil.handle_call
        async def value(self):
            await trio.lowlevel.checkpoint()
            return "answered"

    with trio.CancelScope() as scope:
        async with opened([candil.child_spec(First, name="first"), Last]):
            scope.cancel()

    assert journal == ["answered"]


async def test_entered_in_a_cancelled_scope_nothing_is_left():
    """The cancellation is what leaves, and no process is."""
    journal = Journal()
    events = []
    with candil.subscribe(events.append), trio.CancelScope() as scope:
        scope.cancel()
        async with opened(workers("ab", journal)):
            pytest.fail("it must not open")

    assert scope.cancelled_caught
    started = [e.pid for e in events if isinstance(e, candil.ProcessStarted)]
    assert all(is_gone(pid) for pid in started)


async def test_cancelled_while_a_child_starts_those_that_run_are_stopped():
    """The half-started child is ended, too; the names are free; nothing hangs."""
    journal = Journal()
    reached = trio.Event()

    class Slow(candil.GenServer):
        async def init(self):
            try:
                reached.set()
                await trio.sleep_forever()
            finally:
                journal.append("init left")

    specs = [*workers("ab", journal), candil.child_spec(Slow, name="slow")]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancelled_when, reached, nursery.cancel_scope)
        async with opened(specs, name="root"):
            pytest.fail("it must not open")

    assert journal == [
        *("start a", "start b", "init left"),
        *("terminate b shutdown", "terminate a shutdown"),
    ]
    async with candil.open_node(log=False):
        assert candil.whereis("root") is None
        assert candil.whereis("slow") is None


async def test_cancelled_while_a_nested_tree_starts_it_stops_from_the_bottom(autojump_clock):
    """Each child has its own time; the root ends when all below have ended."""
    journal = Journal()
    reached = trio.Event()

    class Slow(candil.GenServer):
        async def init(self):
            reached.set()
            await trio.sleep_forever()

    inner = candil.supervisor_spec([worker("x", journal, hang=2.0), Slow], id="inner")
    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancelled_when, reached, nursery.cancel_scope)
        async with opened([worker("a", journal, hang=9.0, shutdown=1.0), inner]):
            pytest.fail("it must not open")

    assert journal[2:] == ["terminate x shutdown", "done x", "terminate a shutdown"]
    assert trio.current_time() - before == pytest.approx(3.0)


async def test_cancelled_just_when_the_last_child_is_up_a_tree_stops_in_order(autojump_clock):
    """The supervisor has no start left to wait for, and no body has begun."""
    journal = Journal()

    with trio.CancelScope() as scope:

        class Last(candil.GenServer):
            async def init(self):
                candil.continue_with()

            def handle_continue(self, _):
                scope.cancel()

        async with opened([*workers("ab", journal, hang=2.0), Last]):
            await trio.lowlevel.checkpoint()
            pytest.fail("it must not go on")

    assert scope.cancelled_caught
    assert journal[2:] == ["terminate b shutdown", "done b", "terminate a shutdown", "done a"]


async def test_cancelled_while_a_failed_start_is_undone_a_tree_stops_in_order(autojump_clock):
    """Those that were up have their time, whichever of the two came first."""
    journal = Journal()
    reports = []

    def note(event):
        if isinstance(event, candil.SupervisorReport):
            reports.append(event.context)

    specs = [*workers("ab", journal, hang=2.0), worker("c", journal, script=["raise"])]
    with candil.subscribe(note), trio.move_on_after(1.0) as scope:
        async with opened(specs):
            pytest.fail("it must not open")

    assert scope.cancelled_caught
    assert journal[2:] == [
        "fail c",
        *("terminate b shutdown", "done b"),
        *("terminate a shutdown", "done a"),
    ]
    assert reports == ["start_error"]


async def test_killed_while_it_starts_a_supervisor_stops_nothing_in_order():
    """A kill is a kill; those that run get it by their links."""
    journal = Journal()

    class Slow(candil.GenServer):
        async def init(self):
            await exit_and_settle("root", "kill")
            await trio.sleep_forever()

    async with candil.open_node(log=False):
        with pytest.raises(candil.StartError) as caught:
            tree = candil.supervisor_spec([*workers("ab", journal), Slow], name="root")
            await candil.start_link(tree)
        await settle()

    assert caught.value.reason == candil.Killed()
    assert sorted(journal[2:]) == ["terminate a killed", "terminate b killed"]


async def cancelled_when(event, scope):
    """Cancel *scope* when *event* happens."""
    await event.wait()
    scope.cancel()


# --- root -----------------------------------------------------------------------------------------


async def test_root_is_the_root_of_the_tree_of_whoever_asks():
    """The block, its tasks and its processes; with two trees each has its own."""
    asked = []

    async def ask():
        asked.append(candil.root())

    async with candil.open_supervisor([]) as outer:
        assert candil.root() is outer
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
        async with candil.open_supervisor([]) as inner:
            assert candil.root() is inner
            await candil.start_child(inner, candil.child_spec(ask, restart="temporary"))
            await wait_all_tasks_blocked()
        assert candil.root() is outer

    assert asked == [outer, inner]


async def test_root_is_none_where_there_is_none_yet_or_at_all():
    """A block of open_node has no root, and neither has a child that is started with the tree."""
    seen = []

    class Asks(candil.GenServer):
        def init(self):
            seen.append(candil.root())

    async with candil.open_node():
        assert candil.root() is None
    async with candil.open_supervisor([Asks]):
        assert seen == [None]


async def waits_for_its_turn():
    """Take some turns to start, as an init that asks something does."""
    for _ in range(3):
        await trio.lowlevel.checkpoint()


class StartsSlowly(candil.GenServer):
    """Keeps the root from being up for some turns."""

    async def init(self):
        await waits_for_its_turn()


@pytest.mark.parametrize("siblings", [[], [StartsSlowly], [candil.GenServer]], ids=len)
@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("repeat", range(10))
async def test_a_child_may_stop_the_root_in_its_first_steps(siblings, turns, repeat):
    """Whether the root is up or still starts others: the tree ends in order, the same each time."""
    journal = Journal()

    async def stops_everything():
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        await candil.stop(candil.root())

    children = [
        *workers("a", journal),
        candil.child_spec(stops_everything, restart="temporary"),
        *siblings,
    ]
    async with opened(children):
        await trio.sleep_forever()

    assert journal == ["start a", "terminate a shutdown"]


async def test_an_init_knows_the_root_once_that_is_up():
    """A server that is no child of it may ask it something."""
    seen = []

    class Asks(candil.GenServer):
        async def init(self):
            seen.append(await candil.which_children(candil.root()))

    async with opened([]):
        await candil.start(Asks)
    assert seen == [[]]


@pytest.mark.parametrize(
    "ask",
    [
        partial(candil.start_child, child=candil.GenServer),
        partial(candil.terminate_child, child_id="a"),
        partial(candil.restart_child, child_id="a"),
        partial(candil.delete_child, child_id="a"),
        partial(candil.get_childspec, child_id="a"),
        candil.which_children,
        candil.count_children,
    ],
)
async def test_where_there_is_no_root_nobody_can_be_asked(ask):
    """What root gave is passed on as it is, and the error says what it was."""
    async with candil.open_node(log=False):
        with pytest.raises(candil.NoProc, match="and root where there is none"):
            await ask(candil.root())


async def test_root_outside_every_tree_says_where_to_go():
    """There is nothing that could be meant."""
    with pytest.raises(RuntimeError, match="no tree is open"):
        candil.root()


# --- serve ----------------------------------------------------------------------------------------


async def test_serve_runs_a_tree_as_a_task():
    """It gives the root's pid when all is up, and stops in order when it is cancelled."""
    journal = Journal()
    async with trio.open_nursery() as nursery:
        sup = await nursery.start(candil.serve, candil.supervisor_spec(workers("ab", journal)))
        assert await shown(sup) == {"b": "up", "a": "up"}
        nursery.cancel_scope.cancel()

    assert journal[2:] == ["terminate b shutdown", "terminate a shutdown"]


async def test_serve_returns_when_the_tree_ends_by_auto_shutdown():
    """The nursery goes on."""
    spec = worker("a", Journal(), restart="temporary", significant=True)
    tree = candil.supervisor_spec([spec], auto_shutdown="all_significant")
    async with trio.open_nursery() as nursery:
        sup = await nursery.start(candil.serve, tree)
        await end(sup, "a")
        await wait_all_tasks_blocked()

        assert not nursery.child_tasks


async def test_serve_raises_what_the_tree_gave_up_for():
    """Into the nursery, as any task does."""
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            spec = candil.supervisor_spec(workers("a", Journal()), max_restarts=0)
            await kill(await nursery.start(candil.serve, spec), "a")

    assert [type(error) for error in caught.value.exceptions] == [candil.RestartIntensityExceeded]


async def test_serve_that_cannot_start_raises_at_its_starter():
    """``nursery.start`` fails with the child's error."""
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(candil.serve, [worker("a", Journal(), script=["e1"])])

    assert caught.group_contains(candil.StartError)


async def test_a_virtual_clock_does_not_disturb_an_open_tree(autojump_clock):
    """An hour of nothing passes in no time."""
    async with opened(workers("a", Journal())) as sup:
        await trio.sleep(3600)

        assert await shown(sup) == {"a": "up"}
        await settle()
