"""Significant children, and supervisors that end with them."""

import pytest
import trio

import candil

from .workers import Journal, Worker, end, kill, pid_of, settle, shown, worker


def significant(label, journal, restart="transient", **options):
    """Give a significant worker."""
    return worker(label, journal, restart=restart, significant=True, **options)


async def started(specs, auto_shutdown, **options):
    """Start a supervisor that nobody is linked to."""
    return await candil.start(candil.supervisor_spec(specs, auto_shutdown=auto_shutdown, **options))


@pytest.fixture
async def node():
    """Host the supervisors of a test."""
    async with candil.open_node(log=False) as node:
        yield node


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
@pytest.mark.parametrize(
    ("restart", "reason"),
    [
        ("transient", "normal"),
        ("transient", "shutdown"),
        ("transient", ("shutdown", "x")),
        ("temporary", "normal"),
        ("temporary", "boom"),
        ("temporary", "killed"),
    ],
)
async def test_the_only_significant_child_that_ends_by_itself_ends_its_supervisor(
    auto_shutdown, restart, reason, node
):
    """With shutdown, after the others were stopped in reverse."""
    journal = Journal()
    specs = [worker("a", journal), significant("s", journal, restart), worker("b", journal)]
    sup = await started(specs, auto_shutdown)
    candil.monitor(sup)
    journal.take()
    await end(sup, "s", reason)

    assert (await candil.receive(candil.Down)).reason == candil.Shutdown()
    assert journal[1:] == ["terminate b shutdown", "terminate a shutdown"]


async def test_a_significant_child_that_is_restarted_ends_nothing(node):
    """A transient one that crashed is not gone."""
    sup = await started([significant("s", Journal())], "any_significant")
    await end(sup, "s", "boom")

    assert await shown(sup) == {"s": "up"}


@pytest.mark.parametrize("restart", ["transient", "temporary"])
@pytest.mark.parametrize("auto_shutdown", ["never", "any_significant", "all_significant"])
async def test_an_insignificant_child_ends_nothing(auto_shutdown, restart, node):
    """However it ends, and whatever the supervisor does with its significant ones."""
    sup = await started([worker("a", Journal(), restart=restart)], auto_shutdown)
    await end(sup, "a", "normal")

    assert candil.is_alive(sup)


async def test_any_significant_is_the_first_of_them(node):
    """The others are stopped."""
    journal = Journal()
    sup = await started([significant(label, journal) for label in "abc"], "any_significant")
    await end(sup, "b", "normal")

    assert not candil.is_alive(sup)
    assert journal[4:] == ["terminate c shutdown", "terminate a shutdown"]


async def test_all_significant_is_the_last_of_them(node):
    """Crashes in between are restarted, and count as alive."""
    journal = Journal()
    specs = [*(significant(label, journal) for label in "abc"), worker("x", journal)]
    sup = await started(specs, "all_significant")
    await end(sup, "a", "normal")
    await end(sup, "b", "boom")
    await end(sup, "c", "normal")
    assert await shown(sup) == {"x": "up", "c": "stopped", "b": "up", "a": "stopped"}
    await end(sup, "b", "shutdown")

    assert not candil.is_alive(sup)


async def test_a_significant_child_that_is_being_restarted_is_not_gone(node, autojump_clock):
    """All are gone only when it is, too."""
    backoff = candil.Backoff(initial=1.0)
    specs = [significant("a", Journal(), backoff=backoff), significant("b", Journal())]
    sup = await started(specs, "all_significant")
    await kill(sup, "a")
    await end(sup, "b", "normal")

    assert await shown(sup) == {"b": "stopped", "a": "restarting"}


async def test_a_significant_child_that_waits_for_a_siblings_restart_is_not_gone(
    node, autojump_clock
):
    """It was stopped with the sibling, and will be started with it; its own end counts then."""
    delayed = worker("a", Journal(), backoff=candil.Backoff(initial=1.0))
    first, last = significant("first", Journal()), significant("last", Journal())
    sup = await started([first, delayed, last], "all_significant", strategy="rest_for_one")
    await kill(sup, "a")
    await end(sup, "first", "normal")
    assert await shown(sup) == {"last": "stopped", "a": "restarting", "first": "stopped"}

    await trio.sleep(2.0)
    await end(sup, "last", "normal")
    assert not candil.is_alive(sup)


