"""One operating-system process under its guard."""

import contextlib
import gc
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
import trio

from candil.engine._config.errors import EngineUnkillable
from candil.engine._config.exit_status import ExitStatus
from candil.engine._guard import (
    guard as guard_module,
    os_process as os_process_module,
)
from candil.engine._guard.os_process import OsProcess
from candil.engine._guard.program.loop import HANDLED_SIGNALS
from tests.engine import census
from tests.engine.waiting import until

PYTHON = sys.executable


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, no guard is killed because of that: it tells the status."""
    for module in (os_process_module, guard_module):
        monkeypatch.setattr(module, "GUARD_SECONDS", 60.0)
    monkeypatch.setattr(guard_module, "_LONGEST_END", 180.0)


def shell(script: str, mark: str, log_path: Path | None = None) -> OsProcess:
    """A process that runs *script*."""
    env = {**os.environ, census.MARK: mark}
    return OsProcess(["/bin/sh", "-c", script], env=env, log_path=log_path)


async def started(process: OsProcess) -> int:
    """Wait until *process* has a pid."""
    await until(lambda: process.pid is not None)
    assert process.pid is not None
    return process.pid


def left_of(process: OsProcess, mark: str) -> set[int]:
    """What lives of *process*, its guard aside, which waits for the next."""
    return census.living(mark) - {process.guard_pid}


async def line_of(process: OsProcess, line: str) -> None:
    """Wait until *process* has written *line*."""
    await until(lambda: line in process.tail.lines())


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("exit 0", 0, "status 0"),
        ("exit 7", 7, "status 7"),
        ("kill -KILL $$", -9, "SIGKILL.*out of memory"),
        ("kill -SEGV $$", -11, "SIGSEGV"),
        ("kill -40 $$", -40, "signal 40"),
    ],
)
async def test_the_real_exit_status_arrives(mark: str, script: str, code: int, words: str) -> None:
    """It travels on the guard's pipe, not in the guard's own exit code."""
    async with shell(script, mark).running() as process:
        status = await process.wait()

    assert status.returncode == code
    assert status.killed is (code < 0)
    assert re.search(words, status.describe())


async def test_a_program_that_cannot_be_executed_says_why(mark: str, tmp_path: Path) -> None:
    """Missing, not executable, not a program."""
    text = tmp_path / "text"
    text.write_text("hello")
    for path, words in ((tmp_path / "none", "No such file"), (text, "Permission denied")):
        async with OsProcess([str(path)], env={census.MARK: mark}).running() as process:
            status = await process.wait()

        assert status.returncode is None
        assert words in status.describe()
        assert process.pid is None


async def test_what_it_writes_is_in_the_tail_when_its_end_is_known(
    mark: str, tmp_path: Path
) -> None:
    """Both streams, in their order, to the last word; and in the log."""
    log = tmp_path / "log"
    async with shell("echo one; echo two >&2; printf three", mark, log).running() as process:
        await process.wait()

    assert process.tail.lines() == ("one", "two", "three")
    assert log.read_bytes() == b"one\ntwo\nthree"


async def test_stop_asks_first(mark: str) -> None:
    """A process that ends on SIGTERM within the grace ends in its own way."""
    script = "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.01; done"
    async with shell(script, mark).running() as process:
        await line_of(process, "up")
        assert await process.stop(grace=60) == ExitStatus(3)

    assert process.tail.lines()[-1] == "asked"


async def test_stop_kills_after_the_grace(mark: str) -> None:
    """A process that ignores SIGTERM is dead when stop returns."""
    async with shell(
        "trap '' TERM; echo up; while :; do sleep 0.01; done", mark
    ).running() as process:
        await line_of(process, "up")
        before = trio.current_time()
        status = await process.stop(grace=0.2)

        assert status == ExitStatus(-signal.SIGKILL)
        assert trio.current_time() - before >= 0.2
        assert not left_of(process, mark)


async def test_stop_ends_a_stopped_process(mark: str) -> None:
    """SIGTERM stays pending there; SIGKILL does not."""
    async with shell("sleep 100", mark).running() as process:
        pid = await started(process)
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: census.state(pid) == "T")

        assert await process.stop(grace=0.1) == ExitStatus(-signal.SIGKILL)


async def test_stop_works_without_the_help_of_the_guard(
    mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard that is stopped carries out no orders; candil kills the group itself."""
    for module in (os_process_module, guard_module):
        monkeypatch.setattr(module, "GUARD_SECONDS", 0.3)
    async with shell("sleep 100 & sleep 100", mark).running() as process:
        await started(process)
        os.kill(process.guard_pid, signal.SIGSTOP)
        with trio.fail_after(60):
            status = await process.stop(grace=0.1)

        assert status.returncode in {None, -signal.SIGKILL}
        assert not left_of(process, mark)


