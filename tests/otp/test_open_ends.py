"""How a tree that is open can end without being asked to."""

import math
import signal

import pytest
import trio
import trio.lowlevel

import candil

from .bodies import exit_and_settle, leave, send_exit
from .workers import Boom, Journal, Worker, end, is_gone, kill, opened, pid_of, worker, workers

# --- the root ends by itself ----------------------------------------------------------------------


async def test_a_root_that_gives_up_cancels_the_body_and_says_why():
    """The exception has the history and the cause, and its text tells the story."""
    left = []
    with pytest.raises(candil.RestartIntensityExceeded) as caught:
        async with opened(workers("ab", Journal()), name="root", max_restarts=1) as sup:
            try:
                await kill(sup, "b")
                Worker.crash(await pid_of(sup, "a"))
                await trio.sleep_forever()
            finally:
                left.append("body")

    error = caught.value
    assert left == ["body"]
    assert (error.supervisor, error.child_id) == ("root", "a")
    assert (error.restarts, error.max_restarts, error.max_seconds) == (2, 1, 5.0)
    assert isinstance(error.__cause__, Boom)
    assert error.reason == candil.Crashed(error.__cause__)
    assert error.history == (("b", candil.Killed()), ("a", error.reason))
    assert "supervisor 'root' gave up: 2 restarts within 5 s, 1 allowed" in str(error)
    assert "child 'a'" in str(error)


async def test_the_history_holds_the_last_ten_crashes():
    """However many there were."""
    with pytest.raises(candil.RestartIntensityExceeded) as caught:
        async with opened(workers("a", Journal()), max_restarts=14, max_seconds=60.0) as sup:
            for number in range(15):
                await end(sup, "a", number)

    assert [reason.term for _, reason in caught.value.history] == list(range(5, 15))


async def test_an_escalation_carries_the_innermost_cause():
    """The root's error names its own child; the chain of causes leads to the crash."""
    inner = candil.supervisor_spec(workers("x", Journal()), id="inner", name="in", max_restarts=0)
    with pytest.raises(candil.RestartIntensityExceeded) as caught:
        async with opened([inner], max_restarts=0):
            Worker.crash(await pid_of("in", "x"))
            await trio.sleep_forever()

    assert caught.value.child_id == "inner"
    assert isinstance(caught.value.__cause__, candil.RestartIntensityExceeded)
    assert caught.value.__cause__.child_id == "x"
    assert isinstance(caught.value.__cause__.__cause__, Boom)


async def test_an_exception_of_the_body_goes_before_a_root_that_gives_up():
    """What the body raises while it is cancelled leaves the block."""
    with pytest.raises(Boom):
        async with opened(workers("a", Journal()), max_restarts=0) as sup:
            try:
                await kill(sup, "a")
            finally:
                raise Boom


async def test_auto_shutdown_ends_the_block_without_an_exception():
    """The body is cancelled, and what follows the block runs."""
    spec = worker("a", Journal(), restart="temporary", significant=True)
    reached = False
    async with opened([spec], auto_shutdown="any_significant") as sup:
        await end(sup, "a")
        reached = True

    assert not reached


async def test_a_root_that_is_stopped_ends_the_block_without_an_exception():
    """Somebody wanted it so."""
    journal = Journal()
    async with opened(workers("a", journal)) as sup:
        await candil.stop(sup)

    assert journal == ["start a", "terminate a shutdown"]


async def test_a_root_that_is_killed_leaves_as_process_terminated():
    """It could not stop its children in order; they are ended all the same."""
    with pytest.raises(candil.ProcessTerminated) as caught:
        async with opened(workers("a", Journal())) as sup:
            child = await pid_of(sup, "a")
            await exit_and_settle(sup, "kill")
            await trio.sleep_forever()

    assert caught.value.reason == candil.Killed()
    assert is_gone(child)


async def test_a_block_that_is_ended_by_exit_stops_its_tree_in_order():
    """Whoever sent the signal."""
    journal = Journal()
    with pytest.raises(candil.ProcessTerminated) as caught:
        async with opened(workers("ab", journal)):
            candil.spawn(send_exit, candil.self(), "boom")
            await trio.sleep_forever()

    assert caught.value.reason == candil.Exit("boom")
    assert journal[2:] == ["terminate b shutdown", "terminate a shutdown"]


async def test_a_block_that_traps_exits_ends_with_its_root_all_the_same():
    """There would be nothing left to run for."""

    async def block():
        async with opened([candil.child_spec(leave, "boom")], max_restarts=0):
            candil.trap_exit(True)
            await trio.sleep_forever()

    with trio.fail_after(20), pytest.raises(candil.RestartIntensityExceeded):
        await block()


# --- Ctrl-C ---------------------------------------------------------------------------------------


async def interrupt():
    """Press Ctrl-C where no process is hit by it; trio hands it to the block's own task."""
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("hit", ["the block", "a process"])
def test_a_second_ctrl_c_kills_what_still_stops(hit):
    """The first is in the body, and stops in order; no program hangs because a terminate does."""
    journal = Journal()

    class Hanging(candil.GenServer):
        def init(self):
            candil.trap_exit(True)

        async def terminate(self, reason):
            journal.append("terminate")
            if hit == "a process":
                raise KeyboardInterrupt
            trio.lowlevel.spawn_system_task(interrupt)
            await trio.sleep_forever()

    async def main():
        async with opened([candil.child_spec(Hanging, shutdown=math.inf)]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert journal == ["terminate"]
