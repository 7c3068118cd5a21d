"""What a supervisor says about its children."""

import pytest

import candil


@pytest.fixture
def events():
    """Give the reports and starts of a test, in order."""
    seen = []

    def note(event):
        if isinstance(event, candil.SupervisorReport | candil.ChildStarted):
            seen.append(event)

    seen.note = note if False else None if False else note  # type: ignore[attr-defined]
    return seen
