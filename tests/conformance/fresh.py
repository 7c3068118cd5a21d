"""What is made anew for each run: from which seeds, and where it can be judged."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from . import erlang
from .compare import Disagreement

# The same seeds again: CANDIL_CONFORMANCE_SEED=12345 pytest -m erlang
SEED = int(os.environ.get("CANDIL_CONFORMANCE_SEED") or random.SystemRandom().randrange(10**9))

MARKS = [
    pytest.mark.erlang,
    pytest.mark.slow,
    pytest.mark.skipif(erlang.ESCRIPT is None, reason="needs escript: install erlang-base"),
]


def seeds_of(portion: int, size: int, what: str, capsys: pytest.CaptureFixture[str]) -> range:
    """The seeds of the *portion*-th part of this run; they are shown, whatever pytest captures."""
    seeds = range(SEED + portion * size, SEED + (portion + 1) * size)
    with capsys.disabled():
        print(f"\nfresh {what} of the seeds {seeds[0]} to {seeds[-1]} ", end="")
    return seeds


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
        pytest.fail("\n".join(map(str, found)), pytrace=False)
