"""A guard that waits from one program to the next, and what may happen to it meanwhile."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

import candil
from candil.engine._config.exit_status import ExitStatus
from candil.engine._guard import (
    command,
    guard as guard_module,
    os_process as os_process_module,
    reusable_guard as reusable_guard_module,
)
from candil.engine._guard.guarded_run import Run
from candil.engine._guard.os_process import OsProcess
from candil.engine._guard.reusable_guard import ReusableGuard
from tests.engine import census
from tests.engine.waiting import until

PYTHON = sys.executable


def shell(script: str, mark: str, **more: str) -> OsProcess:
    """A process that runs *script*."""
    return OsProcess(["/bin/sh", "-c", script], env={**os.environ, census.MARK: mark, **more})


def guards(mark: str) -> set[int]:
    """The guards that live."""
    return census.living(mark, "_guard/program")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, no guard leaves or is killed because of that."""
    monkeypatch.setattr(reusable_guard_module, "IDLE_SECONDS", 600.0)
    for module in (os_process_module, guard_module):
        monkeypatch.setattr(module, "GUARD_SECONDS", 60.0)
    monkeypatch.setattr(guard_module, "_LONGEST_END", 180.0)


async def test_one_guard_serves_program_after_program(mark: str) -> None:
    """Each has its own status and its own words; the guard ends when it is dismissed."""
    post = ReusableGuard()
    async with candil.open_node(log=False):
        seen = set[int]()
        for number in range(5):
            process = shell(f"echo {number}; exit {number}", mark)

            assert await post.run(process) == ExitStatus(number)
            assert process.tail.lines() == (str(number),)
            seen |= guards(mark)
        assert len(seen) == 1

        await post.close()
        assert not census.living(mark)


async def test_a_program_that_cannot_be_executed_does_not_cost_the_guard(mark: str) -> None:
    """It says why, and waits for the next."""
    post = ReusableGuard()
    async with candil.open_node(log=False):
        status = await post.run(OsProcess(["/no/such/program"], env={census.MARK: mark}))
        assert "No such file" in status.describe()
        (guard,) = guards(mark)

        assert await post.run(shell("exit 3", mark)) == ExitStatus(3)
        assert guards(mark) == {guard}


async def test_a_guard_that_is_killed_while_it_waits_is_replaced_without_a_failed_start(
    mark: str,
) -> None:
    """Known to be dead, dying, or killed with the order in its pipe."""
    post = ReusableGuard()
    async with candil.open_node(log=False):
        for round_ in range(12):
            assert await post.run(shell("exit 0", mark)) == ExitStatus(0)
            (guard,) = guards(mark)
            os.kill(guard, signal.SIGKILL if round_ % 2 else signal.SIGUSR1)
            if round_ % 3 == 0:
                await until(lambda guard=guard: not census.is_alive(guard))

            assert await post.run(shell("exit 7", mark)) == ExitStatus(7)
            assert guard not in guards(mark)


async def test_a_guard_that_is_stopped_while_it_waits_is_woken(mark: str) -> None:
    """Else the next program would not start."""
    post = ReusableGuard()
    async with candil.open_node(log=False):
        await post.run(shell("exit 0", mark))
        (guard,) = guards(mark)
        os.kill(guard, signal.SIGSTOP)
        await until(lambda: census.state(guard) == "T")
        with trio.fail_after(60):
            assert await post.run(shell("exit 7", mark)) == ExitStatus(7)

        os.kill(guard, signal.SIGSTOP)
        await until(lambda: census.state(guard) == "T")
        with trio.fail_after(60):
            await post.close()
        assert not census.living(mark)


async def test_a_guard_that_was_dismissed_is_not_taken_at_the_last_moment(mark: str) -> None:
    """Else who dismissed it would wait for the end of a program that has only begun."""
    post = ReusableGuard()
    async with candil.open_node(log=False):
        await post.run(shell("exit 0", mark))
        (guard,) = guards(mark)
        post.close_nowait()
        process = shell("echo $PPID", mark)
        await post.run(process)

        (parent,) = process.tail.lines()
        assert int(parent) != guard
        assert guards(mark) == {int(parent)}


