"""Request handler for the page, the status and the event stream. Everything is read-only."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from edge_rnn.live.hosts import is_allowed
from edge_rnn.live.page import page, policy
from edge_rnn.live.recorder import Recorder, as_json, event

__all__ = ["Handler"]

_MOST_HEAD_BYTES = 16384
_MOST_LISTENERS = 12
_LOOK_S = 0.5
_READING = ("GET", "HEAD")
_CHANGING = ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")
_GONE_MS = 15_000
"""A client that has acknowledged nothing for this long counts as gone."""
_HEAD_S = 5.0
"""Time limit for the whole head of a request, however many pieces it comes in."""


class _Server(Protocol):
    """Interface that a request needs of the server."""

    recorder: Recorder
    names: frozenset[str]

    def heard(self, request: socket.socket) -> None:
        """Record that the head of a request has arrived."""


class Handler(BaseHTTPRequestHandler):
    """Handler of ``GET`` and ``HEAD`` for ``/``, ``/status.json`` and ``/events``; one request per connection."""

    server: _Server  # type: ignore[assignment]  # the base class declares BaseServer, which is not needed here
    protocol_version = "HTTP/1.1"
    timeout = 10.0
    """Timeout in seconds for sending an answer, or a piece of the event stream; a slower client is disconnected."""

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Resolve the methods that http.server calls, ``do_GET`` and so on."""
        method = name.removeprefix("do_")
        if method == name or method not in (*_READING, *_CHANGING):
            raise AttributeError(name)
        return self._look if method in _READING else self._refuse

    def setup(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # only Linux has it
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_MS)
        super().setup()
        self.rfile: Any = _Head(self.connection, time.monotonic() + _HEAD_S)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):  # a client that disconnects is normal
            try:
                self.handle_one_request()
            except _TooLongError:
                self.requestline = self.request_version = self.command = ""
                self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self.close_connection = True

    def parse_request(self) -> bool:
        """Read the head; from then on the answer's timeout applies, and the client keeps its place."""
        done = super().parse_request()
        self.connection.settimeout(self.timeout)
        self.server.heard(self.connection)
        return done

    def _look(self) -> None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1:
            self.send_error(HTTPStatus.BAD_REQUEST, explain="expected one Host header")
        elif not is_allowed(hosts[0], self.server.names):
            self.send_error(HTTPStatus.FORBIDDEN, explain="this host name is not allowed; --allow-host adds it")
        else:
            place = self.path.partition("?")[0]
            answer = {"/": self._page, "/status.json": self._status, "/events": self._events}.get(place)
            if answer is None:
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                answer()

    def _refuse(self) -> None:
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)

    def handle_expect_100(self) -> bool:
        """Accept ``Expect`` without asking for the body, since no request has one."""
        return True

    def _page(self) -> None:
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", page())

    def _status(self) -> None:
        self._send(HTTPStatus.OK, "application/json", as_json(self.server.recorder.status()))

    def _events(self) -> None:
        recorder = self.server.recorder
        channel = recorder.channel
        joined = channel.join(_MOST_LISTENERS)
        if joined is None:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, explain=f"{_MOST_LISTENERS} pages are open already")
            return
        try:
            points, place = joined
            self._begin(HTTPStatus.OK, "text/event-stream")
            if self.command == "HEAD":
                return
            greeting = as_json(recorder.greeting())[:-1] + b',"points":[' + b",".join(points) + b"]}"
            self.wfile.write(b"retry: 2000\n\n" + event("hello", greeting) + event("status", as_json(recorder.brief())))
            while True:
                messages, place = channel.after(place, _LOOK_S)
                if self._is_gone():
                    return
                if messages:
                    self.wfile.write(b"".join(messages))
                elif channel.closed:
                    return
        finally:
            channel.leave()

    def _is_gone(self) -> bool:
        """True if the client has disconnected, so that its place is free at once instead of after a failed write."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return bool(poll.poll(0)) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with one line of plain text that repeats nothing of the request."""
        status = HTTPStatus(code)
        self._send(
            status, "text/plain; charset=utf-8", f"{status.phrase}{f': {explain}' if explain else ''}.\n".encode()
        )

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self._begin(status, kind, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: HTTPStatus, kind: str, length: int | None = None) -> None:
        # Otherwise a request in HTTP/0.9, or without a version, gets no headers.
        self.request_version = self.protocol_version
        self.send_response_only(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": length,
            "Allow": "GET, HEAD" if status == HTTPStatus.METHOD_NOT_ALLOWED else None,
            "Cache-Control": "no-store",
            "Connection": "close",
            "Content-Security-Policy": policy(),
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing: stderr belongs to the loop."""


class _TooLongError(Exception):
    """The request's head exceeds the limit."""


class _Head:
    """Line reader for a request's head, with a limit on its total size and a deadline.

    http.server allows 6 MB, and applies its timeout to each piece, so a client that sends a byte every few seconds is
    never disconnected.
    """

    def __init__(self, connection: socket.socket, until_s: float) -> None:
        self._connection = connection
        self._until_s = until_s
        self._read = b""
        self._left = _MOST_HEAD_BYTES

    def readline(self, size: int) -> bytes:
        while b"\n" not in self._read and len(self._read) < size:
            self._connection.settimeout(max(self._until_s - time.monotonic(), 1e-3))
            piece = self._connection.recv(4096)
            if not piece:
                break
            self._read += piece
            self._left -= len(piece)
            if self._left < 0:
                raise _TooLongError
        end = min(self._read.find(b"\n") + 1 or len(self._read), size)
        line, self._read = self._read[:end], self._read[end:]
        return line

    def close(self) -> None:
        """Do nothing: the connection belongs to the handler."""
