"""HTTP server of the live page: one thread per connection, limited in number, for the duration of the loop."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import ThreadingHTTPServer
from typing import Any

from edge_rnn.checks import whole
from edge_rnn.errors import InputError, reason_of
from edge_rnn.live.handler import Handler
from edge_rnn.live.hosts import allowed_names
from edge_rnn.live.recorder import Recorder
from edge_rnn.loop.sensor_loop import SensorLoop

__all__ = ["LiveServer", "serving"]

_MOST_CONNECTIONS = 16
"""One thread per connection; its 8 MB stack is locked in memory if the loop locks its memory."""
_LAST_WORDS_S = 2.0
_SLOW_S = 0.25
"""A client that has not sent its request by then gives way to a new one if all places are taken."""
_HANG_UP_S = 1.0
_log = logging.getLogger("edge_rnn.live")


@contextlib.contextmanager
def serving(loop: SensorLoop, host: str = "127.0.0.1", port: int = 8765, *, names: Iterable[str] = ()) -> Iterator[str]:
    """Serve a page that shows a loop, for the duration of the context.

    ``/`` is the page, ``/status.json`` the result of :meth:`SensorLoop.status` with the histograms, ``/events`` the
    stream of server-sent events that the page follows. Nothing can be changed through it. There is no password: anyone
    who reaches the address can look.

    Parameters
    ----------
    loop
        The loop, to be run inside the context.
    host
        Address to listen on: by default for this machine only; ``"0.0.0.0"`` or ``"::"`` for all networks.
    port
        Port, or 0 for any that is free.
    names
        Additional host names of this machine that browsers may use.

    Yields
    ------
    str
        URL of the page.

    Raises
    ------
    InputError
        The port is in use or not permitted, or the machine does not have the address.
    """
    server = LiveServer(loop, host, port, names)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


class LiveServer(ThreadingHTTPServer):
    """Server behind :func:`serving`.

    Attributes
    ----------
    recorder
        Recorder of the loop.
    names
        Allowed host names.
    """

    daemon_threads = True

    def __init__(self, loop: SensorLoop, host: str, port: int, names: Iterable[str]) -> None:
        whole("serving", "port", port, 0, 65535)
        self.recorder = Recorder(loop)
        self.names = allowed_names(host, names)
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._unheard: dict[socket.socket, float] = {}
        self._thread = threading.Thread(target=self.serve_forever, name="edge_rnn server", daemon=True)
        try:
            self.address_family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            super().__init__((str(address[0]), port), Handler)
        except (OSError, UnicodeError) as error:
            raise InputError(_reason(error, host, port)) from None

    @property
    def url(self) -> str:
        """URL of the page."""
        host, port = self.server_address[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(host), str(host))
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"

    def start(self) -> None:
        """Begin."""
        self.recorder.start()
        self._thread.start()

    def stop(self) -> None:
        """Publish the final state to all pages, and shut down."""
        self.recorder.stop()
        self.shutdown()
        self.server_close()
        self.recorder.channel.close(_LAST_WORDS_S)

    def server_bind(self) -> None:
        """Bind without a reverse DNS lookup of this machine's name, which may be slow."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; if all places are taken, disconnect a client that is slow to ask, else this one."""
        if not self._places.acquire(blocking=False) and not self._take_a_place():
            self.shutdown_request(request)
            return
        self._unheard[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.heard(request)
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.heard(request)
            self._places.release()

    def heard(self, request: socket.socket) -> None:
        """Record that the head of a request has arrived, so its client is not disconnected in favor of another."""
        self._unheard.pop(request, None)

    def _take_a_place(self) -> bool:
        """Disconnect the client that has been sending its request for longest, if that is too long, and take its place.

        Clients that send slowly, or never finish, therefore lock out no others, however many they are.
        """
        waiting = list(self._unheard.items())
        if not waiting:
            return False
        longest, since_s = min(waiting, key=lambda each: each[1])
        if time.monotonic() - since_s < _SLOW_S:
            return False
        with contextlib.suppress(OSError):  # the client has disconnected
            longest.shutdown(socket.SHUT_RDWR)
        return self._places.acquire(timeout=_HANG_UP_S)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the error; other requests are not affected."""
        _log.exception("a request of the live page failed")


def _reason(error: Exception, host: str, port: int) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; choose another one, or 0 for any that is free."
    if code == errno.EACCES:
        return f"port {port} is not permitted for this user; choose one above 1023."
    if isinstance(error, (socket.gaierror, UnicodeError)) or code == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host!r}; use 127.0.0.1 for this machine only, 0.0.0.0 for all networks."
    return f"port {port} of {host} is not available: {reason_of(error)}."