async def test_an_order_for_a_program_that_has_ended_does_not_reach_the_next(mark: str) -> None:
    """Somebody may be late with a kill."""
    post = ReusableGuard()
    async with candil.open_node(log=False):
        first, second = shell("exit 0", mark), shell("sleep 0.1; exit 4", mark)
        await post.run(first)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill_when_running, first, second)
            assert await post.run(second) == ExitStatus(4)


async def kill_when_running(ended: OsProcess, other: OsProcess) -> None:
    """Order the death of a process that has ended while another runs."""
    await other.started.wait()
    ended.kill()
    ended.terminate()


async def test_every_program_gets_the_environment_and_folder_of_its_own_start(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also more than a pipe holds; nothing of the first start's is left in the second."""
    post = ReusableGuard()
    large = "x" * 100_000
    async with candil.open_node(log=False):
        await post.run(shell("exit 0", mark, OLD="old"))
        monkeypatch.chdir(tmp_path)
        process = shell("pwd; echo $OLD. ${#A} ${#B} ${#C}", mark, A=large, B=large, C=large)
        await post.run(process)

        assert process.tail.lines() == (str(tmp_path), ". 100000 100000 100000")


async def test_a_program_starts_although_the_folder_is_gone(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it did when it inherited it."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    async with candil.open_node(log=False):
        assert await ReusableGuard().run(shell("exit 2", mark)) == ExitStatus(2)


async def test_leaving_the_node_ends_a_guard_that_waits(mark: str) -> None:
    """Nobody has to remember it."""
    async with candil.open_node(log=False):
        await ReusableGuard().run(shell("exit 0", mark))
        assert guards(mark)

    assert not census.living(mark)


async def test_a_guard_that_nobody_needs_leaves_by_itself(
    mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds; the next program finds another."""
    monkeypatch.setattr(reusable_guard_module, "IDLE_SECONDS", 0.05)
    post = ReusableGuard()
    async with candil.open_node(log=False):
        assert await post.run(shell("sleep 0.2; exit 1", mark)) == ExitStatus(1)
        await until(lambda: not census.living(mark))

        assert await post.run(shell("exit 2", mark)) == ExitStatus(2)


async def test_the_death_of_its_host_ends_guard_and_program(mark: str) -> None:
    """Whoever owns a guard does not leave it behind; the next program gets another."""
    post = ReusableGuard()
    hosts: list[candil.Pid[Any]] = []

    def note(event: object) -> None:
        if isinstance(event, candil.ProcessStarted):
            hosts.append(event.pid)

    async with candil.open_node(log=False):
        process = shell("sleep 100", mark)
        with candil.subscribe(note):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kill_when_begun, process, hosts)
                with trio.fail_after(60):
                    assert await post.run(process) == ExitStatus(-signal.SIGKILL)
        await until(lambda: not census.living(mark))

        assert await post.run(shell("exit 2", mark)) == ExitStatus(2)


async def kill_when_begun(process: OsProcess, hosts: list[candil.Pid[Any]]) -> None:
    """Kill the host of the only guard once *process* runs."""
    await process.started.wait()
    (host,) = hosts
    candil.exit(host, "kill")


async def test_a_host_that_is_told_to_end_waits_for_the_program(mark: str) -> None:
    """The closing tree tells everybody at once; a server may still be stopping its engine."""
    post = ReusableGuard()
    async with candil.open_node(log=False):
        process = shell("sleep 0.2; exit 5", mark)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dismiss_when_running, post, process)
            assert await post.run(process) == ExitStatus(5)
        await until(lambda: not census.living(mark))


async def dismiss_when_running(post: ReusableGuard, process: OsProcess) -> None:
    """Dismiss the guard while it guards *process*."""
    await process.started.wait()
    post.close_nowait()


async def test_a_guard_whose_pipe_a_forked_copy_holds_open_ends_when_it_is_dismissed(
    mark: str,
) -> None:
    """The end of the file does not come then, and waiting for it would take a minute."""
    post = ReusableGuard()
    async with candil.open_node(log=False):
        await post.run(shell("exit 0", mark))
        copy = holder_of_our_files()
        before = time.monotonic()
        await post.close()

        assert time.monotonic() - before < 30
        assert not guards(mark)
        copy.kill()
        copy.wait()


def holder_of_our_files() -> subprocess.Popen[bytes]:
    """Start a process that inherits every open file, as a fork would, threads or not."""
    files = [int(name.name) for name in Path("/proc/self/fd").iterdir()]
    closed = [file for file in files if is_open(file) and not os.get_inheritable(file)]
    for file in closed:
        os.set_inheritable(file, True)
    try:
        return subprocess.Popen(["/bin/sleep", "60"], close_fds=False)
    finally:
        for file in closed:
            os.set_inheritable(file, False)


def is_open(file: int) -> bool:
    """Whether *file* is open; the look into the folder opened one that is not."""
    return Path(f"/proc/self/fd/{file}").exists() or Path(f"/proc/self/fd/{file}").is_symlink()


@pytest.mark.slow
async def test_cancelled_anywhere_it_leaves_nothing(mark: str) -> None:
    """After any number of steps: with a new guard, and with one that waits."""
    gc.collect()  # what others have left would be closed meanwhile
    files = census.open_files()
    for warm in (False, True):
        for steps in range(40):
            async with candil.open_node(log=False):
                post = ReusableGuard()
                if warm:
                    await post.run(shell("exit 0", mark))
                process = shell("sleep 100", mark)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(post.run, process)
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()
                assert not census.living(mark, "sleep 100")
                if steps % 2:
                    await post.close()
                    assert not census.living(mark)
            assert not census.living(mark)

    assert census.open_files() == files
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222 - it does not block


async def test_no_guard_at_all_is_an_error_of_the_start(
    mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the machine has too many processes; the next start may work."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    post = ReusableGuard()
    files = census.open_files()
    async with candil.open_node(log=False):
        with monkeypatch.context() as patch:
            patch.setattr(command.subprocess, "Popen", refuse)
            with pytest.raises(BlockingIOError):
                await post.run(shell("exit 0", mark))
        assert census.open_files() <= files + 4  # trio's own

        assert await post.run(shell("exit 6", mark)) == ExitStatus(6)


WITHOUT_PRCTL = """
import ctypes, os, sys
sys.platform = "darwin"
del os.waitid
sys.path.append({folder!r})
from program.loop import main
main(sys.argv[1:])
"""


async def test_without_the_kernels_help_the_pipe_and_the_group_do(
    mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS: no subreaper, no parent-death signal, no look at a child before its reaping."""
    code = WITHOUT_PRCTL.format(folder=str(command.PROGRAM.parents[1]))
    monkeypatch.setattr(command, "command_line", lambda: [PYTHON, "-I", "-S", "-c", code])
    guard = ReusableGuard()
    async with candil.open_node(log=False):
        assert await guard.run(shell("echo up; exit 3", mark)) == ExitStatus(3)
        process = shell("sleep 100 & sleep 100", mark)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard.run, process)
            await process.started.wait()
            nursery.cancel_scope.cancel()
        assert not census.living(mark, "sleep 100")
        await guard.close()


def test_half_an_order_starts_nothing(mark: str, tmp_path: Path) -> None:
    """Candil was killed while it wrote: any beginning of an order is none."""
    made = tmp_path / "made"
    run = Run(["/bin/sh", "-c", f"touch {made}"], {}, lambda _: None, "")
    order = run.as_command()
    for length in (0, 1, 2, 3, 4, len(order) // 2, len(order) - 1):
        assert said_by_guard(order[:length], mark) == b""

    assert not made.exists()
    assert b"started" in said_by_guard(order, mark)


def said_by_guard(data: bytes, mark: str) -> bytes:
    """Start a guard, write *data* to it, close the pipe, and return what it told until its end."""
    env = {**os.environ, census.MARK: mark}
    process, control, facts, output = command.start_guard("half", env)
    os.write(control, data)
    time.sleep(0.1 if data else 0)  # it reads what is there before it sees the end
    os.close(control)
    assert process.wait(60) == 0
    said = os.read(facts, 1000)
    os.close(facts)
    os.close(output)
    return said
