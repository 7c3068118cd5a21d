"""Whether a process will still answer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from candil.engine._system.processes import is_dying

PROGRAM = [sys.executable, "-c", "input()"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_is_dying_from_the_moment_of_the_kill(number: int) -> None:
    """Before the kernel has carried it out, before anybody has waited for it, and afterwards."""
    with subprocess.Popen(PROGRAM, stdin=subprocess.PIPE) as process:
        assert not is_dying(process.pid)
        os.kill(process.pid, number)  # a stopped one may go on
        assert is_dying(process.pid) == (number == signal.SIGKILL)
        os.kill(process.pid, signal.SIGKILL)  # not Popen.kill, which would bury it first
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_dying(process.pid)  # a zombie
    assert is_dying(process.pid)


def test_without_the_kernels_files_a_signal_that_means_nothing_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on macOS; a process of somebody else is alive."""
    monkeypatch.setattr("candil.engine._system.processes._PROC", Path("/nowhere"))
    assert not is_dying(os.getpid())
    assert not is_dying(1)
    with subprocess.Popen(PROGRAM, stdin=subprocess.PIPE) as process:
        pass
    assert is_dying(process.pid)
