"""
A tiny llama model, written by hand: about 0.3 MB, loaded by llama-server in some 20 ms.

It counts. Whatever the prompt ends with, the answer goes on along the printable ASCII cycle:
after `>` come `?`, `@`, `A` and so on, at any temperature, and it never ends by itself. A chunk of
a stream that was lost, doubled or reordered is so plain to see.

How: one layer whose weights are almost nothing, so that what leaves it is the embedding of the last
token; and an output matrix whose row for each character is the embedding of the one before.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

WIDTH = 64
HEADS = 2
CONTEXT = 4096
ALIGNMENT = 32
GAIN = 40.0 / WIDTH**0.5  # the norm before the output makes vectors of length sqrt(WIDTH)
STILL = 0.001  # the spread of the layer's weights

SQUARES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")

_UINT16, _UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 2, 4, 5, 6, 7, 8, 9
_NORMAL, _UNKNOWN, _CONTROL, _UNUSED, _BYTE = 1, 2, 3, 5, 6

SPACE = 3 + 256  # behind three special tokens and the bytes
PRINTABLE = range(0x21, 0x7F)
CYCLE = [SPACE + step for step in range(1 + len(PRINTABLE))]
TEMPLATE = (
    "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]>{% endif %}"
)

Token = tuple[bytes, float, int]
Tensor = tuple[str, tuple[int, ...], "array[float]"]


def write(path: Path, *, context: int = CONTEXT, layers: int = 1, seed: int = 0) -> Path:
    """Write the counting model to *path* and return it."""
    tokens = _tokens()
    tensors = _tensors(len(tokens), layers, random.Random(seed))
    keys = _keys(tokens, context, layers)
    path.write_bytes(_assemble(keys, tensors))
    return path


def write_split(folder: Path, parts: int) -> Path:
    """Write the counting model in several files, and return the first: it has all keys."""
    tokens = _tokens()
    tensors = _tensors(len(tokens), 1, random.Random(0))
    keys = _keys(tokens, CONTEXT, 1)
    for part in range(parts):
        where = [
            _key("split.no", _UINT16, struct.pack("<H", part)),
            _key("split.count", _UINT16, struct.pack("<H", parts)),
            _key("split.tensors.count", _INT32, struct.pack("<i", len(tensors))),
        ]
        own = tensors[part::parts]
        path = folder / f"split-{part + 1:05}-of-{parts:05}.gguf"
        path.write_bytes(_assemble([*(keys if part == 0 else []), *where], own))
    return folder / f"split-00001-of-{parts:05}.gguf"


def counted(start: str, length: int) -> str:
    """Return what the model says after the character *start*."""
    cycle = " " + "".join(map(chr, PRINTABLE))
    first = cycle.index(start) + 1
    return "".join(cycle[(first + step) % len(cycle)] for step in range(length))


# --- the model


def _tokens() -> list[Token]:
    rows: list[Token] = [(b"<unk>", 0, _UNKNOWN), (b"<s>", 0, _CONTROL), (b"</s>", 0, _CONTROL)]
    rows += [(b"<0x%02X>" % byte, 0.0, _BYTE) for byte in range(256)]
    rows.append(("\u2581".encode(), -1.0, _NORMAL))  # how this tokenizer spells a space
    rows += [(bytes([code]), -2.0 - step, _NORMAL) for step, code in enumerate(PRINTABLE)]
    rows += [(b"<unused%d>" % step, 0.0, _UNUSED) for step in range(-len(rows) % 32)]
    return rows


def _keys(tokens: Sequence[Token], context: int, layers: int) -> list[bytes]:
    names, scores, kinds = zip(*tokens, strict=True)
    numbers = {
        "context_length": context,
        "embedding_length": WIDTH,
        "block_count": layers,
        "feed_forward_length": WIDTH,
        "attention.head_count": HEADS,
        "attention.head_count_kv": HEADS,
        "rope.dimension_count": WIDTH // HEADS,
        "vocab_size": len(tokens),
    }
    return [
        _key("general.architecture", _STRING, _text("llama")),
        _key("general.name", _STRING, _text("counting")),
        *(_key(f"llama.{name}", _UINT32, _u32(number)) for name, number in numbers.items()),
        _key("llama.attention.layer_norm_rms_epsilon", _FLOAT32, struct.pack("<f", 1e-5)),
        _key("tokenizer.ggml.model", _STRING, _text("llama")),
        _key("tokenizer.ggml.tokens", _ARRAY, _list(_STRING, names, _text)),
        _key("tokenizer.ggml.scores", _ARRAY, _list(_FLOAT32, scores, _f32)),
        _key("tokenizer.ggml.token_type", _ARRAY, _list(_INT32, kinds, _u32)),
        _key("tokenizer.ggml.unknown_token_id", _UINT32, _u32(0)),
        _key("tokenizer.ggml.bos_token_id", _UINT32, _u32(1)),
        _key("tokenizer.ggml.eos_token_id", _UINT32, _u32(2)),
        _key("tokenizer.ggml.add_bos_token", _BOOL, b"\1"),
        _key("tokenizer.ggml.add_space_prefix", _BOOL, b"\0"),
        _key("tokenizer.chat_template", _STRING, _text(TEMPLATE)),
    ]


def _tensors(vocabulary: int, layers: int, dice: random.Random) -> list[Tensor]:
    embeddings = [_unit_vector(dice) for _ in range(vocabulary)]
    output = [[0.0] * WIDTH for _ in range(vocabulary)]
    for before, after in zip(CYCLE, CYCLE[1:] + CYCLE[:1], strict=True):
        output[after] = [GAIN * number for number in embeddings[before]]
    square, ones = (WIDTH, WIDTH), array("f", [1.0] * WIDTH)
    tensors = [("token_embd.weight", (WIDTH, vocabulary), _flat(embeddings))]
    for layer in range(layers):
        tensors += [(f"blk.{layer}.{norm}_norm.weight", (WIDTH,), ones) for norm in ("attn", "ffn")]
        tensors += [(f"blk.{layer}.{name}.weight", square, _noise(dice)) for name in SQUARES]
    tensors.append(("output_norm.weight", (WIDTH,), ones))
    tensors.append(("output.weight", (WIDTH, vocabulary), _flat(output)))
    return tensors


def _unit_vector(dice: random.Random) -> list[float]:
    """Random directions in 64 dimensions are nearly at right angles to each other."""
    vector = [dice.gauss(0, 1) for _ in range(WIDTH)]
    length = sum(number * number for number in vector) ** 0.5
    return [number / length for number in vector]


def _noise(dice: random.Random) -> array[float]:
    return array("f", [dice.gauss(0, STILL) for _ in range(WIDTH * WIDTH)])


def _flat(rows: Iterable[Iterable[float]]) -> array[float]:
    return array("f", [number for row in rows for number in row])


# --- the file


def _assemble(keys: Sequence[bytes], tensors: Sequence[Tensor]) -> bytes:
    infos, data = b"", b""
    for name, shape, numbers in tensors:
        shape_words = b"".join(_u64(size) for size in shape)
        infos += _text(name) + _u32(len(shape)) + shape_words + _u32(0) + _u64(len(data))
        data += _padded(numbers.tobytes())
    header = b"GGUF" + _u32(3) + _u64(len(tensors)) + _u64(len(keys)) + b"".join(keys) + infos
    return _padded(header) + data


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)


def _key(name: str, kind: int, value: bytes) -> bytes:
    return _text(name) + _u32(kind) + value


def _list(kind: int, values: Sequence[object], packed: Callable[..., bytes]) -> bytes:
    return _u32(kind) + _u64(len(values)) + b"".join(packed(value) for value in values)


def _text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return _u64(len(raw)) + raw


def _u32(value: int) -> bytes:
    return struct.pack("<I", value)


def _u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def _f32(value: float) -> bytes:
    return struct.pack("<f", value)
