"""A supervisor that takes a new spec while it runs."""

import pytest
import trio

import candil

from .workers import Journal, Worker, end, kill, pid_of, settle, shown, worker, workers


async def change(sup, children=(), **options):
    """Have a running supervisor take a new spec."""
    await candil.sys.suspend(sup)
    await candil.sys.change_code(sup, None, candil.supervisor_spec(children, **options))
    await candil.sys.resume(sup)


async def test_new_specs_replace_old_ones_by_id_and_running_children_stay():
    """New ones are not started; those that the new spec does not know stay, at the end."""
    journal = Journal()
    async with candil.open_supervisor(workers("abc", journal), log=False) as sup:
        before = {label: await pid_of(sup, label) for label in "abc"}
        await change(sup, [worker("x", journal), worker("b", journal), worker("a", journal)])

        assert await shown(sup) == {"c": "up", "a": "up", "b": "up", "x": "stopped"}
        assert {label: await pid_of(sup, label) for label in "abc"} == before
        assert journal.take() == ["start a", "start b", "start c"]
        await candil.restart_child(sup, "x")

    assert journal == ["start x", *[f"terminate {label} shutdown" for label in "cabx"]]


async def test_a_restart_after_it_runs_the_new_spec():
    """Target, arguments and restart type are the new ones."""
    journal = Journal()
    async with candil.open_supervisor([worker("a", journal)], log=False) as sup:
        await change(sup, [worker("A", journal, id="a", restart="transient")])
        await kill(sup, "a")
        assert journal == ["start a", "start A"]
        await end(sup, "a", "normal")

        assert await shown(sup) == {"a": "stopped"}


async def test_flags_change_with_it():
    """Strategy and limits hold from the next crash on; restarts that were counted still count."""
    journal = Journal()
    async with candil.open_node(log=False):
        candil.trap_exit(True)
        spec = candil.supervisor_spec(workers("ab", journal), max_restarts=5)
        sup = await candil.start_link(spec)
        await kill(sup, "a")
        journal.take()
        await change(sup, workers("ab", journal), strategy="one_for_all", max_restarts=2)
        await kill(sup, "a")
        assert journal == ["terminate b shutdown", "start a", "start b"]
        await kill(sup, "a")

        assert not candil.is_alive(sup)


async def test_the_window_may_become_shorter(autojump_clock):
    """Restarts that are too old for the new one no longer count."""
    async with candil.open_supervisor(
        workers("a", Journal()), max_restarts=1, max_seconds=60.0, log=False
    ) as sup:
        await kill(sup, "a")
        await trio.sleep(10.0)
        await change(sup, workers("a", Journal()), max_restarts=1, max_seconds=5.0)
        await kill(sup, "a")

        assert await shown(sup) == {"a": "up"}


@pytest.mark.parametrize("extra", [None, [], {"max_restarts": 3}], ids=str)
async def test_what_is_no_spec_is_refused(extra):
    """The supervisor goes on as it was."""
    async with candil.open_supervisor(workers("a", Journal()), log=False) as sup:
        await candil.sys.suspend(sup)
        with pytest.raises(candil.SpecError, match="a SupervisorSpec of the same kind is needed"):
            await candil.sys.change_code(sup, None, extra)
        await candil.sys.resume(sup)

        assert await shown(sup) == {"a": "up"}


@pytest.mark.parametrize("simple_first", [True, False])
async def test_a_template_cannot_become_a_list_nor_a_list_a_template(simple_first):
    """Their children have nothing in common. OTP crashes at the next request."""
    child = candil.child_spec(candil.GenServer)
    kinds = [
        candil.supervisor_spec([child], strategy="simple_one_for_one"),
        candil.supervisor_spec([child]),
    ]
    first, second = kinds if simple_first else reversed(kinds)
    async with candil.open_supervisor(first, log=False) as sup:
        await candil.sys.suspend(sup)
        with pytest.raises(candil.SpecError):
            await candil.sys.change_code(sup, None, second)
        await candil.sys.resume(sup)

        await candil.which_children(sup)


async def test_a_new_template_is_used_for_new_children_and_for_restarts():
    """A restarted child runs the new target with the arguments of its own start."""
    journal = Journal()

    async def old(*args):
        journal.append(f"old {args}")
        await trio.sleep_forever()

    async def new(*args):
        journal.append(f"new {args}")
        await trio.sleep_forever()

    def template(function, *args):
        return candil.child_spec(function, *args, id="t")

    async with candil.open_supervisor(
        [template(old, 1)], strategy="simple_one_for_one", log=False
    ) as sup:
        pid = await candil.start_child(sup, ["a"])
        await settle()
        await change(sup, [template(new, 2)], strategy="simple_one_for_one")
        await candil.start_child(sup, ["b"])
        await settle()
        candil.exit(pid, "kill")
        await settle()

        assert journal == ["old (1, 'a')", "new (2, 'b')", "new (1, 'a')"]


# --- significant children -------------------------------------------------------------------------


def significant(label, **options):
    """Give a significant worker."""
    return worker(label, Journal(), restart="transient", significant=True, **options)


@pytest.fixture
async def start():
    """Start supervisors under the block of the test."""
    async with candil.open_node(log=False):
        candil.trap_exit(True)

        async def start(children, auto_shutdown):
            spec = candil.supervisor_spec(children, auto_shutdown=auto_shutdown)
            return await candil.start_link(spec)

        yield start


@pytest.mark.parametrize(
    ("before", "after", "survives"),
    [
        ("never", "any_significant", False),
        ("never", "all_significant", True),
        ("any_significant", "never", True),
        ("any_significant", "all_significant", True),
        ("all_significant", "never", True),
        ("all_significant", "any_significant", False),
    ],
)
async def test_auto_shutdown_changes_with_it(start, before, after, survives):
    """Of two children that are significant where they can be, the first ends in order."""

    def children(auto_shutdown):
        kept = auto_shutdown != "never"
        return [worker(label, Journal(), restart="transient", significant=kept) for label in "ab"]

    sup = await start(children(before), before)
    await change(sup, children(after), auto_shutdown=after)
    await end(sup, "a", "normal")

    assert candil.is_alive(sup) is survives


async def test_a_child_can_become_significant(start):
    """It ends the supervisor from then on."""
    sup = await start([worker("a", Journal(), restart="transient")], "any_significant")
    await change(sup, [significant("a")], auto_shutdown="any_significant")
    await end(sup, "a", "normal")

    assert not candil.is_alive(sup)


async def test_under_never_a_significant_child_that_was_kept_ends_nothing(start):
    """The new spec does not know it, so its own flag is the old one."""
    sup = await start([significant("a"), significant("b")], "all_significant")
    await change(sup, [worker("x", Journal())], auto_shutdown="never")
    for label in "ab":
        Worker.end(await pid_of(sup, label), "normal")
    await settle()

    assert await shown(sup) == {"b": "stopped", "a": "stopped", "x": "stopped"}
