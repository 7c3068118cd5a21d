"""What a supervisor keeps of the children that it had: no frames, and no arguments."""

import gc
import weakref

import pytest
import trio

import candil
from candil._otp.values.reports import describe_reason

from .workers import settle

CRASHES = 15


class Big:
    """Stands for much memory."""


class Locals:
    """Makes a big object for a local variable, and tells which of them are still alive."""

    def __init__(self):
        self.refs = []

    def make(self):
        """Return a new big object."""
        big = Big()
        self.refs.append(weakref.ref(big))
        return big

    @property
    def alive(self):
        """How many there are, after a collection."""
        gc.collect()
        return sum(ref() is not None for ref in self.refs)


def fail(found, error):
    """Raise *error* from a frame with a big local."""
    big = found.make()
    raise error or ZeroDivisionError(id(big))


class Failing(candil.GenServer):
    """Crashes in a call, with a big local."""

    def __init__(self, found):
        self.found = found

    @candil.handle_call
    async def boom(self):
        fail(self.found, None)


# Ways to end, each with a frame that has a big local.


async def plain(found):
    """Raise."""
    fail(found, None)


async def group(found):
    """Raise in a nursery."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(plain, found)
        nursery.start_soon(plain, found)


async def term(found):
    """Exit with a term that holds an exception."""
    try:
        fail(found, None)
    except ZeroDivisionError as error:
        raise candil.ProcessExit(("failed", [error])) from None


async def shutdown(found):
    """Exit with the detail of a shutdown that holds an exception."""
    try:
        fail(found, None)
    except ZeroDivisionError as error:
        raise candil.ProcessExit(candil.Shutdown({"why": error}, cause=error)) from None


async def noproc(found):
    """Exit with an exception as the reason."""
    try:
        fail(found, candil.NoProc("x"))
    except candil.NoProc as error:
        raise candil.ProcessExit(error) from None


async def chained(found):
    """Die of the death of a server."""
    await Failing.boom(await candil.start(Failing, found))


async def inner(found):
    """Die as a supervisor that gives up."""

    async def child():
        fail(found, None)

    async with candil.open_supervisor([candil.child_spec(child)], max_restarts=0, log=False):
        await trio.sleep_forever()


def ending(way, found):
    """Return a child that ends in this way whenever it gets a message."""

    async def ends():
        await candil.receive()
        await way(found)

    return candil.child_spec(ends, id="a")


async def restart(sup):
    """Have the child end, and wait until its supervisor has dealt with it."""
    (info,) = await candil.which_children(sup)
    candil.send(info.child, "end")
    await settle()


@pytest.mark.parametrize("way", [plain, group, term, shutdown, noproc, chained, inner])
async def test_no_frame_of_a_crash_is_kept(way):
    """Whatever the child's reason was, the locals of the code that failed are free."""
    found = Locals()
    async with candil.open_supervisor([ending(way, found)], max_restarts=99, log=False) as sup:
        for _ in range(CRASHES):
            await restart(sup)

        assert len(found.refs) >= CRASHES
        assert found.alive == 0


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
async def test_no_frame_of_a_failed_start_is_kept(strategy):
    """The child's start failed twice and succeeded then."""
    found, failing = Locals(), []

    class Child(candil.GenServer):
        def init(self):
            if failing:
                fail(found, failing.pop())

    async def starts():
        if failing:
            fail(found, failing.pop())
        return await candil.start_link(Child)

    specs = [candil.child_spec(Child), candil.child_spec(candil.StartFunction(starts))]
    async with candil.open_supervisor(specs, strategy=strategy, max_restarts=99, log=False) as sup:
        for number in range(2):
            failing += [ZeroDivisionError(1), ZeroDivisionError(2)]
            candil.exit((await candil.which_children(sup))[number].child, "kill")
            await settle()

        assert (await candil.count_children(sup)).active == 2
        assert len(found.refs) == 4
        assert found.alive == 0


