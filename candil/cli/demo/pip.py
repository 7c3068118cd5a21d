"""
Fetching one pinned wheel with the user's own pip.

Which index, mirror, proxy or certificate to use is the business of pip's configuration, and so
candil names none. pip runs as a program, because it has no other interface.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, final

import attrs

from candil.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

_LOOK_SECONDS: Final = 0.1
_END_SECONDS: Final = 5.0
_SMALLEST: Final = 1 << 16  # pip's log is smaller, and any wheel worth a progress bar is larger


@final
@attrs.frozen
class Wheel:
    """
    One file of a package index.

    Attributes:
        project: Its project, as pip calls it.

        version: Its version.

        sha256: The digest of the file, in hexadecimal.

        size: Its bytes.
    """

    project: str
    version: str
    sha256: str
    size: int

    @property
    def requirement(self) -> str:
        """The line that pins it, for a requirements file."""
        return f"{self.project}=={self.version} --hash=sha256:{self.sha256}"


def fetch(wheel: Wheel, work: Path, progress: Callable[[int], None]) -> Path:
    """
    Download *wheel* into the folder *work*, and return its path; pip has checked the digest.

    Everything that pip writes on the way goes into *work* as well, so that removing the folder
    leaves nothing behind.

    Args:
        wheel: What to fetch.

        work: An empty folder.

        progress: Called every now and then with the bytes that have arrived.

    Raises:
        CommandError: pip could not; the text says why.
    """
    (work / "wanted.txt").write_text(wheel.requirement + "\n", encoding="utf-8")
    log = work / "pip.log"
    with log.open("wb") as output, _running(_command(work), work, output) as pip:
        while True:
            try:
                status = pip.wait(_LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                progress(min(_largest(work), wheel.size))
    if status != 0:
        raise CommandError(explain(log.read_text(encoding="utf-8", errors="replace"), wheel))
    return next((work / "wheels").glob("*.whl"))


def explain(output: str, wheel: Wheel) -> str:
    """Make one sentence of what a failed pip wrote."""
    name = f"{wheel.project} {wheel.version}"
    for signs, sentence in _SENTENCES:
        if any(sign in output for sign in signs):
            return sentence.format(name=name, python=sys.executable)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["it said nothing"]
    return f"pip could not fetch {name}: {errors[-1].removeprefix('ERROR: ')}"


# Tried in this order: an index out of reach is also reported as one that has no such version.
_SENTENCES: Final = (
    (
        ("No module named pip", "No module named 'pip'"),
        (
            "the model is fetched with pip, which {python} does not have: run "
            "'{python} -m ensurepip', or use a virtual environment that has it"
        ),
    ),
    (
        ("DO NOT MATCH THE HASHES",),
        (
            "what pip was given as {name} is not the file that was published: its sha256 differs. "
            "It was thrown away; look at the index or mirror that pip is configured with"
        ),
    ),
    (
        ("No space left on device", "Disk quota exceeded"),
        (
            "the disk is full: {name} could not be stored; free some space, or choose a folder on "
            "another disk"
        ),
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed"),
        (
            "the package index shows a certificate that this machine does not trust, so {name} "
            "cannot be fetched: give pip the right one (its option 'cert')"
        ),
    ),
    (
        (
            "Temporary failure in name resolution",
            "Name or service not known",
            "nodename nor servname",
            "NewConnectionError",
            "NameResolutionError",
            "ConnectTimeoutError",
            "ReadTimeoutError",
            "ProxyError",
            "Network is unreachable",
            "Connection refused",
        ),
        (
            "the package index cannot be reached, so {name} cannot be fetched: check the network, "
            "or the index and proxy that pip is configured with"
        ),
    ),
    (
        ("No matching distribution found",),
        "the package index that pip is configured with does not offer {name}, or does not answer",
    ),
)


def _command(work: Path) -> list[str]:
    options = "--no-deps --only-binary :all: --require-hashes --no-input --no-color"
    quiet = "--disable-pip-version-check --progress-bar off"
    return [
        *(sys.executable, "-m", "pip", "download"),
        *options.split(),
        *quiet.split(),
        *("--dest", str(work / "wheels")),
        *("--requirement", str(work / "wanted.txt")),
    ]


@contextmanager
def _running(
    command: list[str], work: Path, output: IO[bytes]
) -> Generator[subprocess.Popen[bytes]]:
    """Run pip while the block lasts; leaving it early, as Ctrl-C does, ends pip first."""
    (work / "wheels").mkdir()
    pip = subprocess.Popen(  # noqa: S603 - this very Python, and no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        # pip keeps its unfinished downloads in the folder for temporary files.
        env=os.environ | {"TMPDIR": str(work)},
    )
    try:
        yield pip
    finally:
        if pip.poll() is None:
            pip.terminate()
            try:
                pip.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                pip.kill()
                pip.wait()


def _largest(folder: Path) -> int:
    """Return the size of the download below *folder*, its largest file; 0 before it has begun."""
    sizes = [0]
    for path, _folders, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(os.stat(os.path.join(path, name)).st_size)  # noqa: PTH116, PTH118
            except OSError:  # it has been moved meanwhile
                continue
    largest = max(sizes)
    return largest if largest >= _SMALLEST else 0
