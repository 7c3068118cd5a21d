"""
One GET, over a connection of its own: all that probing an engine takes.

It is written by hand because it runs twenty times a second while a model loads. A general client
would take three times as long, write a log line for each probe into the user's log, and obey a
proxy in the environment. No connection is kept: an idle one delays the server's end after SIGTERM.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import trio

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_BYTES: Final = 8 << 20
_CHUNK: Final = 64 << 10
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r\n)")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+) *\r\n", re.IGNORECASE)
_NO_HEADERS: Final[Mapping[str, str]] = {}


class Unreachable(Exception):
    """Nothing listens there."""


class BadAnswer(Exception):
    """Something listens, and gave no whole answer in HTTP, or none in time."""


class Answer(NamedTuple):
    """An answer: its status, and its body."""

    status: int
    body: bytes


async def get(
    base_url: str, path: str, timeout: float, headers: Mapping[str, str] = _NO_HEADERS
) -> Answer:
    """
    Ask for *path* of the server at *base_url*.

    Args:
        base_url: The server, such as ``http://127.0.0.1:8080``.

        path: The path, with its slash.

        timeout: Seconds for the whole exchange.

        headers: More headers.

    Raises:
        Unreachable: Nothing listens.

        BadAnswer: There was no proper answer in time.

    Cancellation:
        The connection is closed.
    """
    with trio.move_on_after(timeout):
        stream = await _connected(base_url)
        try:
            await stream.send_all(_request(base_url, path, headers))
            return _parsed(await _whole(stream))
        except trio.BrokenResourceError as error:
            raise BadAnswer("the connection broke") from error
        finally:
            stream.socket.close()  # at once: there is nothing to say goodbye for
    raise BadAnswer(f"there was no answer within {timeout:g} s")


async def _connected(base_url: str) -> trio.SocketStream:
    parts = urlsplit(base_url)
    try:
        return await trio.open_tcp_stream(parts.hostname or "", parts.port or 80)
    except OSError as error:
        raise Unreachable(str(error)) from error


def _request(base_url: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Write the request; HTTP/1.0 so that the answer comes in one piece."""
    lines = [f"GET {path} HTTP/1.0", f"Host: {urlsplit(base_url).netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", errors="replace")


async def _whole(stream: trio.SocketStream) -> bytes:
    """Read until the answer is whole, or the server closes the connection."""
    data = b""
    while not _is_whole(data):
        chunk = await stream.receive_some(_CHUNK)
        if not chunk:
            break
        data += chunk
        if len(data) > _MOST_BYTES:
            raise BadAnswer("the answer does not end")
    return data


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    return bool(end) and length is not None and len(body) >= int(length[1])


def _parsed(data: bytes) -> Answer:
    head, end, body = data.partition(b"\r\n\r\n")
    status = _STATUS.match(head + b"\r\n")
    if status is None or not end:
        raise BadAnswer(f"that is no HTTP: {data[:40]!r}")
    length = _LENGTH.search(head + b"\r\n")
    if length is not None and len(body) < int(length[1]):
        raise BadAnswer("the answer was cut")
    return Answer(int(status[1]), body)
