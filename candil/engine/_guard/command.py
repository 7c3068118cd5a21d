"""
Starting a guard (`program`): its pipes and its command line.

By a plain `subprocess.Popen`, in the thread of the caller, which must be the event loop's: never
by trio, whose worker threads retire, and a parent-death signal with them (`program` says more).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_GUARD: Final = Path(__file__).with_name("program.py")


def start_guard(name: str, env: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int, int, int]:
    """Start a guard; return it and our ends of its pipes: control, events, output."""
    ours: list[int] = []
    theirs: list[int] = []
    try:
        for mine, other in ((1, 0), (0, 1), (0, 1)):  # orders go out; events and output come in
            ends = os.pipe()
            ours.append(ends[mine])
            theirs.append(ends[other])
        process = _execute(name, env, *theirs)
    except BaseException:
        for fd in ours:
            os.close(fd)
        raise
    finally:
        for fd in theirs:
            os.close(fd)
    control, events, output = ours
    os.set_blocking(control, False)
    os.set_blocking(output, False)
    return process, control, events, output


def _execute(
    name: str, env: Mapping[str, str], control: int, status: int, output: int
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", str(_GUARD)]
    return subprocess.Popen(  # noqa: S603 - our own file, and no shell
        [*command, str(control), str(status), str(os.getpid()), name],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(control, status),
        env=dict(env),
        # A Ctrl-C at the terminal is for candil, which stops its engines in order.
        start_new_session=True,
    )
