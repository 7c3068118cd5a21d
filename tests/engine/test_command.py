"""The command line and the environment."""

from pathlib import Path

import pytest

from candil.engine._config.command import argv, environment
from candil.engine._config.engine import Engine
from candil.engine._config.errors import ConfigError
from candil.engine._config.flags import RESERVED, is_optional, refused_flag
from candil.engine._config.model import Model

ENGINE = Engine(alias="llama", binary_dir="/opt/llama", host="localhost", start_args=["-t", "2"])
MODEL = Model(
    alias="smol",
    model_dir="/models",
    filename="smol.gguf",
    context_size=512,
    model_args=["-np", "1"],
)


def test_the_command_line_names_everything_candil_relies_on() -> None:
    """Own flags, the model's, the engine's, and the address: the last one wins."""
    assert argv(ENGINE, MODEL, port=8081, nonce="abc") == (
        "/opt/llama/llama-server",
        *("-m", "/models/smol.gguf"),
        *("--alias", "smol,smol~abc"),
        *("-c", "512"),
        *("--sse-ping-interval", "2"),
        *("--cache-ram", "1024"),
        "--metrics",
        "--no-ui",
        *("-np", "1"),
        *("-t", "2"),
        *("--host", "127.0.0.1"),
        *("--port", "8081"),
    )


def test_a_refused_flag_is_left_out_with_its_value() -> None:
    """An older build runs without what it does not know."""
    words = argv(ENGINE, MODEL, port=1, nonce="n", without={"--cache-ram", "--no-ui"})

    assert "--cache-ram" not in words
    assert "1024" not in words
    assert "--no-ui" not in words
    assert "--metrics" in words


@pytest.mark.parametrize("flag", sorted(RESERVED))
@pytest.mark.parametrize("form", ["{}", "{}=value"])
@pytest.mark.parametrize("dash", ["-", "_"])
def test_a_flag_that_candil_owns_is_refused(flag: str, form: str, dash: str) -> None:
    """Of the engine and of the model, in each spelling that the program understands."""
    dashes = flag[: len(flag) - len(flag.lstrip("-"))]
    spelled = dashes + flag.lstrip("-").replace("-", dash)
    args = [form.format(spelled), "value"]

    with pytest.raises(ConfigError, match=f"{flag} is candil's own"):
        Engine(alias="llama", start_args=args)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"{flag} is candil's own"):
        Model(alias="m", model_dir=Path(), filename="m.gguf", model_args=args)  # type: ignore[arg-type]


def test_the_environment_is_scrubbed_of_the_servers_own_variables() -> None:
    """LLAMA_* would move, lock or share the server; GGML_* says what the machine has."""
    inherited = {
        "LLAMA_ARG_PORT": "1",
        "LLAMA_API_KEY": "key",
        "LLAMA_SERVER_ROUTER_PORT": "2",
        "GGML_VK_VISIBLE_DEVICES": "0",
        "PATH": "/bin",
    }

    assert environment(inherited) == {"GGML_VK_VISIBLE_DEVICES": "0", "PATH": "/bin"}


def test_the_refusal_of_a_flag_is_read_from_the_programs_own_words() -> None:
    """Only candil's own additions can be dropped; a user's flag is the user's to correct."""
    assert refused_flag(["noise", "error: invalid argument: --no-ui"]) == "--no-ui"
    assert refused_flag(["error: invalid argument: --cache_ram=3"]) == "--cache-ram"
    assert refused_flag(["noise"]) is None
    assert is_optional("--no-ui")
    assert not is_optional("--port")
