"""The product's own tiny model, as files for tests."""

from __future__ import annotations

import struct
from pathlib import Path

from candil.engine._config import tiny_gguf as model
from candil.engine._config.tiny_gguf import CONTEXT, counted

__all__ = ["CONTEXT", "counted", "write", "write_split"]

_UINT16, _INT32 = 2, 5


def write(path: Path, *, context: int = CONTEXT, layers: int = 1) -> Path:
    """Write the counting model to *path* and return it."""
    path.write_bytes(model.tiny_gguf(context=context, layers=layers))
    return path


def write_split(folder: Path, parts: int) -> Path:
    """Write the counting model in several files, and return the first: it has all keys."""
    tokens = model._tokens()
    tensors = model._tensors(len(tokens), 1)
    keys = model._keys(tokens, CONTEXT, 1)
    for part in range(parts):
        where = [
            model._key("split.no", _UINT16, struct.pack("<H", part)),
            model._key("split.count", _UINT16, struct.pack("<H", parts)),
            model._key("split.tensors.count", _INT32, struct.pack("<i", len(tensors))),
        ]
        own = tensors[part::parts]
        path = folder / f"split-{part + 1:05}-of-{parts:05}.gguf"
        path.write_bytes(model._assemble([*(keys if part == 0 else []), *where], own))
    return folder / f"split-00001-of-{parts:05}.gguf"
