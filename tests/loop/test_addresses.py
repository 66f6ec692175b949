"""Sources and sinks by their URLs, and invalid URLs."""

from __future__ import annotations

import errno
import re
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn.errors import EdgeRnnError, FileError, InputError, UnsupportedError
from edge_rnn.loop import open_sink, open_source, sources
from edge_rnn.loop.mqtt_client import Address, connection_problem
from loop_fakes import loop, stream
from source_helpers import CSV, all_of, model, write_wav


def test_broker_that_answers_after_the_source_was_closed_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    client = needs.package("paho-mqtt")
    real = client.Client.connect
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = sources.Mqtt(Address("127.0.0.1", server.getsockname()[1], "t"), 1)

        def slow(self: Any, *arguments: Any) -> Any:
            source.close()  # as another thread does, whose patience is over
            return real(self, *arguments)

        before = threading.active_count()
        monkeypatch.setattr(client.Client, "connect", slow)
        assert source.read() is None
        assert threading.active_count() == before


# What is not installed


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("serial:/dev/ttyUSB0", "serial", "serial"),
        ("mpu6050:1", "smbus2", "i2c"),
        ("mic:", "sounddevice", "audio"),
        ("mqtt://here/topic", "paho.mqtt.client", "mqtt"),
    ],
)
def test_package_that_is_missing_is_named(
    url: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)
    maker = open_source(url, model(6))
    with pytest.raises(UnsupportedError, match=rf"edge-rnn\[{extra}\]"):
        loop(maker, network=stream(6), rate_hz=10)


def test_sound_without_soundfile_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    write_wav(tmp_path / "a.wav", np.zeros(3), 2)
    with pytest.raises(UnsupportedError, match=r"edge-rnn\[audio\]"):
        open_source(f"wav:{tmp_path}/a.wav", model(1))


# Texts for the command line


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("recording.csv", "expected one of csv:FILE"),
        ("ftp:x", "expected one of csv:FILE"),
        ("csv:none.csv", "none.csv: cannot be read"),
        ("csv:-?pace=5", "has the unknown option 'pace', expected follow, start, live, time, columns, rate"),
        ("csv:-?rate=0", "has the invalid rate='0', expected a number"),
        ("csv:-?columns=a,b", "columns=a,b has 2, but the model reads 3"),
        ("csv:-?time=t,minutes", "has the unit 'minutes', expected one of s, ms, us, ns, iso"),
        ("csv:-?follow=", "has the invalid follow='', expected a number"),
        ("csv:-?follow", "expected NAME=VALUE"),
        ("csv:-?follow=1", "got follow for stdin"),
        ("csv:x?=1", "has the unknown option ''"),
        ("proc:cpu", "got 1 field"),
        ("mpu6050:1", "provides 6 values, but the model reads 3"),
        ("mpu6050:i2c", "has the bus 'i2c', expected a bus number"),
        ("mqtt:/topic", "has no host"),
        ("mqtt://host", "has no topic"),
        ("mqtt://host:port/topic", "is not a broker URL"),
        ("wav:none.wav", "none.wav: cannot be read as sound: No such file"),
    ],
)
def test_source_that_is_misspelled(url: str, words: str) -> None:
    with pytest.raises(EdgeRnnError) as caught:
        open_source(url, model(6) if "i2c" in url else model())
    assert words in str(caught.value)


@pytest.mark.parametrize("opened", [open_source, open_sink])
@pytest.mark.parametrize("topic", ["a/+/b", "#", "a/#", "a%23", "sensors/+?qos=1"])
def test_topic_that_stands_for_many_is_refused(opened: Any, topic: str) -> None:
    with pytest.raises(InputError, match=r"contains a wildcard, .* one process per topic, or step an edge_rnn"):
        opened(f"mqtt://broker/{topic}", model())


