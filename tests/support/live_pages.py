"""Helpers of live tests."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from edge_rnn.live import serving
from edge_rnn.loop import SensorLoop

XS = np.random.default_rng(5).standard_normal((200, 3)).astype(np.float32)


def answer(address: tuple[str, int], request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes and return the answer: code, headers, body; code 0 if the connection is closed without an answer."""
    with socket.create_connection(address, 60) as connection:
        data = b""
        with contextlib.suppress(ConnectionError):  # it may answer before it has heard all
            connection.sendall(request)
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 16):
                data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]) if first else 0, headers, body


def get(address: tuple[str, int], path: str = "/", method: str = "GET", host: str | None = None) -> Any:
    return answer(address, f"{method} {path} HTTP/1.1\r\nHost: {host or 'localhost'}\r\n\r\n".encode())


class Events:
    """A client of ``/events`` that reads as the HTML standard says (section 9.2.6)."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.connection = socket.create_connection(address, 60)
        self.file = self.connection.makefile("rb")
        self.code = 0  # the connection was closed without a word
        self.headers = {}
        with contextlib.suppress(ConnectionError):
            self.connection.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
            if first := self.file.readline():
                self.code = int(first.split()[1])
            while line := self.file.readline().rstrip():
                name, _, value = line.decode().partition(": ")
                self.headers[name] = value

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        name, data = "", ""
        for line in self.file:
            text = line.decode().rstrip("\n")
            field, _, value = text.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data += value
            elif text == "" and data:
                yield name, json.loads(data)
                name, data = "", ""

    def first(self, name: str) -> Any:
        return next(data for kind, data in self if kind == name)

    def close(self) -> None:
        self.file.close()
        self.connection.close()


class Endless:
    """Source of about 200 Hz that a test ends."""

    blocks = True
    live = True

    def __init__(self) -> None:
        self.over = threading.Event()
        self.place = 0

    def read(self) -> np.ndarray | None:
        if self.over.wait(0.005):
            return None
        self.place += 1
        return XS[self.place % len(XS)]

    def close(self) -> None:
        self.over.set()


@contextmanager
def at_work(loop: SensorLoop, **options: Any) -> Iterator[tuple[str, int]]:
    """Run a loop in a thread, with its page; yield the address."""
    thread = threading.Thread(target=loop.run)
    with serving(loop, port=0, **options) as url:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        thread.start()
        try:
            yield parts.hostname, parts.port
        finally:
            loop.stop("the test")
            thread.join(60)
