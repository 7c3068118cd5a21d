"""Why a start failed."""

import errno
import os
import platform
import signal

import pytest

from candil.engine._config.command import too_long
from candil.engine._config.errors import EngineExited, EngineStartError
from candil.engine._config.exit_status import ExitStatus
from candil.engine._server.failure import Cause, classify
from candil.engine._system.cpu import cpu_name

LOADING = "0.00.017 E srv  llama_server: exiting due to model loading error"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("E gguf_init_from_file: failed to open GGUF file 'x.gguf' (No such file)", Cause.MODEL),
        ("E gguf_init_from_file_ptr: invalid magic characters: '<!do'", Cause.MODEL),
        ("E tensor 'a' data is not within the file bounds, model is corrupted", Cause.MODEL),
        ("E llama_model_load: unknown model architecture: 'new'", Cause.MODEL),
        ("error: invalid argument: --no-such-flag", Cause.FLAG),
        ('error while handling argument "-np": expected value for argument', Cause.FLAG),
        ("usage: ", Cause.FLAG),
        ("error: invalid argument: --cache-ram", Cause.OWN_FLAG),
        ("E srv start: couldn't bind HTTP server socket, hostname: ::1, port: 1", Cause.PORT),
        ("llama-server: error while loading shared libraries: libllama.so", Cause.BINARY),
        ("E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer", Cause.MEMORY),
    ],
)
def test_the_cause_is_found_in_the_last_lines(line: str, cause: Cause) -> None:
    """The exit code is 1 for all of them."""
    failure = classify(ExitStatus(1), ["first", line, LOADING if cause in MODELS else "last"])

    assert failure.cause is cause
    assert (line if line != "usage: " else "last") in failure.sentence or failure.flag
    assert failure.permanent is (cause in {Cause.MODEL, Cause.FLAG, Cause.BINARY})


MODELS = {Cause.MODEL, Cause.MEMORY}


@pytest.mark.parametrize(
    ("status", "cause", "words"),
    [
        (ExitStatus(-9), Cause.CRASH, "SIGKILL"),
        (ExitStatus(-40), Cause.CRASH, "signal 40"),
        (ExitStatus(None), Cause.CRASH, "guard"),
        (ExitStatus(1), Cause.UNKNOWN, "exited with status 1"),
        (ExitStatus(0), Cause.UNKNOWN, "exited with status 0"),
        (ExitStatus(None, exec_error="Permission denied"), Cause.BINARY, "Permission denied"),
    ],
)
def test_without_a_known_line_the_status_decides(
    status: ExitStatus, cause: Cause, words: str
) -> None:
    """The server's logger may lose its last lines: no line is required."""
    failure = classify(status, ())

    assert failure.cause is cause
    assert words in failure.sentence


def test_the_last_lines_that_are_shown_say_something() -> None:
    """A program that ends with empty lines has said its word before them."""
    lines = ["one", "two", "three", "", "four", "  ", ""]

    for error in (
        EngineStartError("m", "it did not.", log_tail=lines),
        EngineExited("m", ExitStatus(1), lines),
    ):
        assert str(error).endswith("\n  | two\n  | three\n  | four")
        assert error.log_tail == tuple(lines)
    assert "last lines" not in str(EngineStartError("m", "it did not.", log_tail=["", " "]))