@pytest.mark.parametrize("opened", [open_source, open_sink])
@pytest.mark.parametrize(
    "url",
    [
        "mqtt://pi:hunter2@broker/a",
        "mqtts://pi:hunter2@broker:8883/a?qos=1",
        "mqtt://:hunter2@broker/a",
        "mqtt://pi:hunt/er2@broker/a",
        "mqtt://pi:hunt?er2@broker/a",
        "mqtt://pi:hunt#er2@broker/a",
        "mqtt://pi:hu@nter2@broker/a",
        "mqtt://broker/a?password=hunter2",
        "mqtt://broker/a?qos=1&passwd=hunter2",
        "mqqt://pi:hunter2@broker/a",
    ],
)
def test_password_in_an_address_is_refused_and_not_shown(opened: Any, url: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(url, model())
    for part in ("hunt", "er2", "nter2"):
        assert part not in str(caught.value)
    assert "***" in str(caught.value)


def test_address_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(Address("broker", 1883, "a", "pi", "hunter2"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mqtt://broker/a?ca=x.pem", "need a TLS connection; expected mqtts://"),
        ("mqtts://broker/a?key=x.pem", "got key without cert"),
        ("mqtt://broker/a?qos=3", "qos got 3, expected one of 0, 1, 2"),
        ("mqtt://bro..ker/a", "is not a broker URL"),
        ("mqtt://broker/a%00b", "is not a valid topic"),
        ("mqtt://broker/a%0Ab", "is not a valid topic"),
        ("mqtt://broker/" + "a" * 70000, "is not a valid topic"),
    ],
)
@pytest.mark.parametrize("opened", [open_source, open_sink])
def test_broker_that_is_misspelled(opened: Any, url: str, words: str) -> None:
    with pytest.raises(EdgeRnnError, match=words):
        opened(url, model())


@pytest.mark.parametrize(("will", "words"), [("a", "the topic of the results"), ("b/%2B", "contains a wildcard")])
def test_invalid_will_is_refused(will: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_sink(f"mqtt://broker/a?will={will}", model())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "cannot resolve the broker's name 'house' .*; check it"),
        (
            ConnectionRefusedError(111, "Connection refused"),
            "was refused: nothing listens there; .* listener 1883",
        ),
        (TimeoutError("timed out"), "does not answer: timed out; check the name, the network and firewalls"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "does not answer: No route to host"),
        (None, "closed the connection before answering; TLS needs mqtts://"),
    ],
)
def test_unreachable_broker_is_reported_with_a_remedy(error: OSError | None, words: str) -> None:
    assert re.search(words, connection_problem(error, Address("house", 1883, "a")))


def test_password_needs_a_name_and_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs.package("paho-mqtt")
    secret = tmp_path / "secret"
    secret.write_bytes(b"hunter2\r\n")
    monkeypatch.delenv("EDGE_RNN_MQTT_USERNAME", raising=False)
    with pytest.raises(InputError, match="without a user name; set EDGE_RNN_MQTT_USERNAME") as caught:
        open_source(f"mqtt://broker/a?password_file={secret}", model())()  # type: ignore[operator]
    assert "hunter2" not in str(caught.value)
    for content, words in {
        b"": "expected a password",
        b"\xff\xfe": "expected a password",
        None: "cannot be read",
    }.items():
        secret.unlink(missing_ok=True)
        if content is not None:
            secret.write_bytes(content)
        with pytest.raises(FileError, match=words):
            open_source(f"mqtt://pi@broker/a?password_file={secret}", model())()  # type: ignore[operator]


def test_sources_by_their_texts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    source = open_source(f"csv:{tmp_path}/a.csv?live=1", model())
    assert isinstance(source, sources.Lines)
    assert source.live
    (tmp_path / "a.jsonl").write_text("[1, 2, 3]\n")
    assert all_of(open_source(f"jsonl:{tmp_path}/a.jsonl", model())) == [[1, 2, 3]]
    assert isinstance(open_source("proc:cpu,memory,load", model()), sources.Machine)
