"""What the whole suite shares: one seed for all workers, and the order in which tests begin."""

from __future__ import annotations

import os
import random
import re

import pytest
from hypothesis import settings

_SEED = "CANDIL_CONFORMANCE_SEED"

# A shared machine may pause for long in the middle of an example, which proves nothing.
settings.register_profile("full", deadline=None, max_examples=100)
settings.register_profile("fast", deadline=None, max_examples=15)


def pytest_configure(config: pytest.Config) -> None:
    """
    Choose one seed for the fresh scenarios, which the workers of pytest-xdist inherit.

    Properties get all their examples, unless ``--hypothesis-profile`` says otherwise.
    """
    os.environ.setdefault(_SEED, str(random.SystemRandom().randrange(10**9)))
    if config.getoption("--hypothesis-profile") is None:
        settings.load_profile("full")


def pytest_report_header() -> str:
    """Show the seed before anything can fail."""
    return f"fresh scenarios and programs: {_SEED}={os.environ[_SEED]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run the slow tests first, so that no worker is left alone with one of them at the end.

    Raises:
        pytest.UsageError: A test's id contains an address. Two workers would name it differently.
    """
    for item in items:
        if re.search(r" at 0x[0-9a-f]{6}", item.nodeid):
            raise pytest.UsageError(
                f"{item.nodeid} is another test in every process: give its parameters ids, for"
                " example with tests.otp.ids.without_address"
            )
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
