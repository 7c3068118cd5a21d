"""The pinned ``llama-server`` on a CPU that the test's machine need not have."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from candil import engine
from tests.engine.engines import answer, opened
from tests.engine.tiny_gguf import counted

pytestmark = [pytest.mark.engine, pytest.mark.qemu, pytest.mark.slow]

EMULATOR = "qemu-x86_64"


@pytest.fixture(scope="module")
def emulator() -> str:
    """The path of an emulator of single programs; in CI it must be there."""
    found = shutil.which(EMULATOR)
    if found is None:
        reason = f"{EMULATOR} is not in PATH: install Debian's package qemu-user"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def on_cpu(cpu: str, emulator: str, real: Path, folder: Path) -> engine.Engine:
    """The real program on an emulated *cpu*, as a script in *folder*."""
    script = folder / "llama-server"
    script.write_text(f'#!/bin/sh\nexec {emulator} -cpu {cpu} {real}/llama-server "$@"\n')
    script.chmod(0o755)
    return engine.Engine(alias="llama", binary_dir=folder, port=0)


async def test_the_pinned_build_answers_on_a_cpu_with_avx2_and_nothing_newer(
    emulator: str, llama_server_dir: Path, tiny: engine.Model, tmp_path: Path, marked: str
) -> None:
    """A Haswell of 2013, which knows neither AVX-512 nor AMX."""
    llama = on_cpu("Haswell", emulator, llama_server_dir, tmp_path)
    await engine.check_binary(llama)
    async with opened():
        await engine.start(llama, tiny)
        url = await engine.wait_ready("tiny", 120)

        assert counted(">", 8) == await answer(url)


async def test_a_build_for_a_newer_cpu_is_found_before_it_has_a_model(
    emulator: str, llama_server_dir: Path, tiny: engine.Model, tmp_path: Path, marked: str
) -> None:
    """A Nehalem of 2008 has no AVX2."""
    llama = on_cpu("Nehalem", emulator, llama_server_dir, tmp_path)
    async with opened():
        with pytest.raises(engine.BinaryUnusable, match="SIGILL"):
            await engine.start(llama, tiny)
