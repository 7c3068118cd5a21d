"""No engine outlives its program, whoever is killed and when: real processes, real signals."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from tests.engine import census
from tests.engine.heeded import heeded

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


class Manager:
    """A running `tests.engine.manager`; the end of the block kills it."""

    def __init__(self, folder: Path, model: Path, how: str = "open") -> None:
        self.mark = census.new_mark()
        self.url = ""
        with heeded(signal.SIGINT, signal.SIGHUP):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.engine.manager", folder, model, how],
                cwd=ROOT,
                env={**os.environ, census.MARK: self.mark},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        for pid in census.living(self.mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ready(self) -> int:
        """Wait until the engine answers, and return its process id."""
        assert self.process.stdout
        word, pid, self.url = self.process.stdout.readline().split()
        assert word == "ready"
        return int(pid)

    def guard(self) -> int:
        """Return the process id of the guard; what it forks is called as it is for a moment."""
        called_so = census.living(self.mark, "_guard/program")
        (guard,) = (pid for pid in called_so if census.parent(pid) == self.process.pid)
        return guard


@pytest.fixture
def manage(llama_server_dir: Path, tiny_model: Path) -> Callable[..., Manager]:
    """Start a manager of the tiny model."""
    return lambda how="open": Manager(llama_server_dir, tiny_model, how)


def test_none_lives_after_its_program_is_killed_at_a_random_instant(
    manage: Callable[..., Manager],
) -> None:
    """25 times, from before the first process is started to well after the engine is ready."""
    dice = random.Random()
    for _ in range(25):
        with manage() as manager:
            time.sleep(dice.uniform(0.0, 0.8))
            manager.process.kill()
            manager.process.wait()

            census.seconds_until_none_lives(manager.mark)


def test_none_lives_after_its_program_is_killed_in_the_middle_of_a_restart(
    manage: Callable[..., Manager],
) -> None:
    """20 times: the guard has just buried one engine, has its orders, or starts the next."""
    dice = random.Random()
    for _ in range(20):
        with manage() as manager:
            os.kill(manager.ready(), signal.SIGKILL)
            time.sleep(dice.uniform(0.0, 0.05))
            manager.process.kill()
            manager.process.wait()

            census.seconds_until_none_lives(manager.mark)


@pytest.mark.parametrize("stopped", [False, True])
def test_no_guard_that_waits_lives_after_its_program_is_killed(
    manage: Callable[..., Manager], stopped: bool
) -> None:
    """It has nothing to guard, and would be the only thing left; also one that is stopped."""
    for _ in range(3):
        with manage("wait") as manager:
            engine, guard = manager.ready(), manager.guard()
            os.kill(engine, signal.SIGKILL)
            while census.is_alive(engine):
                time.sleep(0.002)
            assert census.is_alive(guard)
            if stopped:
                os.kill(guard, signal.SIGSTOP)
                while census.state(guard) != "T":
                    time.sleep(0.002)
            manager.process.kill()
            manager.process.wait()

            census.seconds_until_none_lives(manager.mark)


def test_none_lives_after_program_and_guard_are_killed_together(
    manage: Callable[..., Manager],
) -> None:
    """In both orders."""
    for order in (1, -1) * 3:
        with manage() as manager:
            manager.ready()
            for pid in (manager.process.pid, manager.guard())[::order]:
                os.kill(pid, signal.SIGKILL)
            manager.process.wait()

            census.seconds_until_none_lives(manager.mark)


def test_an_engine_whose_guard_is_killed_dies_and_comes_back(
    manage: Callable[..., Manager],
) -> None:
    """The program lives: it sees the death and starts the next, under another guard."""
    with manage() as manager:
        engine, guard = manager.ready(), manager.guard()
        os.kill(guard, signal.SIGKILL)
        start = time.monotonic()
        while not (census.living(manager.mark, "llama-server") - {engine, guard}):
            assert time.monotonic() - start < 60
            time.sleep(0.01)

        assert not census.is_alive(engine)
        assert manager.guard() != guard
        manager.process.kill()
        census.seconds_until_none_lives(manager.mark)


def test_none_lives_after_the_guard_was_stopped_and_the_program_killed(
    manage: Callable[..., Manager],
) -> None:
    """A stopped guard reads no pipe: the kernel's parent-death signal wakes it."""
    for _ in range(3):
        with manage() as manager:
            manager.ready()
            guard = manager.guard()
            os.kill(guard, signal.SIGSTOP)
            while census.state(guard) != "T":
                time.sleep(0.002)
            manager.process.kill()
            manager.process.wait()

            census.seconds_until_none_lives(manager.mark)


def test_none_lives_though_a_forked_copy_of_the_program_holds_the_pipe(
    manage: Callable[..., Manager],
) -> None:
    """The end of the file does not come then; the parent-death signal does."""
    with manage("fork") as manager:
        engine, guard = manager.ready(), manager.guard()
        while len(census.living(manager.mark)) < 4:  # the program, its copy, the guard, the engine
            time.sleep(0.01)
        manager.process.kill()
        manager.process.wait()
        start = time.monotonic()
        while census.is_alive(engine) or census.is_alive(guard):
            assert time.monotonic() - start < 10
            time.sleep(0.01)

        assert len(census.living(manager.mark)) == 1  # the copy, which is no engine


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_program_that_is_asked_to_end_ends_its_engine_first(
    manage: Callable[..., Manager], number: signal.Signals, code: int
) -> None:
    """`candil.run` stops the tree in order, and the exit code says who asked."""
    with manage("run") as manager:
        manager.ready()
        manager.process.send_signal(number)

        assert manager.process.wait(60) == code
        assert not census.living(manager.mark)


def test_a_healthy_engine_is_alive_after_fifteen_seconds(manage: Callable[..., Manager]) -> None:
    """No worker thread that retires after ten takes it along."""
    with manage() as manager:
        engine, guard = manager.ready(), manager.guard()
        time.sleep(15)

        assert census.is_alive(engine)
        assert manager.guard() == guard
        manager.process.kill()
        census.seconds_until_none_lives(manager.mark)


def test_none_of_the_real_model_lives_after_its_program_is_killed(
    llama_server_dir: Path, real_model: Path
) -> None:
    """While it loads, and when it is ready."""
    for seconds in (0.5, 0.7, None):
        with Manager(llama_server_dir, real_model) as manager:
            if seconds is None:
                manager.ready()
            else:
                time.sleep(seconds)
            manager.process.kill()
            manager.process.wait()

            census.seconds_until_none_lives(manager.mark)
