"""
Read the header of a GGUF file, far enough to say whether the file is whole.

Invariants:
1. Bounded: no length from the file is believed before it was compared with what the file holds,
   and no more than ``_HEADER_LIMIT`` bytes are read.
2. Pure but for the reads: no path, no cache, no candil error; ``model`` gives it those.
3. It refuses only what ``llama-server`` refuses as well: a type of tensor it does not know has an
   unknown size, and its end is then not checked.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from typing import IO, Final, NamedTuple, final

MAGIC: Final = b"GGUF"
_VERSIONS = (2, 3)
_HEADER_LIMIT = 256 << 20
_CHUNK = 1 << 20
_MOST_KEYS = 1 << 20
_MOST_TENSORS = 1 << 20
_MOST_DIMENSIONS = 4
_DEFAULT_ALIGNMENT = 32

_STRING = 8
_ARRAY = 9
_UINT32 = 4
_UINT16 = 2
# Bytes of each scalar type of a key's value.
_SCALARS: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
# Of each tensor type: elements in a block, bytes of a block.
_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110),
    22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8),
    29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_STARTS_WITH = struct.Struct("<4sIQQ")


class BadFormat(Exception):
    """The file is not a GGUF of a version that can be loaded."""


class TooShort(Exception):
    """The file is a GGUF and ends before its own contents do."""


class Split(NamedTuple):
    """Which part of how many a file is; a model in one file is part 0 of 0."""

    part: int = 0
    parts: int = 0


def check(file: IO[bytes], size: int) -> Split:
    """
    Raise ``BadFormat`` or ``TooShort`` unless *file*, of *size* bytes, is a whole GGUF.

    Returns:
        Which part of a split model it is.
    """
    header = _Header(file, size)
    magic = header.take(min(4, size))
    if magic != MAGIC:
        looks = "it is empty" if not size else f"it starts with {bytes(magic)!r}, not {MAGIC!r}"
        raise BadFormat(looks)
    tensors, keys = _counts(header)
    alignment, split = _read_keys(header, keys)
    ends = [_tensor_end(header) for _ in range(tensors)]
    _compare(ends, _rounded_up(header.position, alignment), size)
    return split


def _counts(header: _Header) -> tuple[int, int]:
    version = header.u32()
    if version not in _VERSIONS:
        raise BadFormat(f"its version is {version}, and only 2 and 3 can be loaded")
    tensors, keys = header.u64(), header.u64()
    if tensors > _MOST_TENSORS or keys > _MOST_KEYS:
        raise BadFormat(f"its header announces {tensors} tensors and {keys} keys")
    return tensors, keys


def _read_keys(header: _Header, count: int) -> tuple[int, Split]:
    """Pass over all keys. Return the alignment of the tensors, and which part the file is."""
    alignment, split = _DEFAULT_ALIGNMENT, Split()
    for _ in range(count):
        key = header.string()
        kind = header.u32()
        if key == b"general.alignment" and kind == _UINT32:
            alignment = header.u32()
        elif key == b"split.no" and kind == _UINT16:
            split = split._replace(part=header.u16())
        elif key == b"split.count" and kind == _UINT16:
            split = split._replace(parts=header.u16())
        else:
            _skip_value(header, kind)
    if alignment == 0 or alignment % 8:
        raise BadFormat(f"its tensors are aligned to {alignment} bytes")
    return alignment, split


def _skip_value(header: _Header, kind: int) -> None:
    if kind == _STRING:
        header.skip(header.u64())
    elif kind == _ARRAY:
        element, count = header.u32(), header.u64()
        if element == _STRING:
            header.skip_strings(count)
        else:
            header.skip(_scalar(element) * count)
    else:
        header.skip(_scalar(kind))


def _scalar(kind: int) -> int:
    try:
        return _SCALARS[kind]
    except KeyError:
        raise BadFormat(f"its header has a value of the unknown type {kind}") from None


def _tensor_end(header: _Header) -> tuple[bytes, int, int]:
    """Return a tensor's name, and where it starts and ends after the header."""
    name = header.string()
    dimensions = header.u32()
    if dimensions > _MOST_DIMENSIONS:
        raise BadFormat(f"its tensor {name[:64]!r} has {dimensions} dimensions")
    elements = 1
    for _ in range(dimensions):
        elements *= header.u64()
    per_block, block = _BLOCKS.get(header.u32(), (1, 0))
    start = header.u64()
    return name, start, start + elements // per_block * block


def _compare(ends: list[tuple[bytes, int, int]], data: int, size: int) -> None:
    for name, start, end in ends:
        if data + max(start, end) > size:
            shown = name[:64].decode(errors="replace")
            raise TooShort(
                f"tensor '{shown}' ends at byte {data + max(start, end)} and the file at {size}"
            )


def _rounded_up(position: int, alignment: int) -> int:
    return (position + alignment - 1) // alignment * alignment


@final
class _Header:
    """A cursor over the start of the file, which reads on by itself."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size
        self._buffer = bytearray()
        self.position = 0

    def take(self, count: int) -> bytes:
        start = self.position
        self.skip(count)
        return bytes(self._buffer[start : self.position])

    def u16(self) -> int:
        return int(_U16.unpack(self.take(2))[0])

    def u32(self) -> int:
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack(self.take(8))[0])

    def string(self) -> bytes:
        return self.take(self.u64())

    def skip(self, count: int) -> None:
        self._fill(self.position + count)
        self.position += count

    def skip_strings(self, count: int) -> None:
        """Pass over an array of strings: the vocabulary, hundreds of thousands of them."""
        position, unpack = self.position, _U64.unpack_from
        for _ in range(count):
            if position + 8 > len(self._buffer):
                self._fill(position + 8)
            position += 8 + unpack(self._buffer, position)[0]
        self._fill(position)
        self.position = position

    def _fill(self, end: int) -> None:
        """Have the first *end* bytes of the file in the buffer."""
        if end <= len(self._buffer):
            return
        if end > self._size:
            raise TooShort(f"its header goes on to byte {end} and the file ends at {self._size}")
        if end > _HEADER_LIMIT:
            raise BadFormat(f"its header is longer than {_HEADER_LIMIT >> 20} MiB")
        while len(self._buffer) < end:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                raise TooShort(f"reading it ends at byte {len(self._buffer)} of {self._size}")
            self._buffer += chunk
