"""What a supervisor can be asked, and what it refuses."""

import pytest

import candil

from .ids import without_address
from .workers import Journal, Worker, kill, pid_of, shown, worker, workers

STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]

# --- start_child ----------------------------------------------------------------------------------


async def test_start_child_appends_the_child():
    """It is listed first, stopped first, and restarted last."""
    journal = Journal()
    async with candil.open_supervisor(
        workers("ab", journal), strategy="one_for_all", log=False
    ) as sup:
        pid = await candil.start_child(sup, worker("c", journal))

        assert pid == await pid_of(sup, "c")
        assert list(await shown(sup)) == ["c", "b", "a"]
        await kill(sup, "a")
        assert [line for line in journal.take() if "start" in line][-3:] == [
            f"start {label}" for label in "abc"
        ]

    assert journal == [f"terminate {label} shutdown" for label in "cba"]


async def test_start_child_takes_what_stands_for_a_child_spec():
    """A server class without arguments, or a supervisor spec."""
    inner = candil.supervisor_spec(workers("x", Journal()), id="inner")
    async with candil.open_supervisor([], log=False) as sup:
        await candil.start_child(sup, candil.GenServer)
        await candil.start_child(sup, inner)

        assert await shown(sup) == {"inner": "up", "GenServer": "up"}


async def test_start_child_refuses_an_id_that_is_there():
    """Running, it says where; stopped, it says that it is there."""
    async with candil.open_supervisor(workers("a", Journal()), log=False) as sup:
        pid = await pid_of(sup, "a")
        with pytest.raises(candil.AlreadyStarted) as running:
            await candil.start_child(sup, worker("a", Journal()))
        assert (running.value.pid, running.value.child_id) == (pid, "a")
        await candil.terminate_child(sup, "a")

        with pytest.raises(candil.ChildAlreadyPresent):
            await candil.start_child(sup, worker("a", Journal()))


async def test_start_child_that_fails_keeps_nothing():
    """The error carries the id and the reason."""
    async with candil.open_supervisor([], log=False) as sup:
        with pytest.raises(candil.StartError) as caught:
            await candil.start_child(sup, worker("a", Journal(), script=["e1"]))

        assert (caught.value.child_id, caught.value.reason) == ("a", candil.Exit("e1"))
        assert await shown(sup) == {}
        assert await candil.start_child(sup, worker("a", Journal())) is not None


async def test_start_child_that_is_ignored_gives_none():
    """A permanent one is kept without a process, a temporary one is not."""
    async with candil.open_supervisor([], log=False) as sup:
        for label, restart in (("a", "permanent"), ("b", "temporary")):
            spec = worker(label, Journal(), script=["ignore"], restart=restart)
            assert await candil.start_child(sup, spec) is None

        assert await shown(sup) == {"a": "stopped"}


class NeedsArguments(candil.GenServer):
    """Cannot be started without."""

    def __init__(self, needed):
        self.needed = needed


class Strange(candil.GenServer):
    """Cannot even be asked for its arguments."""

    __signature__ = 42


@pytest.mark.parametrize(
    "bad",
    [
        "x",
        None,
        [],
        NeedsArguments,
        Strange,
        candil.child_spec(Worker, *[None] * 6, id="s", restart="transient", significant=True),
    ],
    ids=str,
)
async def test_a_bad_spec_is_refused_and_the_supervisor_goes_on(bad):
    """The mistake is the client's: no child of the supervisor pays for it."""
    async with candil.open_supervisor(workers("a", Journal()), log=False) as sup:
        with pytest.raises(candil.SpecError):
            await candil.start_child(sup, bad)

        assert await shown(sup) == {"a": "up"}


# --- ids ------------------------------------------------------------------------------------------


async def test_ids_differ_by_type_as_well_as_value():
    """1, True and 1.0 are three children, and so are tuples that hold them."""
    ids = [1, True, 1.0, (1,), (True,), "1", ((1,),), ((True,),)]
    specs = [worker(f"w{number}", Journal(), id=id) for number, id in enumerate(ids)]
    async with candil.open_supervisor(specs, log=False) as sup:
        assert await candil.count_children(sup) == candil.ChildCounts(8, 8, 0, 8)
        await candil.terminate_child(sup, True)

        stopped = [info.id for info in await candil.which_children(sup) if info.child is None]
        assert [type(id) for id in stopped] == [bool]


