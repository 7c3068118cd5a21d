"""Processes that were seen: alive, dead and not yet read, or gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import attrs
import pytest

from candil.cli.demo.process_tracker import Census, Fate, Noted, fate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_process_is_alive_then_a_zombie_then_gone() -> None:
    """A zombie counts as dead, and is told apart from one that is no more."""
    census = Census()
    child = subprocess.Popen(["sleep", "60"])
    census.note(child.pid, "sleeper", "guard")
    (noted,) = census.noted.values()

    assert Fate.ALIVE is fate(noted)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Fate.ZOMBIE is fate(noted)
    assert [(noted, Fate.ZOMBIE)] == census.fates()
    child.wait()
    assert Fate.GONE is fate(noted)


def test_a_process_id_that_is_used_again_is_another_process() -> None:
    """A stranger with the same number, born later, is not the one that was noted."""
    census = Census()
    census.note(os.getpid(), "this test", "")
    (noted,) = census.noted.values()

    assert Fate.ALIVE is fate(noted)
    assert noted.born is not None
    assert Fate.GONE is fate(attrs.evolve(noted, born=noted.born - 1))


def test_the_guard_of_a_process_is_noted_with_it() -> None:
    """The parent is a guard if it is our own child, as the engine's is."""
    census = Census()
    with subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True
    ) as guard:
        assert guard.stdout is not None
        below = int(guard.stdout.readline())
        census.note(below, "engine", "guard")
        census.note(below, "engine", "guard")
        os.kill(below, signal.SIGKILL)
        guard.wait()

    assert {below: "engine", guard.pid: "guard"} == {
        noted.pid: noted.role for noted in census.noted.values()
    }
    assert {Fate.GONE} == {what for _noted, what in census.fates()}


def test_those_that_were_seen_can_be_killed() -> None:
    """One that has gone is left in peace: its number may be another's."""
    census = Census()
    child, gone = subprocess.Popen(["sleep", "60"]), subprocess.Popen(["true"])
    census.note(child.pid, "sleeper", "guard")
    census.note(gone.pid, "flash", "guard")
    gone.wait()

    census.kill()

    assert -signal.SIGKILL == child.wait()


def test_a_child_that_nobody_noted_is_found() -> None:
    """What was started and never told of would otherwise escape the census."""
    census = Census()
    child = subprocess.Popen(["sleep", "60"])

    found = census.fates(0.0)

    child.kill()
    child.wait()
    assert [(child.pid, "another child", Fate.ALIVE)] == [
        (noted.pid, noted.role, what) for noted, what in found
    ]


def test_a_process_that_had_gone_when_it_was_noted_stays_gone() -> None:
    """It is listed all the same."""
    child = subprocess.Popen(["true"])
    child.wait()
    census = Census()

    census.note(child.pid, "flash", "guard")

    assert [(Noted(child.pid, "flash", None), Fate.GONE)] == census.fates()
