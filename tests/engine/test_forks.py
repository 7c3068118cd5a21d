"""A child made by fork has no part in what candil has open."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from candil.engine._system.ports import PortLease
from tests.engine import census

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["os.fork", "multiprocessing"])
def test_a_forked_child_keeps_neither_port_nor_guard(base: int, mark: str, how: str) -> None:
    """It lives on when the program is killed; the next program gets the port, the guard ends."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.engine.fork_program", str(base), how],
        cwd=ROOT,
        env={**os.environ, census.MARK: mark},
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        _word, port, guard = program.stdout.readline().split()
        still_open = json.loads(program.stdout.readline())

        assert still_open == []
        program.kill()
        program.wait()
        deadline = time.monotonic() + 60
        while census.is_alive(int(guard)):
            assert time.monotonic() < deadline, "the guard lives on"
            time.sleep(0.005)
        (child,) = census.living(mark)
        lease = PortLease("127.0.0.1", base)
        assert lease.acquire() == int(port)
        lease.release()
        os.kill(child, 9)


def test_a_fork_leaves_the_parents_port_reserved(base: int) -> None:
    """The child's release is the child's alone."""
    code = (
        "import os, sys; from candil.engine._system.ports import PortLease\n"
        f"lease = PortLease('127.0.0.1', {base}); port = lease.acquire()\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(0 if lease.port is None else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        f"assert PortLease('127.0.0.1', {base}).acquire() != port\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=100)
