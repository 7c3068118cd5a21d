"""
Asking a ``llama-server`` how it is, over HTTP. The one module that imports httpx.

``trust_env`` is off: with a proxy in the environment, loopback traffic would go through it. No
connection is kept: an idle one delays the server's end after SIGTERM.
"""

from __future__ import annotations

import enum
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, final

import httpx  # noqa: ASYNC127 - its successor can replace it here, in one line

if TYPE_CHECKING:
    from types import TracebackType


HttpError = httpx.HTTPError


def new_client(base_url: str, timeout: float) -> httpx.AsyncClient:
    """Make a client of the engine at *base_url*; *timeout* is in seconds, for each wait."""
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=timeout,
        trust_env=False,
        headers={"connection": "close"},
        limits=httpx.Limits(max_keepalive_connections=0),
        # Never used; the default one reads all certificates of the world first.
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    )


@final
class ProbeResult(enum.Enum):
    """What a look at the engine's port showed."""

    ABSENT = "absent"
    """Nobody listens."""
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
    Looks at one engine; an ``async with`` block closes it.

    Args:
        base_url: Where it listens.

        nonce: A word among the aliases of our own server, known to nobody else.

        timeout: Seconds for each answer.
    """

    def __init__(self, base_url: str, nonce: str, timeout: float) -> None:
        self._nonce = nonce
        self._known = False
        self._client = new_client(base_url, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def look(self) -> ProbeResult:
        """
        Ask how the server is, and, until it has once been recognised, who.

        Returns:
            What was seen; trouble is an answer, never an exception.
        """
        try:
            health = await self._client.get("/health")
            if health.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                # Whose server it is can be asked now, when nobody waits for the answer: each
                # question after the model is loaded would keep somebody waiting.
                await self._is_ours()
                return ProbeResult.LOADING
            if health.status_code != HTTPStatus.OK:
                return ProbeResult.UNRESPONSIVE
            return ProbeResult.READY if await self._is_ours() else ProbeResult.FOREIGN
        except httpx.ConnectError:
            return ProbeResult.ABSENT
        except (httpx.HTTPError, httpx.InvalidURL):
            return ProbeResult.UNRESPONSIVE

    async def _is_ours(self) -> bool:
        if not self._known:
            models = await self._client.get("/v1/models")
            self._known = self._nonce in models.text
        return self._known
