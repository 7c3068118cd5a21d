"""
``Model``: the description of a local model file, and the look at it before it is loaded.

Not here: the GGUF header (``gguf``).
"""

from __future__ import annotations

import functools
import re
import stat
from typing import TYPE_CHECKING, Final, final

import attrs

from candil.engine._config import gguf
from candil.engine._config.engine import argument_mistakes, as_words, name_mistakes
from candil.engine._config.errors import (
    ConfigError,
    ModelMissing,
    ModelNotAFile,
    ModelTruncated,
    NotAGguf,
)
from candil.engine._config.os_errors import is_shortage
from candil.engine._config.paths import absolute, expanded, homeless, is_path

if TYPE_CHECKING:
    import os
    from pathlib import Path

_CACHED_FILES = 256
_SPLIT_NAME: Final = re.compile(r"(.*)-(?:\d{5})-of-(\d{5})\.gguf")


@final
@attrs.frozen
class Model:
    """
    A local model: a GGUF file and how to serve it.

    Attributes:
        alias: The name under which the running engine is found, and which it answers to.
        model_dir: The folder of the file; ``~`` is expanded.
        filename: The file in that folder; of a split model the first part.
        context_size: The context window, in tokens.
        model_args: More arguments for ``llama-server``, after candil's own.

    Raises:
        ConfigError: At construction, with every mistake at once.
    """

    alias: str
    model_dir: str | os.PathLike[str]
    filename: str
    context_size: int = 4096
    model_args: tuple[str, ...] = attrs.field(default=(), converter=as_words)

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot work, here and not at the first restart."""
        mistakes = [
            *name_mistakes("alias", self.alias),
            *_file_mistakes(self.model_dir, self.filename),
            *_context_mistakes(self.context_size),
            *argument_mistakes("model_args", self.model_args),
        ]
        if mistakes:
            raise ConfigError(f"Model(alias={self.alias!r})", mistakes)


def file_path(model: Model) -> Path:
    """Return the full path of *model*'s file."""
    return expanded(model.model_dir) / model.filename


def with_absolute_path(model: Model) -> Model:
    """Return *model* with its folder absolute."""
    return attrs.evolve(model, model_dir=absolute(model.model_dir))


def check_file(path: Path) -> None:
    """
    Read the header of the model at *path* and refuse what ``llama-server`` would refuse.

    Of a split model it reads the header of each part.

    It reads the header only, some megabytes at most, and remembers files that were good by size
    and time, so that a restart pays one ``stat``. It blocks: call it from a worker thread.

    Raises:
        ModelMissing: Nothing there, or it cannot be read.
        ModelNotAFile: A directory or a device.
        NotAGguf: Something else than a GGUF, or not the first part of one.
        ModelTruncated: Its tensors reach beyond its end.
        OSError: There are too many open files, or the like: the model may be good.
    """
    if user := homeless(path):
        raise ModelMissing(path, f"the home of {user} cannot be found")
    split = _check_one(path)
    if split.parts < 2:  # noqa: PLR2004 - one part is a whole
        return
    if split.part:
        raise NotAGguf(
            path,
            f"it is part {split.part + 1} of {split.parts} of a split model, and Model.filename "
            f"must name the first, {_part(path, 0, split.parts).name}",
        )
    for number in range(1, split.parts):
        _check_one(_part(path, number, split.parts))


def _part(path: Path, number: int, count: int) -> Path:
    """Return the path of another part of the split model at *path*, as llama.cpp names them."""
    found = _SPLIT_NAME.fullmatch(path.name)
    if found is None or int(found[2]) != count:
        raise NotAGguf(
            path,
            f"it is one of {count} parts of a split model and has been renamed; its name must end "
            f"with -00001-of-{count:05}.gguf, and the other parts stand beside it",
        )
    return path.with_name(f"{found[1]}-{number + 1:05}-of-{count:05}.gguf")


def _check_one(path: Path) -> gguf.Split:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ModelNotAFile(path)
        return _check_contents(path, found.st_ino, found.st_size, found.st_mtime_ns)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise ModelMissing(path) from None
        if is_shortage(error):
            raise
        raise ModelMissing(path, error.strerror or str(error)) from error


@functools.lru_cache(maxsize=_CACHED_FILES)  # a raised refusal is not remembered: it may be mended
def _check_contents(path: Path, inode: int, size: int, mtime_ns: int) -> gguf.Split:
    del inode, mtime_ns  # part of the key only
    try:
        with path.open("rb") as file:
            return gguf.check(file, size)
    except gguf.BadFormat as error:
        raise NotAGguf(path, str(error)) from None
    except gguf.TooShort as error:
        raise ModelTruncated(path, str(error)) from None


def _file_mistakes(model_dir: object, filename: object) -> list[str]:
    mistakes: list[str] = []
    if not is_path(model_dir):
        mistakes.append(f"model_dir must be a path, got: {model_dir!r}")
    if not isinstance(filename, str) or not filename.strip() or "\0" in filename:
        mistakes.append(f"filename must name the model's file, got: {filename!r}")
    return mistakes


def _context_mistakes(size: object) -> list[str]:
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        return [f"context_size must be a number of tokens, 0 for the model's own, got: {size!r}"]
    return []
