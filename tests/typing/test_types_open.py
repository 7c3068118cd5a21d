"""What mypy and pyright make of opening a tree: its options are those of supervisor_spec."""

from __future__ import annotations

from functools import partial
from typing import assert_type

import trio

import candil


class Counter(candil.GenServer):
    """A child."""


async def the_options_of_a_list_of_children_are_known() -> None:
    async with candil.open_supervisor(
        [Counter], strategy="rest_for_one", max_restarts=1, name="root", log=False
    ) as root:
        assert_type(root, candil.Pid[candil.Supervisor])
    await candil.serve([Counter], max_seconds=2.0, auto_shutdown="never", log=False)
    candil.run([Counter], id="root", name=candil.Via("trees", 1), log=False)


async def serve_is_a_task_of_a_nursery(nursery: trio.Nursery) -> None:
    await nursery.start(candil.serve, [Counter])
    await nursery.start(partial(candil.serve, [Counter], strategy="one_for_all"))


async def a_misspelt_or_wrong_option_is_found(pid: candil.Pid[Counter]) -> None:
    candil.run([], max_restart=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    candil.run([], strategy="one_for_none")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    candil.run([], name=pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    candil.open_supervisor([], max_second=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    candil.open_supervisor([], max_restarts="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await candil.serve([], stratgy="one_for_all")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await candil.serve([], auto_shutdown=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
