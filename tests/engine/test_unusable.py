"""What the system's words about a program mean, and which build to take."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from candil.engine._config.exit_status import ExitStatus
from candil.engine._system import cpu
from candil.engine._system.cpu import Cpu
from candil.engine._system.unusable import WHEEL, build_for, why_unusable

MODERN = Cpu("AMD EPYC", "x86_64", frozenset({"avx2"}))
OLD = Cpu("Intel Core 2", "x86_64", frozenset({"sse3"}))
ARM = Cpu("Cortex-A76", "aarch64", frozenset({"asimd"}))
PROGRAM = Path("/opt/llama/llama-server")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "x: error while loading shared libraries: libgomp.so.1: cannot open: No such file",
            "needs libgomp.so.1, which this system lacks: apt-get install libgomp1",
        ),
        (
            "x: error while loading shared libraries: libllama.so: cannot open: No such file",
            "belongs beside the program",
        ),
        (
            "x: error while loading shared libraries: libfoo.so.2: cannot open: No such file",
            "libfoo.so.2, which this system lacks: install the package",
        ),
        (
            "x: error while loading shared libraries: libggml.so.0: file too short",
            r"libggml.so.0, which cannot be loaded (file too short)",
        ),
        (
            "Error loading shared library libgomp.so.1: No such file or directory (needed by x)",
            "needs libgomp.so.1",
        ),
        (
            "x: symbol lookup error: /opt/libllama.so: undefined symbol: ggml_new_thing",
            "undefined symbol: ggml_new_thing",
        ),
        ("Error relocating /opt/x: ggml_new_thing: symbol not found", "ggml_new_thing"),
        (
            "x: /lib/libc.so.6: version `GLIBC_2.38' not found (required by x)",
            "newer system than this one (it needs GLIBC_2.38)",
        ),
        ("llama_model_load: no backends are loaded. hint: use ggml_backend_load()", "libggml-cpu"),
    ],
)
def test_what_the_loader_says_becomes_a_sentence_with_a_next_step(line: str, words: str) -> None:
    """Of glibc and of musl, among other lines."""
    said = why_unusable(PROGRAM, ExitStatus(127), ["first", line, "last"], MODERN)

    assert said is not None
    assert words in said


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (127, "x: error while loading shared libraries: a.so: cannot open: Too many open files"),
        (
            127,
            "x: error while loading shared libraries: a.so: failed to map: Cannot allocate memory",
        ),
        (127, "x: error while loading shared libraries: a.so: cannot read: Input/output error"),
        (127, "x: error while loading shared libraries: a.so: cannot open shared object: Error 24"),
        (1, "error loading model"),
        (1, "couldn't bind HTTP server socket"),
        (1, ""),
        (0, ""),
        (-signal.SIGKILL, "out of memory"),
        (-signal.SIGSEGV, ""),
        (-signal.SIGABRT, "terminate called after throwing std::bad_alloc"),
        (None, ""),
    ],
)
def test_what_may_be_gone_at_the_next_attempt_decides_nothing(
    status: int | None, line: str
) -> None:
    """A shortage, a crash and a trouble of the model are not the program's unfitness."""
    assert None is why_unusable(PROGRAM, ExitStatus(status), [line], MODERN)


@pytest.mark.parametrize(
    "number", [errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.ETXTBSY, errno.E2BIG, errno.EIO]
)
def test_a_shortage_at_the_execution_decides_nothing(number: int) -> None:
    """Nor does a file that is just being written."""
    status = ExitStatus(None, exec_error=os.strerror(number))

    assert None is why_unusable(PROGRAM, status, [], MODERN)


@pytest.mark.parametrize("code", [-signal.SIGILL, 128 + signal.SIGILL])
def test_an_unknown_instruction_names_the_cpu_and_what_it_lacks(code: int) -> None:
    """Whether the program died of it, or the shell of a wrapper tells so."""
    said = why_unusable(PROGRAM, ExitStatus(code), [], MODERN)

    assert said is not None
    assert "AMD EPYC, which has no AVX-512 and no AMX" in said
    assert WHEEL in said


@pytest.mark.parametrize(
    ("which", "words", "absent"),
    [
        (MODERN, "no more than AVX2", None),
        (OLD, "chooses its code by the CPU", "AVX2"),
        (ARM, "ubuntu-arm64", "x64"),
        (Cpu("riscv64", "riscv64"), "built on this machine", "x64"),
    ],
)
def test_the_build_that_is_named_runs_on_the_cpu(which: Cpu, words: str, absent: str) -> None:
    """A CPU without AVX2 is not sent to the wheel that needs it."""
    assert words in build_for(which)
    assert absent is None or absent not in build_for(which)


def test_the_wheel_that_is_named_is_the_pinned_one() -> None:
    """The demo's pin and the advice move together."""
    pins = Path(__file__).parents[2] / "candil" / "cli" / "demo" / "requirements.txt"

    assert WHEEL in pins.read_text()


def test_the_cpu_of_this_machine_has_a_name() -> None:
    """Of people, where the kernel tells it; its abilities come along."""
    found = cpu.this_cpu()

    assert found.name
    assert found.machine == os.uname().machine
    assert found.machine != "x86_64" or "sse2" in found.flags


def test_other_kernels_words_are_understood() -> None:
    """ARM has no model name, and its flags are features; a machine without the file has neither."""
    arm = cpu.parse("processor\t: 0\nFeatures\t: fp asimd\n\nModel\t: Pi 5\n", "aarch64")

    assert Cpu("Pi 5", "aarch64", frozenset({"fp", "asimd"})) == arm
    assert Cpu("arm64", "arm64") == cpu.parse("", "arm64")
