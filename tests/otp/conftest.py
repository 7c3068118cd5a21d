"""What all tests of the processes share."""

import signal

import pytest

from candil._otp.processes import watchdog as watchdog_module

# A shell ignores these two for what it runs in the background, and all programs inherit that.
for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)


@pytest.fixture(autouse=True)
def _no_news_of_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that pauses is reported as a blocked loop: one event more than a test expects."""
    monkeypatch.setattr(watchdog_module, "BLOCKED_AFTER", 3600.0)
