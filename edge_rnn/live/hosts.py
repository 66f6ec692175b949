"""Host-header allow-list, against DNS rebinding: a foreign page must not reach this server under its own name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

__all__ = ["allowed_names", "is_allowed"]


def allowed_names(host: str, more: Iterable[str] = ()) -> frozenset[str]:
    """Host names of this machine: its own, the address that it listens on, and those given."""
    own = socket.gethostname().lower()
    names = {"localhost", own, f"{own.partition('.')[0]}.local", host, *more}
    return frozenset(name.lower().rstrip(".") for name in names if name)


def is_allowed(header: str, names: frozenset[str]) -> bool:
    """True if a ``Host`` header (RFC 9110, section 7.2) is one of the names, or an IP address, with any port.

    IP addresses are safe, because no DNS entry can point one at this machine.
    """
    name, port = header.strip().lower(), ""
    if name.startswith("["):
        name, bracket, port = name[1:].partition("]")
        if not bracket or not _is_address(name):
            return False
        return not port or (port[0] == ":" and _is_port(port[1:]))
    name, colon, port = name.partition(":")
    if colon and not _is_port(port):
        return False
    return name.rstrip(".") in names or _is_address(name)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
