"""
HTTP to an engine, by httpx. The one module that imports it.

1. ``trust_env`` is off: with a proxy in the environment, loopback traffic would go through it.
2. No connection is kept: an idle one delays the server's end after SIGTERM.
3. A probe goes by the transport alone: a client would write a line into the log for each.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx  # noqa: ASYNC127 - its successor can replace it here, in one module

if TYPE_CHECKING:
    from collections.abc import Mapping

HttpError = httpx.HTTPError
ConnectError = httpx.ConnectError
InvalidUrl = httpx.InvalidURL

_MOST_BYTES: Final = 8 << 20
_NO_CONNECTION_KEPT: Final = httpx.Limits(max_keepalive_connections=0)
_CLOSE: Final = {"connection": "close"}
# Never used; the default one reads all certificates of the world first.
_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Answer(NamedTuple):
    """An answer: its status, and its body."""

    status: int
    body: bytes


def new_client(base_url: str, timeout: float) -> httpx.AsyncClient:
    """Return a client of the engine at *base_url*; *timeout* is in seconds, for each wait."""
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=timeout,
        trust_env=False,
        headers=_CLOSE,
        limits=_NO_CONNECTION_KEPT,
        verify=_TLS,
    )


async def get_once(url: str, headers: Mapping[str, str]) -> Answer:
    """
    Ask for *url* over a connection of its own.

    Raises:
        ConnectError: Nothing listens.

        HttpError: There was no proper answer, or one that does not end.

        InvalidUrl: *url* is none.

    Cancellation:
        The connection is closed.
    """
    request = httpx.Request("GET", url, headers={**_CLOSE, **headers})
    async with httpx.AsyncHTTPTransport(
        verify=_TLS, trust_env=False, limits=_NO_CONNECTION_KEPT
    ) as transport:
        response = await transport.handle_async_request(request)
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise httpx.ReadError("the answer does not end")
        return Answer(response.status_code, body)
