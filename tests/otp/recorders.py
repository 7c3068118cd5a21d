"""The ways to have a `Recorder` do something, and to read what it recorded."""

from __future__ import annotations

from typing import Any

import pytest

import candil
from candil import sys
from tests.otp.servers import Recorder


async def all_handled(pid: candil.Pid[Any]) -> list[Any]:
    """Wait until a server has handled what was sent so far, and give what it noted."""
    return (await sys.get_state(pid, timeout=60)).log


def _continue(pid: candil.Pid[Any], action: Any) -> None:
    Recorder.told(pid, lambda: candil.continue_with(action))


every_callback = pytest.mark.parametrize(
    "act",
    [candil.send, candil.cast, Recorder.told, Recorder.told_async, _continue],
    ids=["info", "cast", "plain handler", "async handler", "continue"],
)
"""How a callback that gives no answer is made to do something."""
