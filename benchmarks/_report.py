"""
What was measured, for people and for programs: a table, a page, a file with every figure.

Not here: the chart (`_chart.py`).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import _elixir, _engine
from benchmarks._measure import Comparison, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks._measure import Meter

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
CHART = ROOT / "docs" / "reference" / "benchmarks.svg"
BEGIN = "<!-- what follows is written by `make bench` -->"
END = "<!-- what follows is written by hand -->"

_HEADINGS = (
    *("row", "what", "divided by", "ratio", "middle half", "reach", "", "cost"),
    "cost of the other",
)
_MOST_DIGITS = 6


def versions() -> dict[str, str]:
    """Give what the figures depend on."""
    found = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "trio": version("trio"),
        "candil": version("candil"),
        "platform": platform.platform(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "llama-server": _engine.version() or "none",
        "elixir": _elixir.version() or "none",
    }
    return {name: text for name, text in found.items() if text != "none"}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def figures(results: Iterable[Result], rounds: int, load: Sequence[float]) -> dict[str, Any]:
    """Give everything, as plain values."""
    return {
        "versions": versions(),
        "rounds": rounds,
        "load_before": list(load),
        "comparisons": [_one(result) for result in results],
    }


def _one(result: Result) -> dict[str, Any]:
    comparison = result.comparison
    row: dict[str, Any] = {
        "name": comparison.name,
        "what": comparison.what,
        "against": comparison.against,
        "clock": comparison.clock,
        "unit": comparison.unit,
        "target": comparison.target,
        "limit": comparison.limit,
        "note": comparison.note,
    }
    if result.skipped is not None:
        return row | {"skipped": result.skipped}
    spread = result.ratio
    return row | {
        "ratio": {
            "median": spread.median,
            "quartiles": [spread.low, spread.high],
            "extremes": [spread.least, spread.most],
        },
        "reached": result.reached,
        "rounds": {"subject": result.subject, "base": result.base, "ratio": result.ratios},
    }


def write_figures(results: Iterable[Result], rounds: int, load: Sequence[float]) -> None:
    """Write `results.json`."""
    text = json.dumps(figures(results, rounds, load), indent=1, ensure_ascii=False)
    FIGURES.write_text(text + "\n", encoding="utf-8")


def read_figures() -> tuple[list[Result], int, dict[str, str]]:
    """Read `results.json`: the results, the rounds, and what the figures depend on."""
    found = json.loads(FIGURES.read_text(encoding="utf-8"))
    return [_read(row) for row in found["comparisons"]], found["rounds"], found["versions"]


def _read(row: dict[str, Any]) -> Result:
    keys = ("name", "what", "against", "clock", "unit", "target", "limit", "note")
    comparison = Comparison(subject=_measured, base=_measured, **{key: row[key] for key in keys})
    if "skipped" in row:
        return Result(comparison, skipped=row["skipped"])
    return Result(comparison, row["rounds"]["subject"], row["rounds"]["base"])


def _measured(meter: Meter) -> None:
    raise RuntimeError(f"{meter} cannot be measured again: these figures were read from a file")


# --- one row


def cells(result: Result) -> tuple[str, ...]:
    """Give the row of one result, under the headings of the table."""
    comparison = result.comparison
    reach = "" if comparison.target is None else f"≤ {comparison.target:g}"
    if result.skipped is not None:
        return (comparison.what, comparison.against, "", "", reach, result.skipped, "", "")
    spread, more = result.ratio, extra_digits(result)
    return (
        comparison.what,
        comparison.against,
        number(spread.median, more),
        f"{number(spread.low, more)} … {number(spread.high, more)}",
        reach,
        own_reason(result),
        _cost(comparison, result.subject),
        _cost(comparison, result.base),
    )


def number(ratio: float, more: int = 0) -> str:
    """Show a ratio with as many digits as mean something, and *more*."""
    digits = 3 if ratio < 0.1 else 2 if ratio < 10 else 1  # noqa: PLR2004  # three digits or so
    return f"{ratio:.{digits + more}f}"


def extra_digits(result: Result) -> int:
    """Tell how many digits more it takes until the ratio as shown agrees with the own_reason."""
    target, median = result.comparison.target, result.ratio.median
    if target is None:
        return 0
    agree = (
        more
        for more in range(_MOST_DIGITS)
        if (float(number(median, more)) <= target) == (median <= target)
    )
    return next(agree, _MOST_DIGITS)


def own_reason(result: Result) -> str:
    """Say whether the target was reached."""
    if result.reached is None:
        return ""
    return "reached" if result.reached else "not reached"


def _cost(comparison: Comparison, costs: Sequence[float]) -> str:
    cost = statistics.median(costs)
    wall = " wall" if comparison.clock == "wall" else ""
    if comparison.unit == "bytes":
        return f"{cost / 1024:.2f} KiB"
    return f"{cost * 1e3:.1f} ms{wall}" if cost > 1e-3 else f"{cost * 1e6:.2f} µs{wall}"  # noqa: PLR2004  # milliseconds from one on


# --- the table


def terminal_header() -> str:
    """Give the first line of the table on a terminal."""
    return _terminal_line("", "ratio", "middle half", "reach", "", "cost", "of the other")


def terminal_line(result: Result) -> str:
    """Give one line for the terminal: the row's short name in place of its sentences."""
    name = result.comparison.name
    if result.skipped is not None:
        return f"{name:<15} skipped: {result.skipped}"
    _, _, ratio, middle, reach, said, cost, base = cells(result)
    return _terminal_line(name, ratio, middle, reach, said, cost, base)


def _terminal_line(*words: str) -> str:
    return "{:<15} {:>7}  {:<15} {:<7} {:<12} {:>15} {:>15}".format(*words)


def markdown_table(results: Iterable[Result]) -> str:
    """Give the table of the page; a row's note stands below it, where it has one."""
    lines = [" | ".join(("", *_HEADINGS, "")).strip(), "|" + "---|" * len(_HEADINGS)]
    for result in results:
        what, *others = cells(result)
        note = f"<br>*{result.comparison.note}*" if result.comparison.note else ""
        name = result.comparison.name
        lines.append(f"| `{name}` | {what}{note} | " + " | ".join(others) + " |")
    return "\n".join(lines)


def write_page(results: Iterable[Result], rounds: int, facts: dict[str, str] | None = None) -> None:
    """
    Put the table into its page, between the two marks, and leave the rest as it is.

    Args:
        results: The rows.

        rounds: How many rounds were measured.

        facts: What the figures depend on; by default what is here now.
    """
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    told = "; ".join(f"{name} {text}" for name, text in (facts or versions()).items())
    drawn = f"![each ratio as a share of what was to be reached]({CHART.name})"
    parts = (BEGIN, drawn, markdown_table(results), f"Medians of {rounds} rounds. {told}.", END)
    PAGE.write_text(before + "\n\n".join(parts) + after, encoding="utf-8")
