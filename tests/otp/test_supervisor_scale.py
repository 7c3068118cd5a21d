"""Trees that are deep, and supervisors that are broad."""

import gc
import weakref

import pytest
import trio

import candil
from tests.otp.bodies import exit_and_settle

from .steps import counted_calls
from .workers import Boom, Journal, is_gone, settle, shown

DEPTH = 1_000
BREADTH = 10_000


def chain(leaf, depth, **options):
    """Give a spec of so many supervisors, each the only child of the one above."""
    spec = candil.supervisor_spec([leaf], id=1, name="lowest", **options)
    for level in range(2, depth + 1):
        spec = candil.supervisor_spec([spec], id=level, **options)
    return spec


async def leaf():
    """Crash when it is told to."""
    await candil.receive()
    raise Boom


@pytest.mark.slow
async def test_a_thousand_supervisors_in_a_chain_start_crash_at_the_leaf_and_stop():
    """The crash is dealt with at the bottom; the stop goes from the root down and back up."""
    ends = []

    def note(event):
        if isinstance(event, candil.ProcessExited):
            ends.append(event.pid)

    with candil.subscribe(note):
        tree = chain(candil.child_spec(leaf, name="leaf"), DEPTH)
        async with candil.open_supervisor(tree, log=False) as root:
            first = candil.whereis("leaf")
            candil.send("leaf", "crash")
            await settle()

            assert candil.whereis("leaf") != first
            assert ends == [first]
            assert await shown("lowest") == {"leaf": "up"}

    assert ends[1] not in (root, first)  # the leaf's replacement ends first, the root last ...
    assert ends[-2] == root  # ... before the block itself
    assert len(ends) == DEPTH + 3


@pytest.mark.slow
async def test_an_escalation_through_a_thousand_supervisors_reaches_the_root():
    """Each gives up because its only child did; the cause is found at the end of the chain."""
    tree = chain(candil.child_spec(leaf, name="leaf"), DEPTH, max_restarts=0)
    with pytest.raises(candil.RestartIntensityExceeded) as caught:
        async with candil.open_supervisor(tree, log=False):
            candil.send("leaf", "crash")
            await trio.sleep_forever()

    error, length = caught.value, 1
    while isinstance(error.__cause__, candil.RestartIntensityExceeded):
        error, length = error.__cause__, length + 1
    assert length == DEPTH
    assert isinstance(error.__cause__, Boom)
    assert len(str(caught.value)) < 1000


@pytest.mark.slow
async def test_a_leaf_that_does_not_start_takes_a_thousand_supervisors_along():
    """The start fails with the root's child, and the reason leads down; its text stays short."""

    class Bad(candil.GenServer):
        def init(self):
            raise Boom

    with pytest.raises(candil.StartError) as caught:
        async with candil.open_supervisor(chain(candil.child_spec(Bad), DEPTH), log=False):
            pytest.fail("it must not open")

    assert caught.value.child_id == DEPTH - 1
    reason, depth = caught.value.reason, 0
    while isinstance(reason, candil.Shutdown):
        reason, depth = reason.detail[2], depth + 1
    assert isinstance(reason.exception, Boom)
    assert depth == DEPTH - 1
    assert len(str(caught.value)) < 1000


@pytest.mark.slow
async def test_a_chain_is_cancelled_from_outside_in_order():
    """Nothing is left, whatever the depth."""
    ends = []

    async def bottom():
        try:
            await trio.sleep_forever()
        finally:
            ends.append("bottom")

    with trio.CancelScope() as scope:
        async with candil.open_supervisor(
            chain(candil.child_spec(bottom), DEPTH), log=False
        ) as root:
            await settle()
            scope.cancel()

    assert ends == ["bottom"]
    assert is_gone(root)


async def idle():
    """Wait to be ended."""
    await trio.sleep_forever()


@pytest.mark.slow
async def test_ten_thousand_children_start_crash_and_stop():
    """Under one supervisor, one of them crashes; the others keep their pids."""
    specs = [candil.child_spec(idle, id=number) for number in range(BREADTH)]
    async with candil.open_supervisor(specs, log=False) as sup:
        before = await candil.which_children(sup)
        await exit_and_settle(before[5].child, "kill")
        after = await candil.which_children(sup)

        assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
        assert (await candil.count_children(sup)).active == BREADTH

    assert all(is_gone(info.child) for info in after)


async def test_temporary_children_of_a_template_come_and_go_in_linear_time():
    """Eight times as many take eight times as many steps, and nothing of them is kept."""

    async def run(count):
        spec = candil.child_spec(idle, restart="temporary")
        async with candil.open_supervisor([spec], strategy="simple_one_for_one", log=False) as sup:
            with counted_calls() as calls:
                pids = [await candil.start_child(sup, []) for _ in range(count)]
                for pid in pids:
                    candil.exit(pid, "kill")
                await settle()
            state = await candil.sys.get_state(sup)
            assert not state.children
            assert not state.children.by_pid
        return calls.count

    few, many = await run(100), await run(800)
    assert many < 9 * few


async def test_arguments_of_a_temporary_child_are_not_kept_after_its_end():
    """Neither by its supervisor nor by its pid."""

    class Big:
        """Stands for much memory."""

    async def job(argument):
        await candil.receive()

    async with candil.open_supervisor([], log=False) as sup:
        big = Big()
        gone = weakref.ref(big)
        spec = candil.child_spec(job, big, restart="temporary", id="job")
        pid = await candil.start_child(sup, spec)
        await settle()
        del spec, big
        candil.send(pid, "end")
        await settle()
        with pytest.raises(candil.ChildNotFound):  # an idle server still holds its last request
            await candil.terminate_child(sup, "job")
        gc.collect()

        assert gone() is None
        assert is_gone(pid)


async def test_a_killed_child_leaves_nothing_behind_in_its_supervisor():
    """A hundred restarts later there is one child, one pid and ten lines of history."""
    async with candil.open_supervisor(
        [candil.child_spec(idle)], max_restarts=1000, log=False
    ) as sup:
        for _ in range(100):
            await exit_and_settle((await candil.which_children(sup))[0].child, "kill")

        state = await candil.sys.get_state(sup)
        assert (len(state.children), len(state.children.by_pid)) == (1, 1)
        assert len(state.restarts.history) == 10
        assert len(candil.process_info(sup).links) == 2  # its child, and the block


async def test_specs_and_journals_are_shared_by_all_incarnations():
    """Arguments are the same objects at each start."""
    seen = []

    async def job(journal):
        seen.append(journal)
        await trio.sleep_forever()

    journal = Journal()
    async with candil.open_supervisor([candil.child_spec(job, journal)], log=False) as sup:
        await settle()
        await exit_and_settle((await candil.which_children(sup))[0].child, "kill")
        await settle()

    assert [one is journal for one in seen] == [True, True]
