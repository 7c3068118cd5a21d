"""
The least that candil takes for a ``llama-server``, in the standard library: for tests that need an
engine without its threads, its libraries or its memory.
"""

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


def option(name: str) -> str:
    """Return the last value of an option."""
    return [value for word, value in itertools.pairwise(sys.argv) if word == name][-1]


class Handler(BaseHTTPRequestHandler):
    """Answers as a server that is ready."""

    def do_GET(self) -> None:
        names = option("--alias").split(",")
        answers = {
            "/health": {"status": "ok"},
            "/slots": [],
            "/v1/models": {"data": [{"id": names[0], "aliases": names}]},
        }
        body = json.dumps(answers.get(self.path, {})).encode()
        self.send_response(200 if self.path in answers else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


if __name__ == "__main__":
    HTTPServer((option("--host"), int(option("--port"))), Handler).serve_forever()
