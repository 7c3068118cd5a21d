"""What a supervisor says about its children."""

import attrs
import pytest
import trio

import candil

from .bodies import do_nothing, exit_and_settle
from .workers import Boom, Journal, Worker, end, end_all, kill, pid_of, settle, worker, workers


@pytest.fixture
def reports():
    """Collect what supervisors report."""
    return []


@pytest.fixture
def note(reports):
    """Give the subscriber that collects it."""

    def note(event):
        if isinstance(event, candil.SupervisorReport):
            reports.append(event)

    return note


def offender(spec, pid):
    """Give the offender that a report shows."""
    return {
        "id": spec.id,
        "pid": pid,
        "start": Worker,
        "restart": spec.restart,
        "shutdown": spec.shutdown,
        "type": "worker",
        "significant": spec.significant,
    }


async def test_a_report_has_otps_four_keys(reports, note):
    """Who, in which context, why, and the child as it was."""
    spec = worker("a", Journal(), shutdown=3.0)
    with candil.subscribe(note):
        async with candil.open_supervisor([spec], name="root", log=False) as sup:
            pid = await pid_of(sup, "a")
            await kill(sup, "a")

    assert reports == [
        candil.SupervisorReport(
            supervisor="root",
            context="child_terminated",
            reason=candil.Killed(),
            offender=offender(spec, pid),
        )
    ]


async def test_a_supervisor_without_a_name_is_told_by_its_pid(reports, note):
    """So that two of them can be told apart."""
    with candil.subscribe(note):
        async with candil.open_supervisor(workers("a", Journal()), log=False) as sup:
            await kill(sup, "a")

    assert [report.supervisor for report in reports] == [sup]


@pytest.mark.parametrize(
    ("restart", "reason", "contexts"),
    [
        ("permanent", "normal", ["child_terminated"]),
        ("permanent", "boom", ["child_terminated"]),
        ("transient", "boom", ["child_terminated"]),
        ("transient", "normal", []),
        ("transient", ("shutdown", "x"), []),
        ("temporary", "boom", ["child_terminated"]),
        ("temporary", "normal", []),
    ],
)
async def test_an_end_is_reported_if_it_is_abnormal_or_leads_to_a_restart(
    restart, reason, contexts, reports, note
):
    """The end in order of a child that may end is everyday business."""
    spec = worker("a", Journal(), restart=restart)
    with candil.subscribe(note):
        async with candil.open_supervisor([spec], log=False) as sup:
            await end(sup, "a", reason)

    assert [report.context for report in reports] == contexts
    assert [report.reason for report in reports] == [candil.as_exit_reason(reason)] * len(contexts)


async def test_every_start_that_nobody_asked_for_and_fails_is_reported(reports, note):
    """Each attempt of a restart; not one by hand, which told its caller. There is no pid."""
    journal = Journal()
    with candil.subscribe(note):
        async with candil.open_supervisor(
            [worker("a", journal, script=["ok", "e2", "e3"])], log=False
        ) as sup:
            with pytest.raises(candil.StartError):
                await candil.start_child(sup, worker("b", journal, script=["e1"]))
            await end(sup, "a")

    failed = [report for report in reports if report.context == "start_error"]
    assert [(r.offender["id"], r.offender["pid"], r.reason.term) for r in failed] == [
        ("a", None, "e2"),
        ("a", None, "e3"),
    ]


@pytest.mark.parametrize(
    ("restart", "last", "reported"),
    [
        ("permanent", "", False),
        ("permanent", "other", True),
        ("permanent", "normal", True),
        ("permanent", ("shutdown", "x"), True),
        ("transient", "normal", False),
        ("transient", ("shutdown", "x"), False),
        ("temporary", "normal", False),
        ("temporary", "other", True),
    ],
)
async def test_a_child_that_does_not_stop_as_it_was_told_is_reported(
    restart, last, reported, reports, note
):
    """A permanent one should end with shutdown; others may also end in order."""
    with candil.subscribe(note):
        spec = worker("a", Journal(), restart=restart, last=last)
        async with candil.open_supervisor([spec], log=False):
            pass

    assert [report.context for report in reports] == ["shutdown_error"] * reported
    assert [report.reason for report in reports] == [candil.as_exit_reason(last)] * reported


async def test_a_child_that_takes_too_long_is_reported_as_killed(reports, note, autojump_clock):
    """A brutal kill that was asked for is not."""
    specs = [
        worker("slow", Journal(), hang=60.0, shutdown=1.0),
        worker("brutal", Journal(), shutdown="brutal_kill"),
    ]
    with candil.subscribe(note):
        async with candil.open_supervisor(specs, log=False):
            pass

    assert [(report.context, report.reason, report.offender["id"]) for report in reports] == [
        ("shutdown_error", candil.Killed(), "slow")
    ]


async def test_a_supervisor_that_gives_up_reports_it_last(reports, note):
    """After the end that was one too many."""
    with candil.subscribe(note), pytest.raises(candil.RestartIntensityExceeded):
        async with candil.open_supervisor(
            workers("a", Journal()), max_restarts=0, name="root", log=False
        ) as sup:
            Worker.crash(await pid_of(sup, "a"))
            await settle()

    assert [report.context for report in reports] == ["child_terminated", "shutdown"]
    assert type(reports[0].reason.exception) is Boom
    assert reports[1].reason == candil.Exit("reached_max_restart_intensity")


