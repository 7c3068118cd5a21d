"""
What PyInstaller must know of candil: the guard is a script, run by another interpreter.

PyInstaller asks for this folder by the entry point ``hook-dirs``, and runs the hook in it whenever
a program contains the module that the hook is named after.
"""

from __future__ import annotations

from pathlib import Path


def hook_dirs() -> list[str]:
    """Return the folders with hooks."""
    return [str(Path(__file__).parent)]
