"""
What goes wrong with engines, as exceptions that say what to do next.

::

    EngineError
     + ConfigError          (.mistakes)                        yours: the description is wrong
     + BinaryNotFound       (.path)                            yours: no llama-server there
     + BinaryUnusable       (.path .detail .log_tail)          yours: it cannot run here
     + ModelError           (.path)                            yours: the model file
     |  + ModelMissing
     |  + ModelNotAFile
     |  + NotAGguf          (.detail)
     |  + ModelTruncated    (.detail)
     + LogFileUnwritable    (.path .detail)
     + GuardUnavailable     (.detail)
     + AlreadyRunning       (.alias)
     + AliasTaken           (.alias .holder)
     + NotRunning           (.alias)
     + PortUnavailable      (.host .first .last .foreign)      the world's
     + EngineStartError     (.alias .argv .returncode .log_tail)
     + EngineExited         (.alias .status .log_tail)
     + EngineUnkillable     (.pid)                             the kernel's
     + ReadyTimeout         (.alias .timeout .last_error)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from candil._otp.values.errors import CandilError
from candil.engine._config.output import telling_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from candil._otp.values.pids import Pid
    from candil.engine._config.exit_status import ExitStatus


class EngineError(CandilError):
    """The base of every error that ``candil.engine`` raises on purpose."""


@final
class ConfigError(EngineError, ValueError):
    """An ``Engine``, a ``Model`` or their options cannot work; ``.mistakes`` lists every reason."""

    def __init__(self, subject: str, mistakes: Sequence[str]) -> None:
        self.subject = subject
        self.mistakes = tuple(mistakes)
        listed = "".join(f"\n  - {mistake}" for mistake in self.mistakes)
        super().__init__(f"{subject} cannot be used:{listed}")


@final
class BinaryNotFound(EngineError):
    """There is no executable ``llama-server`` at ``.path``; ``.detail`` is what was found there."""

    def __init__(self, path: Path, detail: str = "") -> None:
        self.path = path
        self.detail = detail
        found = f": {detail}" if detail else ""
        super().__init__(
            f"no executable llama-server at {path}{found}. Unpack a llama.cpp release there (the "
            "whole folder: the program needs the libraries beside it), make the file executable "
            "with chmod +x if it is there, or set Engine.binary_dir to the folder that has one. "
            "candil does not download it yet; Engine.use_precompiled has no effect."
        )


@final
class BinaryUnusable(EngineError):
    """
    The ``llama-server`` at ``.path`` cannot run on this machine, with any model.

    It was built for another CPU or another system, or a part of it is missing: ``.detail`` says
    which, and what to do. ``.log_tail`` is what it wrote when it was tried.
    """

    def __init__(self, path: Path, detail: str, log_tail: Sequence[str] = ()) -> None:
        self.path = path
        self.detail = detail
        self.log_tail = tuple(log_tail)
        super().__init__(f"{path} cannot run on this machine: {detail}")


class ModelError(EngineError):
    """The model's file cannot be served; ``.path`` is the file."""

    def __init__(self, path: Path, sentence: str) -> None:
        self.path = path
        super().__init__(sentence)


@final
class ModelMissing(ModelError):
    """Nothing exists, or nothing readable, at the model's path."""

    def __init__(self, path: Path, detail: str = "there is no such file") -> None:
        super().__init__(
            path,
            f"cannot read the model {path}: {detail}. Download it, or correct "
            "Model.model_dir and Model.filename.",
        )


@final
class ModelNotAFile(ModelError):
    """The model's path leads to a directory or to a device."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            f"the model path {path} is not a regular file. Model.filename must name the "
            ".gguf file itself.",
        )


@final
class NotAGguf(ModelError):
    """The file exists and is something else than a GGUF that can be loaded."""

    def __init__(self, path: Path, detail: str) -> None:
        self.detail = detail
        super().__init__(
            path,
            f"{path} is not a usable GGUF model: {detail}. Check that the download is the "
            "model itself, not a web page or another format.",
        )


@final
class ModelTruncated(ModelError):
    """The file starts as a GGUF and ends too early."""

    def __init__(self, path: Path, detail: str) -> None:
        self.detail = detail
        super().__init__(
            path,
            f"the model {path} is incomplete: {detail}. Download it again; a broken-off "
            "download or a full disk leaves such a file.",
        )


@final
class LogFileUnwritable(EngineError):
    """The engine's log file ``.path`` cannot be written."""

    def __init__(self, path: Path, detail: str) -> None:
        self.path = path
        self.detail = detail
        super().__init__(
            f"the log file {path} cannot be written: {detail}. Correct log_path, or let this user "
            "write there."
        )


