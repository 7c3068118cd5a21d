"""Engines that cannot start: a sentence, and no restart loop."""

import gc
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import candil
from candil import engine
from candil.engine import EngineState
from tests.engine import census, tiny_gguf
from tests.engine.engines import (
    answer,
    killed,
    opened,
    successor_of,
    told,
    without_loading,
)
from tests.engine.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.slow]


async def test_a_taken_port_is_passed_over(
    llama_server_dir: Path, tiny: engine.Model, marked: str
) -> None:
    """By another program, before the start."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        llama = engine.Engine(alias="llama", binary_dir=llama_server_dir, port=min(taken, 65_500))
        async with opened():
            await engine.start(llama, tiny)
            url = await engine.wait_ready("tiny", 60)

            assert url != f"http://127.0.0.1:{taken}"
            assert await answer(url) == tiny_gguf.counted(">", 8)


async def test_a_stolen_port_is_given_up_for_another(
    llama_server_dir: Path, tiny: engine.Model, base: int, marked: str
) -> None:
    """By a thief who sets SO_REUSEADDR, as the engine does; its answers do not count as ready."""
    llama = engine.Engine(alias="llama", binary_dir=llama_server_dir, port=base)
    spec = engine.child_spec(llama, tiny)
    lease = spec.metadata.lease
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", lease.acquire()))
        thief.listen()
        async with opened(spec) as root:
            url = await engine.wait_ready("tiny", 60)

            assert url != f"http://127.0.0.1:{base}"
            assert await answer(url) == tiny_gguf.counted(">", 8)
            assert (await candil.which_children(root))[0].child == candil.whereis("tiny")


@pytest.mark.parametrize(
    ("contents", "error"),
    [
        (None, engine.ModelMissing),
        (b"", engine.NotAGguf),
        (b"<!doctype html>", engine.NotAGguf),
        ("half", engine.ModelTruncated),
        ("folder", engine.ModelNotAFile),
    ],
)
async def test_a_model_that_cannot_be_loaded_is_a_sentence_and_no_restart_loop(
    llama: engine.Engine, tiny_model: Path, tmp_path: Path, contents: Any, error: type, marked: str
) -> None:
    """`start` raises; in a static tree the server stays, failed, and says the same."""
    path = tmp_path / "model.gguf"
    spoil(path, contents, tiny_model)
    model = engine.Model(alias="bad", model_dir=tmp_path, filename=path.name)
    async with opened(engine.child_spec(llama, model)):
        with pytest.raises(error, match=r"model\.gguf"):
            await engine.wait_ready("bad", 60)
        first = candil.whereis("bad")
        assert await candil.call("bad", "health") is EngineState.FAILED
        assert await engine.base_url("bad") is None
        assert not await engine.healthy("bad")
        await trio.sleep(0.2)

        assert first is not None
        assert candil.whereis("bad") == first
        assert not census.living(marked)

    async with opened():
        with pytest.raises(error):
            await engine.start(llama, model)
        assert candil.whereis("bad") is None


def spoil(path: Path, contents: Any, whole: Path) -> None:
    """Put a model, more or less whole, at *path*."""
    match contents:
        case bytes():
            path.write_bytes(contents)
        case "renamed":
            path.write_bytes(whole.read_bytes().replace(b"llama", b"lhama"))
        case "whole":
            path.write_bytes(whole.read_bytes())
        case "half":
            path.write_bytes(whole.read_bytes()[:100_000])
        case "folder":
            path.mkdir()
        case _:
            pass


async def test_an_engine_that_fails_is_told_in_the_log(
    llama: engine.Engine, tiny_model: Path, tmp_path: Path, marked: str, caplog: Any
) -> None:
    """At its start as after a restart, once, with the sentence that says what to do."""
    path = tmp_path / "model.gguf"
    model = engine.Model(alias="late", model_dir=tmp_path, filename=path.name)
    spoil(path, "whole", tiny_model)
    with told() as seen, trio.fail_after(250):
        async with candil.open_supervisor([engine.child_spec(llama, model)]):
            await engine.wait_ready("late", 60)
            path.unlink()
            await killed("late")
            with pytest.raises(engine.ModelMissing):
                await engine.wait_ready("late", 60)
        assert without_loading(seen)[-4:] == [None, "starting", "failed", None]
        async with candil.open_supervisor([engine.child_spec(llama, model)]):
            with pytest.raises(engine.ModelMissing):
                await engine.wait_ready("late", 60)

    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    failed = [line for line in lines if "'late' has failed" in line]
    assert len(failed) == 2
    assert all(str(path) in line and "no such file" in line for line in failed)


async def test_a_model_that_only_the_program_can_refuse_fails_once(
    llama: engine.Engine, tiny_model: Path, tmp_path: Path, marked: str
) -> None:
    """Its header is whole, its architecture unknown: the program's own line is in the sentence."""
    path = tmp_path / "model.gguf"
    spoil(path, "renamed", tiny_model)
    model = engine.Model(alias="odd", model_dir=tmp_path, filename=path.name)
    async with opened():
        first = await engine.start(llama, model)
        with pytest.raises(engine.EngineStartError, match=r"architecture.*lhama") as caught:
            await engine.wait_ready("odd", 60)
        await trio.sleep(0.2)

        assert caught.value.returncode == 1
        assert caught.value.log_tail
        assert str(path) in caught.value.argv
        assert candil.whereis("odd") == first
        assert await candil.call("odd", "health") == "failed"

        spoil(path, "whole", tiny_model)  # mended: a new start replaces the failed one
        assert await engine.start(llama, model) != first
        assert await engine.wait_ready("odd", 60)


