"""Last words, terminals and signal handlers, as a program that is left at once has them."""

from __future__ import annotations

import io
import os
import pickle
import pty
import signal
import sys
import termios
import threading
from typing import Any

import pytest
import trio

import candil
from candil._otp.applications import leaving, stop_signals as signals_module


class Refusing(io.StringIO):
    """A stream that takes nothing."""

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def closed() -> io.StringIO:
    """Give a stream that was closed."""
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    "stream",
    [None, Refusing(), closed(), object()],
    ids=["none", "full", "closed", "no stream"],
)
def test_words_that_cannot_be_written_are_dropped(
    stream: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And do not land elsewhere."""
    monkeypatch.setattr(sys, "stderr", stream)
    leaving.say("words")
    assert capsys.readouterr().out == ""


def test_words_are_dropped_where_the_reader_of_a_pipe_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Writing would wait for it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        leaving.say("words")
        os.read(reader, 8192)
        leaving.say("words")
        monkeypatch.undo()
    with os.fdopen(reader) as left:
        assert left.read().count("candil: words\n") == 1


def test_only_streams_that_cannot_be_written_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """By one that takes everything, so that Python has nothing to complain of at the end."""
    kept = io.StringIO()
    monkeypatch.setattr(sys, "stdout", kept)
    monkeypatch.setattr(sys, "stderr", Refusing())
    monkeypatch.setattr(sys, "stdin", None)
    leaving.drop_unwritable(["stdin", "stdout", "stderr"])
    assert sys.stdin is None
    assert sys.stdout is kept
    with sys.stderr as stream:
        assert stream.name == os.devnull


def test_without_a_terminal_there_is_nothing_to_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a service manager."""

    def refuse(_descriptor: int) -> None:
        raise termios.error(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(termios, "tcgetattr", refuse)
    leaving.save_terminal()
    assert leaving._saved is None
    leaving.restore_terminal()


@pytest.mark.parametrize("in_front", [True, False])
def test_a_terminal_is_restored_only_by_the_program_that_has_it(
    in_front: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program in front of it has settings of its own."""
    master, slave = pty.openpty()
    get = termios.tcgetattr
    monkeypatch.setattr(termios, "tcgetattr", lambda _: get(slave))
    leaving.save_terminal()
    monkeypatch.undo()
    assert leaving._saved is not None
    monkeypatch.setattr(leaving, "_saved", (slave, leaving._saved[1]))
    settings = get(slave)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() if in_front else -1)

    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    leaving.leave("words", 7)  # type: ignore[unused-ignore]
    assert codes == [7]
    assert bool(get(slave)[3] & termios.ECHO) is in_front
    leaving.save_terminal()
    os.close(master)
    os.close(slave)


async def test_a_forked_child_gets_the_handlers_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the outermost block, and Python's own where trio had put its own."""
    given: dict[int, Any] = {}
    fds: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    async with candil.stop_on_signals(), candil.stop_on_signals():
        monkeypatch.setattr(signal, "signal", given.__setitem__)
        monkeypatch.setattr(signal, "set_wakeup_fd", fds.append)
        monkeypatch.setattr(signals_module, "_replaced", list(signals_module._replaced))
        signals_module._give_back_handlers()
        signals_module._give_back_handlers()
        monkeypatch.undo()

    assert before.items() <= given.items()
    assert given[signal.SIGINT] is signal.default_int_handler
    assert fds == [-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_block_and_leaves_as_an_exit(number: signal.Signals) -> None:
    """With the signal as an attribute; and the program's own handlers are back."""
    before = signal.getsignal(number)

    async def main() -> None:
        with pytest.raises(candil.StoppedBySignal) as raised:
            async with candil.stop_on_signals(), candil.open_supervisor([], log=False):
                signal.raise_signal(number)
                await trio.sleep_forever()
        assert raised.value.signal is number
        assert raised.value.code == 128 + number
        assert pickle.loads(pickle.dumps(raised.value)).signal is number  # noqa: S301  # its own

    trio.run(main)
    assert signal.getsignal(number) is before


def test_without_a_signal_the_block_is_as_any_other() -> None:
    """It ends by itself, or by an exception of its own, as itself."""

    async def main() -> None:
        async with candil.stop_on_signals():
            await trio.lowlevel.checkpoint()
        with pytest.raises(ZeroDivisionError):
            async with candil.stop_on_signals():
                raise ZeroDivisionError

    trio.run(main)


def test_outside_the_main_thread_no_signals_can_be_waited_for() -> None:
    """The error says where."""
    errors: list[BaseException] = []

    async def main() -> None:
        async with candil.stop_on_signals():
            pytest.fail("it must not open")

    def run() -> None:
        try:
            trio.run(main)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "outside of the main thread" in str(errors[0])


def test_a_signal_that_comes_as_the_block_ends_is_not_lost() -> None:
    """The loop has not acted on it yet."""

    async def main() -> None:
        with pytest.raises(candil.StoppedBySignal):
            async with candil.stop_on_signals():
                signal.raise_signal(signal.SIGTERM)
        await trio.lowlevel.checkpoint()

    trio.run(main)
