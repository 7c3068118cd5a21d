"""What the whole suite shares: one seed for all workers, and the order in which tests begin."""

from __future__ import annotations

import os
import random
import re

import pytest

_SEED = "CANDIL_CONFORMANCE_SEED"


def pytest_configure() -> None:
    """Choose one seed for the fresh scenarios; the workers of pytest-xdist inherit it."""
    os.environ.setdefault(_SEED, str(random.SystemRandom().randrange(10**9)))


def pytest_report_header() -> str:
    """Show the seed before anything can fail."""
    return f"fresh scenarios and programs: {_SEED}={os.environ[_SEED]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run the long tests first, so that no worker is left alone with one of them at the end.

    Raises:
        pytest.UsageError: A test's id contains an address. Two workers would name it differently.
    """
    for item in items:
        if re.search(r" at 0x[0-9a-f]{6}", item.nodeid):
            raise pytest.UsageError(
                f"{item.nodeid} is another test in every process: give its parameters ids, for"
                " example with tests.otp.ids.without_address"
            )
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    """Return 0 for what runs for seconds, 1 for other slow tests, 2 for the rest."""
    if item.get_closest_marker("long"):
        return 0
    return 1 if item.get_closest_marker("slow") else 2
