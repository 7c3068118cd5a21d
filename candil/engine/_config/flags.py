"""
Which flags of ``llama-server`` candil keeps for itself, and which it can do without.

Pure: values in, values out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# Ownership rests on these: where the engine listens, what it serves, under which name it is
# recognised, and on which paths it answers. A second value would win over ours, because the last
# flag wins, and every probe would then ask the wrong server.
RESERVED: Final = {
    "--host": "set Engine.host",
    "--port": "set Engine.port",
    "--reuse-port": "two engines would share one port without a sound",
    "-m": "set Model.model_dir and Model.filename",
    "--model": "set Model.model_dir and Model.filename",
    "-mu": "download the model first",
    "--model-url": "download the model first",
    "-hf": "download the model first",
    "-hfr": "download the model first",
    "--hf-repo": "download the model first",
    "-a": "set Model.alias",
    "--alias": "set Model.alias",
    "--api-prefix": "the health probe would miss the server",
    "-dr": "download the model first",
    "--docker-repo": "download the model first",
    "-hff": "download the model first",
    "--hf-file": "download the model first",
    "--ssl-key-file": "candil probes over plain HTTP; put a proxy in front",
    "--ssl-cert-file": "candil probes over plain HTTP; put a proxy in front",
    "--models-dir": "one engine serves one model",
    "--models-preset": "one engine serves one model",
}

# What candil adds of its own accord. A build that does not know one of them says so and exits;
# the engine is then started again without it (see ``refused_flag``).
OPTIONAL: Final = (
    # A SIGTERM in mid-stream is noticed only between two pings; by default 30 s apart.
    ("--sse-ping-interval", "2"),
    # The default is 8 GiB of host memory for each engine.
    ("--cache-ram", "1024"),
    ("--metrics",),
    ("--no-ui",),
)

_REFUSAL = "error: invalid argument:"


def reserved_flags_in(args: Iterable[str]) -> list[str]:
    """Return a sentence for each argument that would take over a flag candil owns."""
    return [
        f"{flag} is candil's own: {RESERVED[flag]}"
        for flag in map(flag_in, args)
        if flag in RESERVED
    ]


def flag_in(arg: str) -> str:
    """
    Return the flag that *arg* is for ``llama-server``, in the one spelling that the tables have.

    The program takes ``_`` for ``-`` in flags that begin with ``--``. Some builds also take
    ``--flag=value``.
    """
    flag = arg.split("=", 1)[0]
    return flag.replace("_", "-") if flag.startswith("--") else flag


def refused_flag(lines: Iterable[str]) -> str | None:
    """Return the flag that the program said it does not know, if it said so."""
    for line in lines:
        if _REFUSAL in line:
            return flag_in(line.split(_REFUSAL, 1)[1].strip())
    return None


def is_optional(flag: str) -> bool:
    """Return whether *flag* is one that candil adds and an engine can run without."""
    return any(flag == words[0] for words in OPTIONAL)
