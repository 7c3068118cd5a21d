"""
A tiny llama model, written by code: 0.3 MB, loaded by ``llama-server`` in some 20 ms.

It is given to a program whose ability to run is in question (`smoke_run`), so that no model of a
user is loaded for that.

Its answers count: whatever the prompt ends with, the answer goes on along the cycle of the
printable ASCII characters. After ``>`` come ``?``, ``@``, ``A`` and so on, at any temperature,
without an end. So a chunk of a stream that was lost, doubled or reordered can be seen.

It has one layer whose weights are zero, so that the embedding of the last token passes through
it unchanged, and an output matrix whose row for each character is the embedding of the character
before.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import random
import struct
from array import array
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

CONTEXT: Final = 4096
_WIDTH: Final = 64
_HEADS: Final = 2
_ALIGNMENT: Final = 32
# The norm before the output makes vectors of length sqrt(_WIDTH): the best token's logit is 40.
_GAIN: Final = 40.0 / _WIDTH**0.5

_MATRICES: Final = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")

# Types of a key's value, and types of a token.
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_NORMAL, _UNKNOWN, _CONTROL, _UNUSED, _BYTE = 1, 2, 3, 5, 6

_SPACE: Final = 3 + 256  # behind three special tokens and the bytes
_PRINTABLE: Final = range(0x21, 0x7F)
_CYCLE: Final = [_SPACE + step for step in range(1 + len(_PRINTABLE))]
_TEMPLATE: Final = (
    "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]>{% endif %}"
)

_Token: TypeAlias = tuple[bytes, float, int]
_Tensor: TypeAlias = tuple[str, tuple[int, ...], "array[float]"]


def tiny_gguf(*, context: int = CONTEXT, layers: int = 1) -> bytes:
    """
    Return the counting model as the bytes of a GGUF file.

    Args:
        context: How many tokens it was trained for, as its header says.

        layers: How many layers it has; each adds 115 kB.
    """
    tokens = _tokens()
    return _assemble(_keys(tokens, context, layers), _tensors(len(tokens), layers))


def counted(start: str, length: int) -> str:
    """Return the *length* characters that the model says after the character *start*."""
    cycle = " " + "".join(map(chr, _PRINTABLE))
    first = cycle.index(start) + 1
    return "".join(cycle[(first + step) % len(cycle)] for step in range(length))


# --- the model


def _tokens() -> list[_Token]:
    rows: list[_Token] = [(b"<unk>", 0, _UNKNOWN), (b"<s>", 0, _CONTROL), (b"</s>", 0, _CONTROL)]
    rows += [(b"<0x%02X>" % byte, 0.0, _BYTE) for byte in range(256)]
    rows.append(("\u2581".encode(), -1.0, _NORMAL))  # how this tokenizer spells a space
    rows += [(bytes([code]), -2.0 - step, _NORMAL) for step, code in enumerate(_PRINTABLE)]
    rows += [(b"<unused%d>" % step, 0.0, _UNUSED) for step in range(-len(rows) % 32)]
    return rows


def _keys(tokens: Sequence[_Token], context: int, layers: int) -> list[bytes]:
    names, scores, kinds = zip(*tokens, strict=True)
    numbers = {
        "context_length": context,
        "embedding_length": _WIDTH,
        "block_count": layers,
        "feed_forward_length": _WIDTH,
        "attention.head_count": _HEADS,
        "attention.head_count_kv": _HEADS,
        "rope.dimension_count": _WIDTH // _HEADS,
        "vocab_size": len(tokens),
    }
    return [
        _key("general.architecture", _STRING, _text("llama")),
        _key("general.name", _STRING, _text("counting")),
        *(_key(f"llama.{name}", _UINT32, _u32(number)) for name, number in numbers.items()),
        _key("llama.attention.layer_norm_rms_epsilon", _FLOAT32, _f32(1e-5)),
        _key("tokenizer.ggml.model", _STRING, _text("llama")),
        _key("tokenizer.ggml.tokens", _ARRAY, _list(_STRING, names, _text)),
        _key("tokenizer.ggml.scores", _ARRAY, _list(_FLOAT32, scores, _f32)),
        _key("tokenizer.ggml.token_type", _ARRAY, _list(_INT32, kinds, _u32)),
        _key("tokenizer.ggml.unknown_token_id", _UINT32, _u32(0)),
        _key("tokenizer.ggml.bos_token_id", _UINT32, _u32(1)),
        _key("tokenizer.ggml.eos_token_id", _UINT32, _u32(2)),
        _key("tokenizer.ggml.add_bos_token", _BOOL, b"\1"),
        _key("tokenizer.ggml.add_space_prefix", _BOOL, b"\0"),
        _key("tokenizer.chat_template", _STRING, _text(_TEMPLATE)),
    ]


def _tensors(vocabulary: int, layers: int) -> list[_Tensor]:
    embeddings = _embeddings(vocabulary)
    output = [array("f", bytes(4 * _WIDTH))] * vocabulary
    for before, after in zip(_CYCLE, _CYCLE[1:] + _CYCLE[:1], strict=True):
        output[after] = array("f", [_GAIN * number for number in embeddings[before]])
    square, zeros = (_WIDTH, _WIDTH), array("f", bytes(4 * _WIDTH * _WIDTH))
    ones = array("f", [1.0] * _WIDTH)
    tensors: list[_Tensor] = [("token_embd.weight", (_WIDTH, vocabulary), _joined(embeddings))]
    for layer in range(layers):
        prefix = f"blk.{layer}."
        tensors += [(f"{prefix}{norm}_norm.weight", (_WIDTH,), ones) for norm in ("attn", "ffn")]
        tensors += [(f"{prefix}{name}.weight", square, zeros) for name in _MATRICES]
    tensors.append(("output_norm.weight", (_WIDTH,), ones))
    tensors.append(("output.weight", (_WIDTH, vocabulary), _joined(output)))
    return tensors


def _embeddings(count: int) -> list[array[float]]:
    """Return vectors of length 1; random ones in 64 dimensions are nearly orthogonal."""
    dice = random.Random(0)  # noqa: S311 - the same file each time, and no secret
    part = _WIDTH**-0.5
    return [
        array("f", [part if bits >> step & 1 else -part for step in range(_WIDTH)])
        for bits in (dice.getrandbits(_WIDTH) for _ in range(count))
    ]


def _joined(rows: Iterable[array[float]]) -> array[float]:
    return array("f", b"".join(row.tobytes() for row in rows))


# --- the file


def _assemble(keys: Sequence[bytes], tensors: Sequence[_Tensor]) -> bytes:
    infos, data = b"", bytearray()
    for name, shape, numbers in tensors:
        shape_words = b"".join(_u64(size) for size in shape)
        infos += _text(name) + _u32(len(shape)) + shape_words + _u32(0) + _u64(len(data))
        data += _padded(numbers.tobytes())
    header = b"GGUF" + _u32(3) + _u64(len(tensors)) + _u64(len(keys)) + b"".join(keys) + infos
    return _padded(header) + data


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)


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
