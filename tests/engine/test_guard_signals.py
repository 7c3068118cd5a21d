"""The guard of a real llama-server: while its program is busy, and while its service is stopped."""

import subprocess
import sys
from pathlib import Path

import pytest

import candil
from candil import engine
from tests.engine.engines import opened

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
        client = subprocess.Popen(command)

        assert await Blocker.wait_for.within(250)("blocker", client) == 0
        assert log.read_text().count("POST /v1/completions") == REQUESTS
        assert log.stat().st_size > 64 << 10
        assert await engine.healthy("tiny")
        await engine.stop("tiny")