async def test_stop_of_what_is_gone_returns_at_once(mark: str) -> None:
    """Any number of times, with the status of the first."""
    async with shell("exit 5", mark).running() as process:
        assert await process.wait() == ExitStatus(5)
        assert await process.stop() == ExitStatus(5)
        process.terminate()
        process.kill()
        assert await process.stop(grace=0) == ExitStatus(5)


async def test_a_cancelled_stop_kills_at_once(mark: str) -> None:
    """The grace is cut short, the death still confirmed."""
    async with shell(
        "trap '' TERM; echo up; while :; do sleep 0.01; done", mark
    ).running() as process:
        await line_of(process, "up")
        with trio.move_on_after(0.1) as scope:
            await process.stop(grace=100)

        assert scope.cancelled_caught
        assert process.is_reaped
        assert not left_of(process, mark)


async def test_leaving_the_block_kills(mark: str) -> None:
    """By its end, by an error, by cancellation, and before the process has even started."""
    async with shell("sleep 100", mark).running() as process:
        await started(process)
    assert not census.living(mark)

    with contextlib.suppress(ExceptionGroup):
        async with shell("sleep 100", mark).running() as process:
            await started(process)
            raise ValueError
    assert not census.living(mark)

    with trio.move_on_after(0.1):
        async with shell("sleep 100", mark).running():
            await trio.sleep_forever()
    assert not census.living(mark)

    async with shell("sleep 100", mark).running():
        pass
    assert not census.living(mark)

    with trio.CancelScope() as scope:
        scope.cancel()
        async with shell("sleep 100", mark).running():
            await trio.lowlevel.checkpoint()
    assert not census.living(mark)


async def test_the_whole_group_ends_with_its_leader(mark: str) -> None:
    """What the engine started is killed, also what fled into a session of its own."""
    fled = shlex.join(
        [PYTHON, "-c", "import os,time; os.setsid(); print('fled', flush=True); time.sleep(100)"]
    )
    script = f"trap '' TERM; sleep 100 & {fled} & wait"
    async with shell(script, mark).running() as process:
        leader = await started(process)
        await line_of(process, "fled")
        os.kill(leader, signal.SIGKILL)
        with trio.fail_after(60):
            assert await process.wait() == ExitStatus(-signal.SIGKILL)

        assert not left_of(process, mark)


async def test_the_engine_dies_with_its_guard(mark: str) -> None:
    """SIGKILL of the guard: the kernel kills the engine, and the rest of its group is swept."""
    async with shell("sleep 100 & wait", mark).running() as process:
        await started(process)
        os.kill(process.guard_pid, signal.SIGKILL)
        with trio.fail_after(60):
            status = await process.wait()

        assert status.returncode is None
        assert "guard" in status.describe()
        assert not left_of(process, mark)


