"""The whole demo, with the real llama-server and the real model, as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_command import COMMAND
from tests.engine import census

pytestmark = [pytest.mark.slow, pytest.mark.engine]

STEPS = [
    *("engine", "model", "tree", "ready"),
    *("question", "kill", "answer", "cut", "noticed", "restart", "ready"),
    *("question", "answer", "complete", "tokens"),
    # Two engines, one after the other, and the guard of both.
    *("stop", "gone", "gone", "gone", "left", "done"),
]


# The demo is interrupted right after a step: what a busy test sends could come after its end. Its
# answers are shorter than a user's, and still longer than what comes before the kill.
INTERRUPTED = """
import os, signal
from candil.cli.demo import scenario
from candil.cli.demo.plain import PlainScreen
scenario.MOST_TOKENS = 3 * scenario.KILL_AFTER
step, left = PlainScreen.step, [{word!r}]
def step_and_interrupt(self, word, *rest, **more):
    step(self, word, *rest, **more)
    if word in left:
        left.remove(word)
        os.kill(os.getpid(), signal.SIGINT)
PlainScreen.step = step_and_interrupt
"""


def start(mark: str, *arguments: object, before: str = "") -> subprocess.Popen[str]:
    """Start the demo with pipes for a screen; *before* it comes a program."""
    return subprocess.Popen(
        [sys.executable, "-c", before + COMMAND, "demo", *map(str, arguments)],
        env=os.environ | {census.MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps(output: str) -> list[tuple[str, str]]:
    """Take the lines of the demo apart: the word, and the text."""
    found = re.findall(r"^ +\d+\.\d\d s  (\S+) +(.*)$", output, re.MULTILINE)
    return [(word, text) for word, text in found]


def test_the_demo_shows_all_that_it_promises(model_dir: Path, mark: str) -> None:
    """
    Every step happens, in order and in plain text: another process id, the same address, a whole
    answer, and nobody left.
    """
    demo = start(mark, "--model-dir", model_dir)
    output, complaint = demo.communicate(timeout=250)

    assert (0, "") == (demo.returncode, complaint)
    assert all(line.isprintable() for line in output.splitlines())
    found = steps(output)
    assert STEPS == [word for word, _text in found]
    ready = [
        re.findall(r"llama-server (\d+) at (\S+?),? ", text)
        for word, text in found
        if word == "ready"
    ]
    (first, address), (second, same) = (pair for (pair,) in ready)
    assert address == same
    assert first != second
    answers = [text for word, text in found if word == "answer"]
    assert answers[0].endswith("[broken off]")
    assert not answers[1].endswith("[broken off]")
    assert "SIGKILL (status -9)" in dict(found)["noticed"]
    listed = [text for word, text in found if word == "gone"]
    gone = {int(number) for text in listed for number in re.findall(r"(\d+):", text)}
    assert {int(first), int(second)} <= gone
    assert {"X"} == {census.state(pid) for pid in gone}


@pytest.mark.parametrize("word", ["tree", "ready", "kill", "restart", "complete"])
def test_ctrl_c_at_any_moment_stops_in_order_and_leaves_nothing(
    model_dir: Path, mark: str, word: str
) -> None:
    """Exit code 130, no traceback, and nobody alive when the demo has ended."""
    demo = start(mark, "--model-dir", model_dir, before=INTERRUPTED.format(word=word))
    output, complaint = demo.communicate(timeout=250)

    assert set() == census.living(mark)
    assert (130, "") == (demo.returncode, complaint), output
    words = [word for word, _text in steps(output)]
    assert "stop" in words[words.index(word) :]
    assert "left" == words[-1]


def test_a_second_ctrl_c_ends_the_demo_at_once_and_the_guards_clean_up(
    model_dir: Path, mark: str
) -> None:
    """Nothing waits for the tree any more, the engine is killed, and the census is taken."""
    demo = start(mark, "--model-dir", model_dir)
    assert demo.stdout is not None
    next(line for line in demo.stdout if " s  question " in line)
    demo.send_signal(signal.SIGINT)
    next(line for line in demo.stdout if " s  stop " in line)
    demo.send_signal(signal.SIGINT)
    output, complaint = demo.communicate(timeout=120)

    assert (130, "") == (demo.returncode, complaint)
    assert "left" == steps(output)[-1][0]
    census.seconds_until_none_lives(mark)


def test_a_reader_that_goes_away_ends_the_demo(model_dir: Path, mark: str) -> None:
    """As with ``candil demo | head``: the tree stops in order, and there is no traceback."""
    demo = start(mark, "--model-dir", model_dir)
    assert demo.stdout is not None
    assert demo.stderr is not None
    next(line for line in demo.stdout if " s  ready " in line)
    demo.stdout.close()
    complaint = demo.stderr.read()
    demo.stderr.close()

    assert (1, "") == (demo.wait(120), complaint)
    assert set() == census.living(mark)


def test_an_engine_that_cannot_start_fails_the_demo_with_a_sentence(
    model_dir: Path, mark: str, tmp_path: Path
) -> None:
    """Exit code 1, the engine's own last words, and nobody left."""
    program = tmp_path / "llama-server"
    program.write_text(
        "#!/bin/sh\n"
        'test "$1" = --version && echo "version: 1" && exit 0\n'
        "echo error loading model: it is Sunday >&2\n"
        "exit 1\n"
    )
    program.chmod(0o755)

    demo = start(mark, "--model-dir", model_dir, "--binary-dir", tmp_path)
    output, complaint = demo.communicate(timeout=120)

    assert 1 == demo.returncode
    assert complaint.startswith("candil: engine 'smollm2' did not start")
    assert "it is Sunday" in complaint
    assert "Traceback" not in complaint
    assert "done" not in [word for word, _text in steps(output)]
    assert set() == census.living(mark)
