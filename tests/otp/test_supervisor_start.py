"""What a child's start may give: a process, nothing, or a failure."""

import types

import pytest
import trio

import candil
from candil._otp.supervisors.child import Child

from .workers import Boom, Journal, Worker, end, is_gone, kill, pid_of, shown, worker

# --- start functions ------------------------------------------------------------------------------


def starting(function, **options):
    """Give the spec of a child that *function* starts."""
    return candil.child_spec(candil.StartFunction(function), id="f", **options)


async def test_a_start_function_may_return_a_pid_alone_or_with_anything_beside_it():
    """Restarts ignore what stands beside the pid."""
    journal = Journal()

    async def plain():
        return await candil.start_link(Worker, "p", journal, [], True, 0.0, "")

    async def extra():
        return await candil.start_link(Worker, "e", journal, [], True, 0.0, ""), {"port": 1}

    specs = [starting(plain), candil.child_spec(candil.StartFunction(extra))]
    async with candil.open_supervisor(specs, log=False) as sup:
        assert await shown(sup) == {"extra": "up", "f": "up"}
        await kill(sup, "extra")
        assert journal.take() == ["start p", "start e", "start e"]

    assert journal == ["terminate e shutdown", "terminate p shutdown"]


async def test_what_stands_beside_the_pid_goes_to_who_asked():
    """OTP's {ok, Child, Info}, from start_child and restart_child alike."""
    extras = iter("abc")

    async def function():
        return await candil.start_link(candil.GenServer), next(extras)

    async with candil.open_supervisor([], log=False) as sup:
        first = await candil.start_child(sup, starting(function))
        await candil.terminate_child(sup, "f")
        second = await candil.restart_child(sup, "f")

        assert (first.extra, second.extra) == ("a", "b")
        assert (isinstance(first, candil.StartedChild), is_gone(first.pid)) == (True, True)
        assert second == (await pid_of(sup, "f"), "b")


async def test_what_stands_beside_the_pid_comes_from_a_template_too():
    """Each start of a child has its own."""

    async def function(extra):
        return await candil.start_link(candil.GenServer), extra

    async with candil.open_supervisor(
        [starting(function)], strategy="simple_one_for_one", log=False
    ) as sup:
        started = await candil.start_child(sup, [None])

        assert started.extra is None
        assert candil.is_alive(started.pid)


@pytest.mark.parametrize(
    ("result", "reason"),
    [(1, candil.Exit(1)), (None, candil.Exit(None)), (("no", "pid"), candil.Exit(("no", "pid")))],
)
async def test_a_start_function_that_returns_anything_else_has_failed_with_it(result, reason):
    """Any other value is the reason of the failed start."""

    async def function():
        return result

    async with candil.open_supervisor([], log=False) as sup:
        with pytest.raises(candil.StartError) as caught:
            await candil.start_child(sup, starting(function))

    assert caught.value.reason == reason


async def test_a_start_function_that_raises_or_exits_has_failed_with_exit():
    """OTP's {'EXIT', Reason}: the supervisor survives what runs in it."""
    boom = Boom()

    async def raises():
        raise boom

    async def exits():
        raise candil.ProcessExit("why")

    async def registers():
        candil.register("", candil.self())

    async with candil.open_supervisor([], log=False) as sup:
        reasons = []
        for function in (raises, exits, registers):
            with pytest.raises(candil.StartError) as caught:
                await candil.start_child(sup, starting(function))
            reasons.append(caught.value.reason)

        assert reasons[0] == candil.Exit(("EXIT", candil.Crashed(boom)))
        assert reasons[1] == candil.Exit(("EXIT", candil.Exit("why")))
        assert isinstance(reasons[2].term[1].exception, candil.RegistrationError)
        assert await shown(sup) == {}


async def test_a_system_exit_in_a_start_function_does_not_end_the_supervisor():
    """A start function is foreign code; what it raises is a failed start."""

    async def leaves():
        raise SystemExit(9)

    async with candil.open_supervisor([], log=False) as sup:
        with pytest.raises(candil.StartError):
            await candil.start_child(sup, starting(leaves))

        assert candil.is_alive(sup)


class Odd(BaseException):
    """As ``asyncio.CancelledError``, or what ``pytest.fail`` raises."""


