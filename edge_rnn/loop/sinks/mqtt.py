"""Outputs as messages to an MQTT topic."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_rnn.checks import choice
from edge_rnn.errors import InputError
from edge_rnn.loop.mqtt_client import KEEPALIVE_S, Address, check_topic, connection_problem, make_client, refusal
from edge_rnn.loop.mqtt_url import BROKER, BROKER_OPTIONS, address_of
from edge_rnn.loop.scheme import Scheme, Url, flag, whole
from edge_rnn.model import Model
from edge_rnn.recordings.result_lines import json_results
from edge_rnn.spelling import counted
from edge_rnn.typing import F32

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessageInfo

__all__ = ["MQTT", "Mqtt"]

_UNSENT = 1000
_SPARE = 10
"""Extra queue slots for the messages of ``will``."""
_CONNECT_S = 3.0
_DELIVER_S = 10.0
_LOOK_S = 0.02


class Mqtt:
    """Sink that publishes ``{"t_s": …, "label": …, "y": […]}`` per output, via paho-mqtt (``'edge-rnn[mqtt]'``).

    The constructor waits up to 3 s for a connection; after that nothing waits for the broker: paho sends and reconnects
    in its own thread. With ``qos`` 1 or 2, up to 1000 outputs are queued while disconnected and sent after
    reconnecting; with ``qos`` 0 they are lost. The loop counts lost outputs.

    Parameters
    ----------
    address
        Broker and topic.
    model
        Provides the names of the outputs.
    qos
        0, 1 or 2.
    retain
        True if the broker keeps the last message for later subscribers.
    will
        Topic that holds ``online`` while connected and ``offline`` otherwise, retained; the broker itself publishes the
        latter when the connection is lost (MQTT's last will). Empty for none.

    Attributes
    ----------
    undelivered
        Outputs accepted but not (yet) delivered to the broker.

    Raises
    ------
    InputError
        ``qos`` or a topic is invalid.
    UnsupportedError
        paho-mqtt is not installed.
    FileError
        A password, certificate or key file cannot be read or is invalid.
    """

    def __init__(self, address: Address, model: Model, *, qos: int = 0, retain: bool = False, will: str = "") -> None:
        _check(address, qos, will)
        self._address = address
        self._qos = qos
        self._retain = retain
        self._will = will
        self._line = json_results(model, "t_s")
        self._sent: deque[MQTTMessageInfo] = deque()
        self._lost = 0
        self._problem = "is not connected"
        self._refused = False
        self._connack = False
        self._answered = threading.Event()
        self._client = make_client(address, reconnects=True)
        self._client.max_queued_messages_set(_UNSENT + _SPARE)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        if will:
            self._client.will_set(will, "offline", 1, True)
        self._client.connect_async(address.host, address.port, KEEPALIVE_S)
        self._client.loop_start()
        self._answered.wait(_CONNECT_S)

    @property
    def undelivered(self) -> int:
        return self._lost + len(self._sent)

    def write(self, y: F32, t_s: float) -> None:
        """Queue one message.

        Raises
        ------
        BlockingIOError
            The broker does not keep up.
        OSError
            There is no connection, and ``qos`` is 0.
        """
        self._forget()
        if len(self._sent) >= _UNSENT:
            why = "does not keep up" if self._client.is_connected() else self._problem
            raise BlockingIOError(f"{self._where()} {why}: {counted(_UNSENT, 'message')} unsent")
        if not self._qos and not self._client.is_connected():
            raise OSError(f"{self._where()} {self._problem}")
        payload = self._line(f"{t_s:.6f}", y).rstrip("\n")
        info = self._client.publish(self._address.topic, payload, self._qos, self._retain)
        if self._qos and info.rc.name == "MQTT_ERR_NO_CONN":
            info.rc = type(info.rc)(0)  # paho keeps it and sends it after reconnecting
        if info.rc != 0:
            raise OSError(f"{self._where()} accepted no message: {info.rc.name}")
        self._sent.append(info)

    def close(self) -> None:
        """Wait until all accepted messages are delivered, at most 10 s, and disconnect."""
        end = time.monotonic() + _DELIVER_S
        while self._pending() and time.monotonic() < end:
            if self._refused or not (self._qos or self._client.is_connected()):
                break
            time.sleep(_LOOK_S)
        if self._will and self._client.is_connected():
            farewell = self._client.publish(self._will, "offline", 1, True)
            while not _is_settled(farewell) and time.monotonic() < end:
                time.sleep(_LOOK_S)
        self._client.disconnect()
        self._client.loop_stop()
        for _ in range(len(self._sent)):  # messages may have settled in any order
            self._sent.rotate(-1)
            if _is_settled(self._sent[-1]):
                self._lost += self._sent.pop().rc != 0

    def _pending(self) -> bool:
        self._forget()
        return bool(self._sent)

    def _forget(self) -> None:
        """Remove delivered messages from the queue, and count those lost with a connection."""
        while self._sent and _is_settled(self._sent[0]):
            self._lost += self._sent.popleft().rc != 0

    def _where(self) -> str:
        return f"the broker at {self._address.host}:{self._address.port}"

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._connack, self._refused = True, reason.is_failure
        self._problem = f"is not connected: {refusal(reason)}" if reason.is_failure else "is not connected"
        if self._will and not reason.is_failure:
            client.publish(self._will, "online", 1, True)
        self._answered.set()

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        self._problem = f"is not connected: {connection_problem(sys.exc_info()[1], self._address)}"
        self._answered.set()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not self._connack:
            self._problem = f"is not connected: {connection_problem(None, self._address)}"
        self._connack = False
        self._answered.set()


def _is_settled(info: MQTTMessageInfo) -> bool:
    """True if the message is delivered or never will be; in the latter case its ``rc`` is not 0."""
    try:
        return bool(info.is_published())
    except (RuntimeError, ValueError):  # lost with a connection
        return True


def _check(address: Address, qos: int, will: str) -> None:
    """Reject invalid options before connecting."""
    choice("Mqtt", "qos", qos, (0, 1, 2))
    if will:
        check_topic(will, "will")
        if will == address.topic:
            raise InputError(f"Mqtt will got the topic of the results, {will!r}; expected another topic.")


def _sink(url: Url, model: Model) -> Callable[[], Mqtt]:
    address, given = address_of(url)
    _check(address, given.get("qos", 0), given.get("will", ""))
    return partial(Mqtt, address, model, **given)


MQTT = Scheme(
    **BROKER,
    help="messages; options as for the source; ?qos=1&retain=1; ?will=TOPIC publishes online or offline",
    open=_sink,
    options={"qos": whole, "retain": flag, "will": str, **BROKER_OPTIONS},
)