@pytest.mark.parametrize("strange", [[], {}, [1], {"a"}, None, object()], ids=without_address)
async def test_whatever_is_not_an_id_is_not_found(strange):
    """Even what cannot be hashed: the supervisor survives the question."""
    async with candil.open_supervisor(workers("a", Journal()), log=False) as sup:
        for request in (
            candil.terminate_child,
            candil.restart_child,
            candil.delete_child,
            candil.get_childspec,
        ):
            with pytest.raises(candil.ChildNotFound):
                await request(sup, strange)

        assert await shown(sup) == {"a": "up"}


# --- terminate, restart, delete -------------------------------------------------------------------


async def test_what_a_supervisor_says_of_unknown_and_running_children():
    """Unknown: not found. Running: not to be restarted or deleted."""
    async with candil.open_supervisor(workers("a", Journal()), log=False) as sup:
        for request in (
            candil.terminate_child,
            candil.restart_child,
            candil.delete_child,
            candil.get_childspec,
        ):
            with pytest.raises(candil.ChildNotFound) as unknown:
                await request(sup, "zz")
            assert unknown.value.child_id == "zz"
        for request in (candil.restart_child, candil.delete_child):
            with pytest.raises(candil.ChildRunning):
                await request(sup, "a")


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_terminate_child_stops_one_child_and_no_other(strategy):
    """It stays as a stopped one, and to stop it again is no mistake."""
    journal = Journal()
    async with candil.open_supervisor(
        workers("abc", journal), strategy=strategy, max_restarts=0, log=False
    ) as sup:
        journal.take()
        await candil.terminate_child(sup, "b")
        await candil.terminate_child(sup, "b")

        assert journal.take() == ["terminate b shutdown"]
        assert await shown(sup) == {"c": "up", "b": "stopped", "a": "up"}


async def test_terminate_child_of_a_temporary_child_deletes_it():
    """There is nothing left to restart or to ask about."""
    spec = worker("t", Journal(), restart="temporary")
    async with candil.open_supervisor([spec], log=False) as sup:
        await candil.terminate_child(sup, "t")

        assert await shown(sup) == {}
        with pytest.raises(candil.ChildNotFound):
            await candil.restart_child(sup, "t")


async def test_terminate_child_by_pid_is_for_simple_one_for_one_only():
    """Elsewhere a pid is an id like any other, and unknown."""
    async with candil.open_supervisor(workers("a", Journal()), log=False) as sup:
        with pytest.raises(candil.ChildNotFound):
            await candil.terminate_child(sup, await pid_of(sup, "a"))


async def test_restart_child_keeps_the_place_and_delete_then_start_goes_to_the_end():
    """A restarted child is where it was; one that was deleted comes last when it is added again."""
    journal = Journal()
    async with candil.open_supervisor(workers("abc", journal), log=False) as sup:
        await candil.terminate_child(sup, "a")
        assert await candil.restart_child(sup, "a") == await pid_of(sup, "a")
        assert list(await shown(sup)) == ["c", "b", "a"]

        await candil.terminate_child(sup, "a")
        await candil.delete_child(sup, "a")
        with pytest.raises(candil.ChildNotFound):
            await candil.restart_child(sup, "a")
        await candil.start_child(sup, worker("a", journal))
        assert list(await shown(sup)) == ["a", "c", "b"]


async def test_restart_child_that_fails_leaves_it_stopped():
    """By an error, or because it wants to be ignored; the third time it starts."""
    spec = worker("a", Journal(), script=["ok", "e1", "ignore", "ok"])
    async with candil.open_supervisor([spec], max_restarts=0, log=False) as sup:
        await candil.terminate_child(sup, "a")

        with pytest.raises(candil.StartError) as caught:
            await candil.restart_child(sup, "a")
        assert caught.value.reason == candil.Exit("e1")
        assert await shown(sup) == {"a": "stopped"}
        assert await candil.restart_child(sup, "a") is None
        assert await shown(sup) == {"a": "stopped"}
        assert await candil.restart_child(sup, "a") is not None


async def test_a_restart_by_hand_uses_the_spec_that_was_stored():
    """The same arguments as at the first start."""
    journal = Journal()
    async with candil.open_supervisor([], log=False) as sup:
        await candil.start_child(sup, worker("a", journal))
        await candil.terminate_child(sup, "a")
        await candil.restart_child(sup, "a")

        assert journal == ["start a", "terminate a shutdown", "start a"]


