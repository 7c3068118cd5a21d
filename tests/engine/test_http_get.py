"""One small question over HTTP."""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from candil.engine._http_get import LONGEST, Answer, BadAnswer, NoConnection, get


@asynccontextmanager
async def saying(*parts: bytes, host: str = "127.0.0.1") -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers with *parts* and hangs up; its address, and what it was asked."""
    asked: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            asked.append(await stream.receive_some())
            for part in parts:
                await stream.send_all(part)
                await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        serve_tcp = functools.partial(trio.serve_tcp, host=host)
        (listener,) = await nursery.start(serve_tcp, serve, 0)
        port = listener.socket.getsockname()[1]
        yield (f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"), asked
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",), Answer(200, b"hi")),
        ((b"HTTP/1.1 503 X\r\ncontent-length:2\r\n\r\n", b"h", b"i"), Answer(503, b"hi")),
        ((b"HTTP/1.1 2", b"00 OK\r\n\r", b"\nto the end"), Answer(200, b"to the end")),
        ((b"HTTP/1.0 404 Not Found\r\n\r\n",), Answer(404, b"")),
    ],
)
async def test_an_answer_is_read_however_it_is_cut(
    parts: tuple[bytes, ...], answer: Answer
) -> None:
    """By its length, or without one to the end of the connection."""
    async with saying(*parts) as (url, asked):
        assert await get(url, "/health") == answer

    host = url.removeprefix("http://").encode()
    assert asked == [b"GET /health HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host]


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nhi",),
        (b"HTTP/1.1 200 OK\r\n",),
        (b"HTTP/1.1 yes\r\n\r\n",),
        (b"SSH-2.0-OpenSSH\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (LONGEST + 1)),
    ],
)
async def test_what_is_no_whole_answer_is_told(parts: tuple[bytes, ...]) -> None:
    """Half an answer could say the opposite."""
    async with saying(*parts) as (url, _):
        with pytest.raises(BadAnswer):
            await get(url, "/health")


async def test_nobody_there_is_told_apart() -> None:
    """It is what an engine looks like that has not bound its port yet."""
    async with saying() as (url, _):
        pass
    with pytest.raises(NoConnection):
        await get(url, "/health")


async def test_an_address_of_six_is_reached() -> None:
    """Engines may listen on either."""
    try:
        async with saying(b"HTTP/1.1 200 OK\r\n\r\n", host="::1") as (url, _):
            assert (await get(url, "/")).is_ok
    except OSError as error:
        pytest.skip(f"no ::1 here: {error}")


async def test_a_cancelled_question_leaves_no_connection_open() -> None:
    """The server sees its end."""
    closed = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        while await stream.receive_some():
            pass
        closed.set()

    async with trio.open_nursery() as nursery:
        serve_tcp = functools.partial(trio.serve_tcp, host="127.0.0.1")
        (listener,) = await nursery.start(serve_tcp, serve, 0)
        with trio.move_on_after(0.05) as scope:
            await get(f"http://127.0.0.1:{listener.socket.getsockname()[1]}", "/health")
        assert scope.cancelled_caught
        with trio.fail_after(5):
            await closed.wait()
        nursery.cancel_scope.cancel()
