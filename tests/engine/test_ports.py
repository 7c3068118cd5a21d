"""A port that is reserved, not guessed."""

import gc
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from candil.engine._config.addresses import numeric_host, url
from candil.engine._config.errors import PortUnavailable
from candil.engine._system.ports import PortLease

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]


def listener(port: int, *, reuse: bool = True) -> socket.socket:
    """Listen on *port*, as llama-server does."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
    try:
        sock.bind((HOST, port))
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def test_a_lease_keeps_its_port_and_lets_the_engine_listen(base: int) -> None:
    """Nobody else gets it by binding, and llama-server, which sets SO_REUSEADDR, does."""
    lease = PortLease(HOST, base)
    port = lease.acquire()

    with pytest.raises(OSError, match="in use"):
        listener(port, reuse=False)
    for _ in range(3):  # over restarts
        listener(port).close()
    assert lease.acquire() == port
    lease.release()


def test_two_leases_never_share_a_port(base: int) -> None:
    """The second takes the next offset: each running model has a port of its own."""
    leases = [PortLease(HOST, base) for _ in range(5)]
    ports = [lease.acquire() for lease in leases]

    assert len(set(ports)) == 5
    assert all(base <= port < base + 100 for port in ports)
    for lease in leases:
        lease.release()


@pytest.mark.slow
def test_two_programs_never_share_a_port(base: int) -> None:
    """Neither of them listens, so the kernel alone would let both bind."""
    lease = PortLease(HOST, base)
    port = lease.acquire()
    code = (
        "from candil.engine._system.ports import PortLease;"
        f"print(PortLease({HOST!r}, {port}).acquire())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert int(other.stdout) > port
    lease.release()


def test_a_port_in_use_is_passed_over(base: int) -> None:
    """The base port is a wish."""
    with listener(base) as taken:
        lease = PortLease(HOST, taken.getsockname()[1])
        assert lease.acquire() > base
        lease.release()


def test_a_lease_can_move_on_and_stays_there(base: int) -> None:
    """After a bind error; the next acquisition prefers the port that worked."""
    lease = PortLease(HOST, base)
    first = lease.acquire()
    second = lease.move()

    assert second != first
    lease.release()
    assert lease.acquire() == second
    lease.release()


def test_a_range_without_a_free_port_is_an_error(base: int) -> None:
    """It names the range and the last answer."""
    with listener(base):
        lease = PortLease(HOST, base, span=1)
        with pytest.raises(PortUnavailable, match=f"from {base} to {base} on {HOST}.*in use"):
            lease.acquire()


@pytest.mark.parametrize("host", ["192.0.2.1", "fe80::1"])
@pytest.mark.parametrize("port", [0, 8080])
def test_an_address_of_another_machine_is_an_error(host: str, port: int) -> None:
    """It is the host that must be corrected; no word of ports."""
    with pytest.raises(PortUnavailable, match=r"address of this machine.*host") as caught:
        PortLease(host, port).acquire()

    assert caught.value.foreign
    assert "Engine.port" not in str(caught.value)
    assert " 0 to 0" not in str(caught.value)


def test_port_zero_takes_any_free_port() -> None:
    """Two of them differ."""
    one, other = PortLease(HOST, 0), PortLease(HOST, 0)

    assert one.acquire() != other.acquire()
    assert one.move() != 0
    one.release()
    other.release()


def test_the_range_ends_at_the_last_port_there_is() -> None:
    """No offset leads beyond 65535."""
    lease = PortLease(HOST, 65_530)

    assert 65_530 <= lease.acquire() <= 65_535
    lease.release()


def test_a_forgotten_lease_is_released(base: int) -> None:
    """The port of an engine whose supervisor gave up does not stay taken."""
    lease = PortLease(HOST, base, span=1)
    port = lease.acquire()
    del lease
    gc.collect()

    again = PortLease(HOST, port, span=1)
    assert again.acquire() == port
    again.release()


def test_a_stolen_port_is_noticed(base: int) -> None:
    """A thief needs SO_REUSEADDR; the engine's own listening is over when one asks."""
    lease = PortLease(HOST, base)
    assert not lease.is_stolen()
    port = lease.acquire()
    assert not lease.is_stolen()
    with listener(port):
        assert lease.is_stolen()
    assert not lease.is_stolen()
    lease.release()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("localhost", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("192.0.2.7", "http://192.0.2.7:80"),
    ],
)
def test_a_url_leads_to_the_engine_from_this_machine(host: str, expected: str) -> None:
    """To listen on all addresses is not where to connect; IPv6 stands in brackets."""
    assert url(host, 80) == expected
    assert numeric_host("localhost") == HOST
