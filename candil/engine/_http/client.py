"""
HTTP to an engine, by httpx. The one module that imports it.

1. ``trust_env`` is off: with a proxy in the environment, loopback traffic would go through it.
2. No connection is kept: an idle one delays the server's end after SIGTERM.
3. Probes write no log: they go by the transport, since a client has an INFO line for each, and its
   library's DEBUG lines are dropped while one runs. There are twenty a second.
"""

from __future__ import annotations

import logging
import ssl
from contextlib import aclosing
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple, final

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


_is_probing: ContextVar[bool] = ContextVar("candil.engine.is_probing", default=False)


@final
class _NoProbes(logging.Filter):
    """Drops what the library logs for a probe; a program's own requests are logged as ever."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether *record* is written."""
        del record
        return not _is_probing.get()


for _name in ("connection", "http11"):
    logging.getLogger(f"httpcore.{_name}").addFilter(_NoProbes())


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
    token = _is_probing.set(True)
    try:
        async with (
            httpx.AsyncHTTPTransport(
                verify=_TLS, trust_env=False, limits=_NO_CONNECTION_KEPT
            ) as transport,
            aclosing(await transport.handle_async_request(request)) as response,
        ):
            return await _read(response)
    finally:
        _is_probing.reset(token)


async def _read(response: httpx.Response) -> Answer:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MOST_BYTES:  # not left here: the generators within would stay open
            await response.aclose()
    return Answer(response.status_code, body)
