"""A block that is cancelled, or interrupted, in its body or while it is left."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import candil
from candil import Shutdown
from candil._otp.processes import node as node_module
from tests.otp.bodies import clean_up, exit_and_settle


async def test_cancelling_from_outside_cancels_the_body_and_stops_the_processes_in_order() -> None:
    """And only then does the cancellation go on."""
    log = []

    with trio.CancelScope() as scope:
        try:
            async with candil.open_node():
                candil.spawn(clean_up, log, "process")
                await wait_all_tasks_blocked()
                scope.cancel()
                try:
                    await trio.sleep_forever()
                finally:
                    log.append("body")
        finally:
            log.append("block")

    assert scope.cancelled_caught
    assert ["body", "process", "block"] == log


async def test_a_process_does_not_notice_that_its_block_is_cancelled() -> None:
    """It gets a shutdown signal and not a foreign cancellation, so it may trap it."""
    got: list[object] = []

    async def traps() -> None:
        candil.trap_exit(True)
        got.append(await candil.receive())

    with trio.CancelScope() as scope:
        async with candil.open_node():
            candil.spawn_link(traps)
            await wait_all_tasks_blocked()
            scope.cancel()
            await trio.lowlevel.checkpoint()

    assert [Shutdown()] == [message.reason for message in got]


async def test_a_block_entered_in_a_cancelled_scope_is_left_at_the_first_checkpoint() -> None:
    """It neither hangs nor swallows the cancellation."""
    log = []
    with trio.fail_after(5), trio.CancelScope() as scope:
        scope.cancel()
        async with candil.open_node():
            log.append("entered")
            await trio.lowlevel.checkpoint()
            log.append("not here")

    assert scope.cancelled_caught
    assert ["entered"] == log


async def test_a_block_that_is_cancelled_while_it_is_left_finishes_its_processes_first() -> None:
    """Leaving is shielded."""
    log = []

    async def cleans_up(scope: trio.CancelScope) -> None:
        try:
            await candil.receive()
        finally:
            scope.cancel()
            with trio.CancelScope(shield=True):
                for _ in range(5):
                    await trio.lowlevel.checkpoint()
            log.append("clean")

    with trio.CancelScope() as scope:
        async with candil.open_node():
            pid = candil.spawn(cleans_up, scope)
            while candil.process_info(pid).status != "waiting":
                await trio.lowlevel.checkpoint()
        log.append("left")
        await trio.lowlevel.checkpoint()

    assert ["clean", "left"] == log
    assert scope.cancelled_caught


@pytest.mark.parametrize("checkpoints", range(6))
async def test_a_cancellation_at_any_checkpoint_of_a_busy_block_leaves_nothing(
    checkpoints: int,
) -> None:
    """No process, no name, no link, whatever was half done."""

    class Server(candil.GenServer):
        async def init(self) -> None:
            await trio.lowlevel.checkpoint()

        @candil.handle_call
        async def ask(self) -> str:
            await trio.lowlevel.checkpoint()
            return "answer"

    async def countdown(scope: trio.CancelScope) -> None:
        for _ in range(checkpoints):
            await trio.lowlevel.cancel_shielded_checkpoint()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(countdown, scope)
            async with candil.open_node() as node:
                pid = await candil.start_link(Server, name="server")
                await candil.call(pid, "ask")
                candil.monitor(pid)
                await exit_and_settle(pid, "shutdown")
                await candil.receive(int)

        assert scope.cancelled_caught
        assert {} == node.processes == node.runtime.names == node.runtime.nodes
        assert not any([node.opener.links, node.opener.monitors, node.opener.monitored_by])


def test_a_ctrl_c_while_the_block_is_left_kills_what_still_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody has to wait for a process that ignores its shutdown."""
    monkeypatch.setattr(node_module, "CLOSE_SECONDS", 30.0)
    left = threading.Event()

    async def ignores_its_shutdown() -> None:
        candil.trap_exit(True)
        await candil.receive()
        left.set()
        await trio.sleep_forever()

    def interrupt() -> None:
        left.wait(20)
        time.sleep(0.05)  # until the loop waits
        os.kill(os.getpid(), signal.SIGINT)

    async def main() -> None:
        async with candil.open_node(log=False):
            candil.spawn(ignores_its_shutdown)
            await wait_all_tasks_blocked()

    thread = threading.Thread(target=interrupt)
    thread.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    thread.join()

    assert time.monotonic() - started < node_module.CLOSE_SECONDS
