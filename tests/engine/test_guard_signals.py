"""The guard of a real llama-server: while its program is busy, and while its service is stopped."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import candil
from candil import engine
from tests.engine import census
from tests.engine.engines import opened
from tests.engine.test_orphans import Manager

pytestmark = [pytest.mark.engine, pytest.mark.slow]

REQUESTS = 300
CLIENT = """
import json, sys, urllib.request
url, count = sys.argv[1], int(sys.argv[2])
body = json.dumps({"prompt": "hello>", "max_tokens": 1}).encode()
for _ in range(count):
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=20).read()
"""


class Blocker(candil.GenServer):
    """Blocks the loop, as a program does that works in a handler."""

    @candil.handle_call
    def wait_for(self, client: "subprocess.Popen[bytes]") -> int:
        """Wait, without giving way, until *client* has ended."""
        return client.wait(200)


async def test_an_engine_serves_others_while_its_program_is_busy(
    llama: engine.Engine, tiny: engine.Model, marked: str, tmp_path: Path
) -> None:
    """Three hundred requests of another process, each with its lines in the log."""
    log = tmp_path / "log"
    async with opened(
        engine.child_spec(llama, tiny, log_path=log), candil.child_spec(Blocker, name="blocker")
    ):
        url = await engine.wait_ready("tiny", 60)
        command = [sys.executable, "-c", CLIENT, f"{url}/v1/completions", str(REQUESTS)]
        client = subprocess.Popen(command)  # noqa: ASYNC220 - it is meant to block

        assert await Blocker.wait_for.within(250)("blocker", client) == 0
        assert log.read_text().count("stop processing") == REQUESTS
        assert log.stat().st_size > 64 << 10
        assert await engine.healthy("tiny")
        await engine.stop("tiny")


@pytest.mark.parametrize(
    ("number", "code", "order"),
    [(signal.SIGTERM, 143, -1), (signal.SIGINT, 130, 1), (signal.SIGHUP, 129, 1)],
)
def test_a_stop_of_a_service_lets_a_running_answer_finish(
    llama_server_dir: Path, long_model: Path, number: signal.Signals, code: int, order: int
) -> None:
    """The signal comes to program and guard alike, in either order."""
    with Manager(llama_server_dir, long_model, "drain") as manager:
        manager.ready()
        pieces = stream(manager.url, tokens=150)
        first = [next(pieces) for _ in range(5)]
        for pid in (manager.process.pid, manager.guard())[::order]:
            os.kill(pid, number)
        rest = list(pieces)

        assert rest[-1] == "[DONE]"
        assert len(first + rest) > 150
        assert manager.process.wait(60) == code
        assert not census.living(manager.mark)


def stream(url: str, tokens: int) -> Iterator[str]:
    """Ask for a streamed answer, and yield its pieces as they come."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    body = {"prompt": "hello>", "max_tokens": tokens, "stream": True}
    connection.request(
        "POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"}
    )
    with connection.getresponse() as response:
        for line in response:
            if line.startswith(b"data: "):
                yield line[6:].decode().strip()
    connection.close()
