"""What Erlang does with intervals is what candil does."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock

import candil

from . import data, fresh

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

INTERVAL = 0.02

BY_ERLANG = {
    "holder_ends": "none",
    "name_moves": "some",
    "name_moves_and_first_holder_ends": "none",
    "no_holder": "none",
    "ended_pid": "none",
    "late": "all",
}


async def _until_finish() -> None:
    await candil.receive("finish".__eq__)


async def _finish(pid: candil.Pid[Any]) -> None:
    ref = candil.monitor(pid)
    candil.send(pid, "finish")
    await candil.receive(lambda message: isinstance(message, candil.Down) and message.ref is ref)


async def _taken() -> str:
    """Tell whether ticks come in some intervals."""
    await trio.sleep(10 * INTERVAL)
    return "some" if candil.process_info(candil.self()).message_queue_len else "none"


async def _holder_ends(_clock: MockClock) -> str:
    first = candil.spawn(_until_finish, name="worker")
    candil.start_interval("worker", "tick", INTERVAL)
    await _finish(first)
    candil.register("worker", candil.self())
    return await _taken()


async def _name_moves(_clock: MockClock) -> str:
    candil.spawn(_until_finish, name="worker")
    candil.start_interval("worker", "tick", INTERVAL)
    candil.unregister("worker")
    candil.register("worker", candil.self())
    return await _taken()


async def _name_moves_and_first_holder_ends(_clock: MockClock) -> str:
    first = candil.spawn(_until_finish, name="worker")
    candil.start_interval("worker", "tick", INTERVAL)
    candil.unregister("worker")
    candil.register("worker", candil.self())
    await _finish(first)
    return await _taken()


async def _no_holder(_clock: MockClock) -> str:
    candil.start_interval("worker", "tick", INTERVAL)
    candil.register("worker", candil.self())
    return await _taken()


async def _ended_pid(_clock: MockClock) -> str:
    pid = candil.spawn(_until_finish)
    await _finish(pid)
    candil.start_interval(pid, "tick", INTERVAL)
    return await _taken()


async def _late(clock: MockClock) -> str:
    candil.start_interval(candil.self(), "tick", INTERVAL)
    clock.jump(10.5 * INTERVAL)
    await trio.sleep(INTERVAL)
    return "all" if candil.process_info(candil.self()).message_queue_len == 11 else "some"


RULES: dict[str, Callable[[MockClock], Awaitable[str]]] = {
    "holder_ends": _holder_ends,
    "name_moves": _name_moves,
    "name_moves_and_first_holder_ends": _name_moves_and_first_holder_ends,
    "no_holder": _no_holder,
    "ended_pid": _ended_pid,
    "late": _late,
}


@pytest.mark.parametrize("name", BY_ERLANG)
async def test_an_interval_does_what_it_did_in_erlang(name: str, autojump_clock: MockClock) -> None:
    """Whom it is sent to, when it ends, and that none is left out."""
    async with candil.open_node(log=False):
        assert BY_ERLANG[name] == await RULES[name](autojump_clock)


@pytest.mark.slow
@pytest.mark.erlang
@fresh.MARKS[-1]
def test_erlang_still_does_what_is_written_here() -> None:
    """The answers that candil is compared with are those of the Erlang at hand."""
    played = subprocess.run(
        ["escript", str(data.HERE / "intervals.escript")],
        check=True,
        capture_output=True,
        text=True,
    )

    assert BY_ERLANG == dict(line.split() for line in played.stdout.splitlines())
