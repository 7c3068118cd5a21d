"""
A program that has an engine, for tests that kill it: ``python -m tests.engine.manager``.

Its arguments are the folder of ``llama-server``, a model file, and how.

It says ``ready PID URL`` with the process id and the address of its ``llama-server`` once that
answers. How: ``run`` for `candil.run`, ``drain`` for the same with a minute for running answers,
``open`` for a block, ``fork`` for a block with a forked copy of the program beside it, which
inherits all its files, or ``wait`` for a block whose engine stays away for long when it was killed.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

import trio

import candil
from candil import engine


async def announce() -> None:
    """Say when the engine is ready."""
    url = await engine.wait_ready("model")
    print("ready", await engine.EngineServer.os_pid("model"), url, flush=True)
    await trio.sleep_forever()


def tree(folder: str, file: str, how: str) -> candil.SupervisorSpec:
    """One engine, and who announces it."""
    words = ("--threads", "1")
    program = engine.Engine(alias="llama", binary_dir=folder, port=0, start_args=words)
    context = 65_536 if how == "drain" else 512  # room for an answer that lasts
    model = engine.Model(
        alias="model", model_dir=Path(file).parent, filename=Path(file).name, context_size=context
    )
    backoff = candil.Backoff(initial=60, maximum=60) if how == "wait" else None
    timing = engine.Timing(drain_timeout=60) if how == "drain" else None
    return candil.supervisor_spec(
        [
            engine.child_spec(program, model, backoff=backoff, timing=timing),
            candil.child_spec(announce, id="announce"),
        ]
    )


async def block(spec: candil.SupervisorSpec, *, fork: bool) -> None:
    """Have the tree until somebody kills us."""
    async with candil.open_supervisor(spec):
        if fork:
            await engine.wait_ready("model")
            if ctypes.CDLL(None).fork() == 0:  # as a library in C: no handler of Python runs
                time.sleep(60)  # noqa: ASYNC251 - no longer a trio program
                os._exit(0)
        await trio.sleep_forever()


if __name__ == "__main__":
    folder, file, how = sys.argv[1:]
    spec = tree(folder, file, how)
    if how in {"run", "drain"}:
        candil.run(spec)
    else:
        trio.run(lambda: block(spec, fork=how == "fork"))
