"""The live page: what it tells over a real socket, whom it refuses, and that the loop does not notice."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from rich.console import Console

import edge_rnn
import loop_fakes as fakes
from chromium import Browser
from edge_rnn import Model, Stream
from edge_rnn.cli import main
from edge_rnn.cli.run.watch import picture
from edge_rnn.errors import InputError
from edge_rnn.live import handler, server, serving
from edge_rnn.live.channel import Channel
from edge_rnn.live.hosts import allowed_names, is_allowed
from edge_rnn.live.page import page, policy
from edge_rnn.live.recorder import Recorder, as_json
from edge_rnn.loop import SensorLoop, sinks, sources

ROOT = Path(__file__).parents[2]
XS = np.random.default_rng(5).standard_normal((200, 3)).astype(np.float32)
Ask = Callable[..., tuple[int, dict[str, str], bytes]]


def answer(address: tuple[str, int], request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What is answered to these bytes: code, headers, body; 0 if the connection is closed without a word."""
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
    """A source of 200 Hz or so that a test ends."""

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
    """The loop, in a thread, with its page; yields the address."""
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


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model(
        "gru", 3, 5, labels=("a", "<b>", "c", "d"), name="a network", input_names=("u", "v", "w"),
        input_units=("V", "A", "K"), sample_rate_hz=200.0,
    )  # fmt: skip


@pytest.fixture
def loop(model: Model) -> SensorLoop:
    return SensorLoop(Stream(model), Endless(), sinks.Call(lambda y, t_s: None), report=lambda text: None)


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


def test_name_that_was_given_is_answered(loop: SensorLoop) -> None:
    with at_work(loop, names=["Pi.fritz.box"]) as address:
        assert get(address, host="pi.fritz.box")[0] == 200
        assert get(address, host="other.fritz.box")[0] == 403


def test_clients_that_vanish_and_too_many_of_them(loop: SensorLoop) -> None:
    with at_work(loop) as address:
        clients = [Events(address) for _ in range(12)]
        for client in clients:
            assert client.first("hello")["model"] == "a network"
        refused = Events(address)
        assert refused.code == 503
        refused.close()
        assert get(address)[0] == 200
        silent = [socket.create_connection(address, 60) for _ in range(4)]  # all places are taken
        with socket.create_connection(address, 60) as one_more:
            assert one_more.recv(1) == b""
        for each in silent:
            each.close()
        for i, client in enumerate(clients):  # some say so, some do not
            if i % 2:
                client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        end = time.monotonic() + 60
        while True:  # the places are free again once the server has noticed
            again = Events(address)
            if again.code == 200 or time.monotonic() > end:
                break
            again.close()
            time.sleep(0.05)
        assert again.first("status")["state"] == "running"
        again.close()


def test_clients_that_say_slowly_what_they_want_keep_no_other_out(
    loop: SensorLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "_HEAD_S", 1e6)
    monkeypatch.setattr(server, "_SLOW_S", 0.0)
    with at_work(loop) as address:
        slow = [socket.create_connection(address, 60) for _ in range(16)]
        for each in slow:
            each.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        assert [get(address, "/status.json")[0] for _ in range(20)] == [200] * 20
        assert slow[0].recv(1) == b""  # the one that has been at it for longest gives way
        for each in slow:
            each.close()


def test_head_has_one_deadline_however_it_is_cut(loop: SensorLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "_HEAD_S", 0.5)
    begin_s = time.monotonic()  # before the server can have begun to count, however slow this machine is
    with at_work(loop) as address, socket.create_connection(address, 60) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nX: ")
        over = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not over.wait(0.02):
                    slow.sendall(b"a")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with contextlib.suppress(ConnectionError):
                assert slow.recv(1) == b""
            assert time.monotonic() - begin_s >= 0.5
        finally:
            over.set()
            thread.join()


