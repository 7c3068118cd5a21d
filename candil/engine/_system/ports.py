"""
A port that is reserved, not guessed.

A port that was found free by a trial can be gone a moment later. So a lease keeps it: on Linux a
socket that is bound with SO_REUSEADDR and never listens holds the port against everybody who
binds without that option, and does not hinder ``llama-server``, which sets it. A client that
connects while the engine is down is refused at once.

Two such sockets could be bound to one port, however, as long as neither listens. A name in the
abstract unix namespace, which lives exactly as long as its socket and in the same network
namespace as the port, keeps two leases apart, also those of two programs.

Elsewhere a bound socket would hinder the engine. There the port is tried and let go; what is left
of the race ends in a bind error of the engine, which moves on to the next port.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import weakref
from typing import TYPE_CHECKING, Final, final

from candil.engine._config.addresses import numeric_host
from candil.engine._config.errors import PortUnavailable
from candil.engine._config.os_errors import is_shortage
from candil.engine._system.forks import close_in_forked_child

if TYPE_CHECKING:
    from collections.abc import Iterator

SPAN: Final = 100
_HIGHEST = 65535
_HOLDS: Final = sys.platform == "linux"
# An address of another machine; one that names no interface of this one, as fe80::1 does.
_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EINVAL})


@final
class PortLease:
    """
    The reserved port of one engine, over all its restarts.

    It is a handle: it stands in the child's spec, so that the next incarnation of a crashed
    server finds the port held and the same. A lease without any reference to it is released.
    """

    def __init__(self, host: str, base: int, span: int = SPAN) -> None:
        self.host = host
        self.base = base
        self._last = min(base + span - 1, _HIGHEST) if base else 0
        self._finalizer: weakref.finalize[..., PortLease] | None = None
        self._preferred = base
        self.port: int | None = None
        close_in_forked_child(self)

    def acquire(self) -> int:
        """
        Reserve a port, the one held before if it is still free, and return it.

        Raises:
            PortUnavailable: None in the range can be had.

            OSError: There are too many open files, or the like.
        """
        if self.port is None:
            self._take(self._candidates(self._preferred))
        assert self.port is not None
        return self.port

    def move(self) -> int:
        """Return the present port up for the next free one of the range, and return that."""
        start = self.port or self._preferred
        self.release()
        self._take(self._candidates(start + 1 if self.base else 0))
        assert self.port is not None
        return self.port

    def is_stolen(self) -> bool:
        """Tell whether somebody else listens on the reserved port, who set SO_REUSEADDR as well."""
        if self.port is None:
            return False
        with _new_socket(numeric_host(self.host)) as trial:
            try:
                trial.bind((numeric_host(self.host), self.port))
                trial.listen()
            except OSError:
                return True
        return False

    def release(self) -> None:
        """Let the port go. A lease that holds nothing is left as it is."""
        if self._finalizer is not None:
            self._finalizer()
        self._finalizer = None
        self.port = None

    def close_in_child(self) -> None:
        """Let a forked child have no part in the reservation."""
        self.release()

    def _candidates(self, start: int) -> Iterator[int]:
        if not self.base:
            yield 0
            return
        count = self._last - self.base + 1
        first = start - self.base
        for step in range(count):
            yield self.base + (first + step) % count

    def _take(self, candidates: Iterator[int]) -> None:
        refusal = "none was tried"
        for candidate in candidates:
            held = contextlib.ExitStack()
            try:
                self.port = _reserve(numeric_host(self.host), candidate, held)
            except OSError as error:
                held.close()
                refusal = error.strerror or str(error)
                if is_shortage(error):
                    raise
                if error.errno in _NOT_HERE:  # no other port will do
                    raise PortUnavailable(
                        self.host, self.base, self._last, refusal, foreign=True
                    ) from error
                continue
            self._preferred = self.port if self.base else 0
            self._finalizer = weakref.finalize(self, held.close)
            return
        raise PortUnavailable(self.host, self.base, self._last, refusal)


def _reserve(address: str, port: int, held: contextlib.ExitStack) -> int:
    """Bind *port* (0: any) of *address*; what keeps it goes into *held*."""
    bound = held.enter_context(_new_socket(address))
    bound.bind((address, port))
    number = int(bound.getsockname()[1])
    if _HOLDS:
        mark = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        mark.bind(f"\0candil-port-{number}")
    else:  # pragma: no cover - not on Linux
        held.close()
    return number


def _new_socket(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made
