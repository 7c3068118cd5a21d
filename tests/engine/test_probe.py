"""A look at an engine's port."""

import functools
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from candil.engine._http import client as client_module
from candil.engine._http.probe import Probe, ProbeResult

OURS = b'{"data": [{"id": "m", "aliases": ["m", "~nonce"]}]}'


@asynccontextmanager
async def serving(answer: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """An HTTP server that answers each request line with what *answer* says; its address."""

    async def serve(stream: trio.SocketStream) -> None:
        request = await stream.receive_some()
        await stream.send_all(answer(request.split(b"\r\n")[0]))
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        serve_tcp = functools.partial(trio.serve_tcp, host="127.0.0.1")
        (listener,) = await nursery.start(serve_tcp, serve, 0)
        address = listener.socket.getsockname()
        yield f"http://127.0.0.1:{address[1]}"
        nursery.cancel_scope.cancel()


def http(status: int, body: bytes = b"") -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def engine(request: bytes) -> bytes:
    """Our own server, ready."""
    return http(200, OURS if b"/v1/models" in request else b"{}")


async def look(url: str) -> ProbeResult:
    """One look with much patience."""
    return await Probe(url, "nonce", 60).look()


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (engine, ProbeResult.READY),
        (lambda _: http(503, b'{"error": "Loading model"}'), ProbeResult.LOADING),
        (lambda _: http(200, b'{"data": [{"id": "other"}]}'), ProbeResult.FOREIGN),
        (lambda _: http(404), ProbeResult.UNRESPONSIVE),
        (lambda _: b"SSH-2.0-OpenSSH\r\n", ProbeResult.UNRESPONSIVE),
        (lambda _: b"", ProbeResult.UNRESPONSIVE),
        (lambda _: http(200, OURS)[:-5], ProbeResult.UNRESPONSIVE),
        (lambda _: b"HTTP/1.1 200 OK", ProbeResult.UNRESPONSIVE),
        (lambda _: b"\x16\x03\x01\r\n\r\n", ProbeResult.UNRESPONSIVE),
        (lambda request: b"HTTP/1.0 200 OK\r\n\r\n" + engine(request), ProbeResult.READY),
    ],
)
async def test_what_is_on_the_port_is_told_apart(
    answer: Callable[[bytes], bytes], result: ProbeResult
) -> None:
    """A foreign server that is healthy is not our engine being ready."""
    async with serving(answer) as url:
        assert await look(url) is result


async def test_an_engine_recognised_while_it_loads_needs_one_answer_to_be_ready() -> None:
    """Asking whose server it is costs the restart no time."""
    asked: list[bytes] = []
    loading = True

    def answer(request: bytes) -> bytes:
        asked.append(request.split()[1])
        return http(503) if loading and b"/health" in request else engine(request)

    async with serving(answer) as url:
        probe = Probe(url, "nonce", 60)
        assert await probe.look() is ProbeResult.LOADING
        asked.clear()
        loading = False
        assert await probe.look() is ProbeResult.READY
    assert asked == [b"/health"]


async def test_nobody_on_the_port_is_seen_as_such() -> None:
    """The connection is refused at once."""
    async with serving(engine) as url:
        pass

    assert await look(url) is ProbeResult.ABSENT


async def test_a_server_that_never_answers_is_silent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """After as long as the probe was told to wait."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    assert await look(f"http://127.0.0.1:{port}") is ProbeResult.UNRESPONSIVE
    await listeners[0].aclose()


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of an engine on this machine stays on this machine."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(engine) as url:
        assert await look(url) is ProbeResult.READY


async def test_a_probe_writes_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Twenty probes a second while a model loads are not the user's business."""
    caplog.set_level(logging.DEBUG)
    async with serving(engine) as url:
        assert await look(url) is ProbeResult.READY
    assert caplog.records == []


async def test_a_server_that_answers_without_end_is_unresponsive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it sends does not fill the memory."""
    monkeypatch.setattr(client_module, "_MOST_BYTES", 1000)
    async with serving(lambda _: b"HTTP/1.0 200 OK\r\n\r\n" + bytes(100_000)) as url:
        assert await look(url) is ProbeResult.UNRESPONSIVE


def test_an_engine_is_supervised_without_httpx() -> None:
    """It takes a third of the time of the import, and is needed by a client only."""
    code = "import sys, candil.engine; print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
