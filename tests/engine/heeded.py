"""Signals that who started the tests ignores: a shell's ``&`` does so with SIGINT, for one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heeded(*numbers: signal.Signals) -> Iterator[None]:
    """Have the programs that are started in the block heed signals *numbers*, as at a terminal."""
    ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:  # what is handled here has its default in a program that is started
        signal.signal(number, _nothing)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def _nothing(_number: int, _frame: object) -> None:
    pass
