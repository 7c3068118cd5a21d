"""`Engine` as a value."""

from pathlib import Path

import pytest

from candil.engine._config.engine import Engine, binary_dir, binary_exists, binary_path
from candil.engine._config.errors import ConfigError


def test_the_defaults_are_those_of_the_seed() -> None:
    """An engine needs an alias only."""
    engine = Engine(alias="llama")

    assert engine.binary_dir is None
    assert engine.use_precompiled is True
    assert engine.precompiled_version == "latest"
    assert engine.host == "127.0.0.1"
    assert engine.port == 8080
    assert engine.start_args == ()


def test_without_a_folder_the_programs_place_is_in_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`None` falls back to ~/.apero/llm/bin."""
    monkeypatch.setenv("HOME", str(tmp_path))
    engine = Engine(alias="llama")

    assert binary_dir(engine) == tmp_path / ".apero" / "llm" / "bin"
    assert binary_path(engine) == tmp_path / ".apero" / "llm" / "bin" / "llama-server"


def test_a_tilde_in_the_folder_is_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder may start with `~`, as users write it."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert binary_dir(Engine(alias="llama", binary_dir="~/bin")) == tmp_path / "bin"


def test_the_binary_exists_when_it_is_an_executable_file(tmp_path: Path) -> None:
    """Neither nothing, nor a folder, nor a file without the right to execute is a program."""
    engine = Engine(alias="llama", binary_dir=tmp_path)
    program = binary_path(engine)

    assert not binary_exists(engine)
    program.mkdir()
    assert not binary_exists(engine)
    program.rmdir()
    program.write_bytes(b"")
    program.chmod(0o644)
    assert not binary_exists(engine)
    program.chmod(0o755)
    assert binary_exists(engine)


def test_every_mistake_is_listed_at_once() -> None:
    """A wrong engine is refused when it is built, with all reasons in one error."""
    with pytest.raises(ConfigError) as caught:
        Engine(
            alias="",
            binary_dir=3,  # type: ignore[arg-type]
            use_precompiled="yes",  # type: ignore[arg-type]
            precompiled_version="",
            host="models.example",
            port=70_000,
            start_args=["--port", "9"],  # type: ignore[arg-type]
        )

    fields = [mistake.split()[0].rstrip(":") for mistake in caught.value.mistakes]
    assert fields == [
        "alias",
        "binary_dir",
        "use_precompiled",
        "precompiled_version",
        "host",
        "port",
        "start_args",
    ]
    for mistake in caught.value.mistakes:
        assert mistake in str(caught.value)


@pytest.mark.parametrize("alias", ["", " ", "a,b", "a\nb", None, 7])
def test_an_alias_is_a_printable_word(alias: str) -> None:
    """The comma separates aliases for llama-server, so it can be in none."""
    with pytest.raises(ConfigError, match="alias must be"):
        Engine(alias=alias)


@pytest.mark.parametrize("port", [-1, 65_536, True, "8080", 80.0])
def test_a_port_is_a_number_that_exists(port: int) -> None:
    """llama-server takes 70000 and listens on 4464: candil refuses it."""
    with pytest.raises(ConfigError, match="port must be"):
        Engine(alias="llama", port=port)


@pytest.mark.parametrize("args", ["--n-gpu-layers 35", 35, [35], ["a\0b"]])
def test_arguments_are_a_list_of_words(args: list[str]) -> None:
    """A single string would become its letters."""
    with pytest.raises(ConfigError, match="start_args must"):
        Engine(alias="llama", start_args=args)  # type: ignore[arg-type]
