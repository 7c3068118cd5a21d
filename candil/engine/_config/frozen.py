"""The environment of other programs, where this one was frozen by PyInstaller."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# PyInstaller points these to its own libraries, which are wrong for every other program.
_LIBRARY_PATHS: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LIBPATH")


def environment_outside(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return *inherited* as it was before a frozen program's loader changed it."""
    environment = dict(inherited)
    if hasattr(sys, "_MEIPASS"):
        for name in _LIBRARY_PATHS:
            environment.pop(name, None)
            original = environment.pop(f"{name}_ORIG", None)
            if original is not None:
                environment[name] = original
    return environment
