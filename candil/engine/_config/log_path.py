"""
The path of an engine's log file, and what is reported when the file cannot be written.

Not here: who writes it (the guard), and the check before the start (``_system.log_file``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, final

import attrs

from candil import Reportable
from candil.engine._config.errors import ConfigError

if TYPE_CHECKING:
    import os


@final
@attrs.frozen
class LogFileFailed(Reportable):
    """
    Event: an engine's log file misses lines from here on, or still does. The engine goes on.

    It is sent at most once a minute. When the file can be written again, a line in it says how
    many bytes are missing there.

    Attributes:
        path: The log file.

        detail: What the system says.
    """

    path: Path
    detail: str

    def report(self) -> str:
        """Return the line for candil's own log."""
        return (
            f"the log file {self.path} cannot be written: {self.detail}. The engine goes on, and "
            "its lines are lost until the file can be written again. Make room, or mend the path."
        )


def absolute_log_path(value: str | os.PathLike[str] | None) -> Path | None:
    """
    Return the absolute path of a log file, with ``~`` expanded.

    Raises:
        ConfigError: It is no path, or names a home that does not exist.
    """
    if value is None:
        return None
    try:
        return Path(value).expanduser().absolute()
    except (TypeError, RuntimeError, OSError) as error:
        raise ConfigError("log_path", [f"must be a path or None, got {value!r}: {error}"]) from None
