"""The real ``llama-server`` by itself, without candil, for tests of what it does."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx  # noqa: ASYNC127 - as candil does

PATIENCE = 60.0


class RealServer:
    """
    A ``llama-server`` that was started by hand.

    Attributes:
        process: The process.
        url: Where it listens.
        http: A client of it.
        seen: The status codes of ``/health`` before it was ready.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=PATIENCE)
        self.seen: set[int] = set()
        self._log = log

    @property
    def said(self) -> str:
        """What it has written to stderr."""
        return self._log.read_text(errors="replace")

    def await_ready(self) -> None:
        """Wait until it serves."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            assert self.process.poll() is None, self.said
            with suppress(httpx.TransportError):
                status = self.http.get("/health").status_code
                if status == httpx.codes.OK:
                    return
                self.seen.add(status)
        raise AssertionError(f"not ready within {PATIENCE} s: {self.said}")

    def await_words(self, words: str) -> None:
        """Wait until it has written *words*."""
        until = time.monotonic() + PATIENCE
        while words not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.002)

    def json(self, path: str) -> Any:
        """What it answers to a GET."""
        return self.http.get(path).json()

    @contextmanager
    def stream(self, tokens: int) -> Iterator[Iterator[str]]:
        """The lines of a streamed answer, of which the first has come."""
        body = {"prompt": "hello>", "max_tokens": tokens, "stream": True}
        with self.http.stream("POST", "/v1/completions", json=body) as reply:
            lines = reply.iter_lines()
            assert next(lines).startswith("data: ")
            yield lines

    def await_idle(self) -> None:
        """Wait until no slot works."""
        until = time.monotonic() + PATIENCE
        while any(slot["is_processing"] for slot in self.json("/slots")):
            assert time.monotonic() < until


def free_port() -> int:
    """Return a port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as trial:
        return int(trial.getsockname()[1])


@contextmanager
def started(
    command: Sequence[str | Path], model: Path, *args: str, **env: str
) -> Iterator[RealServer]:
    """Run *command* as a server of *model*; it is killed when the block is left."""
    port = free_port()
    words = [*command, "-m", model, "--host", "127.0.0.1", "--port", str(port), "-c", "512", *args]
    inherited = {name: value for name, value in os.environ.items() if "LLAMA" not in name}
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [str(word) for word in words],
            env=inherited | env,
            stdout=subprocess.PIPE,
            pipesize=4096,  # little, since nobody reads it
            stderr=log,
        )
        server = RealServer(process, port, Path(log.name))
        try:
            yield server
        finally:
            server.http.close()
            process.kill()
            process.communicate()


@contextmanager
def serving(
    command: Sequence[str | Path], model: Path, *args: str, **env: str
) -> Iterator[RealServer]:
    """As `started`, once it is ready."""
    with started(command, model, *args, **env) as server:
        server.await_ready()
        yield server


def ends_with_1_and(line: str, command: Sequence[str | Path], model: Path, *args: str) -> bool:
    """
    Tell whether a server that cannot start exits with status 1 after writing *line*, a pattern.

    It loses its last lines now and then, which candil bears with: so it is asked some times.
    """
    for _ in range(10):
        with started(command, model, *args) as server:
            assert server.process.wait(PATIENCE) == 1
            if re.search(line, server.said):
                return True
    return False
