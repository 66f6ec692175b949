"""MQTT against a real broker: mosquitto on a free port, stopped, suspended and started again."""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn.errors import FileError
from edge_rnn.layers import Elman
from edge_rnn.loop import open_sink, open_source
from edge_rnn.loop.sinks import mqtt
from edge_rnn.model import Model
from edge_rnn.storage.model_file import save
from edge_rnn.streams.stream import Stream
from loop_fakes import Kept, Script, loop, stream

pytestmark = [
    pytest.mark.services,
    pytest.mark.needs("mosquitto", "paho-mqtt"),
    pytest.mark.usefixtures("default_signals"),
]

ROOT = Path(__file__).parents[2]
MODEL = Model([Elman(np.full((2, 1), 0.1, np.float32), np.eye(2, dtype=np.float32))], labels=("rest", "walk"))


def network() -> Stream:
    return Stream(MODEL)


def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait for a condition, much longer than it should take."""
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
        mosquitto = needs.program("mosquitto")
        assert mosquitto is not None
        self.process = subprocess.Popen([mosquitto, "-c", str(self.config)], stderr=subprocess.DEVNULL)
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
    made = Broker(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def client(broker: Broker) -> Iterator[Any]:
    """Separate connection of the test, which reconnects by itself."""
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
        open_source(broker.url("sensors/a") + "?qos=1", MODEL),
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
                client.publish("sensors/a", payload, qos=1)
            client.publish("sensors/a", b"x" * 100_000, qos=1)
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
    assert any("the connection to the broker was lost" in text for text in said)
    assert "the source is back." in said
    assert float(kept.ys[0][0]) == float(stream().step(np.ones(1, np.float32))[0])  # not the 5 that was retained


def test_results_go_to_a_broker_that_is_not_there_yet_and_goes_away(broker: Broker) -> None:
    sink = open_sink(broker.url("out"), MODEL)
    y = np.array([0.25, 0.75], np.float32)
    with pytest.raises(OSError, match=r"is not connected: the connection to .* was refused: nothing listens there"):
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
    """The broker is suspended: the connection stays open, but the broker no longer reads from it."""
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
    assert "does not keep up: 1,000 messages unsent" in refused
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
    assert said[0].startswith(
        "the source failed: the broker refused the connection: Not authorized; check user name and password"
    )


class Listener:
    """Messages of a topic, from the creation of this object on."""

    def __init__(self, port: int, topic: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.got: list[Any] = []
        self._topic = topic
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = lambda client, data, message: self.got.append(message.payload.decode())
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(60)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listen(broker: Broker) -> Iterator[Callable[[str], Listener]]:
    made: list[Listener] = []

    def listen(topic: str) -> Listener:
        made.append(Listener(broker.port, topic))
        return made[-1]

    yield listen
    for each in made:
        each.close()


def test_outputs_with_qos_1_are_kept_while_the_broker_is_away(broker: Broker) -> None:
    broker.start()
    sink = open_sink(broker.url("out") + "?qos=1", MODEL)
    within(60, sink._client.is_connected)  # type: ignore[attr-defined]
    broker.stop()
    within(60, lambda: not sink._client.is_connected())  # type: ignore[attr-defined]
    for i in range(50):
        sink.write(np.zeros(2, np.float32), float(i))
    assert sink.undelivered == 50  # type: ignore[attr-defined]
    broker.start()
    sink.close()  # type: ignore[attr-defined]
    assert sink.undelivered == 0  # type: ignore[attr-defined]


def test_recording_that_is_quicker_than_the_broker_loses_nothing(
    broker: Broker, listen: Callable[[str], Listener]
) -> None:  # fmt: skip
    broker.start()
    listener = listen("out")
    xs = ([float(i % 7)] for i in range(3000))
    counters = loop(Script(xs), open_sink(broker.url("out") + "?qos=1", MODEL), clock=None, network=network()).run()
    assert (counters.written, counters.unwritten) == (3000, 0)
    within(60, lambda: len(listener.got) >= 3000)
    assert len(listener.got) == 3000


@pytest.mark.parametrize("query", ["?qos=1", ""])
def test_outputs_that_never_reach_a_broker_are_lost_and_counted(
    broker: Broker, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With QoS 1 they are accepted and kept at first, but in the end they are lost as with QoS 0."""
    monkeypatch.setattr(mqtt, "_DELIVER_S", 0.2)
    said: list[str] = []
    sink = open_sink(broker.url("out") + query, MODEL)
    counters = loop(Script([[1.0]] * 30), sink, network=network(), report=said.append).run()
    assert (counters.written, counters.unwritten) == (0, 30)
    assert ("the sink accepted 30 results that it could not deliver." in said) == bool(query)


