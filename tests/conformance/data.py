"""Files of JSON lines, plain or compressed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def read(path: Path) -> list[dict[str, Any]]:
    """The objects in the file at *path*; a name that ends in ``.gz`` is decompressed."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return list(parse(content.decode().splitlines()))


def parse(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The objects in *lines*, without blank lines and comments."""
    return (json.loads(line) for line in lines if line.strip() and not line.startswith("#"))


def line_of(value: dict[str, Any]) -> str:
    """*value* as one line, the same for equal values."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
