"""Real Erlang, where this machine has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from . import data

ORACLE = data.HERE / "oracle.escript"
ESCRIPT = shutil.which("escript")


def traces_by_otp(scenarios: list[dict[str, Any]], oracle: Path = ORACLE) -> list[dict[str, Any]]:
    """
    Play *scenarios* on real OTP.

    Args:
        scenarios: What to play.

        oracle: The script that plays them.

    Raises:
        FileNotFoundError: There is no ``escript`` here; install Erlang, for example erlang-base.
        subprocess.CalledProcessError: The oracle failed; its own words are in ``stderr``.
    """
    if ESCRIPT is None:
        raise FileNotFoundError(
            "there is no escript on the PATH: install Erlang, for example erlang-base"
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scenarios.jsonl"
        file.write_text("".join(f"{data.line_of(scenario)}\n" for scenario in scenarios))
        played = subprocess.run(
            [ESCRIPT, str(oracle), str(file)],
            check=True,
            capture_output=True,
            text=True,
            # Without a home, Erlang refuses to start.
            env={"HOME": folder, **os.environ},
        )
    return list(data.parse(played.stdout.splitlines()))
