"""A program is tried on a model of candil's own before it is given one of a user."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

import candil
from candil import engine
from candil.engine import EngineState
from candil.engine._server import smoke_run
from tests.engine import census
from tests.engine.engines import answer, opened
from tests.engine.tiny_gguf import counted
from tests.engine.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def imitate(folder: Path, *lines: str) -> engine.Engine:
    """A program of a few lines; each start of it leaves a line with its arguments in `starts`."""
    folder.mkdir(exist_ok=True)
    program = folder / "llama-server"
    program.write_text("\n".join(["#!/bin/sh", f'echo "$*" >> {folder}/starts', *lines, ""]))
    program.chmod(0o755)
    return engine.Engine(alias="llama", binary_dir=folder, port=0)


def starts(folder: engine.Engine) -> list[str]:
    """The command lines with which an imitation was started."""
    path = engine.binary_dir(folder) / "starts"
    return path.read_text().splitlines() if path.exists() else []


def files_below(folder: Path) -> list[Path]:
    """All files in *folder* and its folders."""
    return [path for path in folder.rglob("*") if path.is_file()]


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be as a new Python process, which knows of no trial but from the cache."""
    monkeypatch.setattr("candil.engine._system.usable_binaries._tried", set())


async def test_a_program_that_runs_is_tried_once(
    llama_server_dir: Path,
    tmp_path: Path,
    marked: str,
    monkeypatch: pytest.MonkeyPatch,
    temporary: Path,
) -> None:
    """By this Python process, and by the next ones of this user; no file or process is left."""
    llama = imitate(tmp_path / "bin", f'exec {llama_server_dir}/llama-server "$@"')
    for _ in range(2):
        await engine.check_binary(llama)
        forget(monkeypatch)

    assert 1 == len(starts(llama))
    assert not census.living(marked)
    assert [] == files_below(temporary)


@pytest.mark.parametrize("change", ["program", "library", "cpu", "cache"])
async def test_what_has_changed_is_tried_again(
    llama_server_dir: Path,
    tmp_path: Path,
    marked: str,
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    change: str,
) -> None:
    """Another time of the program, another library beside it, another CPU, or a damaged cache."""
    llama = imitate(tmp_path / "bin", f'exec {llama_server_dir}/llama-server "$@"')
    await engine.check_binary(llama)
    forget(monkeypatch)
    match change:
        case "program":
            os.utime(engine.binary_path(llama), ns=(1, 1))
        case "library":
            (tmp_path / "bin" / "libggml.so.0").write_bytes(b"new")
        case "cpu":
            other = smoke_run.this_cpu().__class__("another", "x86_64")
            monkeypatch.setattr(smoke_run, "this_cpu", lambda: other)
        case _:
            for path in files_below(cache):
                path.write_bytes(b"\xff")
    await engine.check_binary(llama)

    assert 2 == len(starts(llama))


def copy(folder: Path, into: Path, *names: str) -> Path:
    """Copy files of the real release, as links where it does not matter; return the program."""
    into.mkdir()
    for path in folder.iterdir():
        if path.name in names:
            shutil.copy(path, into)
        elif names != ("llama-server",):
            (into / path.name).symlink_to(path)
    return into / "llama-server"


def without_libraries(real: Path, into: Path) -> None:
    """What somebody has who unpacks the program alone."""
    copy(real, into, "llama-server")


def add_libraries(real: Path, into: Path) -> None:
    """Put the libraries of the real release beside a program that lacks them."""
    for path in real.glob("lib*"):
        (into / path.name).symlink_to(path)


def for_another_machine(real: Path, into: Path) -> None:
    """A release for a mainframe."""
    program = copy(real, into, "llama-server", "")
    patch(program, 18, struct.pack("<H", 22))


def for_another_system(real: Path, into: Path) -> None:
    """A release for a system with another C library."""
    program = copy(real, into, "llama-server", "")
    patch(program, program.read_bytes().index(b"/lib64/ld-linux"), b"/lib64/ld-other")


def with_another_library(real: Path, into: Path) -> None:
    """Two releases unpacked one above the other."""
    copy(real, into, "llama-server", "libllama-server-impl.so")
    shutil.copy(real / "libggml-base.so", into / "libllama-server-impl.so")


def with_unknown_instruction(real: Path, into: Path) -> None:
    """A program for a CPU that this one is not, to the letter: its first instruction is UD2."""
    program = copy(real, into, "llama-server", "")
    (entry,) = struct.unpack_from("<Q", program.read_bytes(), 24)
    patch(program, entry, b"\x0f\x0b")


def patch(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    contents = bytearray(path.read_bytes())
    contents[offset : offset + len(data)] = data
    path.write_bytes(contents)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_libraries, r"libllama-server-impl\.so.*belongs beside the program"),
        (for_another_machine, r"built for s390x, and this machine is .* Take "),
        (for_another_system, r"loader that it names is missing.* Take "),
        (with_another_library, r"undefined symbol.* Unpack the whole release"),
        (with_unknown_instruction, r"SIGILL.*another CPU than this .* Take "),
    ],
)
async def test_a_program_that_cannot_run_is_a_sentence_and_no_restart_loop(
    llama_server_dir: Path,
    tmp_path: Path,
    tiny: engine.Model,
    marked: str,
    spoil: Callable[[Path, Path], None],
    words: str,
) -> None:
    """`start` raises; in a static tree the server stays, failed, and says the same."""
    spoil(llama_server_dir, tmp_path / "bin")
    llama = engine.Engine(alias="llama", binary_dir=tmp_path / "bin", port=0)
    async with opened(engine.child_spec(llama, tiny)):
        first = candil.whereis("tiny")
        with pytest.raises(engine.BinaryUnusable, match=words) as caught:
            await engine.wait_ready("tiny", 60)

        assert engine.binary_path(llama) == caught.value.path
        assert caught.value.detail in str(caught.value)
        assert candil.whereis("tiny") == first
        assert await candil.call("tiny", "health") is EngineState.FAILED
    async with opened():
        with pytest.raises(engine.BinaryUnusable, match=words):
            await engine.start(llama, tiny)
        assert candil.whereis("tiny") is None
    await until(lambda: not census.living(marked))