# --- asking about children ------------------------------------------------------------------------


async def test_which_children_lists_the_last_started_first_with_their_types():
    """As OTP does; a stopped child has no pid."""
    inner = candil.supervisor_spec([], id="inner")
    async with candil.open_supervisor([*workers("ab", Journal()), inner], log=False) as sup:
        await candil.terminate_child(sup, "b")

        assert [(i.id, i.child is None, i.type) for i in await candil.which_children(sup)] == [
            ("inner", False, "supervisor"),
            ("b", True, "worker"),
            ("a", False, "worker"),
        ]


async def test_count_children_counts_specs_living_supervisors_and_workers():
    """Those that do not run are counted by type, too."""
    inner = candil.supervisor_spec([], id="inner")
    declared = worker("s", Journal(), type="supervisor")
    async with candil.open_supervisor(
        [*workers("ab", Journal()), inner, declared], log=False
    ) as sup:
        assert await candil.count_children(sup) == candil.ChildCounts(4, 4, 2, 2)
        await candil.terminate_child(sup, "inner")
        await candil.terminate_child(sup, "a")

        assert await candil.count_children(sup) == candil.ChildCounts(4, 2, 2, 2)


async def test_get_childspec_gives_the_spec_by_id_or_pid():
    """The very spec, defaults filled in."""
    spec = worker("a", Journal())
    async with candil.open_supervisor([spec], log=False) as sup:
        assert await candil.get_childspec(sup, "a") is spec
        assert await candil.get_childspec(sup, await pid_of(sup, "a")) is spec
        with pytest.raises(candil.ChildNotFound):
            await candil.get_childspec(sup, sup)


async def test_requests_reach_a_supervisor_by_name_and_fail_without_one():
    """As any call does."""
    name = candil.Name[candil.Supervisor]("root")
    async with candil.open_supervisor(workers("a", Journal()), name=name, log=False):
        assert await shown(name) == await shown("root") == {"a": "up"}
        with pytest.raises(candil.NoProc):
            await candil.which_children("nobody")


async def test_check_childspecs_looks_at_auto_shutdown_too():
    """OTP: ``{badarg, Zzz}``."""
    with pytest.raises(candil.SpecError, match="auto_shutdown: one of"):
        candil.check_childspecs([], auto_shutdown="zzz")


async def test_children_that_are_no_list_are_told_once():
    """A single spec, and nothing at all."""
    with pytest.raises(candil.SpecError) as raised:
        candil.supervisor_spec(worker("a", Journal()))
    assert str(raised.value).count("a list of child specs is needed") == 1


async def test_a_message_that_is_none_of_a_supervisors_business_is_hinted_at():
    """OTP logs it as unexpected, and goes on."""
    hints = []
    with candil.subscribe(lambda event: isinstance(event, candil.Hint) and hints.append(event)):
        async with candil.open_supervisor([], log=False) as sup:
            candil.send(sup, "hello")
            assert await candil.which_children(sup) == []
    assert [hint.pid for hint in hints] == [sup]
    assert "a str message" in hints[0].text


async def test_stops_and_starts_with_long_times_leave_no_timers():
    """Whoever waited has what it waited for."""
    async with candil.open_supervisor([], log=False) as sup:
        process = sup.process
        for number in range(10):
            spec = worker(number, Journal(), shutdown=86400.0)
            await candil.start_child(sup, spec)
            await candil.terminate_child(sup, number)
            await candil.delete_child(sup, number)
        timers = [timer for timer in process.node.timers._heap if timer.callback is not None]
        assert timers == []


# --- what it does not know ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "what"),
    [("add", "the call 'add'"), (("add", 1), "a call that is no name but of type tuple")],
)
async def test_who_calls_a_supervisor_as_a_server_is_told_whose_pid_it_is(request_, what):
    """It dies of what is no name, as OTP's; a name fails at its caller."""
    async with candil.open_node(log=False):
        sup = await candil.start(candil.supervisor_spec([]))
        with pytest.raises((candil.ServerExited, candil.UndefinedCallback)) as raised:
            await candil.call(sup, request_)
        assert candil.is_alive(sup) is isinstance(request_, str)
    assert str(raised.value.__cause__ or raised.value) == (
        f"Supervisor has no handler for {what}. That pid or name is a supervisor's, not a "
        "server's. It is talked to with candil.which_children, which tells the pids of its "
        "children, with start_child and the like"
    )
