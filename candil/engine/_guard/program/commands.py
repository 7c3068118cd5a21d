"""What the guard is asked to do: the commands of candil, and the end of candil."""

from __future__ import annotations

import os

CHUNK = 1 << 16
IDLE_COMMANDS = b"TK"  # they mean nothing while no program runs


class Launch:
    """
    A command to start a program: fields with a zero byte between, which none of them can hold.

    They are the working directory, the log file (empty: none), the number of words, the words of
    the command line, and the variables of the environment as NAME=VALUE.
    """

    def __init__(self, data: bytes) -> None:
        self.folder, self.log_path, count, *rest = data.split(b"\0")
        self.words = rest[: int(count)]
        self.environment: dict[bytes, bytes] = {}
        for variable in rest[int(count) :]:
            name, _, value = variable.partition(b"=")
            self.environment[name] = value


class Commands:
    """
    The commands of candil, as they come in.

    Attributes:
        control: The pipe that they come from; -1 once it has ended.

        stopping: Whether program and guard are to end.
    """

    def __init__(self, control: int, manager: int) -> None:
        self.control = control
        self.stopping = False
        self._manager = manager
        self._unread = b""
        self.check_manager()  # it may have ended before the kernel was asked to say so

    def read(self) -> None:
        """Take in what candil has written."""
        data = os.read(self.control, CHUNK)
        self._unread += data
        if not data:
            self.control = -1
            self.stopping = True

    def check_manager(self) -> None:
        """Stop if candil has ended."""
        if os.getppid() != self._manager:
            self.stopping = True

    def take_signals(self) -> bytes:
        """Return the letters that have come in for the program that runs."""
        letters, self._unread = self._unread, b""
        if b"Q" in letters:
            self.stopping = True
        return letters

    def take_launch(self) -> Launch | None:
        """Return a launch that has come in whole, past letters that came too late."""
        self._unread = self._unread.lstrip(IDLE_COMMANDS)
        if self._unread.startswith(b"Q"):
            self.stopping = True
            return None
        head, newline, rest = self._unread.partition(b"\n")
        length = int(head[1:]) if newline else 0
        if not newline or len(rest) < length:
            return None
        self._unread = rest[length:]
        return Launch(rest[:length])