async def test_a_significant_child_that_ends_is_gone_though_a_sibling_would_revive_it(
    node, autojump_clock
):
    """That the restart of another is put off keeps nobody alive who ended by itself."""
    delayed = worker("a", Journal(), backoff=candil.Backoff(initial=1.0))
    specs = [delayed, significant("s", Journal())]
    sup = await started(specs, "all_significant", strategy="one_for_all")
    await kill(sup, "a")
    await candil.restart_child(sup, "s")
    await end(sup, "s", "normal")

    assert not candil.is_alive(sup)


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
async def test_terminate_child_of_a_significant_child_ends_nothing(auto_shutdown, node):
    """It did not end by itself; it can be restarted, and ends the supervisor then."""
    sup = await started([significant("s", Journal())], auto_shutdown)
    await candil.terminate_child(sup, "s")
    assert await shown(sup) == {"s": "stopped"}
    await candil.restart_child(sup, "s")
    await end(sup, "s", "normal")

    assert not candil.is_alive(sup)


async def test_all_significant_is_not_checked_by_terminate_child(node):
    """Only an end by itself looks at the others; the next one does."""
    specs = [significant("a", Journal()), significant("b", Journal())]
    sup = await started(specs, "all_significant")
    await end(sup, "a", "normal")
    await candil.terminate_child(sup, "b")
    assert await shown(sup) == {"b": "stopped", "a": "stopped"}
    await candil.restart_child(sup, "a")
    await end(sup, "a", "normal")

    assert not candil.is_alive(sup)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_significant_child_that_is_stopped_as_a_sibling_ends_nothing(strategy, node):
    """A temporary one is dropped, and that is all."""
    specs = [worker("a", Journal()), significant("s", Journal(), "temporary")]
    sup = await started(specs, "any_significant", strategy=strategy)
    await kill(sup, "a")

    assert await shown(sup) == {"a": "up"}


async def test_a_significant_child_may_be_added_where_it_means_something(node):
    """Under never it is refused, and the supervisor goes on."""
    spec = significant("s", Journal())
    never = await started([], "never")
    with pytest.raises(candil.SpecError, match="auto_shutdown"):
        await candil.start_child(never, spec)
    assert candil.is_alive(never)

    sup = await started([], "any_significant")
    await candil.start_child(sup, spec)
    await end(sup, "s", "normal")
    assert not candil.is_alive(sup)


@pytest.mark.parametrize(
    ("auto_shutdown", "needed"), [("any_significant", 1), ("all_significant", 2)]
)
async def test_children_of_a_template_may_be_significant(auto_shutdown, needed, node):
    """One of them, or all that there are."""

    class Labelled(Worker):
        def __init__(self, label):
            super().__init__(label, Journal(), [], True, 0.0, "")

    spec = candil.child_spec(Labelled, restart="transient", significant=True)
    sup = await started([spec], auto_shutdown, strategy="simple_one_for_one")
    pids = [await candil.start_child(sup, [label]) for label in "ab"]
    for count, pid in enumerate(pids, 1):
        assert candil.is_alive(sup)
        Worker.end(pid, "normal")
        await settle()
        if count == needed:
            break

    assert not candil.is_alive(sup)


@pytest.mark.parametrize(("restart", "shown_as"), [("permanent", "up"), ("transient", "stopped")])
async def test_the_supervisor_above_sees_a_shutdown(restart, shown_as, node):
    """It restarts a permanent one, and leaves a transient one stopped."""
    inner = candil.supervisor_spec(
        [significant("s", Journal())], auto_shutdown="any_significant", name="inner"
    )
    sup = await started([candil.child_spec(inner, restart=restart)], "never")
    await end("inner", "s", "normal")

    assert await shown(sup) == {"inner": shown_as}


async def test_a_significant_supervisor_ends_the_one_above(node):
    """An auto_shutdown goes up as far as it is significant."""
    inner = candil.supervisor_spec(
        [significant("s", Journal())], auto_shutdown="any_significant", name="inner"
    )
    child = candil.child_spec(inner, restart="transient", significant=True)
    sup = await started([child], "all_significant")
    await end("inner", "s", "normal")

    assert not candil.is_alive(sup)


async def test_a_significant_supervisor_that_gave_up_ends_the_one_above(node):
    """It exits with shutdown, which a transient child is not restarted for."""
    inner = candil.supervisor_spec([worker("x", Journal())], name="inner", max_restarts=0)
    child = candil.child_spec(inner, restart="transient", significant=True)
    sup = await started([child], "any_significant")
    await kill("inner", "x")

    assert not candil.is_alive(sup)


async def test_two_significant_children_that_end_at_once_end_the_supervisor_once(node):
    """The second end is found in the mailbox of a supervisor that stops already."""
    journal = Journal()
    specs = [significant("a", journal), significant("b", journal), worker("c", journal)]
    sup = await started(specs, "any_significant")
    for label in "ab":
        Worker.end(await pid_of(sup, label), "normal")
    await settle()

    assert not candil.is_alive(sup)
    assert journal.count("terminate c shutdown") == 1
