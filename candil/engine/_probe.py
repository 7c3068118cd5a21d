"""
Asking a ``llama-server`` how it is, over HTTP.
"""

from __future__ import annotations

import enum
import json
from http import HTTPStatus
from typing import final

import trio

from candil.engine._http_get import Answer, BadAnswer, NoConnection, get


@final
class Sight(enum.Enum):
    """What a look at the engine's port showed."""

    ABSENT = "absent"
    """Nobody listens."""
    LOADING = "loading"
    """It listens and says that the model is being loaded."""
    READY = "ready"
    """It serves, and it is ours."""
    STRANGER = "stranger"
    """Another server answers on our port."""
    SILENT = "silent"
    """It accepted the connection and gave no proper answer in time."""


@final
class Probe:
    """
    Looks at one engine.

    Args:
        base_url: Where it listens.

        nonce: A word among the aliases of our own server, known to nobody else.

        timeout: Seconds for each answer.
    """

    def __init__(self, base_url: str, nonce: str, timeout: float) -> None:
        self._base_url = base_url
        self._nonce = nonce.encode()
        self._timeout = timeout
        self._known = False

    async def look(self) -> Sight:
        """
        Ask how the server is, and, until it has once been recognised, who.

        Returns:
            What was seen; trouble is an answer, never an exception.
        """
        try:
            health = await self._get("/health")
            if health.status == HTTPStatus.SERVICE_UNAVAILABLE:
                return Sight.LOADING
            if not health.is_ok:
                return Sight.SILENT
            return Sight.READY if await self._is_ours() else Sight.STRANGER
        except NoConnection:
            return Sight.ABSENT
        except (BadAnswer, trio.TooSlowError):
            return Sight.SILENT

    async def is_busy(self) -> bool:
        """
        Tell whether a request is being answered.

        Returns:
            ``False`` also when the server does not say: without its slots endpoint, or in trouble.
        """
        try:
            slots = json.loads((await self._get("/slots")).body)
            return any(slot.get("is_processing") for slot in slots)
        except (NoConnection, BadAnswer, trio.TooSlowError):
            return False
        except (ValueError, TypeError, AttributeError):
            return False

    async def _is_ours(self) -> bool:
        if not self._known:
            self._known = self._nonce in (await self._get("/v1/models")).body
        return self._known

    async def _get(self, path: str) -> Answer:
        with trio.fail_after(self._timeout):
            return await get(self._base_url, path)
