"""Live page: its answers over a real socket, requests that it refuses, and its independence of the loop."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_rnn import Model, Stream
from edge_rnn.live.hosts import allowed_names, is_allowed
from edge_rnn.live.page import page, policy
from edge_rnn.loop import SensorLoop
from live_pages import XS, Events, answer, at_work, get

Ask = Callable[..., tuple[int, dict[str, str], bytes]]


def test_page_is_one_file_that_a_browser_may_run_and_nothing_else(loop: SensorLoop) -> None:
    with at_work(loop) as address:
        code, headers, body = get(address)
    assert (code, headers["Content-Type"], body) == (200, "text/html; charset=utf-8", page())
    assert headers["Content-Security-Policy"] == policy()
    assert "unsafe" not in policy()
    assert int(headers["Content-Length"]) == len(body)
    assert not re.findall(rb"https?://|@import|url\(", body)  # it fetches nothing from anywhere
    assert re.findall(rb'(?:src|href)="([^"]*)"', body) == [b"data:,", b"/status.json", b"/status.json"]
    assert not re.findall(rb"innerHTML|insertAdjacentHTML|document\.write|eval\(", body)
    assert len(re.findall(rb"<script|<style", body)) == 2
    assert not re.findall(rb'\bstyle="|\bon[a-z]+="', body)  # which the policy would not let run


def test_status_is_the_loops_with_its_histograms(loop: SensorLoop) -> None:
    with at_work(loop) as address:
        while loop.counters.steps < 20:
            time.sleep(0.01)
        code, headers, body = get(address, "/status.json?x=1")
    status = json.loads(body)
    assert (code, headers["Content-Type"], headers["Cache-Control"]) == (200, "application/json", "no-store")
    assert status.keys() == loop.status().keys() | {"histograms"}
    assert (status["state"], status["model"], status["labels"]) == ("running", "a network", ["a", "<b>", "c", "d"])
    work = status["histograms"]["work_ns"]
    assert len(work["edges_ns"]) == len(work["counts"]) + 1
    assert sum(work["counts"]) >= 20
    assert status["histograms"]["lateness_ns"] == {"edges_ns": [0.0], "counts": []}  # no rate, no deadlines


def test_events_tell_names_points_and_status(loop: SensorLoop, model: Model) -> None:
    with at_work(loop) as address:
        client = Events(address)
        assert (client.code, client.headers["Content-Type"]) == (200, "text/event-stream")
        hello = client.first("hello")
        points: list[Any] = []
        status = None
        for name, data in client:
            points += data if name == "points" else []
            status = data if name == "status" else status
            if status and status["counters"]["steps"] and len(points) >= 10:
                break
        later = Events(address)
        kept = later.first("hello")["points"]
        later.close()
        loop.stop("the test")
        last = next(data for name, data in client if name == "status" and data["state"] == "stopped")
        client.close()
    assert (hello["model"], hello["inputs"], hello["units"]) == ("a network", ["u", "v", "w"], ["V", "A", "K"])
    assert hello["outputs"] == hello["labels"] == ["a", "<b>", "c", "d"]
    assert (last["state"], last["stopped_by"]) == ("stopped", "the test")
    assert "x" not in last
    # Each point is a sample and the output of that step or of a neighbour; 20 a second at most.
    xs = XS[np.arange(1, loop.counters.steps + 1) % len(XS)]
    ys = Stream(model).run(xs)
    times = np.array([point[0] for point in points])
    assert (np.diff(times) >= 0.049).all()
    assert all(b[1] > a[1] for a, b in itertools.pairwise(points))
    for _, steps, best, x, y in points:
        near = slice(max(steps - 2, 0), steps + 1)
        assert np.isclose(xs[near], x, rtol=1e-5, atol=1e-6).all(1).any()
        assert np.isclose(ys[near], y, rtol=1e-5, atol=1e-6).all(1).any()
        assert best == int(np.argmax(y))
    assert points[0][1] in [point[1] for point in kept]  # who comes later sees what was before


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /%2e%2e/page.html HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /page.html HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /\x00\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: a\r\n" % i for i in range(5000)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /events HTTP/1.1\r\nHost: evil.example:8765\r\n\r\n", 403),
        (b"GET /status.json HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: \r\n\r\n", 403),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"DELETE /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        (b"GET / nonsense\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS \r\n\r\n", 400),
    ],
)  # fmt: skip
@pytest.mark.sampled(8)
def test_hostile_request(loop: SensorLoop, request_: bytes, code: int) -> None:
    with at_work(loop) as address:
        found, headers, body = answer(address, request_)
        assert found == code
        assert headers["Content-Type"].startswith("text/plain")
        assert headers["Connection"] == "close"
        assert b"evil" not in body
        assert (headers.get("Allow") == "GET, HEAD") == (code == 405)
        assert get(address)[0] == 200  # and the next one is served


def test_head_has_no_body_and_nothing_is_kept_open(loop: SensorLoop) -> None:
    with at_work(loop) as address:
        for path, kind in {
            "/": "text/html",
            "/status.json": "application/json",
            "/events": "text/event-stream",
        }.items():
            code, headers, body = get(address, path, "HEAD")
            assert (code, body) == (200, b"")
            assert headers["Content-Type"].startswith(kind)
        code, _, body = get(address, "/no", "HEAD")
        assert (code, body) == (404, b"")


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("localhost", True),
        ("LocalHost.:8765", True),
        ("127.0.0.1:1", True),
        ("192.168.1.20:8765", True),
        ("[::1]", True),
        ("[fe80::1]:8765", True),
        ("pi.lan", True),
        ("board:80", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("localhost:8765:1", False),
        ("localhost:", False),
        ("localhost@evil.example", False),
        ("[::1", False),
        ("[localhost]", False),
        ("::1", False),
        ("127.0.0.1.evil.example", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_host_header(header: str, allowed: bool) -> None:
    assert is_allowed(header, allowed_names("board", ["pi.lan"])) is allowed


def test_allowed_host_name_is_answered(loop: SensorLoop) -> None:
    with at_work(loop, names=["Pi.fritz.box"]) as address:
        assert get(address, host="pi.fritz.box")[0] == 200
        assert get(address, host="other.fritz.box")[0] == 403
