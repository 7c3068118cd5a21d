"""Which Python runs the guard: never the program itself, where that is no Python."""

import importlib.util
import os
import resource
import shlex
import sys
from pathlib import Path

import pytest

import candil
from candil import engine
from candil.engine._config.command import environment
from candil.engine._config.exit_status import ExitStatus
from candil.engine._guard import command, pyinstaller
from candil.engine._guard.interpreter import find_interpreter, runs_plain_python
from candil.engine._guard.os_process import OsProcess
from candil.engine._guard.reusable_guard import ReusableGuard
from tests.engine import census
from tests.engine.engines import opened
from tests.engine.shortage_program import limited


class Program:
    """A program that contains a Python and is none; it notes each start."""

    def __init__(self, folder: Path, name: str = "program") -> None:
        self.path = folder / name
        self.starts = folder / "starts"
        script = f"#!/bin/sh\necho start >> {shlex.quote(str(self.starts))}\n"
        self.path.write_text(script)
        self.path.chmod(0o755)

    def was_started(self) -> bool:
        """Whether it was ever started."""
        return self.starts.exists()


@pytest.fixture(params=["frozen", "embedded", "unknown"])
def program(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Program:
    """This program, as if it were frozen, or embedded Python, or knew no path of its own."""
    program = Program(tmp_path)
    if request.param == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    executable = "" if request.param == "unknown" else str(program.path)
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.delenv("CANDIL_PYTHON", raising=False)
    return program


@pytest.fixture
def python() -> str:
    """The real interpreter."""
    return sys.executable


def alone(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have no Python beside the program but what is in *folder*."""
    monkeypatch.setattr(sys, "base_exec_prefix", str(folder / "none"))
    monkeypatch.setenv("PATH", str(folder))


async def test_another_python_runs_the_guard_of_a_frozen_program(
    python: str, program: Program, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one in PATH; the program itself is never started."""
    alone(monkeypatch, tmp_path)
    (tmp_path / "python3").symlink_to(python)
    async with candil.open_node(log=False):
        process = OsProcess(["/bin/sh", "-c", "exit 7"], env={census.MARK: mark})
        assert await ReusableGuard().run(process) == ExitStatus(7)

    assert find_interpreter() == str(tmp_path / "python3")
    assert not program.was_started()


async def test_without_another_python_a_frozen_program_is_refused(
    program: Program,
    llama: engine.Engine,
    tiny: engine.Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the start, by a sentence that says how to name one; as the state of a static child."""
    alone(monkeypatch, tmp_path)
    async with opened(engine.child_spec(llama, tiny)):
        with pytest.raises(engine.GuardUnavailable, match="CANDIL_PYTHON"):
            await engine.wait_ready("tiny", 60)
    async with opened():
        with pytest.raises(engine.GuardUnavailable, match="PATH"):
            await engine.start(llama, tiny)

    assert not program.was_started()


def test_the_program_is_not_started_by_another_name(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link called python3 that leads to it is no interpreter."""
    alone(monkeypatch, tmp_path)
    if sys.executable:
        (tmp_path / "python3").symlink_to(program.path)
    with pytest.raises(engine.GuardUnavailable):
        find_interpreter()

    assert not program.was_started()


def test_the_user_names_the_interpreter(
    python: str, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in PATH."""
    alone(monkeypatch, tmp_path)
    monkeypatch.setenv("CANDIL_PYTHON", python)

    assert find_interpreter() == python
    assert not program.was_started()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "it cannot be executed: No such file"),
        ("exit 0", "does not answer as a Python does"),
        ("echo candil 3 9", "it is Python 3.9"),
    ],
)
def test_a_named_interpreter_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, words: str
) -> None:
    """By its path, and with the reason."""
    path = tmp_path / "interpreter"
    if script is not None:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("CANDIL_PYTHON", str(path))
    with pytest.raises(engine.GuardUnavailable, match=words) as caught:
        find_interpreter()

    assert str(path) in str(caught.value)


def test_an_interpreter_that_cannot_be_asked_for_lack_of_files_is_no_wrong_one(
    python: str, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again the next time, and found."""
    alone(monkeypatch, tmp_path)
    (tmp_path / "python3").symlink_to(python)
    unused = os.open(os.devnull, os.O_RDONLY)
    os.close(unused)
    with limited(0, resource.RLIMIT_NOFILE, unused), pytest.raises(OSError, match="open files"):
        find_interpreter()

    assert find_interpreter() == str(tmp_path / "python3")


def test_a_program_that_is_asked_whether_it_is_a_python_starts_no_guard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else one that is named by mistake would ask itself for ever."""
    monkeypatch.setenv("CANDIL_PYTHON_IS_ASKED", "1")
    with pytest.raises(engine.GuardUnavailable, match="It is not"):
        find_interpreter()


@pytest.mark.parametrize("name", ["python", "python3", "python3.11", "python3.13t", "pypy3.11"])
def test_an_ordinary_python_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is not even asked, which would cost a start."""
    program = Program(tmp_path, name)
    monkeypatch.delenv("CANDIL_PYTHON", raising=False)
    monkeypatch.setattr(sys, "executable", str(program.path))

    assert runs_plain_python()
    assert find_interpreter() == str(program.path)
    assert not program.was_started()


def test_a_program_without_the_script_of_the_guard_says_which_files_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one frozen by a tool that takes only modules along."""
    monkeypatch.setattr(command, "PROGRAM", tmp_path / "program" / "__main__.py")
    with pytest.raises(engine.GuardUnavailable, match=str(tmp_path)):
        command.command_line()


def test_pyinstaller_is_told_to_take_the_script_along() -> None:
    """All its files, to where the program looks for them."""
    (folder,) = pyinstaller.hook_dirs()
    (hook,) = Path(folder).glob("hook-*.py")
    spec = importlib.util.spec_from_file_location("hook", hook)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert hook.stem == f"hook-{command.__name__}"
    assert {Path(source) for source, _ in module.datas} == set(command.PROGRAM.parent.glob("*.py"))
    assert {target for _, target in module.datas} == {"candil/engine/_guard/program"}


def test_other_programs_have_the_library_path_of_before_the_freezing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PyInstaller's own libraries are too old or too new for an engine."""
    monkeypatch.setattr(sys, "_MEIPASS", "/opt/_MEI", raising=False)
    inherited = {"LD_LIBRARY_PATH": "/opt/_MEI", "LD_LIBRARY_PATH_ORIG": "/mine", "A": "b"}

    assert environment(inherited) == {"LD_LIBRARY_PATH": "/mine", "A": "b"}
    assert environment({"LD_LIBRARY_PATH": "/opt/_MEI"}) == {}
    monkeypatch.delattr(sys, "_MEIPASS")
    assert environment(inherited) == inherited
    assert os.environ.items() >= environment(os.environ).items()
