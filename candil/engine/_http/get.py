"""
One GET with a time limit: all that probing an engine takes.

Not here: the request itself (``client.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Mapping

    from candil.engine._http.client import Answer

_NO_HEADERS: Final[Mapping[str, str]] = {}


class Unreachable(Exception):
    """Nothing listens there."""


class BadAnswer(Exception):
    """Something listens, and gave no whole answer in HTTP, or none in time."""


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
    # Late: httpx takes a third of the time of ``import candil.engine``.
    from candil.engine._http import client  # noqa: PLC0415

    try:
        with trio.fail_after(timeout):
            return await client.get_once(base_url + path, headers)
    except trio.TooSlowError:
        raise BadAnswer(f"there was no answer within {timeout:g} s") from None
    except client.ConnectError as error:
        raise Unreachable(str(error)) from error
    # ValueError: a header that cannot be sent.
    except (client.HttpError, client.InvalidUrl, ValueError) as error:
        raise BadAnswer(str(error)) from error
