"""
The commands and their options.

What a command does is imported when it is called: `candil --help` needs none of it.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path  # noqa: TC003 - cyclopts reads it
from typing import TYPE_CHECKING

from cyclopts import App

from candil import CandilError

if TYPE_CHECKING:
    from collections.abc import Sequence

app = App(
    name="candil",
    help="OTP supervision for trio, and llama-server processes that come back by themselves.",
    version=lambda: metadata.version("candil"),
)


@app.command
def demo(
    *,
    model_dir: Path | None = None,
    binary_dir: Path | None = None,
) -> int:
    """
    Watch a llama-server being killed in the middle of an answer, and coming back.

    The first time it fetches a small model (93 MB).

    Parameters
    ----------
    model_dir
        Where the model is kept; by default in the user's cache.
    binary_dir
        Folder of the llama-server to use; by default the one that pip has installed, or in PATH.
    """
    from candil.cli.demo import command  # noqa: PLC0415 - see above

    return command.demo(model_dir, binary_dir)


def run(arguments: Sequence[str]) -> int:
    """Carry out the command line *arguments*, and return the exit code."""
    try:
        result = app(arguments, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CandilError, OSError) as error:
        sys.stderr.write(f"candil: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return result if isinstance(result, int) else 0
