"""Why a start failed."""

import pytest

from candil.engine._config.errors import EngineExited, EngineStartError
from candil.engine._config.exit_status import ExitStatus
from candil.engine._server.failure import Cause, classify

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
