"""Notify systemd (sd_notify(3)) that the service is ready and alive: one datagram to ``$NOTIFY_SOCKET``."""

from __future__ import annotations

import os
import socket

__all__ = ["notify", "watchdog_s"]


def notify(text: str) -> bool:
    """Send ``"READY=1"``, ``"WATCHDOG=1"``, ``"STOPPING=1"`` or ``"STATUS=…"``; False if nothing is listening."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address[0] == "@":  # abstract socket names start with a zero byte
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(text.encode(), address)
    except OSError:
        return False
    return True


def watchdog_s() -> float | None:
    """Interval in seconds for sending ``"WATCHDOG=1"``, half of systemd's timeout; None without a watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 2e6 or None