async def leak_a_cancellation():
    """Raise a ``Cancelled`` where nothing is cancelled."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            leaked = cancelled
    raise leaked


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Odd("o"), candil.Crashed),
        (BaseExceptionGroup("g", [Odd("o"), Boom("b")]), candil.Crashed),
        (BaseExceptionGroup("g", [SystemExit(1)]), candil.Crashed),
        (ExceptionGroup("g", [candil.ProcessExit("why")]), candil.Exit),
        (None, candil.Crashed),
    ],
    ids=["bare", "group", "group of SystemExit", "group of ProcessExit", "leaked"],
)
async def test_whatever_a_start_function_raises_is_a_failed_start(error, reason):
    """No exception of its makes the supervisor crash; it is tried again, as after any other."""
    starts = 0

    async def function():
        nonlocal starts
        starts += 1
        if starts == 2:
            if error is None:
                await leak_a_cancellation()
            raise error
        return await candil.start_link(Worker, "f", Journal(), [], True, 0.0, "")

    reports = []
    async with candil.open_supervisor([starting(function)], log=False) as sup:
        with candil.subscribe(reports.append):
            await kill(sup, "f")
        assert await shown(sup) == {"f": "up"}

    failed = reports[2].reason.term  # after the two that tell of the end
    assert failed[0] == "EXIT"
    assert isinstance(failed[1], reason)
    assert starts == 3


@pytest.mark.parametrize("around", [lambda error: error, lambda e: BaseExceptionGroup("g", [e])])
async def test_a_ctrl_c_in_a_start_function_stops_the_tree(around):
    """It is the program's end, and no failed start."""

    async def function():
        raise around(KeyboardInterrupt())

    journal = Journal()
    with pytest.raises(KeyboardInterrupt):
        async with candil.open_supervisor([worker("a", journal)], log=False) as sup:
            await candil.start_child(sup, starting(function))

    assert journal == ["start a", "terminate a shutdown"]


@types.coroutine
def wait_for_ever():
    """Wait for what no scheduler knows."""
    yield


def test_a_start_function_that_is_dropped_has_not_failed():
    """The GeneratorExit goes on to whoever drops it."""

    async def function():
        await wait_for_ever()

    child = Child(starting(function))
    start = child.start(None)
    start.send(None)
    start.close()

    assert start.cr_frame is None


async def test_a_start_function_that_ignores_has_nothing_to_run():
    """IGNORE from the function itself, or from the server that it starts."""

    async def itself():
        return candil.IGNORE

    async def its_server():
        return await candil.start_link(Worker, "p", Journal(), ["ignore"], True, 0.0, "")

    async with candil.open_supervisor([starting(itself)], log=False) as sup:
        second = candil.child_spec(candil.StartFunction(its_server), id="g")
        assert await candil.start_child(sup, second) is None
        assert await shown(sup) == {"g": "stopped", "f": "stopped"}


async def test_a_name_that_is_taken_outside_the_supervisor_fails_the_start():
    """The error carries the pid that is there, which is not touched."""
    journal = Journal()
    async with candil.open_supervisor([], log=False) as sup:
        other = await candil.start(Worker, "o", journal, [], False, 0.0, "", name="taken")

        async def function():
            return await candil.start_link(Worker, "p", journal, [], True, 0.0, "", name="taken")

        for spec in (starting(function), worker("w", journal, name="taken")):
            with pytest.raises(candil.AlreadyStarted) as caught:
                await candil.start_child(sup, spec)
            assert caught.value.pid == other
            assert caught.value.child_id == spec.id
        assert await shown(sup) == {}
        assert candil.is_alive(other)


# --- ignore ---------------------------------------------------------------------------------------


async def test_a_child_that_wants_to_be_ignored_is_kept_without_a_process():
    """It can be restarted by hand; a temporary one is dropped at once."""
    journal = Journal()
    specs = [
        worker("a", journal, script=["ignore"]),
        worker("b", journal, script=["ignore"], restart="temporary"),
        worker("t", journal, script=["ignore"], restart="transient"),
        worker("c", journal),
    ]
    async with candil.open_supervisor(specs, log=False) as sup:
        assert await shown(sup) == {"c": "up", "t": "stopped", "a": "stopped"}
        assert await candil.count_children(sup) == candil.ChildCounts(3, 1, 0, 3)
        assert await candil.restart_child(sup, "a") == await pid_of(sup, "a")


async def test_a_restart_that_is_ignored_is_not_retried():
    """One restart was counted, and no more; the child is kept without a process."""
    journal = Journal()
    specs = [worker("a", journal, script=["ok", "ignore"]), worker("b", journal)]
    async with candil.open_supervisor(specs, max_restarts=1, log=False) as sup:
        await end(sup, "a")

        assert journal.take()[2:] == ["terminate a boom", "ignore a"]
        assert await shown(sup) == {"b": "up", "a": "stopped"}
        assert (await candil.sys.get_state(sup)).window.count == 1


async def test_a_supervisor_spec_takes_no_further_arguments():
    """They would be lost: the spec says all."""
    async with candil.open_node(log=False):
        with pytest.raises(TypeError, match="takes no further arguments"):
            await candil.start(candil.supervisor_spec([]), 1)
        with pytest.raises(TypeError, match="takes no further arguments"):
            await candil.start(candil.supervisor_spec([]), strategy="one_for_all")
