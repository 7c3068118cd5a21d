"""What an engine writes: read at once, whatever candil does, and kept."""

import os
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from candil.engine._config.exit_status import ExitStatus
from candil.engine._guard.os_process import OsProcess
from candil.engine._guard.program.output import LIMIT, Relay
from candil.engine._system.log_tail import LogTail
from tests.engine import census
from tests.engine.waiting import until

MEGABYTE = 1 << 20


def python(code: str, mark: str, **options: Any) -> OsProcess:
    """A process that runs *code* in Python."""
    words = [sys.executable, "-I", "-S", "-c", code]
    return OsProcess(words, env={**os.environ, census.MARK: mark}, **options)


def shell(script: str, mark: str, **options: Any) -> OsProcess:
    """A process that runs *script*."""
    env = {**os.environ, census.MARK: mark}
    return OsProcess(["/bin/sh", "-c", script], env=env, **options)


def parts_of(log: Path) -> list[Path]:
    """The files of a log that has rotated, oldest first."""
    return sorted(log.parent.glob(f"{log.name}*"), reverse=True)


def block_until(path: Path) -> None:
    """Block the whole loop until *path* exists."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, "the engine stands still"
        time.sleep(0.01)


async def test_an_engine_goes_on_while_the_loop_is_blocked(mark: str, tmp_path: Path) -> None:
    """It writes far more than a pipe holds, and ends its work before the loop is back."""
    log, done = tmp_path / "log", tmp_path / "done"
    lines = 100_000
    code = (
        f"import time, pathlib; [print('line', n) for n in range({lines})]; "
        f"print('end', flush=True); pathlib.Path({str(done)!r}).touch(); time.sleep(100)"
    )
    async with python(code, mark, log_path=log).running() as process:
        await process.started.wait()
        block_until(done)
        await until(lambda: process.tail.lines()[-1:] == ("end",))

        written = [f"line {n}" for n in range(lines)] + ["end"]
        assert log.stat().st_size > MEGABYTE
        assert log.read_text().splitlines() == written
        shown = process.tail.lines()
        # What candil was too late for is cut, and what is shown are the last lines, in whole.
        assert list(shown) == written[-len(shown) :]
        assert len(shown) > 4000


def test_what_is_cut_for_a_slow_reader_is_said_where_it_is_missing() -> None:
    """No line is made of two halves, and the last lines are kept."""
    read, write = os.pipe()
    relay = Relay(write)
    for number in range(30_000):
        relay.write(b"line %d\n" % number)
    os.set_blocking(read, False)
    seen = b""
    while relay.is_behind:
        seen += os.read(read, 4096)
        relay.flush()
    seen += os.read(read, 100_000)
    os.close(read)
    os.close(write)

    before, cut, after = re.split(rb"\n\[(\d+) bytes were cut here\]\n", seen)
    everything = b"".join(b"line %d\n" % number for number in range(30_000))
    assert everything.startswith(before)
    assert everything.endswith(after)
    assert len(before) + int(cut) + len(after) == len(everything)
    assert after.startswith(b"line ")
    assert LIMIT - 20 < len(after) <= LIMIT


async def test_the_end_of_an_engine_is_reported_after_all_that_it_wrote(
    mark: str, tmp_path: Path
) -> None:
    """Also when it ended while the loop was blocked, with its last words behind a full pipe."""
    done = tmp_path / "done"
    script = f"yes line | head -n 100000; echo last; touch {done}; exit 7"
    async with shell(script, mark).running() as process:
        await process.started.wait()
        block_until(done)

        assert await process.wait() == ExitStatus(7)
        assert process.tail.lines()[-1] == "last"


async def test_a_guard_that_waits_for_a_slow_candil_still_takes_commands(mark: str) -> None:
    """It holds output that candil has not read when candil stops the next engine."""
    async with shell("yes | head -c 1000000; echo up; sleep 100", mark).running() as process:
        await process.started.wait()
        time.sleep(0.3)  # noqa: ASYNC251 - the blocked loop is the subject

        assert await process.stop(grace=0) == ExitStatus(-9)
    assert not census.living(mark)


class CountedTail:
    """The last lines, with the number of bytes that came."""

    def __init__(self) -> None:
        self.taken = 0
        self.tail = LogTail()

    def feed(self, data: bytes) -> None:
        self.taken += len(data)
        self.tail.feed(data)

    def lines(self) -> tuple[str, ...]:
        return self.tail.lines()


@pytest.mark.slow
async def test_a_flood_passes_while_nothing_waits_for_it(mark: str, tmp_path: Path) -> None:
    """A hundred megabytes: each task has its turn between two reads, and the end is kept."""
    script = "head -c 100000000 /dev/zero; yes line | head -n 100000 >&2; echo; echo end"
    tail: Any = CountedTail()
    log = tmp_path / "log"
    most = 0
    async with shell(script, mark, tail=tail, log_path=log).running() as process:
        with trio.fail_after(100):
            while not process.is_reaped:
                before = tail.taken
                await trio.lowlevel.checkpoint()
                most = max(most, tail.taken - before)

    assert process.tail.lines()[-1] == "end"
    assert sum(map(len, process.tail.lines())) <= 64 << 10
    assert most <= MEGABYTE
    assert log.read_bytes().endswith(b"line\n\nend\n")
    assert [path.name for path in parts_of(log)] == ["log.2", "log.1", "log"]
    assert all(path.stat().st_size <= 10 * MEGABYTE for path in parts_of(log))


@pytest.mark.parametrize(
    "data",
    [b"\0" * 100, b"\x1b]0;title\x07\x1b[31m", b"\xff\xfe\xc3", b"\r" * 100, "\u2028".encode()],
    ids=["NUL", "ANSI", "invalid UTF-8", "CR", "line separator"],
)
async def test_hostile_output_is_kept_as_it_is_and_shown_harmlessly(
    mark: str, tmp_path: Path, data: bytes
) -> None:
    """The log has the bytes; what is shown cannot control a terminal, and is one line."""
    log = tmp_path / "log"
    code = f"import os; os.write(1, {data!r} + b'\\nend\\n')"
    async with python(code, mark, log_path=log).running() as process:
        await process.wait()

    assert log.read_bytes() == data + b"\nend\n"
    *shown, end = process.tail.lines()
    assert end == "end"
    assert len(shown) == 1
    assert not any(character in shown[0] for character in "\0\x1b\x07\r\u2028")


async def test_the_guard_stays_small_whatever_the_engine_writes(mark: str, tmp_path: Path) -> None:
    """A hundred megabytes without a newline, which candil does not read meanwhile."""
    done = tmp_path / "done"
    script = f"head -c 100000000 /dev/zero; touch {shlex.quote(str(done))}; sleep 100"
    async with shell(script, mark).running() as process:
        await process.started.wait()
        before = memory_of(process.guard_pid)
        block_until(done)

        assert memory_of(process.guard_pid) - before <= MEGABYTE


def memory_of(pid: int) -> int:
    """The resident memory of *pid* in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS:")]
    return int(line.split()[1]) << 10
