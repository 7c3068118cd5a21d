"""
Asking a ``llama-server`` how it is.

Not here: the request itself (``get``).
"""

from __future__ import annotations

import enum
from http import HTTPStatus
from typing import final

from candil.engine._http.get import BadAnswer, Unreachable, get


@final
class ProbeResult(enum.Enum):
    """What a probe of the engine's port showed."""

    ABSENT = "absent"
    """Nothing listens."""
    LOADING = "loading"
    """It listens and says that the model is being loaded."""
    READY = "ready"
    """It serves, and it is ours."""
    FOREIGN = "foreign"
    """Another server answers on our port."""
    UNRESPONSIVE = "unresponsive"
    """It accepted the connection and gave no proper answer in time."""


@final
class Probe:
    """
    Probes one engine.

    Args:
        base_url: Where it listens.

        nonce: A word among the aliases of our own server, and of no other.

        timeout: Seconds for each answer.
    """

    def __init__(self, base_url: str, nonce: str, timeout: float) -> None:
        self._base_url = base_url
        self._nonce = nonce.encode()
        self._timeout = timeout
        self._known = False

    async def look(self) -> ProbeResult:
        """
        Ask how the server is, and, until it has once been recognised, whose it is.

        Returns:
            What was seen; a failure is a result, never an exception.
        """
        try:
            health = await get(self._base_url, "/health", self._timeout)
            if health.status == HTTPStatus.SERVICE_UNAVAILABLE:
                # Ask now whose server it is: while the model loads no client waits for it, and
                # each question after that would delay the first answer.
                await self._is_ours()
                return ProbeResult.LOADING
            if health.status != HTTPStatus.OK:
                return ProbeResult.UNRESPONSIVE
            return ProbeResult.READY if await self._is_ours() else ProbeResult.FOREIGN
        except Unreachable:
            return ProbeResult.ABSENT
        except BadAnswer:
            return ProbeResult.UNRESPONSIVE

    async def _is_ours(self) -> bool:
        if not self._known:
            models = await get(self._base_url, "/v1/models", self._timeout)
            self._known = self._nonce in models.body
        return self._known
