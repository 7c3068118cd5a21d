"""What a server ends with when a callback raises, or returns what it may not."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio
import trio.testing

import candil
from tests.otp.bodies import BOOM, raise_
from tests.otp.recorders import every_callback
from tests.otp.servers import Recorder, Trapper


@pytest.mark.parametrize(
    ("callback", "act"),
    [
        ("told", lambda pid: Recorder.told(pid, lambda: "bad")),
        ("told_async", lambda pid: Recorder.told_async(pid, lambda: "bad")),
        ("handle_cast", lambda pid: candil.cast(pid, lambda: "bad")),
        ("handle_info", lambda pid: candil.send(pid, lambda: "bad")),
        (
            "handle_continue",
            lambda pid: Recorder.told(pid, lambda: candil.continue_with(lambda: "bad")),
        ),
    ],
)
async def test_a_value_where_none_is_due_crashes_the_server(callback: str, act: Any) -> None:
    """OTP's bad_return_value, which terminate gets as its reason too."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Recorder, log)
        act(pid)
        reason = (await candil.receive(candil.Down)).reason
        assert isinstance(reason.exception, candil.BadReturnValue)
        assert (reason.exception.callback, reason.exception.value) == (callback, "bad")
        assert log == [("terminate", reason)]


@every_callback
@pytest.mark.parametrize(
    "error",
    [ValueError("x"), GeneratorExit(), ExceptionGroup("two", [OSError(), KeyError()])],
    ids=repr,
)
@pytest.mark.parametrize("kind", [Recorder, Trapper])
async def test_what_a_callback_raises_is_the_servers_end(
    kind: type[Recorder], error: BaseException, act: Any
) -> None:
    """The very exception, in terminate and in the exit reason; what is queued is never handled."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(kind, log)
        act(pid, lambda: raise_(error))
        candil.send(pid, "queued")
        reason = (await candil.receive(candil.Down)).reason
        assert reason == candil.Crashed(error)
        assert log == [("terminate", reason)]


@every_callback
@pytest.mark.parametrize(
    "reason", [candil.Normal(), candil.Shutdown("detail"), candil.Killed(), BOOM], ids=repr
)
@pytest.mark.parametrize("kind", [Recorder, Trapper])
async def test_process_exit_in_a_callback_ends_the_server_with_its_reason(
    kind: type[Recorder], reason: candil.ExitReason, act: Any
) -> None:
    """OTP's exit/1: terminate runs with just that reason, whichever it is."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(kind, log)
        act(pid, lambda: raise_(candil.ProcessExit(reason)))
        assert (await candil.receive(candil.Down)).reason == reason
        assert log == [("terminate", reason)]


@every_callback
@pytest.mark.parametrize(
    "error", [SystemExit(3), BaseExceptionGroup("one", [SystemExit(3)])], ids=repr
)
async def test_system_exit_in_a_callback_is_a_crash(error: BaseException, act: Any) -> None:
    """A server cannot end the program by accident, alone or from a nursery; terminate runs."""
    log: list[Any] = []
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Recorder, log)
        act(pid, lambda: raise_(error))
        reason = (await candil.receive(candil.Down)).reason
        assert reason == candil.Crashed(error)
        assert log == [("terminate", reason)]


# --- what is nobody's to raise


async def a_cancelled() -> trio.Cancelled:
    """Get hold of a Cancelled as nobody should."""
    caught: list[trio.Cancelled] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            caught.append(cancelled)
            raise
    return caught.pop()


@pytest.mark.parametrize("way", ["in place", "message", "async"])
async def test_a_cancelled_that_a_handler_stored_is_a_crash(way: str) -> None:
    """It is not taken for a cancellation: the reason says what was done."""
    log: list[Any] = []
    stored = await a_cancelled()
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Recorder, log)
        await trio.testing.wait_all_tasks_blocked()
        if way == "message":
            candil.send(pid, lambda: raise_(stored))
        else:
            client = Recorder.act if way == "async" else Recorder.act_at_once
            with pytest.raises(candil.ServerExited):
                await client(pid, lambda: raise_(stored))
        reason = (await candil.receive(candil.Down)).reason
        assert isinstance(reason.exception, candil.LeakedCancellation)
        assert reason.exception.__cause__ is stored
        assert log == [("terminate", reason)]


async def test_a_cancelled_in_a_group_is_a_crash_with_that_group() -> None:
    """A stored Cancelled among other errors is no cancellation either."""
    log: list[Any] = []
    error = BaseExceptionGroup("both", [await a_cancelled(), ValueError()])
    async with candil.open_node(log=False):
        pid, _ = await candil.start_monitor(Recorder, log)
        candil.send(pid, lambda: raise_(error))
        reason = (await candil.receive(candil.Down)).reason
        assert reason == candil.Crashed(error)
        assert log == [("terminate", reason)]


INTERRUPTS: dict[str, Any] = {
    "in place": lambda pid: Recorder.act_at_once(pid, lambda: raise_(KeyboardInterrupt())),
    "async": lambda pid: Recorder.act(pid, lambda: raise_(KeyboardInterrupt())),
    "message": lambda pid: candil.send(pid, lambda: raise_(KeyboardInterrupt())),
    "group": lambda pid: candil.send(
        pid, lambda: raise_(BaseExceptionGroup("from a nursery", [KeyboardInterrupt()]))
    ),
}


@pytest.mark.parametrize("way", INTERRUPTS)
async def test_keyboard_interrupt_in_a_handler_ends_the_block_with_it(way: str) -> None:
    """Ctrl-C is the program's and no server's: all processes stop in order, and it goes on."""
    log: list[Any] = []

    async def block() -> None:
        async with candil.open_node(log=False):
            pid = await candil.start(Recorder)
            await candil.start_link(Trapper, log)
            await trio.testing.wait_all_tasks_blocked()
            with contextlib.suppress(candil.ServerExited):
                waits = INTERRUPTS[way](pid)
                if waits is not None:
                    await waits
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await block()
    assert [what for what, _ in log] == ["terminate"]


@pytest.mark.parametrize("seconds", [0.0, 1.0])
async def test_a_server_that_ctrl_c_finds_at_work_cleans_up_too(seconds, autojump_clock):
    """It is the one that has something to save; then everything stops in order."""
    log = []

    class Working(candil.GenServer):
        def init(self) -> None:
            candil.trap_exit(True)

        @candil.handle_cast
        def work(self) -> None:
            raise KeyboardInterrupt

        async def terminate(self, reason: candil.ExitReason) -> None:
            crashed = isinstance(reason, candil.Crashed)
            await trio.sleep(seconds if crashed else 0)
            log.append(type(reason).__name__)

    with pytest.raises(KeyboardInterrupt):
        async with candil.open_supervisor(
            [candil.child_spec(Working, id=number) for number in range(3)], log=False
        ) as sup:
            children = await candil.which_children(sup)
            Working.work(children[-1].child)  # the first to start is the last to be stopped
            await trio.sleep_forever()

    assert sorted(log) == ["Crashed", "Shutdown", "Shutdown"]
    assert trio.current_time() <= 3 * seconds + 1
