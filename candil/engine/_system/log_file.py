"""
The log file of an engine, before the engine is started: can it be written?

Not here: who writes it (`_guard.program.log_file`).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from candil.engine._config.errors import LogFileUnwritable
from candil.engine._config.os_errors import is_shortage

if TYPE_CHECKING:
    from pathlib import Path

# As the guard opens it: a pipe without a reader is refused and does not wait.
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC


def check_log_file(path: Path) -> None:
    """
    Open the file *path* for writing, with the folders above it, and close it. Blocks on the disk.

    Raises:
        LogFileUnwritable: It cannot be written.

        OSError: Not the file's fault: there are too many open ones, or the like.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, _FLAGS, 0o666)
    except OSError as error:
        if is_shortage(error):
            raise
        raise LogFileUnwritable(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise LogFileUnwritable(path, str(error)) from error
    try:
        kind = os.fstat(file).st_mode
    finally:
        os.close(file)
    if not (stat.S_ISREG(kind) or stat.S_ISCHR(kind)):
        raise LogFileUnwritable(path, "it is neither a file nor a character device")
