"""Between a crash and the next start: the real llama-server, as its clients know it."""

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
from candil.engine import EngineServer
from tests.engine import census, tiny_gguf
from tests.engine.engines import answer, killed, opened, told, without_loading
from tests.engine.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

NEVER = candil.Backoff(initial=600, maximum=600, jitter=0)
SOON = candil.Backoff(initial=0.3, maximum=0.3, jitter=0)


async def test_a_client_that_was_cut_waits_and_asks_again(
    llama: engine.Engine, tiny: engine.Model, long_model: Path, marked: str
) -> None:
    """Twenty times: `wait_ready` does not take a dead engine for ready, nor raise its crash."""
    model = attrs.evolve(tiny, filename=long_model.name, model_dir=long_model.parent)
    model = attrs.evolve(model, context_size=131_072)  # no answer ends before the kill
    async with opened():
        await engine.start(llama, model)
        url = await engine.wait_ready("tiny", 60)
        for _ in range(20):
            os_pid = await EngineServer.os_pid(engine_named("tiny"))
            assert os_pid is not None
            with pytest.raises(httpx.HTTPError):
                await read_until_cut(url, os_pid)
            assert await engine.wait_ready("tiny", 60) == url
            assert await answer(url) == tiny_gguf.counted(">", 8)
            assert await EngineServer.os_pid(engine_named("tiny")) != os_pid