async def test_a_refused_argument_fails_once(
    llama_server_dir: Path, tiny: engine.Model, marked: str
) -> None:
    """The user's mistake is named, with what to correct."""
    llama = engine.Engine(
        alias="llama", binary_dir=llama_server_dir, port=0, start_args=("--no-such-flag",)
    )
    async with opened():
        first = await engine.start(llama, tiny)
        with pytest.raises(engine.EngineStartError, match=r"--no-such-flag.*start_args"):
            await engine.wait_ready("tiny", 60)

        assert candil.whereis("tiny") == first
        await until(lambda: not census.living(marked))  # its guard has nobody to wait for


@contextmanager
def files_to_spare(count: int) -> Iterator[None]:
    """Let this process open *count* more files, and no more, while the block lasts."""
    gc.collect()  # what others have left would be closed meanwhile
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    fillers = [os.dup(0)]
    while fillers[-1] < highest:  # the limit is one of numbers, of which lower ones may be free
        fillers.append(os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1 + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)


@pytest.mark.parametrize("spare", [0, 3])
async def test_a_moment_without_files_only_puts_a_start_off(
    llama: engine.Engine, tiny: engine.Model, marked: str, spare: int
) -> None:
    """Too few for the port, or for the guard. No restart is spent on it, and the reason is told."""
    with told() as seen, trio.fail_after(250):
        async with candil.open_supervisor([], max_restarts=0, log=False) as root:
            with files_to_spare(spare):
                await candil.start_child(root, engine.child_spec(llama, tiny))
                await until(lambda: len(put_off(seen)) > 1)
                with pytest.raises(engine.ReadyTimeout, match="Too many open files"):
                    await engine.wait_ready("tiny", 0.5)
            assert await answer(await engine.wait_ready("tiny", 60)) == tiny_gguf.counted(">", 8)

    assert all(isinstance(event.error, engine.EngineStartError) for event in put_off(seen))


def put_off(seen: list[engine.EngineStateChanged]) -> list[engine.EngineStateChanged]:
    """Those starts that were put off."""
    return [event for event in seen if event.old is event.new]