@final
class GuardUnavailable(EngineError):
    """
    The guard, a script that stands between candil and each engine, cannot be run.

    As in a frozen or embedded Python, which is no interpreter, where no other one is found.
    """

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"the guard of an engine cannot be run: {detail}.")


@final
class AlreadyRunning(EngineError):
    """The alias has an engine already."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(
            f"an engine for model {alias!r} is running already. Use it, or stop it first with "
            f"engine.stop({alias!r})."
        )


@final
class AliasTaken(EngineError):
    """Another process, which is no engine, is registered under the alias: ``.holder``."""

    def __init__(self, alias: str, holder: Pid[Any]) -> None:
        self.alias = alias
        self.holder = holder
        super().__init__(
            f"the name {alias!r} belongs to {holder}, which is no engine, and an engine is called "
            "by its model's alias. Choose another Model.alias, or another name for that process."
        )


@final
class NotRunning(EngineError):
    """The alias has no engine."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(
            f"no engine is running for model {alias!r}. Start one with engine.start(), or look "
            "at the reports for the reason why it ended."
        )


@final
class PortUnavailable(EngineError):
    """
    No port of the engine's range could be reserved.

    ``.first`` and ``.last`` are both 0 where any port would have done. ``.foreign`` says that the
    host is not an address of this machine, so that no port of it can be had.
    """

    def __init__(
        self, host: str, first: int, last: int, detail: str, *, foreign: bool = False
    ) -> None:
        self.host = host
        self.first = first
        self.last = last
        self.foreign = foreign
        if foreign:
            sentence = (
                f"{host} is not an address of this machine ({detail}). Set Engine.host to one that "
                'is: "127.0.0.1" for this machine only, "0.0.0.0" for everybody who reaches it.'
            )
        elif last:
            sentence = (
                f"no port from {first} to {last} on {host} can be reserved (last answer: "
                f"{detail}). Set Engine.port to the start of a free range, or to 0 for any free "
                "port."
            )
        else:
            sentence = f"no port on {host} can be reserved, though any would do: {detail}."
        super().__init__(sentence)


@final
class EngineStartError(EngineError):
    """
    ``llama-server`` ended, or was given up, before it was ready.

    ``.argv`` is the command line, ``.returncode`` the exit code (negative: the signal; ``None``:
    it never ran or is not known), ``.log_tail`` the last lines it wrote.
    """

    def __init__(
        self,
        alias: str,
        sentence: str,
        *,
        argv: Sequence[str] = (),
        returncode: int | None = None,
        log_tail: Sequence[str] = (),
    ) -> None:
        self.alias = alias
        self.sentence = sentence
        self.argv = tuple(argv)
        self.returncode = returncode
        self.log_tail = tuple(log_tail)
        super().__init__(f"engine {alias!r} did not start: {sentence}{_quoted(log_tail)}")


@final
class EngineExited(EngineError):
    """A ``llama-server`` that had been ready ended without being asked to."""

    def __init__(self, alias: str, status: ExitStatus, log_tail: Sequence[str] = ()) -> None:
        self.alias = alias
        self.status = status
        self.log_tail = tuple(log_tail)
        super().__init__(
            f"engine {alias!r} ended by itself: {status.describe()}{_quoted(log_tail)}"
        )


@final
class EngineUnkillable(EngineError):
    """The kernel did not end the process group ``.pid`` in time after SIGKILL."""

    def __init__(self, pid: int, seconds: float) -> None:
        self.pid = pid
        self.seconds = seconds
        super().__init__(
            f"process group {pid} is still alive {seconds:g} s after SIGKILL: it waits inside "
            "the kernel, as with a hung driver or file system. It goes when the kernel lets it."
        )


@final
class ReadyTimeout(EngineError, TimeoutError):
    """
    The engine was not ready in time; it goes on starting. ``.last_error`` is what its last attempt
    came to, if that has failed or crashed.
    """

    def __init__(self, alias: str, timeout: float, last_error: EngineError | None = None) -> None:
        self.alias = alias
        self.timeout = timeout
        self.last_error = last_error
        what = "" if last_error is None else f"\nIts last attempt: {last_error}"
        super().__init__(
            f"engine {alias!r} was not ready within {timeout:g} s and is still starting. Wait "
            f"longer (a large model on a slow disk takes minutes), or stop it.{what}"
        )


def _quoted(lines: Sequence[str]) -> str:
    telling = telling_lines(lines)
    if not telling:
        return ""
    shown = "".join(f"\n  | {line}" for line in telling)
    return f"\nIts last lines were:{shown}"
