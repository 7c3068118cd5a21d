"""
Measure the code: how large its parts are, how much of it is typed and documented.

``python -m benchmarks.code`` (or ``make measure``) prints a table; nothing fails on a number. Code
lines are those that are neither blank, nor comment, nor docstring.
"""

from __future__ import annotations

import ast
import io
import statistics
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast, final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent / "candil"
SHORT = 60
LONG = 400

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Definition: TypeAlias = Function | ast.ClassDef

_NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


@final
@attrs.frozen
class Module:
    """One file, read and parsed."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """All of its lines."""
        return self.text.count("\n")

    @property
    def is_face(self) -> bool:
        """Whether it only shows what others define."""
        return self.path.name in {"__init__.py", "__main__.py", "sys.py"}


def modules(folder: Path) -> list[Module]:
    """Read every module below *folder*."""
    found: list[Module] = []
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Module(path, text, ast.parse(text)))
    return found


def code_lines(module: Module) -> int:
    """Count the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(module.tree))


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of the lines that docstrings take."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and ast.get_docstring(node):
            first = node.body[0]
            lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def count_any(module: Module) -> int:
    """Count how often the code names ``Any``, imports excepted."""
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(module.tree))


def functions(tree: ast.AST) -> Iterator[Function]:
    """Find all functions and methods."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: Function) -> int:
    """Count the lines of a function's body, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1


def public_definitions(module: Module) -> Iterator[Definition]:
    """Find the public classes, functions and methods."""
    todo: list[ast.stmt] = list(module.tree.body)
    while todo:
        node = todo.pop()
        if (
            isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.name.startswith("_")
            and not is_overload(node)
        ):
            yield node
            todo += node.body if isinstance(node, ast.ClassDef) else []


def is_overload(node: Definition) -> bool:
    """Tell whether *node* is one of a function's signatures, which share one docstring."""
    return any(ast.unparse(one).endswith(("overload", ".setter")) for one in node.decorator_list)


def share_documented(found: list[Module]) -> float:
    """Return how many of the public definitions have a docstring, in percent."""
    all_public = [one for module in found for one in public_definitions(module)]
    documented = sum(ast.get_docstring(cast("Any", one)) is not None for one in all_public)
    return 100.0 * documented / len(all_public)


def report() -> list[tuple[str, str]]:
    """Measure, and return the rows of the table."""
    everything = modules(ROOT)
    otp = modules(ROOT / "_otp")
    sizes = [body_lines(function) for one in everything for function in functions(one.tree)]
    implementation = [one for one in everything if not one.is_face]
    short = [one for one in implementation if one.lines < SHORT]
    long = [one for one in everything if one.lines > LONG]
    any_rate = 1000 * sum(map(count_any, otp)) / sum(map(code_lines, otp))
    return [
        ("modules", str(len(everything))),
        ("lines", str(sum(one.lines for one in everything))),
        ("code lines", str(sum(map(code_lines, everything)))),
        ("Any per 1,000 code lines of _otp", f"{any_rate:.0f}"),
        (f"modules under {SHORT} lines", f"{len(short)}  {_names(short)}"),
        (f"modules over {LONG} lines", f"{len(long)}  {_names(long)}"),
        ("function, median lines", f"{statistics.median(sizes):.0f}"),
        ("function, 90th percentile", f"{statistics.quantiles(sizes, n=10)[-1]:.0f}"),
        ("function, longest", str(max(sizes))),
        ("public docstrings", f"{share_documented(everything):.0f} %"),
    ]


def _names(found: list[Module]) -> str:
    return ", ".join(str(one.path.relative_to(ROOT)) for one in found)


def main() -> None:
    """Print the table."""
    for what, value in report():
        print(f"{what:<36}{value}")


if __name__ == "__main__":
    main()