async def test_a_start_on_demand_without_files_says_so(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """It is neither the port's fault nor the model's."""
    async with opened():
        with files_to_spare(0), pytest.raises(engine.EngineStartError, match="Too many open files"):
            await engine.start(llama, tiny)
        with files_to_spare(3), told() as seen:
            await engine.start(llama, tiny)
            await until(lambda: put_off(seen) != [])
            with pytest.raises(engine.ReadyTimeout, match="Too many open files"):
                await engine.wait_ready("tiny", 0.3)
        await engine.wait_ready("tiny", 60)
        with files_to_spare(3):
            await killed("tiny")
            await trio.sleep(0.3)
        assert await answer(await engine.wait_ready("tiny", 60)) == tiny_gguf.counted(">", 8)


async def test_a_missing_program_is_a_sentence(
    tmp_path: Path, tiny: engine.Model, marked: str
) -> None:
    """At the start, and as the state of a static child."""
    llama = engine.Engine(alias="llama", binary_dir=tmp_path, port=0)
    async with opened(engine.child_spec(llama, tiny)):
        with pytest.raises(engine.BinaryNotFound, match="binary_dir"):
            await engine.wait_ready("tiny", 60)
    async with opened():
        with pytest.raises(engine.BinaryNotFound, match=str(tmp_path)):
            await engine.start(llama, tiny)
        (tmp_path / "llama-server").touch(mode=0o644)
        with pytest.raises(engine.BinaryNotFound, match=r"chmod \+x if it is there"):
            await engine.start(llama, tiny)


def imitate(folder: Path, script: str) -> engine.Engine:
    """A program of a few lines in the place of llama-server; its trial decides nothing."""
    program = folder / "llama-server"
    leave_trial = 'case "$*" in */candil-*.gguf*) exit 1;; esac'
    program.write_text(f"#!/bin/sh\n{leave_trial}\n{script}\n")
    program.chmod(0o755)
    return engine.Engine(alias="llama", binary_dir=folder, port=0)


async def test_an_older_build_runs_without_the_flags_it_does_not_know(
    llama_server_dir: Path, tmp_path: Path, tiny: engine.Model, marked: str
) -> None:
    """One after the other is left out, and a restart remembers them."""
    starts = tmp_path / "starts"
    llama = imitate(
        tmp_path,
        f"""echo >> {starts}
for word; do case $word in --no-ui|--cache-ram)
  echo "error: invalid argument: $word" >&2; exit 1;; esac; done
exec {llama_server_dir}/llama-server "$@" """,
    )
    async with opened():
        await engine.start(llama, tiny)
        await engine.wait_ready("tiny", 60)
        assert len(starts.read_text()) == 3
        await killed("tiny")
        await engine.wait_ready("tiny", 60)

        assert len(starts.read_text()) == 4


async def test_waiters_learn_of_deaths_while_loading_when_it_is_not_tried_again(
    tmp_path: Path, tiny: engine.Model, marked: str
) -> None:
    """After three such starts, with the status and the last lines."""
    llama = imitate(tmp_path, "echo loading; sleep 0.05; echo 'last words' >&2; kill -SEGV $$")
    async with opened():
        first = await engine.start(llama, tiny)
        with pytest.raises(engine.EngineStartError, match="SIGSEGV") as caught:
            await engine.wait_ready("tiny", 60)
        last = candil.whereis("tiny")

        assert caught.value.returncode == -signal.SIGSEGV
        assert caught.value.log_tail == ("loading", "last words")
        assert await candil.call("tiny", "health") is EngineState.FAILED
        assert last not in {None, first}
        with pytest.raises(engine.EngineStartError, match="SIGSEGV"):
            await engine.wait_ready("tiny", 60)
        assert candil.whereis("tiny") == last


async def test_a_program_that_never_becomes_ready_is_given_up(
    tmp_path: Path, tiny: engine.Model, marked: str
) -> None:
    """After the time it was given; a waiter with less patience learns that it still starts."""
    llama = imitate(tmp_path, "exec sleep 100")
    async with opened():
        await engine.start(llama, tiny, timing=engine.Timing(startup_timeout=0.5))
        with pytest.raises(engine.ReadyTimeout, match="still starting"):
            await engine.wait_ready("tiny", 0.1)
        with pytest.raises(engine.EngineStartError, match="not ready within"):
            await engine.wait_ready("tiny", 60)


async def test_waiters_learn_what_the_end_of_a_server_means_to_them(
    tmp_path: Path, tiny: engine.Model, marked: str
) -> None:
    """A stop ends their wait; a kill of the server alone does not: the next one may be ready."""
    llama = imitate(tmp_path, "exec sleep 100")
    answers: list[type[Exception]] = []

    async def wait() -> None:
        try:
            await engine.wait_ready("tiny", 60)
        except engine.EngineError as error:
            answers.append(type(error))

    async with opened():
        server = await engine.start(llama, tiny)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.01)
            candil.exit(server, "kill")
            await successor_of(server)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert answers == []
            await engine.stop("tiny")

    assert answers == [engine.NotRunning, engine.NotRunning]


async def test_a_split_model_is_served_and_its_missing_part_is_named(
    llama: engine.Engine, tmp_path: Path, marked: str
) -> None:
    """`start` refuses it at once; the program itself loads what candil lets pass."""
    first = tiny_gguf.write_split(tmp_path, 3)
    model = engine.Model(alias="split", model_dir=tmp_path, filename=first.name, context_size=512)
    async with opened():
        await engine.start(llama, model)
        assert await answer(await engine.wait_ready("split", 60)) == tiny_gguf.counted(">", 8)
        await engine.stop("split")
        (tmp_path / "split-00002-of-00003.gguf").unlink()
        with pytest.raises(engine.ModelMissing, match="split-00002-of-00003"):
            await engine.start(llama, model)