def test_status_topic_says_whether_we_are_there(broker: Broker, listen: Callable[[str], Listener]) -> None:
    broker.start()
    listener = listen("state")
    sink = open_sink(broker.url("out") + "?will=state", MODEL)
    within(60, lambda: listener.got == ["online"])
    sink._client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
    within(60, lambda: listener.got == ["online", "offline", "online"])
    sink.close()  # type: ignore[attr-defined]
    within(60, lambda: listener.got == ["online", "offline", "online", "offline"])
    later = listen("state")
    within(60, lambda: later.got == ["offline"])  # retained


def test_program_of_the_documentation_keeps_a_state_for_each_topic(
    broker: Broker, listen: Callable[[str], Listener], tmp_path: Path
) -> None:
    broker.start()
    text = (ROOT / "docs/reference/sensor_loop.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "StreamBank" in block]
    code = code.replace('connect("broker")', f'connect("127.0.0.1", {broker.port})').replace("model, 100)", "model, 2)")
    code = code.replace("client.loop_forever", 'client.on_subscribe = lambda *_: print("ready")\nclient.loop_forever')
    save(MODEL, tmp_path / "wrist.safetensors")
    listener = listen("results/#")
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    alarm = threading.Timer(60, process.kill)
    alarm.start()
    try:
        assert process.stdout.readline() == "ready\n"
        xs = {"sensors/a": [1.0, 2.0, 3.0], "sensors/b": [-5.0, 0.5, 4.0]}
        for pair in zip(*xs.values(), strict=True):
            for topic, x in zip(xs, pair, strict=True):
                listener._client.publish(topic, json.dumps([x]), 1)
        listener._client.publish("sensors/a", "garbage", 1)
        listener._client.publish("sensors/c", "[1]", 1)
        assert process.stdout.readline().startswith("sensors/a: ")
        assert process.stdout.readline() == "sensors/c is one topic too many\n"
        within(60, lambda: len(listener.got) == 6)
    finally:
        alarm.cancel()
        process.kill()
        process.wait(60)
        process.stdout.close()
    for place, samples in enumerate(xs.values()):
        got = np.array([json.loads(each) for each in listener.got[place::2]], np.float32)
        assert np.array_equal(got, network().run(np.array(samples, np.float32)[:, None]))


def hashed(password: str) -> str:
    """Hash a password as mosquitto does: PBKDF2 with SHA-512."""
    salt = b"saltsaltsalt"
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


@pytest.mark.parametrize("way", ["file", "environment"])
def test_user_name_and_password_from_a_file_or_the_environment(
    way: str, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users").write_text(f"pi:{hashed('s3cret/word')}\n")
    (tmp_path / "users").chmod(0o644)
    tmp_path.chmod(0o755)
    broker.config.write_text(
        f"listener {broker.port} 127.0.0.1\nallow_anonymous false\npassword_file {tmp_path / 'users'}\nuser root\n"
    )
    broker.start()
    (tmp_path / "right").write_text("s3cret/word\n")
    (tmp_path / "wrong").write_text("another\n")
    query = f"?user=pi&password_file={tmp_path / 'right'}"
    if way == "environment":
        monkeypatch.setenv("EDGE_RNN_MQTT_USERNAME", "pi")
        monkeypatch.setenv("EDGE_RNN_MQTT_PASSWORD", "s3cret/word")
        query = ""
    sink = open_sink(broker.url("out") + query, MODEL)
    within(60, sink._client.is_connected)  # type: ignore[attr-defined]
    sink.close()  # type: ignore[attr-defined]
    wrong = open_sink(f"{broker.url('out')}?user=pi&password_file={tmp_path / 'wrong'}&qos=1", MODEL)
    within(60, lambda: wrong._refused)  # type: ignore[attr-defined]
    began = time.monotonic()
    wrong.write(np.zeros(2, np.float32), 1.0)
    wrong.close()  # type: ignore[attr-defined]
    assert wrong.undelivered == 1  # type: ignore[attr-defined]
    assert time.monotonic() - began < 5  # a broker that refuses us is not waited for
    plain = open_sink(f"{broker.url('out')}?user=pi&password_file={tmp_path / 'wrong'}", MODEL)
    with pytest.raises(OSError, match=r"refused the connection: .*; check user name and password") as caught:
        plain.write(np.zeros(2, np.float32), 1.0)
    assert "another" not in str(caught.value)
    plain.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Authority, the broker's certificate for 127.0.0.1, and a client certificate, all made by openssl."""
    openssl = needs.program("openssl")
    assert openssl is not None
    folder = tmp_path_factory.mktemp("papers")

    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # Python insists on it from 3.13 on
    run("req", "-x509", *curve, *usage, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
    for name in ("broker", "ours"):
        (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
        run("req", *curve[:-2], "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        run(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", f"{name}.ext", "-out", f"{name}.crt",
        )  # fmt: skip
    run("ec", "-in", "ours.key", "-aes256", "-passout", "pass:x", "-out", "locked.key")
    folder.chmod(0o755)
    for each in folder.iterdir():
        each.chmod(0o644)
    return folder


def complaint(url: str) -> str:
    """Message of the first read's error."""
    with pytest.raises(OSError) as caught:
        open_source(url, MODEL)().read()  # type: ignore[operator]
    text = str(caught.value)
    del caught
    gc.collect()  # paho leaves the socket of a handshake that failed to the collector, which complains
    return text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.needs("openssl")
def test_own_authority_and_own_certificate(broker: Broker, papers: Path) -> None:
    broker.config.write_text(
        f"listener {broker.port} 127.0.0.1\nallow_anonymous true\ncafile {papers / 'ca.crt'}\n"
        f"certfile {papers / 'broker.crt'}\nkeyfile {papers / 'broker.key'}\nrequire_certificate true\nuser root\n"
    )
    broker.start()
    tls = broker.url("out").replace("mqtt:", "mqtts:")
    ca, own = f"?ca={papers / 'ca.crt'}", f"&cert={papers / 'ours.crt'}&key={papers / 'ours.key'}"
    sink = open_sink(tls + ca + own, MODEL)
    within(60, sink._client.is_connected)  # type: ignore[attr-defined]
    sink.close()  # type: ignore[attr-defined]
    assert "is not trusted: " in complaint(tls)
    assert "name the CA that signed it with ?ca=FILE" in complaint(tls)
    assert "?cert=FILE&key=FILE" in complaint(tls + ca)
    assert "closed the connection before answering; TLS needs mqtts://" in complaint(broker.url("out"))
    unheard = open_sink(tls, MODEL)
    with pytest.raises(OSError, match="is not trusted"):
        unheard.write(np.zeros(2, np.float32), 1.0)
    unheard.close()  # type: ignore[attr-defined]
    gc.collect()
    for query, words in {
        f"?ca={papers / 'none'}": "none: cannot be read: No such file",
        f"?ca={papers / 'ours.key'}": "not a certificate in PEM format",
        f"{ca}&cert={papers / 'ours.crt'}&key={papers / 'ca.key'}": "no certificate with the key",
        f"{ca}&cert={papers / 'ours.crt'}&key={papers / 'locked.key'}": "without a password",
    }.items():
        with pytest.raises(FileError, match=words):
            open_source(tls + query, MODEL)()  # type: ignore[operator]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_to_a_port_without(broker: Broker) -> None:
    broker.start()
    assert "does not speak TLS on this port; use mqtt:// for no TLS" in complaint(
        broker.url("a").replace("mqtt:", "mqtts:")
    )