def test_head_in_pieces_is_read(loop: SensorLoop) -> None:
    with at_work(loop) as address, socket.create_connection(address, 60) as connection:
        for each in (b"GE", b"T /status.json HTT", b"P/1.1\r\nHost: local", b"host\r", b"\n\r", b"\n"):
            connection.sendall(each)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_loop_does_the_same_with_pages_as_without(model: Model) -> None:
    """Step for step, bit for bit, with pages that come, look and go at all times."""
    found = []
    for watched in (False, True):
        kept = fakes.Kept()
        xs = iter(np.tile(XS, (3, 1)))
        loop = SensorLoop(
            Stream(model), sources.Call(lambda xs=xs: next(xs, None), live=False), kept, 300.0,
            report=lambda text: None, any_rate=True,
        )  # fmt: skip
        if watched:
            ended = threading.Event()
            seen = []

            def look(address: tuple[str, int], ended: threading.Event = ended, seen: list[int] = seen) -> None:
                while not ended.is_set():
                    client = Events(address)
                    if client.code != 200:  # the others' places are not free again yet
                        client.close()
                        continue
                    seen.append(client.first("status")["counters"]["steps"] + get(address, "/status.json")[0])
                    client.close()

            with serving(loop, port=0) as url:
                place = urlsplit(url)
                threads = [threading.Thread(target=look, args=((place.hostname, place.port),)) for _ in range(4)]
                for thread in threads:
                    thread.start()
                loop.run()
                ended.set()
                for thread in threads:
                    thread.join(60)
            assert len(seen) > 4
        else:
            loop.run()
        counters = loop.counters.as_json()
        for name in ("missed_deadlines", "overruns", "collections", "skipped_ticks"):  # the machine's business
            del counters[name]
        found.append((counters, np.array(kept.ys)))
    assert found[0][0] == found[1][0]
    assert found[0][0]["steps"] == found[0][0]["written"] == 600
    assert np.array_equal(found[0][1], found[1][1])


def test_channel_gives_who_was_away_the_newest() -> None:
    channel = Channel(3)
    for i in range(5):
        channel.keep(b"p%d" % i)
    joined = channel.join(1)
    assert joined == ([b"p2", b"p3", b"p4"], 0)
    assert channel.join(1) is None
    for i in range(100):
        channel.publish(b"%d" % i)
    messages, place = channel.after(0, 0)
    assert (messages[-1], len(messages), place) == (b"99", 64, 100)
    assert channel.after(place, 0) == ([], 100)
    assert not channel.close(0)
    channel.leave()
    assert channel.close(0)


def test_address_that_cannot_be_had(loop: SensorLoop) -> None:
    with serving(loop, port=0) as url:
        port = urlsplit(url).port
        assert port is not None
        with (
            pytest.raises(InputError, match=rf"port {port} of 127.0.0.1 is in use; choose another one"),
            serving(fakes.loop(fakes.Script([])), port=port),
        ):
            pass
    for host, port, words in (("192.0.2.1", 0, "has no address"), ("no such host", 0, "has no address")):
        with pytest.raises(InputError, match=words), serving(loop, host, port):
            pass
    with pytest.raises(InputError, match="expected a whole number from 0 to 65535"), serving(loop, port=70000):
        pass


def test_page_over_ipv6(model: Model) -> None:
    loop = fakes.loop(fakes.Script([]))
    try:
        with socket.socket(socket.AF_INET6) as free:
            free.bind(("::1", 0))
    except OSError:
        pytest.skip("needs IPv6")
    with serving(loop, "::1", 0) as url:
        assert url.startswith("http://[::1]:")
        assert get(("::1", urlsplit(url).port or 0), host="[::1]:8765")[0] == 200


# The command


