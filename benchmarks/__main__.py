"""
Measure, and report.

``python -m benchmarks`` measures everything, prints the table while it grows, and writes
`benchmarks/results.json`, the page and the chart. With ``--quick`` or ``--only`` it prints only.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from benchmarks import _calls, _chart, _elixir, _engine, _report, _restarts, _weight
from benchmarks._measure import Comparison, Result, compare

ROUNDS = 15
QUICK_ROUNDS = 3
COMPARISONS: list[Comparison] = [
    *_calls.COMPARISONS,
    *_elixir.COMPARISONS,
    *_restarts.COMPARISONS,
    *_weight.COMPARISONS,
    *_engine.COMPARISONS,
]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds only")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=[comparison.name for comparison in COMPARISONS],
        help="one row; may be given several times: %(choices)s",
    )
    return parser.parse_args()


def log_into_nothing() -> None:
    """Have reports formatted and written as by default, but where nobody needs to see them."""
    devnull = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # until the program ends
    logging.basicConfig(stream=devnull)


def measure(comparisons: list[Comparison], rounds: int) -> list[Result]:
    """Measure *comparisons*, and show each result when it is there."""
    print(_report.terminal_header())
    results: list[Result] = []
    for comparison in comparisons:
        results.append(compare(comparison, rounds))
        print(_report.terminal_line(results[-1]), flush=True)
    return results


def write(results: list[Result], rounds: int, load: tuple[float, ...]) -> None:
    """Write the files."""
    _report.write_figures(results, rounds, load)
    _report.write_page(results, rounds)
    if (reason := _chart.missing()) is not None:
        print(f"\nthe chart was not drawn: {reason}")
    else:
        _chart.draw(results)
    print(f"\nwritten: {_report.FIGURES}, {_report.PAGE}, {_report.CHART}")


def main() -> None:
    """Do what the command line says."""
    given = arguments()
    load = os.getloadavg()
    rounds = QUICK_ROUNDS if given.quick else ROUNDS
    chosen = [one for one in COMPARISONS if not given.only or one.name in given.only]
    log_into_nothing()
    try:
        results = measure(chosen, rounds)
        if not (given.quick or given.only):
            write(results, rounds, load)
    finally:
        _elixir.close()
        _engine.close()


if __name__ == "__main__":
    main()
