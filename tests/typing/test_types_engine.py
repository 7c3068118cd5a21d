"""What mypy and pyright make of candil.engine."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import assert_type

import candil
from candil import engine
from candil.engine import (
    Engine,
    EngineError,
    EngineServer,
    EngineState,
    EngineStateChanged,
    Model,
    Timing,
)


def an_engine_and_a_model_are_values() -> None:
    llama = Engine("local", Path("/opt/llama"), host="127.0.0.1", port=0, start_args=["-ngl", "0"])
    assert_type(llama.alias, str)
    assert_type(llama.binary_dir, str | os.PathLike[str] | None)
    assert_type(llama.use_precompiled, bool)
    assert_type(llama.precompiled_version, str)
    assert_type(llama.host, str)
    assert_type(llama.port, int)
    assert_type(llama.start_args, tuple[str, ...])
    model = Model("smollm2", "~/models", "smollm2.gguf", context_size=2048, model_args=("--jinja",))
    assert_type(model.alias, str)
    assert_type(model.model_dir, str | os.PathLike[str])
    assert_type(model.filename, str)
    assert_type(model.context_size, int)
    assert_type(model.model_args, tuple[str, ...])
    assert_type(engine.binary_dir(llama), Path)
    assert_type(engine.binary_path(llama), Path)
    assert_type(engine.binary_exists(llama), bool)
    assert_type(engine.file_path(model), Path)


async def a_check_of_the_program_has_no_result(llama: Engine) -> None:
    assert_type(await engine.check_binary(llama), None)


def wrong_values_are_found(llama: Engine, model: Model) -> None:
    Engine("local", port="8080")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Model("smollm2", "~/models")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    llama.port = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    model.alias = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Timing(2.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def a_child_of_a_supervisor_takes_the_options_of_a_child_spec(llama: Engine, model: Model) -> None:
    assert_type(engine.child_spec(llama, model), candil.ChildSpec[EngineServer])
    child = engine.child_spec(
        llama,
        model,
        timing=Timing(startup_timeout=math.inf),
        log_path=Path("engine.log"),
        id="llm",
        name=candil.Name("llm"),
        restart="permanent",
        shutdown="brutal_kill",
        significant=False,
        backoff=candil.Backoff(),
    )
    assert_type(child, candil.ChildSpec[EngineServer])
    assert_type(engine.engines_spec([child], max_restarts=3), candil.SupervisorSpec)
    candil.supervisor_spec([child])


def wrong_options_of_a_child_are_found(
    llama: Engine, model: Model, pid: candil.Pid[EngineServer]
) -> None:
    engine.child_spec(model, llama)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    engine.child_spec(llama, model, restart="never")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    engine.child_spec(llama, model, name=pid)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    engine.child_spec(llama, model, restarts="permanent")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def an_engine_is_started_and_asked_after_by_its_alias(llama: Engine, model: Model) -> None:
    assert_type(await engine.start(llama, model, timing=Timing()), candil.Pid[EngineServer])
    assert_type(await engine.wait_ready("smollm2", timeout=60.0), str)
    assert_type(await engine.healthy("smollm2"), bool)
    assert_type(await engine.base_url("smollm2"), str | None)
    stopped = engine.stop("smollm2")
    await stopped
    await engine.healthy(model)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_request_to_an_engine_that_is_not_awaited_is_found(llama: Engine, model: Model) -> None:
    engine.start(llama, model)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    engine.wait_ready("smollm2", timeout=60.0)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    engine.healthy("smollm2")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    engine.base_url("smollm2")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    engine.stop("smollm2")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    EngineServer.health("smollm2")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


async def an_engine_s_server_has_clients(pid: candil.Pid[EngineServer]) -> None:
    assert_type(await EngineServer.health(pid), EngineState)
    assert_type(await EngineServer.base_url("smollm2"), str | None)
    assert_type(await EngineServer.os_pid(candil.Via("candil.engine", "smollm2")), int | None)
    assert_type(await EngineServer.log_tail(pid), tuple[str, ...])
    assert_type(await EngineServer.ready.within(math.inf)(pid), str | EngineError)
    assert_type(await candil.which_children(engine.SUPERVISOR), list[candil.ChildInfo])


def an_engine_s_events_can_be_told_apart(event: object) -> None:
    match event:
        case EngineStateChanged(alias=alias, old=old, new=new, pid=pid, error=error):
            assert_type(alias, str)
            assert_type(old, EngineState | None)
            assert_type(new, EngineState | None)
            assert_type(pid, int | None)
            assert_type(error, EngineError | None)
        case _:
            pass


def an_engine_s_error_is_an_error_of_candil(error: engine.EngineStartError) -> None:
    as_engine: EngineError = error
    as_candil: candil.CandilError = as_engine
    assert_type(error.log_tail, tuple[str, ...])
    assert_type(error.argv, tuple[str, ...])
    assert_type(error.returncode, int | None)
    raise as_candil
