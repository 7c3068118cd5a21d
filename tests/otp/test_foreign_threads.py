"""Threads that trio does not run in: told to take the way through ``trio.from_thread``."""

import asyncio

import pytest
import trio

import candil


class Plain(candil.GenServer):
    """Counts what it is sent."""

    def __init__(self) -> None:
        self.count = 0

    @candil.handle_call
    async def counted(self) -> int:
        return self.count

    def handle_info(self, _message: object) -> None:
        self.count += 1


async def test_a_send_from_a_foreign_thread_raises_and_breaks_nothing():
    """The server still wakes for the next message."""
    async with candil.open_node(log=False):
        pid = await candil.start(Plain)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match=r"another thread goes through trio\.from_thread"):
            await trio.to_thread.run_sync(candil.send, pid, 1)
        assert 0 == await Plain.counted(pid)
        await trio.to_thread.run_sync(trio.from_thread.run_sync, candil.send, pid, 2)
        assert 1 == await Plain.counted(pid)


async def test_an_exit_from_a_foreign_thread_raises_and_has_not_happened():
    """And says how it is done."""
    async with candil.open_node(log=False):
        pid = await candil.start(Plain)
        with pytest.raises(RuntimeError, match="from_thread"):
            await trio.to_thread.run_sync(candil.exit_nowait, pid, "boom")
        assert candil.is_alive(pid)
        await trio.to_thread.run_sync(trio.from_thread.run_sync, candil.exit_nowait, pid, "boom")
        await trio.testing.wait_all_tasks_blocked()
        assert not candil.is_alive(pid)


@pytest.mark.parametrize(
    "act",
    [
        lambda: candil.whereis("plain"),
        lambda: candil.send("plain", 1),
        lambda: candil.cast("plain", 1),
        lambda: candil.spawn(trio.sleep_forever),
        lambda: candil.emit("event"),
    ],
)
async def test_who_uses_a_name_in_a_foreign_thread_is_told_the_way(act):
    """In words of candil's, which trio's own cannot give."""
    async with candil.open_node(log=False):
        await candil.start(Plain, name="plain")
        with pytest.raises(RuntimeError, match=r"another thread goes through trio\.from_thread"):
            await trio.to_thread.run_sync(act)


def test_a_program_of_asyncio_is_told_that_candil_is_of_trio():
    """By whatever it tries first."""

    async def opens():
        async with candil.open_supervisor([Plain]):
            pass

    async def calls():
        await Plain.counted("plain")

    for main in (opens, calls):
        with pytest.raises(RuntimeError, match=r"trio\.run\(main\), not with asyncio\.run"):
            asyncio.run(main())
