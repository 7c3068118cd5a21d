"""
Which Python runs the guard.

Usually that which runs candil. In a frozen program (PyInstaller) or in one that embeds Python
(uWSGI), ``sys.executable`` is the program itself: started as a guard it would start its own engine,
with a guard of its own, and so on for ever. There another interpreter is looked for, and asked who
it is before it is used.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from candil.engine._config.errors import GuardUnavailable
from candil.engine._config.frozen import environment_outside
from candil.engine._config.os_errors import is_shortage

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE: Final = "CANDIL_PYTHON"
_ASKING: Final = "CANDIL_PYTHON_IS_ASKED"
_OLDEST: Final = (3, 11)
_NAMES: Final = re.compile(r"(python|pypy)[0-9.]*[a-z]?")
_QUESTION: Final = "import sys; print('candil', *sys.version_info[:2])"
_ANSWER: Final = re.compile(r"candil (\d+) (\d+)\n")
_SECONDS: Final = 20.0


def find_interpreter() -> str:
    """
    Return the path of a Python that can run the guard.

    In a frozen or embedded Python the first call starts others and waits for them: make it in a
    worker thread. Later calls return what was found.

    Raises:
        GuardUnavailable: There is none.

        OSError: There are too many processes or files to ask one.
    """
    if os.environ.get(_ASKING):
        raise GuardUnavailable(
            f"candil has started this program, {sys.executable!r}, to ask whether it is a Python, "
            f"because {VARIABLE} names it or it is called python3. It is not: name another one"
        )
    named = os.environ.get(VARIABLE)
    if named:
        return _named(named)
    if runs_plain_python():
        return sys.executable
    return _found(sys.executable, os.environ.get("PATH"))


def runs_plain_python() -> bool:
    """Return whether ``sys.executable`` is a Python, and not a program that contains one."""
    if hasattr(sys, "frozen") or hasattr(sys, "oxidized") or "__compiled__" in globals():
        return False
    name = Path(sys.executable).name if sys.executable else ""
    return bool(_NAMES.fullmatch(name)) and Path(sys.executable).is_file()


@functools.cache
def _named(path: str) -> str:
    complaint = _complaint(str(Path(path).expanduser()))
    if complaint:
        raise GuardUnavailable(
            f"{VARIABLE} names {path!r}, and {complaint}. Name a Python "
            f"{_OLDEST[0]}.{_OLDEST[1]} or later"
        )
    return str(Path(path).expanduser())


@functools.cache
def _found(program: str | None, _path: str | None) -> str:
    for candidate in _candidates():
        if not _is_same(candidate, program) and not _complaint(candidate):
            return candidate
    raise GuardUnavailable(
        f"this program, {program!r}, is frozen or embeds Python, so it is no interpreter, and no "
        f"other Python {_OLDEST[0]}.{_OLDEST[1]} or later was found in PATH. Install one, or name "
        f"one in the environment variable {VARIABLE}"
    )


def _candidates() -> Iterator[str]:
    if not hasattr(sys, "frozen"):  # an embedded Python has the interpreter beside its library
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        for name in (version, "python3"):
            yield str(Path(sys.base_exec_prefix) / "bin" / name)
    for name in ("python3", "python", *(f"python3.{minor}" for minor in range(20, 10, -1))):
        found = shutil.which(name)
        if found is not None:
            yield found


def _is_same(path: str, program: str | None) -> bool:
    try:
        return bool(program) and Path(path).samefile(str(program))
    except OSError:
        return False


def _complaint(path: str) -> str:
    """Ask the program at *path* who it is; return what is wrong with it, nothing if it will do."""
    try:
        answer = subprocess.run(  # noqa: S603 - named by the user, or called python, and no shell
            [path, "-I", "-S", "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
            env={**environment_outside(os.environ), _ASKING: "1"},
        ).stdout
    except OSError as error:
        if is_shortage(error):
            raise
        return f"it cannot be executed: {error.strerror or error}"
    except subprocess.TimeoutExpired:
        return "it does not answer as a Python does"
    match = _ANSWER.fullmatch(answer)
    if match is None:
        return "it does not answer as a Python does"
    version = int(match[1]), int(match[2])
    return "" if version >= _OLDEST else f"it is Python {version[0]}.{version[1]}"
