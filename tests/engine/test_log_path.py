"""The path of an engine's log: checked at the start, watched afterwards, never the engine's end."""

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import candil
from candil import engine
from candil.engine._config.exit_status import ExitStatus
from candil.engine._config.log_path import absolute_log_path
from candil.engine._guard.os_process import OsProcess
from candil.engine._system.log_file import check_log_file
from tests.engine import census
from tests.engine.engines import opened
from tests.engine.shortage_program import limited
from tests.engine.waiting import until


def below_a_file(folder: Path) -> Path:
    """A path whose folder is a file."""
    (folder / "file").touch()
    return folder / "file" / "engine.log"


def a_folder(folder: Path) -> Path:
    """A path that is a folder."""
    return folder


def a_pipe(folder: Path) -> Path:
    """A named pipe, which no process reads."""
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def too_long(folder: Path) -> Path:
    """A name that no file system takes."""
    return folder / ("x" * 300)


UNWRITABLE = pytest.mark.parametrize("path_in", [below_a_file, a_folder, a_pipe, too_long])


@UNWRITABLE
async def test_a_log_that_cannot_be_written_is_refused_at_the_start(
    llama: engine.Engine, tiny: engine.Model, tmp_path: Path, path_in: Callable[[Path], Path]
) -> None:
    """With its path and the reason; nothing was started."""
    path = path_in(tmp_path)
    async with opened():
        with pytest.raises(engine.LogFileUnwritable, match="log_path") as caught:
            await engine.start(llama, tiny, log_path=path)
        assert caught.value.path == path
        with pytest.raises(engine.NotRunning):
            await engine.wait_ready("tiny")


async def test_a_static_engine_whose_log_cannot_be_written_has_failed(
    llama: engine.Engine, tiny: engine.Model, tmp_path: Path
) -> None:
    """The tree around it lives."""
    async with opened(engine.child_spec(llama, tiny, log_path=below_a_file(tmp_path))):
        with pytest.raises(engine.LogFileUnwritable):
            await engine.wait_ready("tiny", 60)


def test_the_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a relative path is one of the folder in which it was given."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    assert absolute_log_path("~/engine.log") == tmp_path / "home" / "engine.log"
    assert absolute_log_path("engine.log") == tmp_path / "engine.log"
    assert absolute_log_path(None) is None


@pytest.mark.parametrize("path", ["~nosuchuser/engine.log", 7])
def test_a_path_that_is_none_is_refused_when_it_is_given(
    llama: engine.Engine, tiny: engine.Model, path: Any
) -> None:
    """It is the description that is wrong."""
    with pytest.raises(engine.ConfigError, match="log_path"):
        engine.child_spec(llama, tiny, log_path=path)


def test_a_check_leaves_what_is_there(tmp_path: Path) -> None:
    """It makes the folders, and an empty file where there was none."""
    check_log_file(tmp_path / "new" / "engine.log")
    (tmp_path / "engine.log").write_bytes(b"old\n")
    check_log_file(tmp_path / "engine.log")

    assert (tmp_path / "new" / "engine.log").read_bytes() == b""
    assert (tmp_path / "engine.log").read_bytes() == b"old\n"


async def test_a_disk_that_is_full_is_reported_and_costs_lines_only(
    mark: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in candil's log for however many of the engine's; the engine ends as it wants."""
    path = tmp_path / "engine.log"
    path.symlink_to("/dev/full")
    process = OsProcess(
        ["/bin/sh", "-c", "yes line | head -n 50000; exit 7"],
        env={**os.environ, census.MARK: mark},
        log_path=path,
    )
    async with candil.open_node():
        async with process.running():
            assert await process.wait() == ExitStatus(7)
        assert process.tail.lines()[-1] == "line"

    (record,) = caplog.records
    assert str(path) in record.message
    assert "No space left on device" in record.message


async def test_a_log_that_can_be_written_again_says_what_it_misses(
    mark: str, tmp_path: Path
) -> None:
    """How many bytes, where they are missing."""
    path, go = tmp_path / "engine.log", tmp_path / "go"
    script = f"echo one; while ! [ -e {go} ]; do sleep 0.01; done; echo two; read x < {go}; echo 3"
    process = OsProcess(
        ["/bin/sh", "-c", script], env={**os.environ, census.MARK: mark}, log_path=path
    )
    async with candil.open_node(log=False), process.running():
        await until(lambda: process.tail.lines() == ("one",))
        with limited(process.guard_pid, resource.RLIMIT_FSIZE, 4):
            os.mkfifo(go)
            await until(lambda: "two" in process.tail.lines())
        await trio.to_thread.run_sync(go.write_text, "\n")
        await process.wait()

    assert path.read_text() == "one\n\n[4 bytes could not be written here]\n3\n"
