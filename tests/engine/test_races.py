"""What happens to an engine at the wrong moment: the real llama-server."""

import gc
import os
import signal
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


@pytest.mark.parametrize("reason", ["kill", candil.Shutdown(), candil.Shutdown("enough")])
async def test_a_helper_that_is_ended_by_anybody_takes_its_server_along(
    llama: engine.Engine, tiny: engine.Model, marked: str, reason: Any
) -> None:
    """However politely: a server without a keeper would wait for an engine that never comes."""
    for index in (0, 1):
        async with opened(engine.child_spec(llama, tiny, restart="permanent")):
            await engine.await_ready("tiny", 30)
            old = candil.whereis("tiny")
            assert old is not None
            info = candil.process_info(old)
            assert info is not None
            helper = [pid for pid in info.links if pid != info.parent][index]
            candil.exit_nowait(helper, reason)
            await until(lambda old=old: candil.whereis("tiny") not in {None, old})

            assert await answer(await engine.await_ready("tiny", 30))


async def test_an_engine_whose_guard_has_just_been_killed_is_not_ready(
    llama: engine.Engine, tiny: engine.Model, marked: str
) -> None:
    """The kernel is about to end it: its address would be that of nobody a moment later."""
    async with opened(engine.engines_spec()):
        await engine.start(llama, tiny)
        await engine.await_ready("tiny", 30)
        for _ in range(10):
            (guard,) = census.living(marked, "_guard.py")
            os.kill(guard, signal.SIGKILL)
            url = await engine.await_ready("tiny", 30)
            assert census.living(marked, "_guard.py").isdisjoint({guard})
            assert await answer(url) == tiny_gguf.counted(">", 8)


async def test_an_address_is_not_asked_of_an_engine_that_could_not_have_one(
    llama: engine.Engine, tiny: engine.Model, marked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a free file there is no port yet; the question does not cost a restart."""
    spec = engine.child_spec(llama, tiny)
    lease = spec.args[2].lease

    def too_many() -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(type(lease), "acquire", lambda _: too_many())
        async with opened(spec):
            server = candil.whereis("tiny")
            assert await engine.base_url("tiny") is None
            assert candil.whereis("tiny") == server
