"""
One streamed answer of a chat model, told apart from the beginning of one.

``llama-server`` ends an answer with ``data: [DONE]``. One that dies says nothing: its connection
ends, and a proxy in between can make that end look regular. So the mark alone counts.
"""

from __future__ import annotations

import json
from contextlib import aclosing, asynccontextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, final

import trio

from candil.engine._config.errors import EngineError
from candil.engine._http.client import HttpError, new_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

_DATA: Final = "data:"
_END_MARK: Final = "[DONE]"
_SHOWN: Final = 300


@final
class NoAnswer(EngineError):
    """A question was not taken: nothing listens, or the server refused it (``.status``)."""

    def __init__(self, base_url: str, detail: str, status: int | None = None) -> None:
        self.base_url = base_url
        self.status = status
        super().__init__(f"{base_url} took no question: {detail}")


@final
class AnswerCut(EngineError):
    """An answer ended without its end mark: what came of it is a beginning only."""

    def __init__(self, base_url: str, detail: str) -> None:
        self.base_url = base_url
        super().__init__(
            f"the answer of {base_url} broke off: {detail}. What came of it is incomplete; ask "
            "again."
        )


@asynccontextmanager
async def open_chat(
    base_url: str, question: str, *, timeout: float = 60.0, **options: object
) -> AsyncGenerator[AsyncIterator[str], None]:
    """
    Ask *question*, and give the answer piece by piece while the block lasts.

    Args:
        base_url: Where the engine listens.

        question: What the user says.

        timeout: Seconds to wait for a connection, for the first piece, and between two.

        options: More keys of the request, such as ``max_tokens``.

    Raises:
        NoAnswer: On entering: the server is not there, or does not want to.

        AnswerCut: From the iteration: the answer ended too early.

    Cancellation:
        The connection is closed, and the engine stops answering.
    """
    body = {"messages": [{"role": "user", "content": question}], "stream": True, **options}
    async with new_client(base_url, timeout) as client:
        try:
            response = await client.send(
                client.build_request("POST", "/v1/chat/completions", json=body), stream=True
            )
            if response.status_code != HTTPStatus.OK:
                said = (await response.aread()).decode(errors="replace")[:_SHOWN]
                raise NoAnswer(base_url, said, response.status_code)
        except HttpError as error:
            raise NoAnswer(base_url, _words(error)) from error
        lines = response.aiter_lines()
        async with aclosing(response), aclosing(_pieces(base_url, lines)) as pieces:
            try:
                yield pieces
            finally:
                with trio.move_on_after(0, shield=True):
                    await _exhaust(lines)


async def _pieces(base_url: str, lines: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    try:
        async for line in lines:
            piece = read_line(line)
            if piece is None:
                return
            if piece:
                yield piece
    except HttpError as error:
        raise AnswerCut(base_url, _words(error)) from error
    except ValueError as error:
        raise AnswerCut(base_url, str(error)) from error
    raise AnswerCut(base_url, "the connection ended without the end mark")


async def _exhaust(lines: AsyncIterator[str]) -> None:
    """
    End an iteration that is not continued, by being cancelled in it.

    Below it are several generators, which do not close each other; a cancellation at the lowest
    goes through all of them.
    """
    with suppress(HttpError):
        async for _line in lines:
            pass


def read_line(line: str) -> str | None:
    """
    Return the text that one line of the stream carries, ``""`` if none, ``None`` for the end mark.

    Raises:
        ValueError: It is half a line, or the server's word that it cannot go on.
    """
    if not line.startswith(_DATA):
        return ""
    data = line.removeprefix(_DATA).strip()
    if data == _END_MARK:
        return None
    match json.loads(data):
        case {"error": error}:
            raise ValueError(f"the server says {error}")
        case {"choices": [{"delta": {"content": str(text)}}, *_]}:
            return text
        case _:
            return ""


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
