"""Engines that are started, asked after and stopped: the real llama-server."""

import asyncio
import functools
import logging
import re
from pathlib import Path
from typing import Any

import attrs
import httpx  # noqa: ASYNC127 - as candil does
import pytest
import trio
import trio.testing

import candil
from candil import engine
from candil.engine._server import lifecycle as lifecycle_module, workers as workers_module
from tests.engine import census, tiny_gguf
from tests.engine.engines import (
    answer,
    caught_at_work,
    is_answering,
    opened,
    told,
    without_loading,
)
from tests.engine.waiting import until_async

pytestmark = [pytest.mark.engine, pytest.mark.slow]


async def test_an_engine_starts_becomes_ready_answers_and_stops(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The seed's functions, one after the other."""
    async with opened():
        assert not await engine.healthy("tiny")
        assert await engine.base_url("tiny") is None

        with told() as seen:
            pid = await engine.start(llama, tiny)
            url = await engine.wait_ready("tiny", 60)

            assert pid == candil.whereis("tiny")
            assert url == await engine.base_url("tiny")
            assert await engine.healthy("tiny")
            assert await candil.call("tiny", "health") == "ready"
            assert await answer(url) == tiny_gguf.counted(">", 8)

            await engine.stop("tiny")

        assert not census.living(marked)
        assert not await engine.healthy("tiny")
        assert await engine.base_url("tiny") is None
        assert without_loading(seen) == [None, "starting", "ready", "stopping", None]
        assert [event.pid is None for event in seen[-3:]] == [False, False, True]
        with pytest.raises(engine.NotRunning, match="tiny"):
            await engine.stop("tiny")
        with pytest.raises(engine.NotRunning):
            await engine.wait_ready("tiny", 60)


async def test_leaving_the_tree_stops_the_engine(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Also one that was started on demand, and one that still loads."""
    async with opened():
        await engine.start(llama, tiny)
        await engine.wait_ready("tiny", 60)
    assert not census.living(marked)

    async with opened(engine.child_spec(llama, tiny)):
        pass
    assert not census.living(marked)


async def test_an_engine_is_not_linked_to_its_starter(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The process that asked for it may crash, and the engine stays."""

    async def starter() -> None:
        await engine.start(llama, tiny)
        raise ValueError

    async with opened():
        _, ref = candil.spawn_monitor(starter)
        down = await candil.receive(candil.Down)
        assert down.ref == ref

        await engine.wait_ready("tiny", 60)
        (tree,) = await candil.which_children(engine.SUPERVISOR)
        assert tree.id == "tiny"


async def test_stop_during_loading_is_prompt(
    llama: engine.Engine, real_model: Path, marked: str
) -> None:
    """A model that loads has nobody to wait for."""
    model = engine.Model(alias="smol", model_dir=real_model.parent, filename=real_model.name)
    async with opened():
        while True:
            await engine.start(llama, model, timing=engine.Timing(drain_timeout=90))
            await until_async(is_seen)
            loads = await candil.call("smol", "health") == "loading"
            before = trio.current_time()
            await engine.stop("smol")
            if loads:  # it had not been quicker than we
                break

        assert trio.current_time() - before < 45
        assert not census.living(marked)


async def is_seen() -> bool:
    """Whether the real model loads, or has been loaded already."""
    return bool(await candil.call("smol", "health") != "starting")


async def test_stop_before_the_process_exists_is_prompt(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """At the moment `start` has returned, and a little later each time."""
    async with opened():
        for pause in (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03):
            await engine.start(llama, tiny, timing=engine.Timing(drain_timeout=90))
            await trio.sleep(pause)
            before = trio.current_time()
            await engine.stop("tiny")

            assert trio.current_time() - before < 45
            assert not census.living(marked)


async def test_stop_during_a_stream_does_not_wait_for_its_end(
    llama: engine.Engine, long_model: Path, marked: str
) -> None:
    """Two seconds by default; SIGTERM alone would freeze the stream, and wait."""
    assert engine.Timing().drain_timeout + engine.Timing().grace_period == 2
    timing = engine.Timing(grace_period=80)
    model = engine.Model(
        alias="long",
        model_dir=long_model.parent,
        filename=long_model.name,
        context_size=131_072,
    )
    async with opened():
        await engine.start(llama, model, timing=timing)
        url = await engine.wait_ready("long", 60)
        for stream in (True, False):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(endless, url, stream)
                await until_async(functools.partial(is_answering, url))
                before = trio.current_time()
                await engine.stop("long")

                assert trio.current_time() - before < 40
                assert not census.living(marked)
            if stream:
                await engine.start(llama, model, timing=timing)
                url = await engine.wait_ready("long", 60)


async def endless(url: str, stream: bool) -> None:
    """Ask for an answer that does not end, and see it break off."""
    body = {"prompt": "hello>", "max_tokens": 100_000, "stream": stream}
    with pytest.raises(httpx.HTTPError):
        await read_all(url, body)


async def read_all(url: str, body: dict[str, Any]) -> None:
    """Read an answer to its end."""
    async with (
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
        client.stream("POST", f"{url}/v1/completions", json=body) as response,
    ):
        async for _ in response.aiter_bytes():
            pass


async def test_stop_lets_a_running_answer_finish(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The drain waits for as long as it may, and no longer than it must."""
    model = attrs.evolve(tiny, context_size=4096)
    texts: list[str] = []

    async def ask(url: str) -> None:
        texts.append(await answer(url, 3000))

    async with opened():
        await engine.start(llama, model, timing=engine.Timing(drain_timeout=90))
        url = await engine.wait_ready("tiny", 60)
        async with trio.open_nursery() as nursery:
            await caught_at_work(
                nursery, functools.partial(ask, url), functools.partial(is_answering, url)
            )
            await engine.stop("tiny")

        assert set(texts) == {tiny_gguf.counted(">", 3000)}


async def test_a_second_start_of_the_same_alias_is_refused(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """It says so and leaves the first alone, also when both come at once."""
    refusals: list[engine.AlreadyRunning] = []

    async def try_to_start() -> None:
        try:
            await engine.start(llama, tiny)
        except engine.AlreadyRunning as error:
            refusals.append(error)

    async with opened():
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(try_to_start)
        await engine.wait_ready("tiny", 60)

        assert [error.alias for error in refusals] == ["tiny", "tiny"]
        assert len(census.living(marked, "llama-server")) == 2  # the engine, and its guard


async def test_two_models_have_a_port_and_a_process_each(
    llama_server_dir: Path, tiny: engine.Model, long_model: Path, base: int, marked: str
) -> None:
    """The base port plus an offset that is free; stopping one leaves the other."""
    llama = engine.Engine(alias="llama", binary_dir=llama_server_dir, port=base)
    other = engine.Model(alias="other", model_dir=long_model.parent, filename=long_model.name)
    async with opened(engine.child_spec(llama, tiny), engine.child_spec(llama, other)):
        urls = {await engine.wait_ready("tiny", 60), await engine.wait_ready("other", 60)}

        assert len(urls) == 2
        assert all(base <= int(url.rpartition(":")[2]) < base + 100 for url in urls)
        await engine.stop("tiny")
        assert await engine.healthy("other")
        assert len(census.living(marked, "llama-server")) == 2  # the engine, and its guard


async def test_models_get_the_ports_of_their_engine_in_the_order_of_their_specs(
    llama_server_dir: Path, tiny: engine.Model, base: int, marked: str
) -> None:
    """The first child has the first port that is free, as whoever draws the tree expects."""
    llama = engine.Engine(alias="llama", binary_dir=llama_server_dir, port=base)
    models = [attrs.evolve(tiny, alias=f"tiny{number}") for number in range(6)]
    async with opened(*(engine.child_spec(llama, model) for model in models)):
        urls = [await engine.base_url(model.alias) for model in models]

    ports = [int(str(url).rpartition(":")[2]) for url in urls]
    assert sorted(ports) == ports
    assert len({*ports}) == 6


async def test_the_engines_supervisor_can_stand_in_a_static_tree(
    llama: engine.Engine, tiny: engine.Model, long_model: Path, marked: str
) -> None:
    """`start` then adds to it, wherever it stands, and `stop` reaches both kinds."""
    other = engine.Model(alias="other", model_dir=long_model.parent, filename=long_model.name)
    async with opened(engine.engines_spec([engine.child_spec(llama, tiny)])) as root:
        await engine.start(llama, other)
        assert await engine.wait_ready("tiny", 60) != await engine.wait_ready("other", 60)

        assert len(await candil.which_children(root)) == 1
        await engine.stop("tiny")
        await engine.stop("other")
        assert await candil.which_children(engine.SUPERVISOR) == []


async def test_functions_for_an_alias_do_not_touch_a_stranger_of_that_name(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """A process that happens to have the name is no engine."""

    async def somebody() -> None:
        await trio.sleep_forever()

    async with opened():
        pid = candil.spawn(somebody, name="counter")
        with pytest.raises(engine.NotRunning):
            await engine.stop("counter")
        with pytest.raises(engine.AliasTaken, match="counter") as caught:
            await engine.start(llama, attrs.evolve(tiny, alias="counter"))
        assert caught.value.holder == pid
        assert candil.whereis(engine.SUPERVISOR) is None  # it did not come so far
        assert not await engine.healthy("counter")
        assert await engine.base_url("counter") is None
        assert candil.is_alive(pid)


async def test_starting_needs_a_tree_with_a_root(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The sentence says how to get one; the port is free again."""
    async with candil.open_node(log=False):
        with pytest.raises(RuntimeError, match="open_supervisor"):
            await engine.start(llama, tiny)
    with pytest.raises(RuntimeError, match="open_supervisor"):
        await engine.start(llama, tiny)


async def test_what_is_no_engine_or_no_model_is_refused() -> None:
    """At once, both in one error."""
    with pytest.raises(engine.ConfigError, match=r"engine must be.*\n.*model must be"):
        await engine.start("llama", None)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::1"])  # noqa: S104
async def test_an_engine_may_listen_on_any_address_of_the_machine(
    llama_server_dir: Path, tiny: engine.Model, host: str, marked: str
) -> None:
    """Its address is one that a client on this machine can use."""
    llama = engine.Engine(alias="llama", binary_dir=llama_server_dir, port=0, host=host)
    async with opened():
        await engine.start(llama, tiny)

        assert await answer(await engine.wait_ready("tiny", 60)) == tiny_gguf.counted(">", 8)


@pytest.mark.parametrize("alias", ["tiny", "ñandú", "模型", "~z", "a/b c", "~", "🕯"])
async def test_the_alias_is_the_id_that_clients_see(
    llama: engine.Engine, tiny: engine.Model, alias: str, marked: str
) -> None:
    """Whatever its letters: llama-server sorts its aliases by their bytes."""
    async with opened():
        await engine.start(llama, attrs.evolve(tiny, alias=alias))
        url = await engine.wait_ready(alias, 60)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            models = (await client.get(f"{url}/v1/models")).json()
            body = {"prompt": ">", "max_tokens": 1}
            reply = (await client.post(f"{url}/v1/completions", json=body)).json()

        assert [model["id"] for model in models["data"]] == [alias]
        assert reply["model"] == alias


async def test_an_argument_that_brings_a_port_of_its_own_does_not_move_the_engine(
    llama_server_dir: Path, tiny: engine.Model, marked: str
) -> None:
    """It names another model as well, which this build cannot fetch."""
    llama = engine.Engine(
        alias="llama", binary_dir=llama_server_dir, port=0, start_args=["--fim-qwen-1.5b-default"]
    )
    async with opened():
        await engine.start(llama, tiny)
        assert await answer(await engine.wait_ready("tiny", 60)) == tiny_gguf.counted(">", 8)


async def test_start_to_ready_is_quick(
    llama: engine.Engine, tiny: engine.Model, marked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No fixed wait stands between an engine that is ready and those who wait for it."""
    for pause in ("_RESTART_GAP", "_SUPERVISOR_SECONDS"):
        monkeypatch.setattr(lifecycle_module, pause, 90)
    async with opened():
        before = trio.current_time()
        await engine.start(llama, tiny)
        await engine.wait_ready("tiny", 60)

        assert trio.current_time() - before < 45


async def test_an_engine_is_looked_at_when_it_says_something(
    llama: engine.Engine, tiny: engine.Model, marked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the clock says: its last words before it is ready tell that."""
    monkeypatch.setattr(workers_module, "_FIRST_PAUSE", 100)
    monkeypatch.setattr(workers_module, "_LONGEST_PAUSE", 100)
    async with opened():
        await engine.start(llama, tiny)
        await engine.wait_ready("tiny", 60)


@pytest.mark.parametrize("most_prompted", [0, 200])
async def test_an_engine_that_says_nothing_or_too_much_becomes_ready_by_the_clock(
    llama_server_dir: Path,
    tiny: engine.Model,
    marked: str,
    monkeypatch: pytest.MonkeyPatch,
    most_prompted: int,
) -> None:
    """Whether it writes is a matter of its arguments."""
    monkeypatch.setattr(workers_module, "_MOST_PROMPTED", most_prompted)
    words = ("-lv", "10") if most_prompted == 0 else ("--log-disable",)
    llama = engine.Engine(alias="llama", binary_dir=llama_server_dir, port=0, start_args=words)
    async with opened():
        await engine.start(llama, tiny)
        await engine.wait_ready("tiny", 60)


@pytest.mark.parametrize("name", ["start", "stop", "healthy", "base_url", "wait_ready"])
def test_outside_of_trio_it_says_how_to_run(
    name: str, llama: engine.Engine, tiny: engine.Model
) -> None:
    """As `open_supervisor` does: from asyncio, and from no loop at all."""
    args = (llama, tiny) if name == "start" else ("tiny",)
    with pytest.raises(RuntimeError, match=r"trio\.run.*not with asyncio\.run"):
        asyncio.run(getattr(engine, name)(*args))
    with pytest.raises(RuntimeError, match=r"trio\.run.*not with asyncio\.run"):
        getattr(engine, name)(*args).send(None)


async def test_the_log_tells_how_an_engine_is_and_nothing_of_probes(
    llama: engine.Engine, tiny: engine.Model, marked: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One INFO line for each state; none of an HTTP client."""
    caplog.set_level(logging.INFO)
    quick = engine.Timing(probe_interval=0.01)
    with trio.fail_after(250):
        async with candil.open_supervisor([engine.child_spec(llama, tiny, timing=quick)]):
            url = await engine.wait_ready("tiny", 60)
            os_pid = await engine.EngineServer.os_pid("tiny")
            await trio.sleep(0.3)  # some thirty probes
            await engine.stop("tiny")

    lines = [record.getMessage() for record in caplog.records if "'tiny'" in record.getMessage()]
    ready = re.compile(rf"engine 'tiny' is ready at {url} \(pid {os_pid}\) after \d+\.\d s")
    assert [line for line in lines if ready.fullmatch(line)]
    assert f"engine 'tiny' is stopping (pid {os_pid})" in lines
    assert lines[-1] == "engine 'tiny' has ended"
    assert len(lines) < 8
    assert {record.name for record in caplog.records} == {"candil"}
