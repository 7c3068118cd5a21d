"""
Starting a guard (`program`): its pipes and its command line.

By a plain `subprocess.Popen`, in the thread of the caller, which must be the event loop's: never
by trio, whose worker threads retire, and a parent-death signal with them (`program` says more).
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from candil.engine._config.errors import GuardUnavailable
from candil.engine._guard.interpreter import find_interpreter

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

PROGRAM: Final = Path(__file__).with_name("program") / "__main__.py"
# What a service manager or a terminal sends to end candil, and what it ends a young guard with.
_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def start_guard(name: str, env: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int, int, int]:
    """
    Start a guard; return it and our ends of its pipes: control, events, output.

    Raises:
        GuardUnavailable: There is no interpreter for it.

        OSError: There are too many processes, or too many open files.
    """
    command = command_line()
    ours: list[int] = []
    theirs: list[int] = []
    try:
        for mine, other in ((1, 0), (0, 1), (0, 1)):  # commands go out; events and output come in
            ends = os.pipe()
            ours.append(ends[mine])
            theirs.append(ends[other])
            os.set_blocking(ends[mine], False)
        with _signals_blocked():
            process = _execute(command, name, env, *theirs)
    except BaseException:
        for fd in ours:
            os.close(fd)
        raise
    finally:
        for fd in theirs:
            os.close(fd)
    control, events, output = ours
    return process, control, events, output


def command_line() -> list[str]:
    """
    Return what starts the guard, without its arguments.

    Raises:
        GuardUnavailable: There is no interpreter for it, or it is not there itself.
    """
    if not PROGRAM.is_file():
        raise GuardUnavailable(
            f"its script is not at {PROGRAM}. Put the files of that folder into the program; with "
            "PyInstaller candil does so itself, for others they are data files"
        )
    return [find_interpreter(), "-I", "-S", str(PROGRAM)]


def _execute(
    command: list[str],
    name: str,
    env: Mapping[str, str],
    control: int,
    events: int,
    output: int,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own file, and no shell
        [*command, str(control), str(events), str(os.getpid()), name],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(control, events),
        env=dict(env),
        # A Ctrl-C at the terminal is for candil, which stops its engines in order.
        start_new_session=True,
    )


@contextmanager
def _signals_blocked() -> Generator[None]:
    """Have the guard inherit blocked signals, until it handles them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