OUTPUTS = {
    # Real ones, each shortened to the lines that matter and the last.
    "memory for the model": (
        Cause.MEMORY,
        "E llama_model_load: error loading model: mmap failed: Cannot allocate memory",
        "context_size",
        ["0.00.1 E srv  llama_server: exiting due to model loading error"],
    ),
    "memory for the context": (
        Cause.MEMORY,
        "0.05.409.535 E ggml_aligned_malloc: insufficient memory (attempted to allocate 175781 MB)",
        "context_size",
        ["0.05.614.670 E cmn  common_init_: failed to create context with model 'm.gguf'"],
    ),
    "memory of the GPU": (
        Cause.MEMORY,
        "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
        "context_size",
        ["E llama_model_load: error loading model: unable to load"],
    ),
    "another build's library": (
        Cause.BINARY,
        "llama-server: symbol lookup error: l.so: undefined symbol: llama_max_devices",
        "LD_LIBRARY_PATH",
        [],
    ),
    "no backend": (
        Cause.BINARY,
        "E llama_model_load_from_file_impl: no backends are loaded. hint: use ggml_backend_load()",
        "libggml-cpu",
        ["E srv  load_model: failed to load model, 'm.gguf'", LOADING],
    ),
    "no libgomp": (
        Cause.BINARY,
        "llama-server: error while loading shared libraries: libgomp.so.1: cannot open shared",
        "libgomp1",
        [],
    ),
    "an old system": (
        Cause.BINARY,
        "llama-server: /lib/libc.so.6: version `GLIBC_2.38' not found (required by llama-server)",
        "newer system",
        [],
    ),
    "another architecture": (
        Cause.BINARY,
        "sh: 1: llama-server: Exec format error",
        platform.machine(),
        [],
    ),
    "a renamed part": (
        Cause.MODEL,
        "E llama_model_load: error loading model: invalid split file name: m.gguf",
        "damaged",
        [LOADING],
    ),
    "memory that could not be locked, and a bad model": (
        Cause.MODEL,
        "E llama_model_load: error loading model: tensor 'x' is wrong",
        "damaged",
        ["warning: failed to mlock 1-byte buffer: Cannot allocate memory", LOADING],
    ),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_each_cause_has_its_own_advice(name: str) -> None:
    """Out of real outputs: the telling line is found above the general complaint."""
    cause, line, advice, rest = OUTPUTS[name]
    failure = classify(ExitStatus(1), ["0.00.1 I srv  load_model: loading model", line, *rest])

    assert failure.cause is cause
    assert line in failure.sentence
    assert advice in failure.sentence


@pytest.mark.parametrize("returncode", [-signal.SIGILL, 132])
def test_an_illegal_instruction_is_explained_with_the_cpu(returncode: int) -> None:
    """It would come again at each start; below a shell the signal is a status."""
    failure = classify(ExitStatus(returncode), ["0.00.1 I srv  load_model: loading model"])

    assert failure.cause is Cause.CPU
    assert failure.permanent
    assert cpu_name() in failure.sentence
    assert "build for this CPU" in failure.sentence


@pytest.mark.parametrize(
    ("number", "cause", "words"),
    [
        (errno.ENOEXEC, Cause.BINARY, platform.machine()),
        (errno.EACCES, Cause.BINARY, "noexec"),
        (errno.ENOENT, Cause.BINARY, "dynamic loader"),
        (errno.E2BIG, Cause.TOO_LONG, "Argument list too long"),
        (errno.EAGAIN, Cause.SHORTAGE, "just now"),
        (errno.ENOMEM, Cause.SHORTAGE, "just now"),
        (errno.ETXTBSY, Cause.SHORTAGE, "just now"),
    ],
)
def test_a_program_that_the_system_does_not_start_is_explained(
    number: int, cause: Cause, words: str
) -> None:
    """What mends itself is tried again; what does not is said once."""
    failure = classify(ExitStatus(None, exec_error=os.strerror(number)), ())

    assert failure.cause is cause
    assert words in failure.sentence
    assert failure.permanent is (cause is not Cause.SHORTAGE)


DEBUGGER = """\
[New LWP 13451]
[New LWP 13452]
[Thread debugging using libthread_db enabled]
Using host libthread_db library "/lib/x86_64-linux-gnu/libthread_db.so.1".
0x00007f7e8b8f1c17 in __GI___wait4 (pid=13620, stat_loc=0x0) at wait4.c:30
30\t../sysdeps/unix/sysv/linux/wait4.c: No such file or directory.
#0  0x00007f7e8b8f1c17 in __GI___wait4 (pid=13620, stat_loc=0x0) at wait4.c:30
#1  0x00007f7e8c00ac5b in ggml_print_backtrace () from libggml-base.so.0
MemoryError
Fatal signal: Segmentation fault
error creating backtrace: mmap: 12
[Inferior 1 (process 9270) detached]""".splitlines()
BACKTRACE = """\
/opt/libggml-base.so.0(+0x17aeb) [0x7f7e8c00aaeb]
/opt/libggml-base.so.0(ggml_abort+0x15d) [0x7f7e8c00adf2]
/opt/llama-server(_start+0x21) [0x56066ebf1295]""".splitlines()
REFUSED = ["Could not attach to process.  If your uid matches the uid of the target", "ptrace: no."]
ASSERTION = "/src/ggml/src/ggml.c:1643: GGML_ASSERT(ctx->mem_buffer != NULL) failed"


@pytest.mark.parametrize("noise", [DEBUGGER, BACKTRACE, REFUSED, [*REFUSED, *BACKTRACE]])
def test_the_telling_line_is_shown_and_not_the_debugger(noise: list[str]) -> None:
    """llama-server starts one when it aborts."""
    lines = ["0.00.026.442 I srv    load_model: loading model", ASSERTION, *noise]
    for error in (
        EngineStartError("m", "it did not.", log_tail=lines),
        EngineExited("m", ExitStatus(-6), lines),
    ):
        assert str(error).endswith(f"loading model\n  | {ASSERTION}")
        assert error.log_tail == tuple(lines)


def test_a_complaint_above_the_last_lines_is_shown() -> None:
    """Others may follow it that say nothing."""
    lines = ["terminate called after throwing 'E'", "one", "two", "three", "four"]

    assert str(EngineExited("m", ExitStatus(-6), lines)).endswith(
        "\n  | terminate called after throwing 'E'\n  | three\n  | four"
    )


@pytest.mark.parametrize(
    ("words", "env", "named"),
    [
        (("llama-server", "--grammar", "g" * 200_000), {}, "the argument 'gggg"),
        (("llama-server",), {"HUGE": "x" * 200_000}, "the environment variable HUGE"),
        (("llama-server",), {f"V{n}": "x" * 100_000 for n in range(40)}, "together"),
    ],
)
def test_what_is_too_long_is_named(words: tuple[str, ...], env: dict[str, str], named: str) -> None:
    """Without it nobody finds a variable among hundreds."""
    assert named in too_long(words, env)
    assert len(too_long(words, env)) < 300