async def test_starts_are_told_as_events_too():
    """Of the first incarnation and of those that follow; not of one that is ignored."""
    starts = []

    def note(event):
        if isinstance(event, candil.ChildStarted):
            starts.append(event)

    specs = [worker("a", Journal()), worker("b", Journal(), script=["ignore"])]
    with candil.subscribe(note):
        async with candil.open_supervisor(specs, name="root", log=False) as sup:
            first = await pid_of(sup, "a")
            await kill(sup, "a")
            second = await pid_of(sup, "a")

    assert starts == [
        candil.ChildStarted("root", "a", first),
        candil.ChildStarted("root", "a", second, restarted=True),
    ]


async def test_stops_are_told_as_events_too():
    """Of a child that was stopped, and of one whose restart is cancelled while it is delayed."""
    stops = []

    def note(event):
        if isinstance(event, candil.ChildStopped):
            stops.append(event)

    later = candil.Backoff(initial=600, maximum=600, jitter=0)
    specs = [worker("a", Journal()), attrs.evolve(worker("b", Journal()), backoff=later)]
    async with candil.open_supervisor(specs, name="root", log=False) as sup:
        with candil.subscribe(note):
            await candil.terminate_child(sup, "a")
            await kill(sup, "b")
            assert stops == [candil.ChildStopped("root", "a")]
            await candil.terminate_child(sup, "b")

    assert stops == [candil.ChildStopped("root", "a"), candil.ChildStopped("root", "b")]


async def test_a_spec_keeps_what_tells_others_of_its_kind():
    """The supervisor gives it back; it does not make two specs differ."""
    kind = object()
    spec = attrs.evolve(worker("a", Journal()), metadata=kind)
    async with candil.open_supervisor([spec], log=False) as sup:
        assert (await candil.get_childspec(sup, "a")).metadata is kind


async def test_siblings_that_are_found_dead_tell_why(reports, note):
    """Their own reason, out of the exit signals that wait; they were told to end too late."""
    with candil.subscribe(note):
        async with candil.open_supervisor(
            workers("abcd", Journal()), strategy="one_for_all", log=False
        ) as sup:
            await end_all(sup, "a", "b", "d")

    told = [(report.context, report.offender["id"], report.reason) for report in reports]
    assert told == [
        ("child_terminated", "a", candil.Exit("boom")),
        ("shutdown_error", "d", candil.Exit("boom")),
        ("shutdown_error", "b", candil.Exit("boom")),
    ]


async def test_a_child_that_cut_its_link_and_died_is_reported_as_noproc(reports, note):
    """Nobody told the supervisor, so that is all it knows."""

    async def cut_and_die():
        candil.unlink(candil.process_info(candil.self()).parent)

    with candil.subscribe(note):
        async with candil.open_supervisor([candil.child_spec(cut_and_die)], log=False):
            await settle()
            assert reports == []

    assert [(report.context, report.reason) for report in reports] == [
        ("shutdown_error", candil.NoProcess())
    ]


async def test_children_of_a_template_that_stop_oddly_are_reported_together_by_reason(
    reports, note
):
    """One report a reason with the number of those who ended so, however many there were."""

    async def end_with(reason):
        candil.trap_exit(True)
        await candil.receive(candil.ExitSignal)
        raise candil.ProcessExit(reason)

    template = candil.child_spec(end_with, id="odd")
    with candil.subscribe(note):
        async with candil.open_supervisor(
            [template], strategy="simple_one_for_one", log=False
        ) as sup:
            for reason in ("x", "shutdown", ["y"], "x"):
                await candil.start_child(sup, [reason])
            await settle()

    told = [
        (report.context, report.reason, report.offender["pid"], report.offender["nb_children"])
        for report in reports
    ]
    assert told == [
        ("shutdown_error", candil.Exit("x"), None, 2),
        ("shutdown_error", candil.Exit(["y"]), None, 1),
    ]
    assert "each of 2 children 'odd' did not stop as it was told" in candil.describe_event(
        reports[0]
    )


ADVICE = (
    "; a permanent child is started again also after a normal end: "
    "use restart='transient' for work that ends"
)


async def test_a_permanent_child_that_returns_is_told_of_transient():
    """Each report of its end says it, and the error of its supervisor, however deep it began."""
    told = []

    def tell(event):
        if isinstance(event, candil.SupervisorReport) and event.context == "child_terminated":
            told.append(candil.describe_event(event))

    inner = candil.supervisor_spec([candil.child_spec(do_nothing, id="once")], id="inner")
    with pytest.raises(candil.RestartIntensityExceeded) as raised, candil.subscribe(tell):
        async with candil.open_supervisor([inner], max_restarts=0, log=False):
            await trio.sleep_forever()

    assert raised.value.reason.cause.child_restart == "permanent"
    assert str(raised.value).endswith(
        f"at last since child 'once' ended: it ended normally{ADVICE}"
    )
    assert [line.endswith(f"'once' ended: it ended normally{ADVICE}") for line in told] == [
        *[True] * 4,
        False,
    ]


async def test_a_transient_child_whose_restart_ends_normally_is_told_of_no_transient():
    """It is one; its init stops the start, again and again."""

    class Stops(candil.GenServer):
        starts = 0

        def init(self):
            type(self).starts += 1
            if self.starts > 1:
                candil.stop_self()

    with pytest.raises(candil.RestartIntensityExceeded) as raised:
        async with candil.open_supervisor(
            [candil.child_spec(Stops, name="stops", restart="transient")], log=False
        ):
            await exit_and_settle("stops", "boom")
            await trio.sleep_forever()

    assert raised.value.child_restart == "transient"
    assert str(raised.value).endswith("it ended normally")
