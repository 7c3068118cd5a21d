"""
``candil demo``: a real ``llama-server`` is killed in the middle of an answer, and comes back.

1. It succeeds only if everything that it tells of has happened; the first thing that has not ends
   it, with a sentence.
2. However it ends, the tree is stopped in order, and every process that was seen is looked for.

Not here: the performance (`scenario`), and what it looks like (`plain`, `live`).
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import trio

from candil import engine
from candil.cli.demo import binary
from candil.cli.demo.fetch import ensure
from candil.cli.demo.layout import Mood
from candil.cli.demo.model import SMOLLM2
from candil.cli.demo.plain import PlainScreen
from candil.cli.demo.progress import is_live
from candil.cli.demo.scenario import ALIAS, Show
from candil.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Generator

    from candil.cli.demo.screen import Screen


def demo(model_dir: Path | None, binary_dir: Path | None) -> int:
    """
    Perform the demo on stdout, and return the exit code.

    Args:
        model_dir: Where the model is, or is to be put; by default in the user's cache.

        binary_dir: The folder of the ``llama-server`` to use; by default the demo finds one.

    Raises:
        CommandError: Something that should have happened did not.
    """
    screen = _open_screen()
    screen.title("candil demo: a llama-server is killed in the middle of an answer, and comes back")
    show = Show(screen)
    try:
        with _signals_raise():
            folder = model_dir.expanduser() if model_dir else default_model_dir()
            model, program = _prepare(screen, folder.absolute(), binary_dir)
        trio.run(show.run, model, program)
    except KeyboardInterrupt:
        show.stopped_by = signal.SIGINT
        screen.step("stop", "SIGINT: nothing more is begun", Mood.BUSY)
    finally:
        with _signals_wait():
            screen.undraw()
            nothing_left = show.take_census()
    if show.stopped_by is not None:
        return 128 + show.stopped_by
    if show.failure is not None:
        raise show.failure
    if not nothing_left:
        raise CommandError("a process that the demo had started is still alive; see above")
    screen.step("done", "killed, restarted, answered, stopped: all as it should be", Mood.GOOD)
    return 0


def default_model_dir() -> Path:
    """Return the folder in the user's cache where the demo keeps its model."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "candil" / "models"


def _prepare(
    screen: Screen, model_dir: Path, binary_dir: Path | None
) -> tuple[engine.Model, engine.Engine]:
    """Have the program and the model, which may take a download, and describe them."""
    folder, version = binary.choose(
        binary_dir, lambda refusal: screen.step("engine", refusal, Mood.BAD)
    )
    told = f"version {version}" if version else "which does not tell its version"
    screen.step("engine", f"llama-server, {told}")
    with screen.progress() as report:
        path = ensure(SMOLLM2, model_dir, report)
    screen.step("model", f"{path.name}, {SMOLLM2.size / 1e6:.1f} MB, checked")
    return (
        engine.Model(alias=ALIAS, model_dir=path.parent, filename=path.name, context_size=2048),
        engine.Engine(alias="llama", binary_dir=folder),
    )


def _open_screen() -> Screen:
    # A model may say what the terminal cannot show; that is no reason to fail.
    stream = sys.stdout
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors="replace")
    if not is_live(stream):
        return PlainScreen(stream)
    from candil.cli.demo.live import LiveScreen  # noqa: PLC0415 - rich is slow to import

    return LiveScreen(stream)


@contextmanager
def _signals_raise() -> Generator[None]:
    """Have the signals that mean "stop" raise, so that a download is cleaned up after."""

    def stop(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals_wait() -> Generator[None]:
    """Look at no signal while the block lasts: it takes seconds at most, and is the last word."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
