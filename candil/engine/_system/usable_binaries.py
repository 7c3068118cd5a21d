"""
Which programs have been seen to run on this CPU, so that each is tried once and not at each start.

Only that a program runs is remembered, in the user's cache, for this file and the libraries
beside it, by their sizes and times, and for this CPU. What cannot run is tried each time: the
library that was missing may have been installed meanwhile. What could not be decided, because the
machine was too busy, is not tried again by this Python process, and forgotten at its end.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from candil.engine._system.cpu import Cpu


@final
@attrs.frozen
class Identity:
    """
    A program as it is now, on one CPU.

    Attributes:
        slot: Which program on which CPU: the name of its file in the cache.
        contents: What it consists of, as a hash of names, sizes and times.
    """

    slot: str
    contents: str


_tried: Final[set[Identity]] = set()


def identify(program: Path, cpu: Cpu) -> Identity:
    """
    Return the identity of *program*. Blocks on the disk.

    Raises:
        OSError: It cannot be looked at.
    """
    real = program.resolve(strict=True)
    where = f"{real}\n{cpu.machine}\n{cpu.name}\n{' '.join(sorted(cpu.flags))}"
    return Identity(_hash(where), _hash("\n".join(sorted(_parts(real)))))


def is_tried(identity: Identity) -> bool:
    """Tell whether the program needs no trial. Blocks on the disk."""
    if identity in _tried:
        return True
    folder = _folder()
    if folder is None:
        return False
    try:
        known = (folder / identity.slot).read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    if known != identity.contents:
        return False
    _tried.add(identity)
    return True


def note_tried(identity: Identity) -> None:
    """Remember, in this Python process, that the program was tried."""
    _tried.add(identity)


def note_usable(identity: Identity) -> None:
    """Remember, for good, that the program runs on this CPU. Blocks on the disk."""
    note_tried(identity)
    folder = _folder()
    if folder is not None:
        with suppress(OSError):  # a cache that cannot be written is none
            _write(folder, identity)


def _write(folder: Path, identity: Identity) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.write(identity.contents)
        os.replace(name, folder / identity.slot)  # noqa: PTH105 - a name, as mkstemp gives it
    except BaseException:
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - a name, as mkstemp gives it
        raise


def _parts(program: Path) -> Iterator[str]:
    with os.scandir(program.parent) as entries:
        for entry in entries:
            if entry.name == program.name or ".so" in entry.name or ".dylib" in entry.name:
                with suppress(OSError):  # a link to nothing
                    found = entry.stat()
                    yield f"{entry.name}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_mode}"


def _folder() -> Path | None:
    """Return the folder in the user's cache; ``None`` where there is no home."""
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(cache) if cache else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "candil" / "usable" if base.is_absolute() else None


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()