NOEXEC = """
set -e
mount -t tmpfs -o noexec none "$1"
cp "$2/llama-server" "$1"
exec "$3" -c "$4" "$1"
"""


def test_a_file_system_without_execution_is_named(
    llama_server_dir: Path, tmp_path: Path, marked: str
) -> None:
    """The file is executable, and nothing there is executed: chmod would be no advice."""
    command = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this system lets nobody mount a file system of his own")
    shell = ["sh", "-c", NOEXEC, "sh", tmp_path, llama_server_dir, sys.executable, PROGRAM]
    done = subprocess.run([*command, *shell], capture_output=True, text=True, check=False)

    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("candil.engine.BinaryUnusable: ")
    assert "mounted with noexec. Move the folder to another file system" in said


async def test_a_program_that_cannot_run_is_not_given_the_users_model(
    tmp_path: Path, tiny: engine.Model, marked: str
) -> None:
    """It names its version as if nothing were wrong; the trial is its only start."""
    llama = imitate(
        tmp_path / "bin", 'test "$1" = --version && echo version: 1 && exit 0', "kill -ILL $$"
    )
    async with opened(engine.child_spec(llama, tiny)):
        with pytest.raises(engine.BinaryUnusable, match="SIGILL"):
            await engine.wait_ready("tiny", 60)

    assert 1 == len(starts(llama))
    assert "tiny.gguf" not in starts(llama)[0]


async def test_a_program_that_runs_on_the_tiny_model_only_fails_once(
    tmp_path: Path, tiny: engine.Model, marked: str
) -> None:
    """What another model's numbers need may be what the CPU lacks: that is final as well."""
    llama = imitate(
        tmp_path / "bin", 'case "$*" in */candil-*) exit 1;; esac', "sleep 0.01; kill -ILL $$"
    )
    async with opened():
        server = await engine.start(llama, tiny)
        with pytest.raises(
            engine.EngineStartError, match=r"CPU with more instructions.* Take "
        ) as caught:
            await engine.wait_ready("tiny", 60)

        assert -signal.SIGILL == caught.value.returncode
        assert candil.whereis("tiny") == server
    assert 2 == len(starts(llama))


async def test_what_is_installed_later_counts(
    llama_server_dir: Path, tmp_path: Path, tiny: engine.Model, marked: str
) -> None:
    """That a program cannot run is not remembered."""
    without_libraries(llama_server_dir, tmp_path / "bin")
    llama = engine.Engine(alias="llama", binary_dir=tmp_path / "bin", port=0)
    async with opened():
        with pytest.raises(engine.BinaryUnusable):
            await engine.start(llama, tiny)
        add_libraries(llama_server_dir, tmp_path / "bin")
        await engine.start(llama, tiny)

        assert counted(">", 8) == await answer(await engine.wait_ready("tiny", 60))


@pytest.mark.parametrize(
    "line",
    [
        "exit 0",
        "exit 1",
        "kill -KILL $$",
        "kill -SEGV $$",
        "exec sleep 1000",
        "while :; do echo loading; sleep 0.01; done",
        'echo "x: error while loading shared libraries: a.so: e: Too many open files"; exit 127',
    ],
)
async def test_what_decides_nothing_lets_the_engine_start(
    tmp_path: Path, marked: str, monkeypatch: pytest.MonkeyPatch, cache: Path, line: str
) -> None:
    """A crash, a shortage, a silence; it is not remembered, and nothing is left of the program."""
    monkeypatch.setattr(smoke_run, "_LONGEST_IDLE", 0.3)
    monkeypatch.setattr(smoke_run, "_LONGEST", 1.0)
    llama = imitate(tmp_path / "bin", line)
    await engine.check_binary(llama)
    await engine.check_binary(llama)

    assert 1 == len(starts(llama))
    assert not census.living(marked)
    assert [] == files_below(cache)


async def test_a_cache_that_cannot_be_written_is_none(
    llama: engine.Engine, tmp_path: Path, marked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in its place, or no home at all."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    forget(monkeypatch)
    await engine.check_binary(llama)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "relative")
    forget(monkeypatch)
    await engine.check_binary(llama)

    assert not (tmp_path / "relative").exists()


async def test_a_check_that_is_cancelled_leaves_nothing(
    tmp_path: Path, marked: str, temporary: Path
) -> None:
    """Neither the program nor the model."""
    llama = imitate(tmp_path / "bin", "exec sleep 1000")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.check_binary, llama)
        await until(lambda: census.living(marked, "sleep") != set())
        nursery.cancel_scope.cancel()

    assert not census.living(marked)
    assert [] == files_below(temporary)


PROGRAM = """
import sys, trio
from candil import engine
trio.run(engine.check_binary, engine.Engine(alias="llama", binary_dir=sys.argv[1]))
"""


def test_a_program_on_trial_does_not_outlive_candil(tmp_path: Path, mark: str) -> None:
    """Killed in the middle of a trial, it leaves no process."""
    llama = imitate(tmp_path / "bin", "exec sleep 1000")
    command = [sys.executable, "-c", PROGRAM, str(engine.binary_dir(llama))]
    with subprocess.Popen(command, env=os.environ | {census.MARK: mark}) as process:
        while not census.living(mark, "sleep"):
            assert process.poll() is None
        process.kill()
    census.seconds_until_none_lives(mark)
