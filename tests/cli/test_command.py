"""The command itself: what it answers, and how quickly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = "import sys; from candil.cli import main; sys.exit(main())"


def run(*arguments: str, path: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command as the script that pip installs would; *path* comes first in sys.path."""
    first = f"import sys; sys.path.insert(0, {str(path)!r}); " if path else ""
    return subprocess.run(
        [sys.executable, "-c", first + COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | env,
        check=False,
    )


@pytest.mark.slow
def test_the_version_is_the_package_s() -> None:
    """One line, the number alone."""
    from importlib.metadata import version  # noqa: PLC0415 - as the command finds it

    assert (0, version("candil") + "\n") == ((done := run("--version")).returncode, done.stdout)


@pytest.mark.slow
def test_python_m_candil_is_the_command() -> None:
    """For whoever has the package and not the script in PATH."""
    done = subprocess.run(
        [sys.executable, "-m", "candil", "--version"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (0, run("--version").stdout) == (done.returncode, done.stdout)


@pytest.mark.slow
def test_help_lists_the_commands_that_there_are() -> None:
    """And promises no other."""
    done = run("--help")

    assert 0 == done.returncode
    assert "demo" in done.stdout
    assert "doctor" not in done.stdout


@pytest.mark.slow
def test_an_unknown_command_is_refused() -> None:
    """It is told on stderr."""
    done = run("nope")

    assert 0 != done.returncode
    assert "nope" in done.stderr


@pytest.mark.slow
def test_without_its_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    """A plain ``pip install .`` installs the script too; it must not end in a traceback."""
    (tmp_path / "cyclopts.py").write_text("raise ModuleNotFoundError(name='cyclopts')")

    done = run("demo", path=tmp_path)

    assert 1 == done.returncode
    assert "candil: the command needs cyclopts" in done.stderr
    assert "pip install '.[demo]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_help_loads_no_engine() -> None:
    """What a command does is imported when it is called."""
    program = (
        "import sys; from candil.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('httpx', 'trio', 'candil.engine') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert "[]" == done.stdout.splitlines()[-1].replace("'trio'", "").replace(", ", "")


@pytest.mark.slow
def test_a_demo_that_cannot_begin_says_why_and_fails(tmp_path: Path) -> None:
    """A folder without a llama-server: a sentence on stderr, and exit code 1."""
    done = run("demo", "--binary-dir", str(tmp_path))

    assert 1 == done.returncode
    assert done.stderr.startswith("candil: there is no llama-server in")
    assert "Traceback" not in done.stderr
