"""MQTT against a real broker: mosquitto, started here on a free port, stopped, stunned and started again."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn.layers import Elman
from edge_rnn.loop import open_sink, open_source
from edge_rnn.model import Model
from loop_fakes import Kept, loop, stream

pytestmark = pytest.mark.services

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
MODEL = Model([Elman(np.full((2, 1), 0.1, np.float32), np.eye(2, dtype=np.float32))], labels=("rest", "walk"))


def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait for something that others do; much longer than it takes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class Broker:
    """A mosquitto that can be stopped and started at the same port."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = folder / "mosquitto.conf"
        self.config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.config)], stderr=subprocess.DEVNULL)
        within(60, self._answers)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def url(self, topic: str) -> str:
        return f"mqtt://127.0.0.1:{self.port}/{topic}"

    def _answers(self) -> bool:
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    pytest.importorskip("paho.mqtt.client")
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    made = Broker(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def client(broker: Broker) -> Iterator[Any]:
    """A connection of the test's own, that comes back by itself."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    broker.start()
    made = Client(CallbackAPIVersion.VERSION2)
    made.reconnect_delay_set(1, 1)
    made.connect("127.0.0.1", broker.port, 60)
    made.loop_start()
    within(60, made.is_connected)
    yield made
    made.disconnect()
    made.loop_stop()


def test_messages_in_a_flood_with_garbage_and_a_broker_that_goes_and_comes_back(broker: Broker, client: Any) -> None:
    kept, said = Kept(), []
    client.publish("sensors/a", "5", retain=True).wait_for_publish(60)
    made = loop(
        open_source(broker.url("sensors/+") + "?qos=1", MODEL),
        kept,
        report=said.append,
        clock=None,
        backlog=10_000,
    )

    def send_until(count: int) -> None:
        end = time.monotonic() + 60
        while len(kept.ys) < count and time.monotonic() < end:
            if client.is_connected():
                client.publish("sensors/a", "1")
            time.sleep(0.02)

    def play() -> None:
        try:
            send_until(3)
            rng = np.random.default_rng(9)
            for i in range(1000):
                payload = rng.bytes(30) + b"\xff" if i % 2 else b'{"x": [1, 2]}'
                client.publish("sensors/b", payload, qos=1)
            client.publish("sensors/c", b"x" * 100_000, qos=1)
            within(60, lambda: made.counters.bad >= 1001)
            send_until(len(kept.ys) + 3)
            broker.stop()
            within(60, lambda: made._feed.failures > 2)
            broker.start()
            within(60, client.is_connected)
            send_until(len(kept.ys) + 3)
        finally:
            made.stop()

    thread = threading.Thread(target=play)
    thread.start()
    counters = made.run()
    thread.join()
    assert len(kept.ys) >= 9
    assert counters.bad == 1001
    assert any("the broker is gone" in text for text in said)
    assert "the source is back." in said
    assert float(kept.ys[0][0]) == float(stream().step(np.ones(1, np.float32))[0])  # not the 5 that was retained


def test_results_go_to_a_broker_that_is_not_there_yet_and_goes_away(broker: Broker) -> None:
    sink = open_sink(broker.url("out") + "?qos=1", MODEL)
    y = np.array([0.25, 0.75], np.float32)
    with pytest.raises(OSError, match="is not connected"):
        sink.write(y, 1.0)
    broker.start()
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    got: list[Any] = []
    listener = Client(CallbackAPIVersion.VERSION2)
    listener.on_message = lambda client, data, message: got.append(json.loads(message.payload))
    listener.on_connect = lambda client, *_: client.subscribe("out", 1)
    listener.connect("127.0.0.1", broker.port)
    ready = threading.Event()
    listener.on_subscribe = lambda *_: ready.set()
    listener.loop_start()
    assert ready.wait(60)
    within(60, sink._client.is_connected)  # type: ignore[attr-defined]
    sink.write(y, 2.5)
    within(60, lambda: bool(got))
    assert got == [{"t_s": 2.5, "label": "walk", "y": [0.25, 0.75]}]
    broker.stop()
    within(60, lambda: not sink._client.is_connected())  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="is not connected"):
        sink.write(y, 3.0)
    broker.start()
    within(60, sink._client.is_connected)  # type: ignore[attr-defined]
    sink.write(y, 4.0)
    sink.close()  # type: ignore[attr-defined]
    listener.disconnect()
    listener.loop_stop()


def test_broker_that_does_not_keep_up_costs_no_memory(broker: Broker) -> None:
    """It is stunned: the connection stays, and nothing is read from it any more."""
    broker.start()
    sink = open_sink(broker.url("out") + "?qos=1", MODEL)
    within(60, sink._client.is_connected)  # type: ignore[attr-defined]
    assert broker.process is not None
    broker.process.send_signal(signal.SIGSTOP)
    y = np.zeros(2, np.float32)
    refused = ""
    for _ in range(5000):
        try:
            sink.write(y, 1.0)
        except OSError as error:
            refused = str(error)
            break
    assert "does not keep up: 1000 messages are unsent" in refused or "QUEUE_SIZE" in refused
    broker.process.send_signal(signal.SIGCONT)
    sink.close()  # type: ignore[attr-defined]


def test_broker_that_refuses_us(broker: Broker) -> None:
    broker.config.write_text(f"listener {broker.port} 127.0.0.1\nallow_anonymous false\n")
    broker.start()
    said: list[str] = []
    made = loop(open_source(broker.url("a"), MODEL), report=said.append, clock=None)
    thread = threading.Thread(target=lambda: (within(60, lambda: made._feed.failures > 0), made.stop()))
    thread.start()
    made.run()
    thread.join()
    assert said[0].startswith("the source failed: the broker refused us: Not authorized")
