"""What happens to an engine at the wrong moment: the real llama-server."""

import gc
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import httpx  # noqa: ASYNC127 - as candil does
import pytest
import trio

import candil
from candil import engine
from candil.engine import EngineServer
from tests.engine import census, tiny_gguf
from tests.engine.engines import answer, is_answering, killed, opened, told
from tests.engine.waiting import until, until_async

pytestmark = [pytest.mark.engine, pytest.mark.slow]

NEVER = candil.Backoff(initial=600, maximum=600, jitter=0)
SLOWLY = candil.Backoff(initial=0.3, maximum=0.3, jitter=0)


async def test_a_tree_that_closes_while_an_engine_waits_for_its_restart_gives_the_port_back(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """There is no server then that could; the next tree of the same run may want it."""
    files = census.open_files()
    async with opened(engine.child_spec(llama, tiny, backoff=NEVER)):
        await engine.wait_ready("tiny", 60)
        await killed("tiny")
    gc.collect()  # the tree refers to itself
    assert census.open_files() <= files


@pytest.mark.parametrize("reason", ["kill", candil.Shutdown(), candil.Shutdown("enough")])
async def test_a_helper_that_is_ended_by_anybody_takes_its_server_along(
    llama: engine.Engine, tiny: engine.Model, marked: str, reason: Any
) -> None:
    """However politely: a server without a keeper would wait for an engine that never comes."""
    for index in (0, 1):
        async with opened(engine.child_spec(llama, tiny, restart="permanent")):
            await engine.wait_ready("tiny", 60)
            old = candil.whereis("tiny")
            assert old is not None
            info = candil.process_info(old)
            assert info is not None
            helper = [pid for pid in info.links if pid != info.parent][index]
            candil.exit(helper, reason)
            await until(lambda old=old: candil.whereis("tiny") not in {None, old})

            assert await answer(await engine.wait_ready("tiny", 60))


async def test_an_engine_whose_guard_has_just_been_killed_is_not_ready(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The kernel is about to end it: its address would be that of nobody a moment later."""
    async with opened(engine.engines_spec()):
        await engine.start(llama, tiny)
        await engine.wait_ready("tiny", 60)
        for _ in range(10):
            (guard,) = census.living(marked, "_guard/program")
            os.kill(guard, signal.SIGKILL)
            url = await engine.wait_ready("tiny", 60)
            assert census.living(marked, "_guard/program").isdisjoint({guard})
            assert await answer(url) == tiny_gguf.counted(">", 8)


async def test_who_has_hardly_time_to_wait_for_a_stopped_engine_learns_that_it_does_not_run(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """And not that it is still starting."""
    async with opened():
        await engine.start(llama, tiny)
        await engine.stop("tiny")
        for seconds in (0, 0.001, 0.01):
            with pytest.raises(engine.NotRunning):
                await engine.wait_ready("tiny", seconds)


async def test_a_stop_that_was_cancelled_before_it_began_has_no_effect(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The engine runs, and who waits for its restart does not take it for stopped."""
    async with opened(engine.child_spec(llama, tiny, backoff=SLOWLY)):
        url = await engine.wait_ready("tiny", 60)
        with trio.CancelScope() as scope:
            scope.cancel()
            await engine.stop("tiny")
        assert await engine.healthy("tiny")
        await killed("tiny")

        assert await engine.base_url("tiny") == url
        assert await engine.wait_ready("tiny", 60) == url


async def test_an_engine_that_ends_is_not_healthy_and_says_so_at_once(
    llama: engine.Engine, long_model: Any, marked: str
) -> None:
    """Its server lets running answers finish, and could not be asked."""
    model = engine.Model(
        alias="long",
        model_dir=long_model.parent,
        filename=long_model.name,
        context_size=131_072,
    )
    async with opened():
        await engine.start(llama, model, timing=engine.Timing(drain_timeout=90))
        url = await engine.wait_ready("long", 60)
        with told() as seen:
            async with trio.open_nursery() as nursery:
                asking = await nursery.start(asking_for_much, url)
                await until_async(lambda: is_answering(url))
                nursery.start_soon(engine.stop, "long")
                await until(lambda: [event.new for event in seen] == ["stopping"])

                with trio.fail_after(30):
                    for _ in range(20):
                        assert not await engine.healthy("long")
                        assert await engine.base_url("long") is None
                asking.cancel()


async def asking_for_much(
    url: str, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
) -> None:
    """Ask for more than anybody waits for, until cancelled."""
    body = {"prompt": "hello>", "max_tokens": 100_000, "stream": True}
    with trio.CancelScope() as scope:
        task_status.started(scope)
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
            client.stream("POST", f"{url}/v1/completions", json=body) as response,
        ):
            async for _ in response.aiter_bytes():
                pass


async def test_an_engine_that_its_supervisor_starts_again_during_a_stop_keeps_port_and_guard(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The stop has done its work with the server that it found, and returns."""
    async with opened(engine.child_spec(llama, tiny)) as root:
        for _ in range(10):
            await engine.wait_ready("tiny", 60)
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(engine.stop, "tiny")
                    while candil.whereis("tiny") is not None:
                        await trio.lowlevel.checkpoint()
                    await candil.restart_child(root, "tiny")
            url = await engine.wait_ready("tiny", 60)
            assert url == await engine.base_url("tiny")
            assert await answer(url) == tiny_gguf.counted(">", 8)


async def test_an_engine_that_failed_is_replaced_once(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Of those who start it at the same time one has an engine, which the others leave alone."""
    refused = attrs.evolve(tiny, model_args=("--no-such-flag",))
    started: list[candil.Pid[EngineServer]] = []

    async def try_to_start(steps: int) -> None:
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        with suppress(engine.AlreadyRunning):
            started.append(await engine.start(llama, tiny))

    async with opened():
        for _ in range(10):
            await engine.start(llama, refused)
            with pytest.raises(engine.EngineStartError):
                await engine.wait_ready("tiny", 60)
            started.clear()
            async with trio.open_nursery() as nursery:
                for steps in range(0, 40, 2):
                    nursery.start_soon(try_to_start, steps)
            assert len(started) == 1
            assert candil.is_alive(started[0])
            await engine.stop("tiny")


async def test_a_start_while_the_tree_closes_says_that_nothing_runs(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Who starts it may stand outside of the tree; it learns nothing of supervisors."""
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            async with opened(engine.engines_spec()):
                nursery.start_soon(start_until_refused, llama, tiny)
                await until(lambda: candil.whereis("tiny") is not None)
    assert not census.living(marked)


async def test_a_start_that_found_another_engine_which_then_ended_says_that_none_runs(
    llama: engine.Engine, tiny: engine.Model, marked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had the alias at one moment, and is gone the next: nothing of supervisors comes out."""
    start_child = candil.start_child

    async def start_late(supervisor: Any, spec: Any) -> Any:
        try:
            return await start_child(supervisor, spec)
        finally:
            with trio.move_on_after(30, shield=True):
                await engine.stop("tiny")

    async with opened(engine.engines_spec(), engine.child_spec(llama, tiny)):
        await engine.wait_ready("tiny", 60)
        monkeypatch.setattr(candil, "start_child", start_late)
        with pytest.raises(engine.NotRunning):
            await engine.start(llama, tiny)


async def start_until_refused(llama: engine.Engine, tiny: engine.Model) -> None:
    """
    Start and stop an engine again and again.

    A start that begins while its tree closes may reach the next tree, where the alias is taken.
    """
    with pytest.raises((engine.NotRunning, engine.AlreadyRunning, RuntimeError)):
        while True:
            await engine.start(llama, tiny)
            await engine.stop("tiny")


async def test_an_engine_can_be_started_after_the_engines_supervisor_was_terminated_by_hand(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Which is a quick way to be rid of all engines; the root keeps it as a stopped child."""
    async with opened() as root:
        await engine.start(llama, tiny)
        await candil.terminate_child(root, engine.SUPERVISOR.name)
        with pytest.raises(engine.NotRunning):
            await engine.wait_ready("tiny", 60)

        await engine.start(llama, tiny)
        assert await answer(await engine.wait_ready("tiny", 60))


async def test_an_engine_that_had_to_wait_for_its_turn_has_no_less_time_but_no_more_either(
    tiny: engine.Model, tmp_path: Path, marked: str
) -> None:
    """The time runs out before its program exists: then it begins anew with the program."""
    program = tmp_path / "llama-server"
    program.write_text('#!/bin/sh\ncase "$*" in */candil-*) exit 1;; esac\nexec sleep 1000\n')
    program.chmod(0o755)
    hanging = engine.Engine(alias="hanging", binary_dir=tmp_path, port=0)
    spec = engine.child_spec(hanging, tiny, timing=engine.Timing(startup_timeout=0.2))
    async with spec.metadata.process_lock, opened(spec):
        await trio.sleep(0.5)
        assert await EngineServer.os_pid("tiny") is None
        spec.metadata.process_lock.release()
        with pytest.raises(engine.EngineStartError, match=r"not ready within 0\.2 s"):
            await engine.wait_ready("tiny", 60)
        await engine.stop("tiny")
        await spec.metadata.process_lock.acquire()


async def test_an_address_is_not_asked_of_an_engine_that_could_not_have_one(
    llama: engine.Engine, tiny: engine.Model, marked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a free file there is no port yet; the question does not cost a restart."""
    spec = engine.child_spec(llama, tiny)
    lease = spec.metadata.lease

    def too_many() -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(type(lease), "acquire", lambda _: too_many())
        async with opened(spec):
            server = candil.whereis("tiny")
            assert await engine.base_url("tiny") is None
            assert candil.whereis("tiny") == server