async def test_a_killed_engine_is_not_ready_even_before_anybody_noticed(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Twenty times, without a moment between the kill and the question."""
    async with opened():
        await engine.start(llama, tiny)
        await engine.wait_ready("tiny", 60)
        for _ in range(20):
            os_pid = await EngineServer.os_pid(engine_named("tiny"))
            assert os_pid is not None
            os.kill(os_pid, signal.SIGKILL)
            assert await answer(await engine.wait_ready("tiny", 60)) == tiny_gguf.counted(">", 8)


def engine_named(alias: str) -> candil.Pid[EngineServer]:
    """The server of an engine that runs."""
    found = candil.whereis(candil.Via[EngineServer]("candil.engine", alias))
    assert found is not None
    return found


async def read_until_cut(url: str, os_pid: int) -> None:
    """Stream an answer, and kill the engine in the middle of it."""
    body = {"prompt": "hello>", "max_tokens": 100_000, "stream": True}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=30) as client,
        client.stream("POST", f"{url}/v1/completions", json=body) as response,
    ):
        killed = False
        async for _ in response.aiter_bytes():
            if not killed:
                os.kill(os_pid, signal.SIGKILL)
            killed = True


async def test_a_back_off_is_waited_through(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """`wait_ready` has the engine that comes after it, at the same address."""
    async with opened(engine.child_spec(llama, tiny, backoff=SOON)):
        url = await engine.wait_ready("tiny", 60)
        await killed("tiny")

        assert await engine.wait_ready("tiny", 60) == url
        assert await answer(url) == tiny_gguf.counted(">", 8)


async def test_an_engine_in_back_off_is_running_and_not_ready(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Its address stays known; a second one is refused; who has no time to wait learns that."""
    async with opened(engine.child_spec(llama, tiny, backoff=NEVER)):
        url = await engine.wait_ready("tiny", 60)
        await killed("tiny")

        assert await engine.base_url("tiny") == url
        assert not await engine.healthy("tiny")
        with pytest.raises(engine.AlreadyRunning):
            await engine.start(llama, tiny)
        with pytest.raises(engine.ReadyTimeout):
            await engine.wait_ready("tiny", 0.3)


async def test_an_engine_in_back_off_is_stopped_for_good(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The supervisor forgets the restart, those who wait learn it, the alias and port are free."""
    learned: list[engine.NotRunning] = []

    async def wait() -> None:
        with pytest.raises(engine.NotRunning) as caught:
            await engine.wait_ready("tiny", 60)
        learned.append(caught.value)

    async with opened(engine.child_spec(llama, tiny, backoff=NEVER)) as root:
        await engine.wait_ready("tiny", 60)
        await killed("tiny")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await engine.stop("tiny")

        assert [error.alias for error in learned] == ["tiny"]
        assert [child.child for child in await candil.which_children(root)] == [None]
        assert await engine.base_url("tiny") is None
        assert not census.living(marked)
        with pytest.raises(engine.NotRunning):
            await engine.stop("tiny")
        await engine.start(llama, tiny)
        assert await answer(await engine.wait_ready("tiny", 60))


async def test_who_waits_learns_of_a_restart_that_is_cancelled_by_hand(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The supervisor announces that it will not start the engine: its last end is the answer."""
    async with opened(engine.child_spec(llama, tiny, backoff=NEVER)) as root:
        await engine.wait_ready("tiny", 60)
        await killed("tiny")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(candil.terminate_child, root, "tiny")
            with pytest.raises(engine.EngineExited, match="SIGKILL"):
                await engine.wait_ready("tiny", 60)
        assert await engine.base_url("tiny") is None


async def test_an_engine_is_known_whatever_its_child_spec_was_changed_to(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Its metadata tells: not its id, its name, nor what its supervisor is called."""
    spec = attrs.evolve(engine.child_spec(llama, tiny, backoff=NEVER), id=("odd", 1), name=None)
    tree = candil.supervisor_spec([spec], name="Supervisor of another name", max_restarts=9)
    async with opened(tree):
        url = await engine.wait_ready("tiny", 60)
        server = candil.whereis(candil.Via[EngineServer]("candil.engine", "tiny"))
        assert server is not None
        candil.exit(server, "kill")
        await until(lambda: not census.living(marked))
        assert await engine.base_url("tiny") == url
        await engine.stop("tiny")
        assert await engine.base_url("tiny") is None


@pytest.mark.parametrize("delayed", [False, True])
async def test_all_of_several_stops_at_once_succeed(
    llama: engine.Engine, tiny: engine.Model, marked: str, delayed: bool
) -> None:
    """Each wanted the engine to be gone, and returns when it is."""
    gone: list[bool] = []

    async def stop() -> None:
        await engine.stop("tiny")
        gone.append(not census.living(marked))

    children = [engine.child_spec(llama, tiny, backoff=NEVER)] if delayed else []
    async with opened(*children):
        if not delayed:
            await engine.start(llama, tiny)
        await engine.wait_ready("tiny", 60)
        if delayed:
            await killed("tiny")
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(stop)
        with pytest.raises(engine.NotRunning):
            await engine.stop("tiny")

    assert gone == [True, True, True]


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_a_stopped_child_stays_stopped_whatever_its_restart_type(
    llama: engine.Engine, tiny: engine.Model, marked: str, restart: str
) -> None:
    """Also under another id and name than its alias; its supervisor can start it again."""
    spec = engine.child_spec(llama, tiny, restart=restart, id="x", name="y")  # type: ignore[arg-type]
    async with opened(spec) as root:
        await engine.wait_ready("tiny", 60)
        await engine.stop("tiny")
        await trio.testing.wait_all_tasks_blocked(0.05)

        assert candil.whereis("y") is None
        assert not census.living(marked)
        with pytest.raises(engine.NotRunning):
            await engine.wait_ready("tiny", 60)
        if restart != "temporary":
            await candil.restart_child(root, "x")
            assert await answer(await engine.wait_ready("tiny", 60))


async def test_a_permanent_engine_may_stand_under_the_engines_supervisor(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """It comes back from a regular end too, and `stop` alone ends it for good."""
    spec = engine.engines_spec([engine.child_spec(llama, tiny, restart="permanent")])
    async with opened(spec):
        await engine.wait_ready("tiny", 60)
        await candil.stop(engine_named("tiny"))
        assert await answer(await engine.wait_ready("tiny", 60))

        await engine.stop("tiny")
        assert await candil.which_children(engine.SUPERVISOR) == []
        with pytest.raises(engine.NotRunning):
            await engine.wait_ready("tiny", 60)


async def test_a_crash_that_nobody_mends_is_raised(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The supervisor has given up, or does not restart it: the last words are those of the end."""
    async with opened(engine.child_spec(llama, tiny, restart="temporary")):
        await engine.wait_ready("tiny", 60)
        await killed("tiny")
        with pytest.raises(engine.EngineExited, match="SIGKILL"):
            await engine.wait_ready("tiny", 60)
        assert await engine.base_url("tiny") is None

    async with opened(engine.engines_spec([engine.child_spec(llama, tiny)], max_restarts=0)):
        await engine.wait_ready("tiny", 60)
        await killed("tiny")
        with pytest.raises(engine.EngineExited, match="SIGKILL"):
            await engine.wait_ready("tiny", 60)
        await engine.start(llama, tiny)
        assert await answer(await engine.wait_ready("tiny", 60))


async def test_an_engine_can_be_stopped_by_a_sibling_that_ends(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Their supervisor waits for the sibling, and could not be asked."""
    stopped: list[bool] = []

    async def sibling() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await engine.stop("tiny")
            stopped.append(not census.living(marked))

    children = [engine.child_spec(llama, tiny), candil.child_spec(sibling, id="sibling")]
    async with opened(*children):
        await engine.wait_ready("tiny", 60)
    await until(lambda: stopped == [True])


async def test_the_events_of_a_crash_say_that_nobody_stopped_it(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """From ready to nothing, with the error; then a start as the first one."""
    with told() as seen:
        async with opened(engine.child_spec(llama, tiny)):
            await engine.wait_ready("tiny", 60)
            await killed("tiny")
            await engine.wait_ready("tiny", 60)

    once = [None, "starting", "ready"]
    assert without_loading(seen) == [*once, *once, "stopping", None]
    (crash,) = (event for event in seen if event.error is not None)
    assert (crash.old, crash.new, crash.pid) == ("ready", None, None)
    assert isinstance(crash.error, engine.EngineExited)