async def test_a_home_that_cannot_be_found_is_an_error_of_one_engine(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The tree stays, and so do its other engines."""
    homeless = engine.Model(alias="homeless", model_dir="~nosuchuser/models", filename="m.gguf")
    lost = attrs.evolve(llama, binary_dir="~nosuchuser/bin")
    specs = [
        engine.child_spec(llama, tiny),
        engine.child_spec(llama, homeless),
        engine.child_spec(lost, attrs.evolve(tiny, alias="lost")),
    ]
    async with opened(*specs):
        with pytest.raises(engine.ModelMissing, match="home of ~nosuchuser"):
            await engine.wait_ready("homeless", 60)
        with pytest.raises(engine.BinaryNotFound, match="home of ~nosuchuser"):
            await engine.wait_ready("lost", 60)
        assert await engine.wait_ready("tiny", 60)
        with pytest.raises(engine.ModelMissing, match="home of ~nosuchuser"):
            await engine.start(llama, homeless)


async def test_an_engine_is_restarted_after_the_working_directory_has_changed(
    llama: engine.Engine, tiny_model: Path, marked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its paths were made absolute when its spec was built; its arguments mean the same files."""
    monkeypatch.chdir(tiny_model.parent)
    (tiny_model.parent / "template.jinja").write_text("{{ messages[0]['content'] }}")
    llama = attrs.evolve(llama, start_args=("--chat-template-file", "template.jinja"))
    model = engine.Model(alias="tiny", model_dir=".", filename=tiny_model.name, context_size=512)
    async with opened(engine.child_spec(llama, model)):
        await engine.wait_ready("tiny", 60)
        monkeypatch.chdir("/")
        await killed("tiny")
        assert await answer(await engine.wait_ready("tiny", 60)) == tiny_gguf.counted(">", 8)


async def test_an_engine_comes_back_while_all_worker_threads_wait_for_it(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Blocking clients may take all of trio's threads; the start needs one of its own."""
    back = threading.Event()
    async with opened(engine.child_spec(llama, tiny)), trio.open_nursery() as nursery:
        await engine.wait_ready("tiny", 60)
        limiter = trio.to_thread.current_default_thread_limiter()
        for _ in range(int(limiter.total_tokens)):
            nursery.start_soon(trio.to_thread.run_sync, back.wait, 120)
        await until(lambda: limiter.available_tokens == 0)
        try:
            await killed("tiny")
            assert await engine.wait_ready("tiny", 60)
            with pytest.raises(engine.AlreadyRunning):
                await engine.start(llama, tiny)
        finally:
            back.set()


@pytest.mark.parametrize("where", ["argument", "variable", "all"])
async def test_what_is_too_long_for_the_system_is_named_and_not_tried_again(
    llama: engine.Engine,
    tiny: engine.Model,
    marked: str,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    """Whether it is the guard or the program that cannot be started with it."""
    words: tuple[str, ...] = ()
    if where == "argument":
        words, named = ("--grammar", "g" * 200_000), "the argument 'gggg"
    elif where == "variable":
        monkeypatch.setenv("HUGE", "x" * 200_000)
        named = "the environment variable HUGE has 200,005 bytes"
    else:
        named = "together"
        for number in range(80):
            monkeypatch.setenv(f"LONG{number}", "x" * 100_000)
    with told() as seen:
        async with opened():
            await engine.start(attrs.evolve(llama, start_args=words), tiny)
            with pytest.raises(engine.EngineStartError, match=named):
                await engine.wait_ready("tiny", 60)
    assert put_off(seen) == []


async def test_a_program_that_dies_of_an_illegal_instruction_fails_once(
    tmp_path: Path, tiny: engine.Model, marked: str
) -> None:
    """The sentence names the CPU, and says which build to take."""
    llama = imitate(tmp_path, "echo loading; kill -ILL $$")
    async with opened():
        first = await engine.start(llama, tiny)
        with pytest.raises(engine.EngineStartError, match="needs a CPU with more instructions"):
            await engine.wait_ready("tiny", 60)
        assert candil.whereis("tiny") == first


async def test_a_flag_of_candils_own_that_the_user_gives_too_is_the_users_to_correct(
    tmp_path: Path, tiny: engine.Model, marked: str
) -> None:
    """Left out by candil it is refused again: there is no loop."""
    llama = imitate(tmp_path, 'echo "error: invalid argument: --metrics" >&2; exit 1')
    async with opened():
        await engine.start(attrs.evolve(llama, start_args=("--metrics",)), tiny)
        with pytest.raises(engine.EngineStartError, match="--metrics"):
            await engine.wait_ready("tiny", 60)


async def test_memory_that_does_not_suffice_is_told_from_a_damaged_file(
    llama_server_dir: Path, tmp_path: Path, real_model: Path, marked: str
) -> None:
    """By the real program under a limit, whose debugger may say much below the telling line."""
    llama = imitate(
        tmp_path, f'ulimit -v 6000000; exec {llama_server_dir}/llama-server "$@" -c 8000000'
    )
    model = engine.Model(alias="large", model_dir=real_model.parent, filename=real_model.name)
    async with opened():
        await engine.start(llama, model)
        with pytest.raises(engine.EngineStartError, match=r"not enough memory.*context_size"):
            await engine.wait_ready("large", 100)
