"""Hosts and addresses, as the reservation, the engine and its clients must all mean them."""

from __future__ import annotations

from typing import Final

_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


def numeric_host(host: str) -> str:
    """Return *host* as an address: the reservation and the engine must mean the same one."""
    return "127.0.0.1" if host == "localhost" else host


def url(host: str, port: int) -> str:
    """Return the address at which a client on this machine reaches *host* and *port*."""
    address = _EVERYWHERE.get(numeric_host(host), numeric_host(host))
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