async def test_no_frame_of_a_delayed_restart_is_kept(autojump_clock):
    """While the restart waits, the frames of the start that failed are free."""
    found, failing = Locals(), []

    class Child(candil.GenServer):
        def init(self):
            if failing:
                fail(found, failing.pop())

    spec = candil.child_spec(Child, backoff=candil.Backoff(initial=1.0, jitter=0.0))
    async with candil.open_supervisor([spec], max_restarts=99, log=False) as sup:
        (info,) = await candil.which_children(sup)
        failing += [ZeroDivisionError(1), ZeroDivisionError(2)]
        candil.exit(info.child, "kill")
        await trio.sleep(2)
        (info,) = await candil.which_children(sup)

        assert info.child == "restarting"
        assert len(found.refs) == 1
        assert found.alive == 0


async def test_no_frame_of_a_failed_request_is_kept():
    """A caller that keeps the StartError keeps the crash, and no more of the supervisor."""
    found = Locals()

    class Child(candil.GenServer):
        def init(self):
            fail(found, None)

    async with candil.open_supervisor([], log=False) as sup:
        with pytest.raises(candil.StartError):
            await candil.start_child(sup, Child)
        await settle()

        assert found.alive == 0


# --- arguments ------------------------------------------------------------------------------------


class Brief(candil.GenServer):
    """Looks at its argument and lets go of it, as does everything that is started here."""

    def __init__(self, big, *, also=None):
        """Keep nothing."""


class AsyncBrief(Brief):
    """The same, as a task that its starter waits for."""

    async def init(self):
        await trio.lowlevel.checkpoint()


async def starts(big, *, also=None):
    """Start a server in the supervisor."""
    return await candil.start_link(Brief, None)


async def brief(big, *, also=None):
    """Be a process that lets go of its arguments."""
    del big, also
    await candil.receive()


TARGETS = [Brief, AsyncBrief, candil.StartFunction(starts), brief]


def named(target):
    """Return what a parameter is called."""
    return getattr(target, "__name__", "StartFunction")


def of_big(target, found, **options):
    """Return the spec of a child with two big arguments."""
    return candil.child_spec(target, found.make(), also=found.make(), id="a", **options)


@pytest.mark.parametrize("target", TARGETS, ids=named)
@pytest.mark.parametrize(
    ("restart", "kept"), [("temporary", 0), ("transient", 2), ("permanent", 2)]
)
async def test_a_running_temporary_child_has_no_arguments(target, restart, kept):
    """It is never started again. The others keep theirs until they are forgotten."""
    found = Locals()
    async with candil.open_supervisor([], log=False) as sup:
        pid = await candil.start_child(sup, of_big(target, found, restart=restart))
        await settle()
        assert candil.is_alive(pid)
        assert found.alive == kept

        await candil.terminate_child(sup, "a")
        if kept:
            await candil.delete_child(sup, "a")
        await settle()
        assert found.alive == 0


@pytest.mark.parametrize("target", TARGETS, ids=named)
@pytest.mark.parametrize(
    ("restart", "kept"), [("temporary", 0), ("transient", 1), ("permanent", 1)]
)
async def test_a_running_temporary_child_of_a_template_has_no_arguments(target, restart, kept):
    """The others keep theirs while they may be restarted."""
    found = Locals()
    spec = candil.child_spec(target, restart=restart)
    async with candil.open_supervisor([spec], strategy="simple_one_for_one", log=False) as sup:
        pid = await candil.start_child(sup, [found.make()])
        await settle()
        assert candil.is_alive(pid)
        assert found.alive == kept

        await candil.terminate_child(sup, pid)
        await settle()
        assert found.alive == 0


async def test_a_temporary_child_of_a_list_has_no_arguments():
    """Nor does its supervisor keep the spec that it was made of."""
    found = Locals()

    def tree():
        child = of_big(AsyncBrief, found, restart="temporary")
        return candil.supervisor_spec([child], id="inner")

    async with candil.open_supervisor([], log=False) as sup:
        inner = candil.child_spec(tree(), restart="temporary")
        pid = await candil.start_child(sup, inner)
        del inner
        await settle()

        assert (await candil.count_children(pid)).active == 1
        assert (await candil.get_childspec(pid, "a")).args == ()
        assert found.alive == 2  # the spec of the inner supervisor is the target of its child
        await candil.terminate_child(sup, "inner")
        await settle()
        assert found.alive == 0


async def test_a_failed_start_keeps_no_arguments():
    """A temporary child that did not start is forgotten."""
    found = Locals()

    class Failing(Brief):
        def init(self):
            candil.stop_self("no")

    async with candil.open_supervisor([], log=False) as sup:
        with pytest.raises(candil.StartError):
            await candil.start_child(sup, of_big(Failing, found, restart="temporary"))
        await settle()

        assert found.alive == 0


