"""What is made anew for each run: from which seeds, and where it can be judged."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from . import erlang
from .compare import Disagreement

# CANDIL_CONFORMANCE_SEED=12345 pytest -m erlang plays the same again; tests/conftest.py sets it.
SEED = int(os.environ["CANDIL_CONFORMANCE_SEED"])

MARKS = [
    pytest.mark.erlang,
    pytest.mark.slow,
    pytest.mark.skipif(erlang.ESCRIPT is None, reason="needs escript: install erlang-base"),
]


def seeds_of(portion: int, size: int) -> range:
    """The seeds of the *portion*-th part of this run."""
    return range(SEED + portion * size, SEED + (portion + 1) * size)


def fail_if_they_differ(
    cases: list[dict[str, Any]],
    disagreements: Callable[[list[dict[str, Any]]], list[Disagreement]],
) -> None:
    """Fail with what *disagreements* finds in *cases*, and finds again when only that is played."""
    found = disagreements(cases)
    if found:  # Erlang's clock is a real one, and an order may be open; a rule holds each time
        suspects = {one.name for one in found}
        found = disagreements([case for case in cases if case["name"] in suspects])
    if found:
        fail_with(found)


def fail_with(found: list[Disagreement]) -> None:
    """Fail, and say how the same cases are made again."""
    again = f"CANDIL_CONFORMANCE_SEED={SEED} makes the same cases again."
    pytest.fail("\n".join([*map(str, found), again]), pytrace=False)
