"""`Model`, and the look at a model's file before it is loaded."""

import contextlib
import os
import struct
import time
from pathlib import Path

import pytest

from candil.engine._config.errors import (
    ConfigError,
    ModelError,
    ModelMissing,
    ModelNotAFile,
    ModelTruncated,
    NotAGguf,
)
from candil.engine._config.model import Model, check_file, file_path, with_absolute_path
from tests.engine import tiny_gguf


def test_a_models_path_is_its_folder_and_its_file(tmp_path: Path) -> None:
    """The defaults are a context of 4096 tokens and no further arguments."""
    model = Model(alias="tiny", model_dir=tmp_path, filename="tiny.gguf")

    assert file_path(model) == tmp_path / "tiny.gguf"
    assert model.context_size == 4096
    assert model.model_args == ()


def test_every_mistake_of_a_model_is_listed_at_once() -> None:
    """A wrong model is refused when it is built, with all reasons in one error."""
    with pytest.raises(ConfigError) as caught:
        Model(
            alias="",
            model_dir=None,  # type: ignore[arg-type]
            filename="",
            context_size=-1,
            model_args=["--alias", "other"],  # type: ignore[arg-type]
        )

    fields = [mistake.split()[0].rstrip(":") for mistake in caught.value.mistakes]
    assert fields == ["alias", "model_dir", "filename", "context_size", "model_args"]


def test_a_whole_model_passes(tiny_model: Path) -> None:
    """What llama-server loads, candil does not refuse."""
    check_file(tiny_model)


@pytest.mark.slow
def test_a_real_model_passes(real_model: Path) -> None:
    """Also with a vocabulary of 49,152 words and quantised tensors."""
    check_file(real_model)


@pytest.mark.slow
def test_a_real_model_that_lacks_its_last_byte_is_refused(real_model: Path, tmp_path: Path) -> None:
    """The sizes of quantised tensors are known to the byte."""
    short = tmp_path / "short.gguf"
    short.write_bytes(real_model.read_bytes()[:-1])

    with pytest.raises(ModelTruncated):
        check_file(short)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    """The sentence says which file, and what to do."""
    path = tmp_path / "absent.gguf"

    with pytest.raises(ModelMissing, match=r"absent\.gguf: there is no such file") as caught:
        check_file(path)
    assert caught.value.path == path


def test_a_path_through_a_file_is_a_missing_model(tiny_model: Path) -> None:
    """`model.gguf/model.gguf` does not exist either."""
    with pytest.raises(ModelMissing):
        check_file(tiny_model / "tiny.gguf")


def test_a_directory_is_not_a_model(tmp_path: Path) -> None:
    """The folder instead of the file: a common slip."""
    with pytest.raises(ModelNotAFile, match="not a regular file"):
        check_file(tmp_path)


def test_a_pipe_is_not_a_model(tmp_path: Path) -> None:
    """Opening it would block."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ModelNotAFile):
        check_file(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"", "it is empty"),
        (b"GG", "starts with b'GG'"),
        (b"<!doctype html>", "starts with b'<!do'"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "its version is 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "its version is 50331648"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "announces"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sI", 1, b"k", 99), "type 99"),
    ],
)
def test_what_is_not_a_gguf_is_told_from_one(tmp_path: Path, contents: bytes, words: str) -> None:
    """An empty file, a web page, an old or a foreign version, nonsense in the header."""
    path = tmp_path / "model.gguf"
    path.write_bytes(contents)

    with pytest.raises(NotAGguf, match=words):
        check_file(path)


@pytest.mark.slow
def test_a_model_cut_anywhere_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """At every length, in the header and in the tensors, with a typed error and nothing else."""
    whole = tiny_model.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in [*range(600), *range(600, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelTruncated if length >= 4 else NotAGguf):
            check_file(path)


@pytest.mark.slow
def test_a_damaged_header_is_refused_or_passed_and_never_breaks(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Any flipped byte ends in a verdict, in bounded time and memory."""
    whole = bytearray(tiny_model.read_bytes())
    path = tmp_path / "damaged.gguf"
    started = time.monotonic()
    for position in range(4, 700):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with contextlib.suppress(ModelError):
            check_file(path)
    assert time.monotonic() - started < 60


def test_a_model_that_was_good_is_read_once(tiny_model: Path, tmp_path: Path) -> None:
    """A restart does not pay for the header again, and a changed file is looked at anew."""
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_model.read_bytes())
    check_file(path)
    path.chmod(0o000)
    check_file(path)  # root may read it anyway; the point is the next line
    path.chmod(0o644)

    path.write_bytes(b"no longer a model")
    with pytest.raises(NotAGguf):
        check_file(path)


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize(
    ("contents", "error"),
    [(None, ModelMissing), (b"", NotAGguf), (b"GGUF", ModelTruncated), (1000, ModelTruncated)],
)
def test_each_part_of_a_split_model_is_looked_at(
    tmp_path: Path, number: int, contents: bytes | int | None, error: type[ModelError]
) -> None:
    """The error names the part, which the program itself would only do for some."""
    first = tiny_gguf.write_split(tmp_path, 3)
    check_file(first)
    part = tmp_path / f"split-{number:05}-of-00003.gguf"
    whole = part.read_bytes()
    part.unlink()
    if contents is not None:
        part.write_bytes(whole[:contents] if isinstance(contents, int) else contents)

    with pytest.raises(error) as caught:
        check_file(first)
    assert caught.value.path == part
    assert part.name in str(caught.value)


def test_only_the_first_part_of_a_split_model_can_be_named(tmp_path: Path) -> None:
    """The sentence says which file to name; a renamed first part does not lead to the others."""
    first = tiny_gguf.write_split(tmp_path, 2)
    with pytest.raises(NotAGguf, match=f"must name the first, {first.name}"):
        check_file(tmp_path / "split-00002-of-00002.gguf")
    renamed = first.rename(tmp_path / "model.gguf")
    with pytest.raises(NotAGguf, match="has been renamed"):
        check_file(renamed)


def test_a_whole_model_may_have_the_name_of_a_part(tmp_path: Path) -> None:
    """Its keys say what it is."""
    check_file(tiny_gguf.write(tmp_path / "tiny-00001-of-00002.gguf"))


def test_a_home_that_cannot_be_found_is_named() -> None:
    """And not a file below the working directory."""
    model = with_absolute_path(Model(alias="m", model_dir="~nosuchuser/models", filename="m.gguf"))
    with pytest.raises(ModelMissing, match="home of ~nosuchuser cannot be found"):
        check_file(file_path(model))


def test_a_model_is_found_after_the_working_directory_has_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its folder is made absolute once, when its spec is built."""
    tiny_gguf.write(tmp_path / "tiny.gguf")
    monkeypatch.chdir(tmp_path)
    model = with_absolute_path(Model(alias="m", model_dir=".", filename="tiny.gguf"))
    monkeypatch.chdir("/")
    check_file(file_path(model))
