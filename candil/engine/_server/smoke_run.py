"""
Trying a ``llama-server`` on a model of candil's own, before it is given one of a user.

A program that was built for another CPU starts, names its version, and is killed by SIGILL at the
first computation. So the trial loads the tiny model (`tiny_gguf`) and waits until it is served,
which takes about 0.1 s once for each program (`usable_binaries`).

1. The program runs under a guard, as every engine: nothing is left of it, however candil ends.
2. Only what another trial would meet again is an error. A shortage, a busy machine and a crash
   decide nothing: the start of the engine itself will show what is wrong.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple, Unpack, final

import attrs
import trio

from candil.engine._config.addresses import url
from candil.engine._config.command import environment
from candil.engine._config.engine import Engine, binary_exists, binary_path, missing_binary
from candil.engine._config.errors import BinaryUnusable, EngineError
from candil.engine._config.os_errors import as_shortage, is_shortage
from candil.engine._config.tiny_gguf import tiny_gguf
from candil.engine._guard.os_process import OsProcess
from candil.engine._http.probe import Probe, ProbeResult
from candil.engine._system.cpu import this_cpu
from candil.engine._system.ports import PortLease
from candil.engine._system.processes import read_stat
from candil.engine._system.unusable import on_noexec, why_unusable
from candil.engine._system.usable_binaries import (
    Identity,
    identify,
    is_tried,
    note_tried,
    note_usable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from candil.engine._config.exit_status import ExitStatus

T = TypeVar("T")
Args = TypeVarTuple("Args")

_HOST: Final = "127.0.0.1"
_LONGEST_START: Final = 60.0  # of the guard, an interpreter
_LONGEST: Final = 20.0
_LONGEST_IDLE: Final = 2.0  # without a word, an answer on its port, and any work
_ANSWER_SECONDS: Final = 1.0
_WAITS_FOR_DISK: Final = "D"
_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.05


@final
@attrs.define
class _Trial:
    """
    What a trial showed.

    Attributes:
        served: Whether the program served the model.
        status: How it ended; ``None`` if it did not, or if nothing is known.
        lines: What it wrote.
    """

    served: bool = False
    status: ExitStatus | None = None
    lines: tuple[str, ...] = ()


async def check_binary(engine: Engine) -> None:
    """
    Check that *engine*'s program runs on this machine: it must load a model, of candil's own.

    `start`, and each start of an engine, do so by themselves. That a program runs is remembered
    in the user's cache, until the program or the CPU is another one. When the check comes to no
    result, because the machine is too busy or lacks memory, it passes.

    Raises:
        BinaryNotFound: There is no executable program.

        BinaryUnusable: It was built for another CPU or system, or a part of it is missing.

        OSError: The system has no thread left to look at the disk with.

    Cancellation:
        Safe; the program is killed, and its death awaited.
    """
    identity = await _in_thread(_untried, engine)
    if identity is None:
        return
    program = binary_path(engine)
    trial = await _try(program)
    if trial.status is not None:
        detail = await _in_thread(why_unusable, program, trial.status, trial.lines, this_cpu())
        if detail is not None:
            raise BinaryUnusable(program, detail, trial.lines)
    await _in_thread(note_usable if trial.served else note_tried, identity)


async def _in_thread(
    function: Callable[[Unpack[Args]], T], *args: *Args, abandon: bool = True
) -> T:
    """Call *function* in a thread, beside those of trio's own number, which may all be taken."""
    try:
        return await trio.to_thread.run_sync(
            function, *args, abandon_on_cancel=abandon, limiter=trio.CapacityLimiter(1)
        )
    except RuntimeError as error:
        if not is_shortage(error):
            raise
        raise as_shortage(error) from error


def require_binary(engine: Engine) -> None:
    """
    Raise unless *engine*'s program is there and may be executed. Blocks on the disk.

    Raises:
        BinaryNotFound: It is not there, or is not executable.

        BinaryUnusable: It lies where nothing may be executed.
    """
    if binary_exists(engine):
        return
    path = binary_path(engine)
    if path.is_file() and (detail := on_noexec(path)):
        raise BinaryUnusable(path, detail)
    raise missing_binary(engine)


def _untried(engine: Engine) -> Identity | None:
    """Return the identity of a program that needs a trial, else ``None``."""
    require_binary(engine)
    try:
        identity = identify(binary_path(engine), this_cpu())
    except OSError:
        return None
    return None if is_tried(identity) else identity


async def _try(program: Path) -> _Trial:
    """Run *program* on the tiny model until it serves it, ends, or takes too long."""
    trial = _Trial()
    lease = PortLease(_HOST, 0)
    model: Path | None = None
    try:
        model = await _in_thread(_write_model, abandon=False)
        await _run(program, model, lease.acquire(), trial)
    except* (OSError, EngineError):
        trial.status = None  # a shortage, or a process that the kernel does not end
    finally:
        lease.release()
        if model is not None:
            with trio.CancelScope(shield=True):
                await _in_thread(_remove, model, abandon=False)
    return trial


async def _run(program: Path, model: Path, port: int, trial: _Trial) -> None:
    nonce = os.urandom(8).hex()
    words = (
        str(program),
        *("-m", str(model), "--alias", nonce, "-c", "64", "-ngl", "0"),
        *("--host", _HOST, "--port", str(port)),
    )
    process = OsProcess(words, env=environment(os.environ))
    async with process.running():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_note_end, process, trial, nursery.cancel_scope)
            with trio.move_on_after(_LONGEST_START):
                await process.started.wait()
            with trio.move_on_after(_LONGEST):
                probe = Probe(url(_HOST, port), nonce, _ANSWER_SECONDS)
                trial.served = await _serves(process, probe)
            nursery.cancel_scope.cancel()
        trial.lines = process.tail.lines()


async def _note_end(process: OsProcess, trial: _Trial, scope: trio.CancelScope) -> None:
    trial.status = await process.wait()
    scope.cancel()


async def _serves(process: OsProcess, probe: Probe) -> bool:
    """Return True when the program serves the model, False when it has been idle too long."""
    pause, seen, since = _FIRST_PAUSE, None, trio.current_time()
    while True:
        sight = await probe.look()
        if sight is ProbeResult.READY:
            return True
        ticks = _ticks_of(process)
        if sight is not ProbeResult.ABSENT or process.output_seen.is_set() or ticks != seen:
            process.output_seen, seen, since = trio.Event(), ticks, trio.current_time()
        elif trio.current_time() - since > _LONGEST_IDLE:
            return False
        await trio.sleep(pause)
        pause = min(1.25 * pause, _LONGEST_PAUSE)


def _ticks_of(process: OsProcess) -> object:
    """Return the CPU time that *process* has used; while it waits for the disk, a new value."""
    stat = None if process.pid is None else read_stat(process.pid)
    if stat is None:
        return None
    return object() if stat.state == _WAITS_FOR_DISK else stat.cpu_ticks


def _write_model() -> Path:
    number, name = tempfile.mkstemp(prefix="candil-", suffix=".gguf")
    with os.fdopen(number, "wb") as file:
        file.write(tiny_gguf())
    return Path(name)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
