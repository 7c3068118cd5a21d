"""Engines that are killed, hang or flood: the real llama-server comes back."""

import os
import signal
from pathlib import Path

import attrs
import httpx  # noqa: ASYNC127 - as candil does
import pytest
import trio
import trio.testing

import candil
from candil import engine
from candil._otp.processes import watchdog as watchdog_module
from candil.engine import EngineServer
from tests.engine import census, tiny_gguf
from tests.engine.engines import answer, is_answering, killed, opened, successor_of
from tests.engine.waiting import until, until_async

pytestmark = [pytest.mark.engine, pytest.mark.slow]

QUICK = engine.Timing(probe_interval=0.1, probe_timeout=0.3)


async def test_twenty_kills_are_each_followed_by_an_answer(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """From the same address, each by another process; no file stays open."""
    async with opened():
        await engine.start(llama, tiny)
        url = await engine.wait_ready("tiny", 60)
        files, seen = census.open_files(), set[int | None]()
        for _ in range(20):
            seen.add(await EngineServer.os_pid("tiny"))
            reason = await killed("tiny")

            assert isinstance(reason, candil.Crashed)
            assert isinstance(reason.exception, engine.EngineExited)
            assert reason.exception.status.returncode == -signal.SIGKILL
            assert reason.exception.log_tail
            assert await engine.wait_ready("tiny", 60) == url
            assert await answer(url) == tiny_gguf.counted(">", 8)

        assert len(seen) == 20
        assert census.open_files() <= files
        assert len(census.living(marked, "llama-server")) == 2  # the engine, and its guard


async def test_an_engine_comes_back_under_the_guard_that_it_had(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Unless that was killed, and whether it was killed before, with or after the engine."""
    async with opened(engine.child_spec(llama, tiny)):
        url = await engine.wait_ready("tiny", 60)
        (guard,) = census.living(marked, "_guard/program")
        await killed("tiny")
        await engine.wait_ready("tiny", 60)
        assert census.living(marked, "_guard/program") == {guard}

        for pause in (0, 0.001, 0.002, 0.003, 0.004, 0.006):
            (guard,) = census.living(marked, "_guard/program")
            await killed("tiny")
            await trio.sleep(pause)
            os.kill(guard, signal.SIGKILL)
            assert await engine.wait_ready("tiny", 60) == url
            assert await answer(url) == tiny_gguf.counted(">", 8)
        await engine.stop("tiny")
        assert not census.living(marked)


@pytest.mark.timeout(600)  # twenty times the loading of a real model, on a busy machine
async def test_twenty_kills_of_the_real_model_are_each_followed_by_an_answer(
    llama: engine.Engine, real_model: Path, marked: str
) -> None:
    """In a static tree, in the middle of an answer."""
    model = engine.Model(
        alias="smol", model_dir=real_model.parent, filename=real_model.name, context_size=4096
    )
    async with opened(engine.child_spec(llama, model), seconds=560):
        url = await engine.wait_ready("smol", 60)
        for _ in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(broken_answer, url)
                await until_async(lambda: is_answering(url), 60)
                await killed("smol")
            assert await engine.wait_ready("smol", 60) == url
            assert await answer(url, ignore_eos=True)


async def broken_answer(url: str) -> None:
    """Ask for much and see the connection break; the model is not to end by itself before."""
    with pytest.raises(httpx.HTTPError):
        await answer(url, 100_000, ignore_eos=True)


async def test_a_server_that_is_killed_leaves_no_engine_behind(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Without a word of its own: its keeper is linked to it. The next one gets the same port."""
    async with opened(engine.child_spec(llama, tiny)):
        url = await engine.wait_ready("tiny", 60)
        for reason in ("kill", "boom", "kill"):
            before = await EngineServer.os_pid("tiny")
            old = candil.whereis("tiny")
            assert old is not None
            assert before is not None
            candil.exit(old, reason)
            await until(lambda old=old: candil.whereis("tiny") not in {None, old})

            assert await engine.wait_ready("tiny", 60) == url
            assert not census.is_alive(before)
            assert await answer(url) == tiny_gguf.counted(">", 8)


async def test_a_keeper_or_watcher_that_is_killed_takes_its_server_along(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The three live and die together; the supervisor starts three new ones."""
    async with opened(engine.child_spec(llama, tiny)):
        await engine.wait_ready("tiny", 60)
        for index in (0, 1):
            old = candil.whereis("tiny")
            assert old is not None
            info = candil.process_info(old)
            assert info is not None
            helper = [pid for pid in info.links if pid != info.parent][index]
            candil.exit(helper, "kill")
            await until(lambda old=old: candil.whereis("tiny") not in {None, old})

            assert await engine.wait_ready("tiny", 60)


async def test_an_engine_that_hangs_becomes_unhealthy_and_recovers(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Its server goes on answering from its state all the while."""
    async with opened():
        await engine.start(llama, tiny, timing=QUICK)
        await engine.wait_ready("tiny", 60)
        os_pid = await EngineServer.os_pid("tiny")
        assert os_pid is not None
        os.kill(os_pid, signal.SIGSTOP)
        await until_async(is_unhealthy)
        before = trio.current_time()
        for _ in range(200):  # the engine itself would be asked for a minute
            assert not await engine.healthy("tiny")
        assert trio.current_time() - before < 30

        os.kill(os_pid, signal.SIGCONT)
        assert await engine.wait_ready("tiny", 60)
        assert await EngineServer.os_pid("tiny") == os_pid

        os.kill(os_pid, signal.SIGSTOP)
        await engine.stop("tiny")
        assert not census.living(marked)


@pytest.mark.parametrize("steps", range(12))
async def test_a_stop_at_the_moment_of_a_restart_does_not_wait_for_what_never_began(
    llama: engine.Engine, tiny: engine.Model, marked: str, steps: int
) -> None:
    """The next server may have been told to end before its helper took its first step."""
    spec = engine.child_spec(llama, tiny, timing=engine.Timing(drain_timeout=60))
    async with opened(spec):
        await trio.sleep(0.01)
        candil.exit("tiny", "kill")
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        left = trio.current_time()

    assert trio.current_time() - left < 40  # the child's budget is 75 s and more
    assert not census.living(marked)


async def is_unhealthy() -> bool:
    """Whether the tiny model's engine has missed several looks."""
    return bool(await candil.call("tiny", "health") == "unhealthy")


async def test_an_engine_that_cannot_stay_up_gives_up_alone(
    llama: engine.Engine, tiny: engine.Model, long_model: Path, marked: str
) -> None:
    """Beyond its restart limit it is gone; the other engines and the tree stay."""
    other = engine.Model(alias="other", model_dir=long_model.parent, filename=long_model.name)
    specs = [engine.child_spec(llama, model) for model in (other, tiny)]
    async with opened(engine.engines_spec(specs, max_restarts=3, max_seconds=600)):
        server = candil.whereis("tiny")
        assert server is not None
        for _ in range(3):
            candil.exit(server, "boom")
            server = await successor_of(server)
        candil.exit(server, "boom")  # one more than it may
        await until_async(has_no_child_but_other)

        assert candil.whereis("tiny") is None
        assert not await engine.healthy("tiny")

        assert await engine.wait_ready("other", 60)
        await engine.start(llama, tiny)
        assert await engine.wait_ready("tiny", 60)


async def test_the_limits_of_the_engines_supervisor_hold_for_engines_that_are_started(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Who wrote down one restart means one, however the engine came there."""
    async with opened(engine.engines_spec(max_restarts=1, max_seconds=600)):
        await engine.start(llama, tiny)
        await engine.wait_ready("tiny", 60)
        await killed("tiny")
        await engine.wait_ready("tiny", 60)
        await killed("tiny")
        with pytest.raises(engine.EngineExited):
            await engine.wait_ready("tiny", 60)


async def test_the_log_tells_a_death_once(
    llama: engine.Engine,
    tiny: engine.Model,
    marked: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the last lines of the program; and nobody promises a restart that does not come."""
    monkeypatch.setattr(
        watchdog_module, "BLOCKED_AFTER", 600.0
    )  # a machine that stands still is told as well
    with pytest.raises(candil.RestartIntensityExceeded) as caught, trio.fail_after(250):
        async with candil.open_supervisor([engine.child_spec(llama, tiny)], max_restarts=0):
            await engine.wait_ready("tiny", 60)
            await killed("tiny")  # unless the block is cancelled before it has heard
            await trio.sleep_forever()

    reason = caught.value.reason
    assert isinstance(reason, candil.Crashed)
    assert isinstance(reason.exception, engine.EngineExited)
    tail = reason.exception.log_tail
    told = [record.getMessage() for record in caplog.records]
    assert "\n".join(told).count(tail[-1]) == 1
    assert "\n".join(told).count("SIGKILL") == 2  # its server, and its supervisor
    assert [text.count("\n") > 0 for text in told] == [True, False, False]
    last_words = str(caught.value)
    assert last_words.endswith("killed by SIGKILL (if you did not send it: probably out of memory)")
    assert "again" not in last_words


async def has_no_child_but_other() -> bool:
    """Whether the engines' supervisor has one engine left."""
    return [child.id for child in await candil.which_children(engine.SUPERVISOR)] == ["other"]


async def test_both_pipes_are_drained(
    llama_server_dir: Path, tiny: engine.Model, tmp_path: Path, marked: str
) -> None:
    """Hundreds of requests at the highest verbosity: a full pipe would have hung the engine."""
    llama = engine.Engine(
        alias="llama", binary_dir=llama_server_dir, port=0, start_args=("-t", "1", "-lv", "10")
    )
    log = tmp_path / "engine.log"
    async with opened():
        await engine.start(llama, tiny, log_path=log)
        url = await engine.wait_ready("tiny", 60)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            for _ in range(300):
                body = {"prompt": ">", "max_tokens": 1}
                reply = await client.post(f"{url}/v1/completions", json=body)
                assert reply.status_code == httpx.codes.OK

        tail = await EngineServer.log_tail("tiny")
        assert sum(map(len, tail)) < 64 << 10
    assert size_of(log) > 300_000


def size_of(path: Path) -> int:
    """Bytes in a file."""
    return path.stat().st_size


def environment_of(pid: int | None) -> bytes:
    """What the process got as its environment."""
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_llama_variables_do_not_reach_the_engine(
    llama: engine.Engine, tiny: engine.Model, marked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stray one would move it to another port or lock its clients out."""
    monkeypatch.setenv("LLAMA_ARG_PORT", "1")
    monkeypatch.setenv("LLAMA_API_KEY", "secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with opened():
        await engine.start(llama, tiny)
        url = await engine.wait_ready("tiny", 60)
        os_pid = await EngineServer.os_pid("tiny")

        assert b"LLAMA_" not in environment_of(os_pid)
        assert await answer(url) == tiny_gguf.counted(">", 8)


async def test_a_crash_report_holds_no_argument_of_the_engine(
    llama: engine.Engine, tiny: engine.Model, marked: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They may hold a key; alias and state are enough."""
    locked = attrs.evolve(llama, start_args=("--api-key", "secret-key"))
    with trio.fail_after(250):
        async with candil.open_supervisor([engine.child_spec(locked, tiny)], max_restarts=9):
            await engine.wait_ready("tiny", 60)
            await killed("tiny")
            await engine.wait_ready("tiny", 60)

    told = "\n".join(record.getMessage() for record in caplog.records)
    assert "SIGKILL" in told
    assert "secret-key" not in told
