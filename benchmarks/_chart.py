"""
The chart of the page: how much of what was to be reached each row takes.

``python -m benchmarks._chart`` writes the page and the chart again from `results.json`, after a
change of how they look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks._report import CHART, extra_digits, number, read_figures, write_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks._measure import Result

GOOD, BAD, MARK = "#2a7f62", "#c8553d", "#222222"
_ROW_INCHES = 0.42
_WIDTH_INCHES = 9.0


def missing() -> str | None:
    """Tell that the chart cannot be drawn."""
    try:
        import matplotlib  # noqa: F401, ICN001, PLC0415  # only contributors have it
    except ImportError:
        return "matplotlib is not installed"
    return None


def draw(results: Sequence[Result]) -> None:
    """Draw those rows that have a target, as shares of it."""
    import matplotlib as mpl  # noqa: PLC0415  # as above
    from matplotlib.figure import Figure  # noqa: PLC0415

    rows = [result for result in results if result.reached is not None]
    # Names of shapes are random otherwise, and each run would change the whole file.
    settings: dict[Any, Any] = {"svg.hashsalt": "candil", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(_WIDTH_INCHES, 1.2 + _ROW_INCHES * len(rows)), layout="tight")
        _draw_rows(figure.subplots(), rows)
        figure.savefig(CHART, metadata={"Date": None})


def _draw_rows(axes: Any, rows: Sequence[Result]) -> None:
    for place, result in enumerate(rows):
        _draw_row(axes, place, result)
    axes.axvline(1.0, color=MARK, linewidth=1)
    axes.set_yticks(range(len(rows)), [_label(result) for result in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.3, *(_share(result) * 1.15 for result in rows)))
    axes.set_xlabel(
        "share of what was to be reached (line); whiskers: middle half of the rounds; "
        "◆ best prototype"
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _draw_row(axes: Any, place: int, result: Result) -> None:
    spread, target = result.ratio, result.comparison.target or 1.0
    share = spread.median / target
    whiskers = [[(spread.median - spread.low) / target], [(spread.high - spread.median) / target]]
    axes.barh(place, share, color=GOOD if result.reached else BAD, height=0.6)
    axes.errorbar(share, place, xerr=whiskers, color=MARK, linewidth=1, capsize=2)
    if result.comparison.limit is not None:
        axes.plot(result.comparison.limit / target, place, marker="D", color=MARK, markersize=4)
    said = number(spread.median, extra_digits(result))
    axes.text(0.01, place, f" {said}", color="white", va="center")


def _share(result: Result) -> float:
    return result.ratio.median / (result.comparison.target or 1.0)


def _label(result: Result) -> str:
    return f"{result.comparison.name}  (≤ {result.comparison.target:g})"


def redraw() -> None:
    """Write the page and the chart from the figures of the last measurement."""
    results, rounds, facts = read_figures()
    write_page(results, rounds, facts)
    draw(results)


if __name__ == "__main__":
    redraw()
