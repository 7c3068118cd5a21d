"""Each package shows one face: what is public is listed, explained, and names it as its home."""

from __future__ import annotations

import importlib
import inspect
import pydoc
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import candil

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# Faces, by the extra that must be installed for them; the core's own need none.
_FACES = ["candil", "candil.sys", "candil.engine"]
_LATE = ["httpx", "cattrs", "rich", "cyclopts", "candil.engine", "candil.cli"]


def _code(face: ModuleType) -> dict[str, type | Callable[..., object]]:
    """Give the classes and functions that *face* shows; constants and aliases have no home."""
    shown = {name: getattr(face, name) for name in face.__all__}
    return {
        name: value
        for name, value in shown.items()
        if inspect.isclass(value) or inspect.isroutine(value)
    }


def _isort_order(name: str) -> tuple[int, str]:
    """Order as ruff does: CONSTANTS, then Classes, then functions."""
    if name.isupper():
        return (0, name)
    return (1 if name[0].isupper() else 2, name)


@pytest.fixture(params=_FACES)
def face(request: pytest.FixtureRequest) -> ModuleType:
    """Give each public package in turn."""
    return importlib.import_module(request.param)


def test_all_is_sorted_and_names_nothing_twice(face: ModuleType) -> None:
    """A reader finds a name where the alphabet puts it, once."""
    assert sorted(set(face.__all__), key=_isort_order) == list(face.__all__)


def test_all_is_complete(face: ModuleType) -> None:
    """What can be reached without an underscore is exactly what is listed."""
    reachable = {
        name
        for name, value in vars(face).items()
        if not name.startswith("_")
        and name != "annotations"
        and not (inspect.ismodule(value) and name not in face.__all__)
    }

    assert reachable == set(face.__all__)


def test_every_public_class_and_function_says_what_it_does(face: ModuleType) -> None:
    """Each has a docstring of its own."""
    silent = [name for name, value in _code(face).items() if not (value.__doc__ or "").strip()]

    assert [] == silent


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        ("IGNORE", "What ``init`` returns when there is nothing to run"),
        ("NO_REPLY", "``caller.reply(value)``"),
        ("Server", "What a server is called by: its ``Pid``, or a name."),
        ("ServerName", "What a process can be registered under"),
        ("Call", "pid: The caller"),
        ("Call", "reply: Answers it"),
    ],
)
def test_help_says_what_constants_and_aliases_are_for(name: str, contract: str) -> None:
    """Not what type they have; and of the caller of a raw handle_call, all that it is good for."""
    if name.startswith("Server") and sys.version_info >= (3, 14):
        pytest.skip("from 3.14 on Python keeps no documentation of a union")
    text = pydoc.render_doc(getattr(candil, name), renderer=pydoc.plaintext)

    assert contract in text
    assert "The type of" not in text


def test_every_public_class_and_function_names_its_face_as_its_home(face: ModuleType) -> None:
    """Tracebacks and help() show candil.Pid, not the file where it happens to be written."""
    elsewhere = {
        name: value.__module__
        for name, value in _code(face).items()
        if value.__module__ != face.__name__
    }

    assert {} == elsewhere


def test_a_public_name_is_public_once() -> None:
    """No object has two homes among the faces."""
    homes: dict[int, list[str]] = {}
    for name in _FACES:
        for key, value in _code(importlib.import_module(name)).items():
            homes.setdefault(id(value), []).append(f"{name}.{key}")

    assert [] == [names for names in homes.values() if len(names) > 1]


@pytest.mark.slow
def test_importing_candil_loads_nothing_that_only_engines_or_commands_need() -> None:
    """A program that wants supervision pays for trio and attrs alone."""
    program = f"import sys, candil; print([name for name in {_LATE} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )

    assert done.stdout.strip() == "[]"
