"""
One small question to an HTTP server on this machine.

Not httpx: an engine is asked some ten times while it starts, on the cores that it starts on, and
each question costs a sixth this way. Every answer has a connection of its own: an idle one delays
the server's end after SIGTERM. No proxy is ever asked.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, final
from urllib.parse import urlsplit

import attrs
import trio

LONGEST: Final = 1 << 20
_CHUNK: Final = 64 << 10


class NoConnection(Exception):
    """Nobody listens there."""


class BadAnswer(Exception):
    """What came is no whole answer of an HTTP server."""


@final
@attrs.frozen
class Answer:
    """The status and the body of an answer."""

    status: int
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Whether the server says that all is well."""
        return self.status == HTTPStatus.OK


async def get(base_url: str, path: str) -> Answer:
    """
    Ask the server at *base_url*, which has an address and no name, for *path*.

    Raises:
        NoConnection: It cannot be reached.

        BadAnswer: It hangs up too early, says too much, or does not speak HTTP.

    Cancellation:
        The connection is closed.
    """
    where = urlsplit(base_url)
    family = trio.socket.AF_INET6 if ":" in str(where.hostname) else trio.socket.AF_INET
    try:
        with trio.socket.socket(family, trio.socket.SOCK_STREAM) as connection:
            await _connect(connection, (where.hostname, where.port))
            await connection.send(
                f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode()
            )
            return await _read(connection)
    except (OSError, ValueError) as error:
        raise BadAnswer(str(error)) from error


async def _connect(
    connection: trio.socket.SocketType, address: tuple[str | None, int | None]
) -> None:
    try:
        await connection.connect(address)
    except OSError as error:
        raise NoConnection(str(error)) from error


async def _read(connection: trio.socket.SocketType) -> Answer:
    """Read to the end of the connection, or of what was announced."""
    data = b""
    while more := await connection.recv(_CHUNK):
        data += more
        if len(data) > LONGEST:
            raise BadAnswer(f"more than {LONGEST} bytes")
        head, end, body = data.partition(b"\r\n\r\n")
        if end and len(body) >= _length(head):
            break
    return _parse(data)


def _length(head: bytes) -> float:
    """Return the length that the head announces; without one, only the end of all is the end."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return float("inf")


def _parse(data: bytes) -> Answer:
    head, end, body = data.partition(b"\r\n\r\n")
    protocol, _, rest = head.partition(b" ")
    length = _length(head)
    if not end or not protocol.startswith(b"HTTP/1.") or len(body) < length < float("inf"):
        raise BadAnswer(f"{data[:40]!r} ...")
    return Answer(int(rest[:3]), body)
