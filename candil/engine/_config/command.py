"""
The command line and the environment of an engine's process.

Pure: values in, values out. Not here: which flags are whose (``flags``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from candil.engine._config.addresses import numeric_host
from candil.engine._config.engine import Engine, binary_path
from candil.engine._config.flags import OPTIONAL
from candil.engine._config.frozen import environment_outside
from candil.engine._config.model import Model, file_path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_LONGEST: Final = (128 << 10) - 1  # MAX_ARG_STRLEN of Linux, without the zero at the end
_SHOWN: Final = 40


def argv(
    engine: Engine, model: Model, *, port: int, nonce: str, without: Collection[str] = ()
) -> tuple[str, ...]:
    """
    Return the command line that serves *model* with *engine* on *port*.

    Args:
        engine: The program and its own arguments, which win over the model's and candil's. Only
            the address stands behind them: some flags, such as ``--fim-qwen-1.5b-default``, set a
            port of their own.
        model: The file and its arguments.
        port: The reserved port.
        nonce: A word that no other server knows: a part of a second alias, by which our own child
            differs from another on the same port. That begins with the real alias, and so sorts
            behind it, whatever its letters: the first is the id that clients see.
        without: Optional flags that this build of the program refused.
    """
    return (
        str(binary_path(engine)),
        *("-m", str(file_path(model))),
        *("--alias", f"{model.alias},{model.alias}~{nonce}"),
        *("-c", str(model.context_size)),
        *(word for words in OPTIONAL if words[0] not in without for word in words),
        *model.model_args,
        *engine.start_args,
        *("--host", numeric_host(engine.host)),
        *("--port", str(port)),
    )


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """
    Return *inherited* without what would silently change the engine.

    Every ``LLAMA_*`` goes: ``LLAMA_ARG_PORT`` would move the server, ``LLAMA_ARG_REUSE_PORT`` let
    two of them share a port, ``LLAMA_API_KEY`` lock its clients out. ``GGML_*`` stays: it says
    which devices the machine has and how to use them, which is the user's own business.
    """
    outside = environment_outside(inherited)
    return {name: value for name, value in outside.items() if not name.startswith("LLAMA_")}


def too_long(words: Sequence[str], env: Mapping[str, str]) -> str:
    """Return which argument or variable is too long for the system to start the program with."""
    sizes = {f"the argument {short(word)}": _size(word) for word in words}
    sizes |= {f"the environment variable {name}": _size(name, value) for name, value in env.items()}
    name, size = max(sizes.items(), key=lambda item: item[1])
    if size > _LONGEST:
        return (
            f"{name} has {size:,} bytes, and the system takes {_LONGEST:,}. Shorten it, or put it "
            "into a file"
        )
    total = sum(sizes.values())
    return (
        f"arguments and environment have {total:,} bytes together, which is more than the system "
        f"takes; the longest is {name} with {size:,}"
    )


def short(word: str) -> str:
    """Return the beginning of an argument, to name it by."""
    return repr(word) if len(word) <= _SHOWN else f"{word[:_SHOWN]!r}..."


def _size(*parts: str) -> int:
    return len(os.fsencode("=".join(parts)))
