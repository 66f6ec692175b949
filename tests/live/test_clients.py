"""Clients of the live page: slow ones, vanishing ones, too many, the command, a browser."""

from __future__ import annotations

import contextlib
import io
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from rich.console import Console

import edge_rnn
import loop_fakes as fakes
from chromium import Browser
from edge_rnn import Model, Stream
from edge_rnn.cli import main
from edge_rnn.cli.run.watch import Seen, picture
from edge_rnn.errors import InputError
from edge_rnn.live import handler, server, serving
from edge_rnn.live.channel import Channel
from edge_rnn.live.recorder import Recorder, as_json
from edge_rnn.loop import SensorLoop, sinks, sources
from live_pages import XS, Events, at_work, get

ROOT = Path(__file__).parents[2]


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


def test_slow_clients_do_not_block_others(loop: SensorLoop, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.slow
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


def test_channel_gives_returning_readers_the_newest() -> None:
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


def test_address_that_is_unavailable(loop: SensorLoop) -> None:
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
    """Start ``edge-rnn serve`` in a separate process; return it and the address of its page."""
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
        ([], "serve needs --source"),
        (["--source", "proc:cpu"], "got 1 field"),
        (["--source", "csv:xs.csv", "--host", "192.0.2.1"], "has no address"),
    ],
)
def test_invalid_command_is_refused(
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


def test_no_label_before_the_first_output(model: Model) -> None:
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
    console.print(picture(loop.status(), Seen(), 100))
    assert "<b>" not in console.file.getvalue()  # type: ignore[attr-defined]


# In a browser


def _check_colours(browser: Browser) -> None:
    """A row has the color that its label has in the band and among the events."""
    colours = browser.value("rows.y.map(row => row.colour)")
    assert len(set(colours)) == 4
    row = "[...document.querySelectorAll('#outputs .swatch')].map(each => each.style.background)"
    event = "[...document.querySelectorAll('#changes li')].map(each => each.children[1].textContent)"
    assert len(browser.value(row)) == 4
    browser.wait(f"{event}.length > 0")
    assert set(browser.value(event)) <= {"a", "<b>", "c", "d"}


def _check_pointer(browser: Browser) -> None:
    """Pointing at a curve reads off all of them at that time; at a histogram, its bar."""
    move = (
        "(canvas => canvas.dispatchEvent(new PointerEvent('pointermove', "
        "{{clientX: canvas.getBoundingClientRect().x + canvas.clientWidth * {at}}})))({canvas})"
    )
    leave = "({canvas}).dispatchEvent(new PointerEvent('pointerleave'))"
    curve, bars = ("document.querySelector('#inputs canvas')", "document.querySelector('#work canvas')")
    browser.value(move.format(at=1, canvas=curve))
    browser.wait("document.querySelector('[data-pointed]').textContent === '0.0 s ago'")
    browser.value(leave.format(canvas=curve))
    browser.wait("document.querySelector('[data-pointed]').textContent === ''")
    note = "document.querySelector('#work .note').textContent"
    browser.value(move.format(at=0.5, canvas=bars))
    browser.wait(f"/ to .*: [\\d,]+ of [\\d,]+$/.test({note}) || {note}.startsWith('count of each')")
    browser.value(leave.format(canvas=bars))
    browser.wait(f"{note}.startsWith('count of each')")


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
            assert re.fullmatch(r"(a|<b>|c|d) · running – a network", browser.value("document.title"))
            _check_colours(browser)
            _check_pointer(browser)
            browser.value("document.querySelector('#spans button[value=\"300\"]').click()")
            assert "5 min ago" in browser.value("document.body.innerText")
            browser.value("document.querySelector('#spans button[value=\"30\"]').click()")
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
