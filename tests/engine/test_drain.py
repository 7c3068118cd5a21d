"""The end of an engine that serves."""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import httpx  # noqa: ASYNC127 - as candil does
import pytest
import trio

from candil import engine
from candil.engine._http import drain as drain_module
from candil.engine._http.drain import drain, key_of
from tests.engine import census, tiny_gguf
from tests.engine.engines import answer, caught_at_work, opened
from tests.engine.test_probe import http, serving
from tests.engine.waiting import until, until_async

BUSY = http(200, b'[{"is_processing": false}, {"is_processing": true}]')
IDLE = http(200, b'[{"is_processing": false}]')
OFF = http(501, b'{"error": "slots are disabled"}')
LOCKED = http(401, b'{"error": {"code": 401}}')


def metrics(processing: int, deferred: int) -> bytes:
    """What an engine counts."""
    return http(
        200,
        b"# HELP llamacpp:requests_processing Number.\n# TYPE llamacpp:requests_processing gauge\n"
        b"llamacpp:requests_processing %d\nllamacpp:requests_deferred %d\n"
        % (processing, deferred),
    )


@pytest.mark.parametrize(
    ("slots", "counts", "idle"),
    [
        (BUSY, b"", False),
        (IDLE, b"", True),
        (OFF, metrics(0, 0), True),
        (OFF, metrics(1, 0), False),
        (OFF, metrics(0, 1), False),
        (OFF, OFF, False),
        (LOCKED, LOCKED, False),
        (http(200, b"not json"), b"", False),
        (http(200, b"[1]"), b"", False),
        (b"", b"", False),
    ],
)
@pytest.mark.parametrize("seconds", [0, 0.2])
async def test_an_engine_that_does_not_say_counts_as_busy(
    slots: bytes, counts: bytes, idle: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the time is over; without any time there is still one look."""
    monkeypatch.setattr(drain_module, "_LAST_LOOK", 60.0)  # however slow the machine is

    def said(request: bytes) -> bytes:
        return slots if b"/slots" in request else counts

    async with serving(said) as url:
        until = trio.current_time() + seconds
        assert await drain(url, (), until, lambda: True) is idle
        assert idle or trio.current_time() >= until


async def test_an_engine_that_sleeps_is_idle_and_is_not_asked_what_wakes_it() -> None:
    """Its slots and metrics would have it load the whole model again."""
    asked: list[bytes] = []

    def said(request: bytes) -> bytes:
        asked.append(request.split()[1])
        return http(200, b'{"is_sleeping": true}') if b"/props" in request else BUSY

    async with serving(said) as url:
        assert await drain(url, (), math.inf, lambda: True)
    assert asked == [b"/props"]


async def test_an_engine_that_is_gone_is_not_waited_for() -> None:
    """Nobody will answer any more."""
    async with serving(lambda _: BUSY) as url:
        assert await drain(url, (), math.inf, lambda: False)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ((), None),
        (("--api-key", "one,two"), "one"),
        (("--api-key", "one", "-t", "2", "--api-key", "two"), "two"),
        (("--api-key",), ""),
        (("--api_key", "three"), "three"),
    ],
)
def test_the_key_is_the_one_that_the_engine_was_given(words: Any, key: str | None) -> None:
    """Of several the first; the last flag wins."""
    assert key_of(words) == key


async def is_busy(url: str, headers: dict[str, str]) -> bool:
    """Whether the engine works on a request, by its metrics."""
    async with httpx.AsyncClient(trust_env=False, timeout=60, headers=headers) as client:
        return "requests_processing 1" in (await client.get(f"{url}/metrics")).text


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [(), ("--api-key", "key"), ("--no-slots",), ("--no-slots", "--api-key", "key")]
)
async def test_a_running_answer_finishes_whatever_the_engine_tells_to_whom(
    llama: engine.Engine, tiny: engine.Model, words: tuple[str, ...], marked: str
) -> None:
    """The drain waits for as long as it may, and no longer than it must."""
    headers = {"authorization": "Bearer key"} if "key" in words else {}
    texts: list[str] = []

    async def ask(url: str) -> None:
        body = {"prompt": "hello>", "max_tokens": 3000}
        async with httpx.AsyncClient(trust_env=False, timeout=90, headers=headers) as client:
            reply = (await client.post(f"{url}/v1/completions", json=body)).json()
        texts.append(reply["choices"][0]["text"])

    async with opened():
        await engine.start(
            attrs.evolve(llama, start_args=(*llama.start_args, *words)),
            attrs.evolve(tiny, context_size=4096),
            timing=engine.Timing(drain_timeout=90),
        )
        url = await engine.wait_ready("tiny", 60)
        async with trio.open_nursery() as nursery:
            await caught_at_work(
                nursery, functools.partial(ask, url), functools.partial(is_busy, url, headers)
            )
            begun = trio.current_time()
            await engine.stop("tiny")

        assert set(texts) == {tiny_gguf.counted(">", 3000)}
        assert trio.current_time() - begun < 60


async def endless(url: str, *, stream: bool = True) -> None:
    """Ask for an answer that does not end, and see it break off."""
    body = {"prompt": "hello>", "max_tokens": 100_000, "stream": stream}
    with pytest.raises(httpx.HTTPError):
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
            client.stream("POST", f"{url}/v1/completions", json=body) as response,
        ):
            async for _ in response.aiter_bytes():
                pass


@pytest.mark.engine
@pytest.mark.slow
async def test_an_engine_that_still_answers_gets_no_useless_grace(
    llama: engine.Engine, long: Callable[[str], engine.Model], marked: str
) -> None:
    """SIGTERM would not end it for as long as the answer lasts."""
    async with opened():
        await engine.start(
            llama, long("long"), timing=engine.Timing(drain_timeout=0.1, grace_period=80)
        )
        url = await engine.wait_ready("long", 60)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(functools.partial(endless, url, stream=False))
            await until_async(functools.partial(is_busy, url, {}))
            begun = trio.current_time()
            await engine.stop("long")

        assert trio.current_time() - begun < 40
        assert not census.living(marked)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("on_demand", [True, False])
async def test_a_tree_of_engines_that_answer_closes_in_the_time_of_one(
    llama: engine.Engine, long: Callable[[str], engine.Model], marked: str, on_demand: bool
) -> None:
    """Their drains run side by side, though OTP ends them one after the other."""
    drain = 10.0
    timing = engine.Timing(drain_timeout=drain)
    models = [long(f"long{number}") for number in range(3)]
    children = [] if on_demand else [engine.child_spec(llama, one, timing=timing) for one in models]
    begun = 0.0
    async with trio.open_nursery() as nursery:
        async with opened(*children):
            for model in models:
                if on_demand:
                    await engine.start(llama, model, timing=timing)
                url = await engine.wait_ready(model.alias, 60)
                nursery.start_soon(endless, url)
                await until_async(functools.partial(is_busy, url, {}))
            begun = trio.current_time()
        took = trio.current_time() - begun

    assert drain <= took < 2.5 * drain  # one after the other they take three times as long
    assert not census.living(marked)


@pytest.fixture
def long(long_model: Any) -> Callable[[str], engine.Model]:
    """A model whose answer lasts longer than any test, by its alias."""
    return lambda alias: engine.Model(
        alias=alias, model_dir=long_model.parent, filename=long_model.name, context_size=131_072
    )


@pytest.mark.engine
@pytest.mark.slow
async def test_an_idle_engine_is_not_drained(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """Also where it keeps its slots to itself."""
    async with opened():
        await engine.start(
            attrs.evolve(llama, start_args=(*llama.start_args, "--no-slots")),
            tiny,
            timing=engine.Timing(drain_timeout=90, grace_period=90),
        )
        assert await answer(await engine.wait_ready("tiny", 60))
        begun = trio.current_time()
        await engine.stop("tiny")
        assert trio.current_time() - begun < 45


@pytest.mark.engine
@pytest.mark.slow
async def test_a_stop_does_not_wake_an_engine_that_sleeps(
    llama: engine.Engine, tiny: engine.Model, marked: str, tmp_path: Path
) -> None:
    """Whatever its slots, its metrics and its key: it would load its whole model for nothing."""
    for number, words in enumerate([(), ("--no-slots",), ("--api-key", "key")]):
        log = tmp_path / f"{number}.log"
        all_words = (*llama.start_args, "--sleep-idle-seconds", "1", *words)
        sleepy = attrs.evolve(llama, start_args=all_words)
        async with opened():
            await engine.start(sleepy, tiny, log_path=log)
            await engine.wait_ready("tiny", 60)
            await until(lambda log=log: "entering sleeping" in log.read_text())
            await engine.stop("tiny")
        assert log.read_text().count("loading model") == 1
