"""
The command ``candil``.

It needs the extra ``cli``, which is part of ``demo``; without it, the command says so. Everything
is imported when it is used, so that ``candil --help`` is quick.
"""

from __future__ import annotations

import sys


def main() -> int:
    """
    Run the command line of this program, and return its exit code.

    Returns:
        0 if all went well; 1 if not, and stderr says why; 130 and the like after a signal.
    """
    try:
        from candil.cli.app import run  # noqa: PLC0415 - see above

        return run(sys.argv[1:])
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write(
            f"candil: the command needs {error.name}, which the extras 'cli' and 'demo' bring: "
            "in the clone of candil, pip install '.[demo]'\n"
        )
        return 1