async def test_a_code_change_gives_a_running_temporary_child_no_arguments():
    """They would be for a start that never comes; a stopped child takes its new ones."""
    found = Locals()

    def tree():
        return candil.supervisor_spec(
            [
                of_big(Brief, found, restart="temporary"),
                candil.child_spec(Brief, found.make(), id="b"),
            ]
        )

    async with candil.open_supervisor(tree(), log=False) as sup:
        await candil.sys.suspend(sup)
        await candil.sys.change_code(sup, None, tree())
        await candil.sys.resume(sup)
        await settle()

        assert (await candil.get_childspec(sup, "a")).kwargs == {}
        assert len((await candil.get_childspec(sup, "b")).args) == 1


@pytest.mark.parametrize("spawn", [candil.spawn, candil.spawn_link, candil.spawn_monitor])
async def test_a_process_has_the_arguments_that_its_function_keeps(spawn):
    """What the function has deleted, nothing else keeps."""
    found = Locals()
    async with candil.open_node():
        spawn(brief, found.make())
        await settle()

        assert found.alive == 0


# --- the history ----------------------------------------------------------------------------------


async def gives_up(*ways, found=None, **options):
    """Return the error of a supervisor whose child ended in these ways."""
    found = found or Locals()
    left = list(ways)

    async def ends():
        await candil.receive()
        await left.pop(0)(found)

    spec = candil.child_spec(ends, id="a")
    with pytest.raises(candil.RestartIntensityExceeded) as caught:
        async with candil.open_supervisor([spec], log=False, **options) as sup:
            for _ in ways:
                await restart(sup)
            await trio.sleep_forever()
    return caught.value


async def test_the_history_says_why_each_child_ended():
    """Earlier exceptions are there as text, the last reason is the error's own."""
    error = await gives_up(plain, group, chained, max_restarts=2)

    (_, first), (_, second), (child_id, last) = error.history
    assert [type(reason) for reason in (first, second, last)] == [candil.Crashed] * 3
    assert str(first.exception).startswith("ZeroDivisionError: ")
    assert str(second.exception).startswith("ExceptionGroup of ZeroDivisionError: ")
    assert describe_reason(first) == f"it crashed with {first.exception}"
    assert (child_id, last) == ("a", error.reason)
    assert isinstance(last.exception, candil.ServerExited)


async def test_the_history_keeps_terms_that_hold_nothing():
    """Atoms, numbers and tuples of them stay values; any other object becomes its repr."""
    terms = ["boom", 7, ("a", (1, None)), ("shutdown", 2.5), "x" * 2000, Big, (1,) * 99]

    def way(reason):
        async def exits(_found):
            raise candil.ProcessExit(reason)

        return exits

    error = await gives_up(*map(way, terms), plain, max_restarts=len(terms))

    reasons = [reason for _, reason in error.history[:-1]]
    assert reasons[:4] == [candil.as_exit_reason(term) for term in terms[:4]]
    assert [reason.term[:4] for reason in reasons[4:]] == ["'xxx", "<cla", "(1, "]
    assert all(len(reason.term) <= 200 for reason in reasons[4:])


async def test_the_history_of_an_error_holds_the_last_frames_only():
    """Who keeps the error keeps the crash that was one too many, and none before it."""
    found = Locals()
    error = await gives_up(plain, plain, plain, found=found, max_restarts=2)

    assert found.alive == 1
    assert isinstance(error.__cause__, ZeroDivisionError)


async def test_the_history_is_as_long_as_the_window(autojump_clock):
    """A crash that no longer counts is no longer told."""
    left = iter([plain, term, noproc, plain])
    found = Locals()

    async def ends():
        await candil.receive()
        await next(left)(found)

    with pytest.raises(candil.RestartIntensityExceeded) as caught:
        async with candil.open_supervisor(
            [candil.child_spec(ends, id="a")], max_restarts=1, max_seconds=5.0, log=False
        ) as sup:
            for pause in (6, 6, 1, 0):
                await restart(sup)
                await trio.sleep(pause)
            await trio.sleep_forever()

    assert [type(reason) for _, reason in caught.value.history] == [candil.Crashed] * 2
