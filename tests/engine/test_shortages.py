"""No process, thread, file or memory for a moment: waited out, whichever part reports it."""

import errno
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import candil
from candil.engine._config.exit_status import ExitStatus
from candil.engine._config.os_errors import as_shortage, is_shortage
from candil.engine._guard.os_process import OsProcess
from candil.engine._guard.reusable_guard import ReusableGuard
from tests.engine import census
from tests.engine.shortage_program import limited

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fake_dir() -> Iterator[Path]:
    """A folder with a program that passes for llama-server, for any user to read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_program(folder / "llama-server")
        yield folder


def write_program(program: Path) -> None:
    """Write the fake server as a program: no shell, which would not run under two user ids."""
    source = Path(__file__).with_name("fake_server.py").read_text()
    program.write_text(f"#!{sys.executable} -IS\n{source}")
    program.chmod(0o755)


def as_ordinary_user() -> list[str]:
    """What makes a program subject to limits: nothing, for who is an ordinary user already."""
    if os.getuid() != 0:
        return []
    exempt = "-sys_resource,-sys_admin"
    user = random.randrange(1 << 20, 1 << 30)  # whose only processes are the program's
    return ["setpriv", f"--ruid={user}", f"--bounding-set={exempt}", f"--inh-caps={exempt}"]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["program", "thread", "guard"])
def test_a_program_without_processes_waits_for_them(
    fake_dir: Path, tiny_model: Path, mark: str, where: str
) -> None:
    """At the thread of the first look, at the start of the guard, and in the guard itself."""
    play = [sys.executable, "-m", "tests.engine.shortage_program", where]
    done = subprocess.run(
        [*as_ordinary_user(), *play, fake_dir, tiny_model],
        cwd=ROOT,
        env={**os.environ, census.MARK: mark},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


def shell(script: str, mark: str) -> OsProcess:
    """A process that runs *script*."""
    return OsProcess(["/bin/sh", "-c", script], env={**os.environ, census.MARK: mark})


async def test_a_guard_without_files_says_so_and_is_of_use_afterwards(mark: str) -> None:
    """The start is an error of the system, and not the end of a program."""
    guard = ReusableGuard()
    async with candil.open_node(log=False):
        assert await guard.run(shell("exit 3", mark)) == ExitStatus(3)
        (pid,) = census.living(mark, "_guard/program")
        with limited(pid, resource.RLIMIT_NOFILE, 3), pytest.raises(OSError, match="open files"):
            await guard.run(shell("exit 4", mark))

        assert await guard.run(shell("exit 5", mark)) == ExitStatus(5)
        assert census.living(mark, "_guard/program") == {pid}


async def test_a_guard_without_memory_is_replaced(mark: str) -> None:
    """It may not even have enough to say so."""
    guard = ReusableGuard()
    async with candil.open_node(log=False):
        assert await guard.run(shell("exit 3", mark)) == ExitStatus(3)
        (pid,) = census.living(mark, "_guard/program")
        resource.prlimit(pid, resource.RLIMIT_AS, (1, 1))
        process = OsProcess(["/bin/sh", "-c", "exit 4"], env={census.MARK: mark, "X": "x" * 60_000})
        process.env |= {f"X{number}": "x" * 60_000 for number in range(20)}

        assert await guard.run(process) == ExitStatus(4)
        assert pid not in census.living(mark, "_guard/program")


async def test_a_guard_that_cannot_even_load_is_an_error_of_the_system(mark: str) -> None:
    """Its interpreter has no memory for its libraries; the next start finds some."""
    guard = ReusableGuard()
    async with candil.open_node(log=False):
        with memory_for_programs(1 << 20), pytest.raises(OSError):  # noqa: PT011 - many words
            await guard.run(shell("exit 3", mark))

        assert await guard.run(shell("exit 4", mark)) == ExitStatus(4)


def memory_for_programs(size: int) -> AbstractContextManager[None]:
    """Let the programs that are started have *size* bytes; this one has what it has."""
    return limited(0, resource.RLIMIT_AS, size)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EAGAIN, "Resource temporarily unavailable"),
        OSError(errno.EMFILE, "Too many open files"),
        MemoryError(),
        RuntimeError("can't start new thread"),
    ],
)
def test_every_way_in_which_python_reports_a_shortage_is_known(error: Exception) -> None:
    """A thread that cannot be started is a RuntimeError, known by its text alone."""
    assert is_shortage(error)
    assert is_shortage(as_shortage(error))
    assert as_shortage(error).strerror


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "no"), RuntimeError("no"), ValueError("no")]
)
def test_no_other_error_is_taken_for_a_shortage(error: Exception) -> None:
    """What would be so again the next time must not be tried for ever."""
    assert not is_shortage(error)
