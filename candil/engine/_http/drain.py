"""
The end of an engine that serves: its running answers may finish, for a while.

``llama-server`` itself does not let them: after SIGTERM a stream freezes, and is cut when its next
ping is due. So candil asks it whether it answers anybody, and sends the signal when it does not.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import trio

from candil.engine._config.flags import flag_in
from candil.engine._http.get import BadAnswer, Unreachable, get

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    Return since when the engine that ends now has been ending, on trio's clock.

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
    Wait until the engine is idle.

    Args:
        base_url: Where it listens.

        words: The arguments that it was started with, for its key.

        until: When to wait no longer, on trio's clock.

        is_running: Whether its process still runs.

    Returns:
        Whether it is idle. One that does not say, without its slots and its metrics or by a key
        that is not known here, counts as busy until then.
    """
    key = key_of(words)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with trio.move_on_at(max(until, trio.current_time() + _LAST_LOOK)):
        while is_running() and await _is_busy(base_url, headers):  # noqa: ASYNC110 - another program's state
            if trio.current_time() >= until:
                return False
            await trio.sleep(_PAUSE)
        return True
    return False


def key_of(words: Sequence[str]) -> str | None:
    """Return the key by which the engine of these arguments lets a client in."""
    found: str | None = None
    for word, value in zip(words, (*words, "")[1:], strict=True):
        if flag_in(word) == _KEY:
            found = value
    return None if found is None else found.split(",")[0]


async def _is_busy(base_url: str, headers: Mapping[str, str]) -> bool:
    """
    Ask for the slots, or, where they are switched off, for the metrics.

    Both wake an engine that sleeps, which then loads its whole model. So it is asked first whether
    it sleeps: that does not wake it.
    """
    try:
        if await _is_asleep(base_url, headers):
            return False
        slots = await get(base_url, "/slots", _LAST_LOOK, headers)
        if slots.status == HTTPStatus.OK:
            return any(slot["is_processing"] for slot in json.loads(slots.body))
        metrics = await get(base_url, "/metrics", _LAST_LOOK, headers)
        counts = _REQUESTS.findall(metrics.body.decode(errors="replace"))
        return not counts or any(float(count) > 0 for count in counts)
    except (Unreachable, BadAnswer, ValueError, TypeError, KeyError):
        return True


async def _is_asleep(base_url: str, headers: Mapping[str, str]) -> bool:
    """Ask for the properties; an older build, or one that keeps them to itself, does not sleep."""
    try:
        props: object = json.loads((await get(base_url, "/props", _LAST_LOOK, headers)).body)
    except (BadAnswer, ValueError):
        return False
    match props:
        case {"is_sleeping": True}:
            return True
        case _:
            return False