async def test_a_group_that_the_kernel_does_not_end_is_an_error_and_not_a_hang(
    mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a hung driver; here the look at the group is made to say so."""
    monkeypatch.setattr(guard_module, "group_is_alive", lambda _: True)
    for module in (os_process_module, guard_module):
        monkeypatch.setattr(module, "KERNEL_SECONDS", 0.1)
        monkeypatch.setattr(module, "GUARD_SECONDS", 0.1)
    process = shell("sleep 100", mark)
    with pytest.RaisesGroup(pytest.RaisesExc(EngineUnkillable, match="inside the kernel")):
        async with process.running():
            await started(process)
            os.kill(process.guard_pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_guard_leaves_signals_to_candil(mark: str, number: signal.Signals) -> None:
    """A service manager sends them to every process; candil alone decides when its engine ends."""
    script = "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done"
    async with shell(script, mark).running() as process:
        await line_of(process, "up")
        os.kill(process.guard_pid, number)

        assert await process.stop(grace=60) == ExitStatus(3)  # the guard heard the signal before


async def test_a_guard_leaves_signals_to_candil_from_its_first_moment(mark: str) -> None:
    """Also before its interpreter has begun to run its code."""
    for _ in range(5):
        async with shell("echo up; exit 7", mark).running() as process:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(process.guard_pid, number)

            assert await process.wait() == ExitStatus(7)


async def test_an_interrupt_at_the_terminal_reaches_candil_alone(mark: str) -> None:
    """Guard and engine have a session without a terminal, and a group each."""
    async with shell("sleep 100", mark).running() as process:
        pid = await started(process)

        assert os.getsid(pid) == os.getsid(process.guard_pid) == process.guard_pid
        assert os.getpgid(pid) == pid
        assert os.getpgid(process.guard_pid) == process.guard_pid


async def test_the_engine_inherits_three_files_and_no_more(mark: str) -> None:
    """Neither candil's files, also inheritable ones, nor the guard's pipes."""
    leaky = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(leaky, True)
    async with shell("echo up; exec sleep 100", mark).running() as process:
        await line_of(process, "up")
        files = Path(f"/proc/{await started(process)}/fd")

        # The loader of `sleep` opens others for a moment; what was inherited stays.
        await until(lambda: names_in(files) == {"0", "1", "2"})
        assert target_of(files / "0") == Path(os.devnull)
    os.close(leaky)


def target_of(link: Path) -> Path:
    """Where *link* leads."""
    return link.readlink()


def names_in(folder: Path) -> set[str]:
    """What *folder* holds."""
    return {path.name for path in folder.iterdir()}


async def test_signals_reach_the_engine_as_a_fresh_process_expects(mark: str) -> None:
    """Nothing is ignored or blocked that was not so for candil's user."""
    code = (
        "import signal as s; print([n.name for n in s.Signals if s.getsignal(n) is s.SIG_IGN],"
        " list(s.pthread_sigmask(0, ())))"
    )
    # Python itself ignores two when it starts, and a shell's & has it ignore another.
    ignored = [n for n in signal.Signals if signal.getsignal(n) is signal.SIG_IGN]
    expected = [n.name for n in ignored if n not in HANDLED_SIGNALS]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        async with shell(shlex.join([PYTHON, "-c", code]), mark).running() as process:
            await process.wait()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})

    assert process.tail.lines() == (f"{expected} []",)


@pytest.mark.slow
async def test_no_file_and_no_zombie_stays(mark: str) -> None:
    """Over fifty processes, ended in all ways."""
    gc.collect()  # what others have left would be closed meanwhile
    files = census.open_files()
    for round_ in range(50):
        script = ("exit 1", "sleep 100", "exec /no/such/program", "kill -9 $$", "echo x")[
            round_ % 5
        ]
        async with shell(script, mark).running() as process:
            if round_ % 2:
                await process.stop(grace=0.01)

    assert census.open_files() == files
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222 - it does not block


@pytest.mark.slow
async def test_a_healthy_engine_outlives_the_worker_threads(mark: str) -> None:
    """
    Trio's retire after ten seconds, and the kernel tells the children of a thread of its end: that
    must not be what ends an engine.
    """
    async with shell("sleep 100", mark).running() as process:
        pid = await started(process)
        await trio.to_thread.run_sync(time.sleep, 0)
        await trio.sleep(12)

        assert census.is_alive(pid)