@contextmanager
def command(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], tuple[str, int]]]:
    """``edge-rnn serve`` in a process of its own, and where its page is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_rnn", "serve", "m.safetensors", "--port", "0", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    alarm = threading.Timer(300, process.kill)
    alarm.start()
    try:
        assert process.stderr is not None
        told = ""
        while "shows the loop" not in told:
            told = process.stderr.readline().decode()
            assert told
        found = re.search(r"http://([\d.]+):(\d+)/", told)
        assert found is not None
        yield process, (found[1], int(found[2]))
    finally:
        alarm.cancel()
        process.kill()
        process.communicate()


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    edge_rnn.save(model, tmp_path / "m.safetensors")
    Stream(model)  # compiles what the processes need
    np.savetxt(tmp_path / "xs.csv", np.tile(XS, (100, 1)), delimiter=",", fmt="%.6g")
    return tmp_path


@pytest.mark.usefixtures("default_signals")
def test_sigterm_saves_all_and_leaves_0_with_pages_open(folder: Path) -> None:
    options = ("--source", "csv:xs.csv", "--sink", "jsonl:out", "--snapshot", "state", "--status", "status.json")
    with command(folder, *options) as (process, address):
        client = Events(address)
        while client.first("status")["counters"]["steps"] < 50:
            pass
        process.send_signal(signal.SIGTERM)
        last = [data for name, data in client if name == "status"][-1]  # to the stream's end
        assert process.wait(60) == 0
        client.close()
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    saved = json.loads((folder / "status.json").read_text())
    assert (saved["state"], saved["stopped_by"], saved["rate_hz"]) == ("stopped", "SIGTERM", 200.0)
    assert (last["state"], last["counters"]["steps"]) == ("stopped", saved["counters"]["steps"])
    assert len((folder / "out").read_text().splitlines()) == saved["counters"]["steps"]
    assert saved["counters"]["snapshots"] >= 1
    assert (folder / "state").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "serve takes --source"),
        (["--source", "proc:cpu"], "got 1 field"),
        (["--source", "csv:xs.csv", "--host", "192.0.2.1"], "has no address"),
    ],
)
def test_command_that_makes_no_sense(
    folder: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(["serve", "m.safetensors", *options]) == 1
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_port_of_the_command_in_use(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "m.safetensors", "--source", "csv:xs.csv", "--port", str(port)]) == 1
    assert f"edge-rnn: port {port} of 127.0.0.1 is in use" in capsys.readouterr().err
    assert main(["serve", "m.safetensors", "--source", "csv:xs.csv", "--port", "65536"]) == 2


def test_before_the_first_answer_nothing_is_named(model: Model) -> None:
    """Samples that are skipped: no label, and null for numbers: page, status, --watch."""
    samples = iter([np.full(3, np.nan)] * 3)
    loop = SensorLoop(
        Stream(model, on_nonfinite="skip"), sources.Call(lambda: next(samples, None), live=False), sinks.Call(print)
    )
    loop.run()
    recorder = Recorder(loop)
    recorder._look()
    joined = recorder.channel.join(1)
    assert joined is not None
    ((_, steps, best, _, y),) = [json.loads(point) for point in joined[0]]
    assert (steps, best, y) == (3, -1, [None] * 4)
    assert loop.status()["y"] is None
    assert json.loads(as_json(recorder.status()))["y"] is None
    console = Console(file=io.StringIO(), width=100)
    console.print(picture(loop.status(), {}, 100))
    assert "<b>" not in console.file.getvalue()  # type: ignore[attr-defined]


# In a browser


@pytest.mark.usefixtures("default_signals")
@pytest.mark.services
@pytest.mark.needs("chromium")
def test_page_in_a_browser_shows_live_values(folder: Path, tmp_path: Path) -> None:
    number = r"^-?[\d.]+(e-?\d+)?"
    with (
        command(folder, "--source", "csv:xs.csv", "--snapshot", "state") as (process, address),
        Browser(tmp_path / "profile") as browser,
    ):
        url = f"http://{address[0]}:{address[1]}/"
        for width, height, dark in ((1200, 800, False), (390, 844, True)):
            browser.open(url, width, height, dark=dark)
            browser.wait("document.querySelectorAll('#inputs .value').length === 3")
            browser.wait("!document.querySelector('#inputs .value').textContent.startsWith('–')")
            browser.wait("!document.getElementById('late').hidden")
            shown = browser.value("document.body.innerText")
            for words in ("a network", "running", "200 Hz, catch up", "p99.9", "30 s ago"):
                assert words in shown
            values = browser.value("[...document.querySelectorAll('.value')].map(each => each.firstChild.textContent)")
            assert len(values) == 7
            assert all(re.match(number, each) for each in values)
            assert browser.value("document.querySelector('#best span').textContent") in ("a", "<b>", "c", "d")
            assert "&lt;b&gt;" in browser.value("document.documentElement.outerHTML")  # a label is no HTML
            steps = "document.getElementById('facts').textContent"
            before = browser.value(steps)
            browser.wait(f"{steps} !== {json.dumps(before)}")  # it goes on
            assert browser.value("document.documentElement.scrollWidth") == width  # nothing sticks out
            assert browser.value("[...document.querySelectorAll('canvas')].every(each => each.width > 0)")
            background = browser.value("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", background))) < 200) is dark
            browser.screenshot(tmp_path / f"{width}.png")
            assert (tmp_path / f"{width}.png").stat().st_size > 10_000
        process.terminate()
        browser.wait("document.getElementById('state').textContent === 'stopped: SIGTERM'")
        assert process.wait(60) == 0
        complaints = [text for text in browser.troubles() if "ERR_CONNECTION_REFUSED" not in text]
        assert complaints == []  # nothing was refused by the page's own policy
    if folder_ := os.environ.get("EDGE_RNN_SCREENSHOTS"):
        for width in (1200, 390):
            shutil.copy(tmp_path / f"{width}.png", Path(folder_) / f"live_{width}.png")
