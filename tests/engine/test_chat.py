"""A streamed answer: whole, or known to be cut."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from candil.engine._http.chat import AnswerCut, NoAnswer, open_chat, read_line

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def piece(text: str) -> str:
    """Write a line of the stream that carries *text*."""
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]})


def chunk(*lines: str) -> bytes:
    """Write lines of the stream as one chunk of HTTP."""
    data = "".join(f"{line}\n\n" for line in lines).encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def server(*parts: bytes) -> AsyncIterator[str]:
    """Answer every request with *parts*, and hang up."""

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            for part in parts:
                await stream.send_all(part)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, answer, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def asked(base_url: str) -> list[str]:
    """Ask something, and collect the pieces of the answer."""
    async with open_chat(base_url, "why?", timeout=60.0, max_tokens=9) as pieces:
        return [one async for one in pieces]


async def test_an_answer_is_its_pieces_in_order() -> None:
    """Lines that carry no text, such as the role and the timings, give no piece."""
    lines = [
        'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}',
        piece("A ph"),
        piece("oenix"),
        piece(""),
        'data: {"choices":[],"timings":{}}',
        "data: [DONE]",
    ]

    async with server(HEAD, chunk(*lines[:2]), chunk(*lines[2:]), END) as url:
        assert ["A ph", "oenix"] == await asked(url)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([chunk(piece("half")), END], id="a regular end without the mark"),
        pytest.param([chunk(piece("half"))], id="the connection just ends"),
        pytest.param([chunk(piece("half"))[:-9]], id="in the middle of a chunk"),
        pytest.param([chunk(piece("half"), 'data: {"cho'), END], id="in the middle of a line"),
        pytest.param([chunk(piece("half"), 'data: {"error": "sick"}'), END], id="an error"),
    ],
)
async def test_an_answer_without_its_end_mark_is_cut(parts: list[bytes]) -> None:
    """However regular the end of the connection looks, only the mark says that this was all."""
    async with server(HEAD, *parts) as url:
        with pytest.raises(AnswerCut, match="broke off"):
            await asked(url)


async def test_what_came_before_the_cut_is_given() -> None:
    """The pieces so far are the caller's; the cut comes after them."""
    got: list[str] = []

    async with server(HEAD, chunk(piece("half"))) as url, open_chat(url, "why?") as pieces:
        with pytest.raises(AnswerCut):
            async for one in pieces:
                got.append(one)  # noqa: PERF401 - a comprehension would lose them

    assert ["half"] == got


async def test_a_question_that_is_refused_says_how() -> None:
    """A server that still loads is told apart from one that is not there, by its status."""
    body = b'{"error":{"message":"Loading model"}}'
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n" % len(body)

    async with server(head + body) as url:
        with pytest.raises(NoAnswer, match="Loading model") as raised:
            await asked(url)

    assert 503 == raised.value.status


async def test_a_question_to_nobody_is_no_answer() -> None:
    """Nobody listens: it is known at once, and has no status."""
    async with server() as url:
        pass

    with pytest.raises(NoAnswer) as raised:
        await asked(url)

    assert raised.value.status is None


async def test_an_answer_need_not_be_heard_to_its_end() -> None:
    """Leaving the block hangs up; nothing is left for the garbage collector to complain of."""
    async with (
        server(HEAD, chunk(piece("one"), piece("two")), chunk(piece("three"))) as url,
        open_chat(url, "why?") as pieces,
    ):
        async for one in pieces:
            assert "one" == one
            break


async def test_a_listener_can_be_cancelled() -> None:
    """It hangs up, whatever the server would still have said."""
    with trio.CancelScope() as scope:
        async with server(HEAD, chunk(piece("on and on"))) as url, open_chat(url, "why?") as pieces:
            async for _one in pieces:
                scope.cancel()

    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("", ""),
        (": a comment", ""),
        ("event: ping", ""),
        (piece("text"), "text"),
        ("data:[DONE]", None),
        ("data: 1", ""),
    ],
)
def test_a_line_carries_text_or_nothing_or_the_end(line: str, meaning: str | None) -> None:
    """Whatever else a server sends between is passed over."""
    assert meaning == read_line(line)
