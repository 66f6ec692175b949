"""Fake Hugging Face Hub on the loopback interface: the two requests by which ``hf_hub_download`` gets a file."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["FakeHub", "fake_hub"]

_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class FakeHub:
    """Models by name: for each revision the files with their contents.

    ``gated`` models are refused, ``claimed`` is the size that the Hub states for a file instead of the true one;
    ``requests`` are those that came, as method and path.
    """

    url: str = ""
    models: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    claimed: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def find(self, path: str) -> tuple[int, str, bytes]:
        """Status, error code as the Hub names it, and contents."""
        found = _RESOLVE.fullmatch(path)
        if found is None or found[1] not in self.models:
            return 404, "RepoNotFound", b""
        if found[1] in self.gated:
            return 403, "GatedRepo", b""
        revisions = self.models[found[1]]
        revision = "main" if found[2] == _COMMIT and "main" in revisions else found[2].replace("%2F", "/")
        if revision not in revisions:
            return 404, "RevisionNotFound", b""
        if found[3] not in revisions[revision]:
            return 404, "EntryNotFound", b""
        return 200, "", revisions[revision][found[3]]


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Serve a Hub for the duration of the context."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            status, code, content = hub.find(self.path)
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
                self.send_header("X-Error-Message", "of the fake Hub")
            else:
                self.send_header("X-Repo-Commit", _COMMIT)
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            size = hub.claimed.get(self.path.rpartition("/")[2], len(content))
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
