"""
A program that has an engine, for tests that kill it: ``python -m tests.engine.manager``.

Its arguments are the folder of ``llama-server``, a model file, and how.

It says ``ready PID`` with the process id of its ``llama-server`` once that answers. How: ``run``
for `candil.run`, ``open`` for a block, or ``fork`` for a block with a forked copy of the program
beside it, which inherits all its files.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import trio

import candil
from candil import engine


async def announce() -> None:
    """Say when the engine is ready."""
    await engine.await_ready("model")
    print("ready", await engine.EngineServer.os_pid("model"), flush=True)
    await trio.sleep_forever()


def tree(folder: str, file: str) -> candil.SupervisorSpec:
    """One engine, and who announces it."""
    program = engine.Engine(alias="llama", binary_dir=folder, port=0)
    model = engine.Model(
        alias="model", model_dir=Path(file).parent, filename=Path(file).name, context_size=512
    )
    return candil.supervisor_spec(
        [engine.child_spec(program, model), candil.child_spec(announce, id="announce")]
    )


async def block(spec: candil.SupervisorSpec, *, fork: bool) -> None:
    """Have the tree until somebody kills us."""
    async with candil.open_supervisor(spec):
        if fork:
            await engine.await_ready("model")
            if os.fork() == 0:
                time.sleep(60)  # noqa: ASYNC251 - no longer a trio program
                os._exit(0)
        await trio.sleep_forever()


if __name__ == "__main__":
    folder, file, how = sys.argv[1:]
    if how == "run":
        candil.run(tree(folder, file))
    else:
        trio.run(lambda: block(tree(folder, file), fork=how == "fork"))
