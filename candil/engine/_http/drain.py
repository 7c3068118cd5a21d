"""
The end of an engine that serves: its running answers may finish, for a while.

``llama-server`` itself does not let them: after SIGTERM a stream freezes, and is cut when its next
ping is due. So candil asks it whether it answers anybody, and sends the signal when it does not.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import trio

from candil.engine._http.probe import HttpError, new_client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from candil._otp.processes.node import Node

_PAUSE: Final = 0.05
# Also when no time is left, there is enough to learn that an idle engine is idle.
_LAST_LOOK: Final = 0.25
_KEY: Final = "--api-key"
_REQUESTS: Final = re.compile(r"^llamacpp:requests_(?:processing|deferred) (\S+)$", re.MULTILINE)

_closing_since: trio.lowlevel.RunVar[WeakKeyDictionary[Node, float]] = trio.lowlevel.RunVar(
    "candil.engine.closing_since"
)


def begin_of_end(node: Node) -> float:
    """
    Tell since when the engine that ends now has been ending, on trio's clock.

    When a whole tree is closed its engines end one after the other, and all of them together
    get the time of one: each has known since the first that it is over.
    """
    now = trio.current_time()
    if not node.closing:
        return now
    try:
        since = _closing_since.get()
    except LookupError:
        _closing_since.set(since := WeakKeyDictionary())
    return since.setdefault(node, now)


async def drain(
    base_url: str, words: Sequence[str], until: float, is_running: Callable[[], bool]
) -> bool:
    """
    Wait until the engine answers nobody.

    Args:
        base_url: Where it listens.

        words: The arguments that it was started with, for its key.

        until: When to wait no longer, on trio's clock.

        is_running: Whether its process still runs.

    Returns:
        Whether it is idle. One that does not say, without its slots and its metrics or by a key
        that is not known here, counts as busy until then.
    """
    with trio.move_on_at(max(until, trio.current_time() + _LAST_LOOK)):
        async with new_client(base_url, _LAST_LOOK) as client:
            key = key_of(words)
            if key is not None:
                client.headers["authorization"] = f"Bearer {key}"
            while is_running() and await _is_busy(client):  # noqa: ASYNC110 - another program's state
                if trio.current_time() >= until:
                    return False
                await trio.sleep(_PAUSE)
            return True
    return False


def key_of(words: Sequence[str]) -> str | None:
    """Return the key by which the engine of these arguments lets a client in."""
    found: str | None = None
    for word, value in zip(words, (*words, "")[1:], strict=True):
        if word == _KEY:
            found = value
    return None if found is None else found.split(",")[0]


async def _is_busy(client: Any) -> bool:
    """Ask for the slots, or, where they are switched off, for the metrics."""
    try:
        slots = await client.get("/slots")
        if slots.status_code == HTTPStatus.OK:
            return any(slot["is_processing"] for slot in slots.json())
        metrics = await client.get("/metrics")
        counts = _REQUESTS.findall(metrics.text)
        return not counts or any(float(count) > 0 for count in counts)
    except (HttpError, ValueError, TypeError, KeyError):
        return True
