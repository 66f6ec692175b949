"""Outputs as messages of an MQTT topic."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from edge_rnn.errors import InputError
from edge_rnn.loop.mqtt_client import KEEPALIVE_S, Address, make_client
from edge_rnn.loop.protocols import Array
from edge_rnn.model import Model
from edge_rnn.result_lines import json_results

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessageInfo

__all__ = ["Mqtt"]

_UNSENT = 1000
_CONNECT_S = 3.0


class Mqtt:
    """A JSON object a message, ``{"t_s": …, "label": …, "y": […]}``, through paho-mqtt (``'edge-rnn[mqtt]'``).

    It is given 3 s to connect; after that nothing waits for the broker: paho sends, and connects again, in a thread of
    its own. Outputs that come while there is no connection, or when 1000 are unsent, are lost, and counted by the loop.

    Parameters
    ----------
    address
        Broker and topic.
    model
        Names the outputs.
    qos
        0, 1 or 2.
    retain
        Whether the broker keeps the last one for those who come later.

    Raises
    ------
    UnsupportedError
        paho-mqtt is not installed.
    """

    def __init__(self, address: Address, model: Model, *, qos: int = 0, retain: bool = False) -> None:
        if qos not in (0, 1, 2) or any(each in address.topic for each in "+#"):
            raise InputError(
                f"Mqtt got qos {qos} and the topic {address.topic!r}, expected 0 to 2 and no wildcards to write to."
            )
        self._address = address
        self._qos = qos
        self._retain = retain
        self._line = json_results(model, "t_s")
        self._sent: deque[MQTTMessageInfo] = deque(maxlen=_UNSENT)
        self._refusal = ""
        self._answered = threading.Event()
        self._client = make_client(address, reconnects=True)
        self._client.max_queued_messages_set(_UNSENT)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_connect = self._on_connect
        self._client.connect_async(address.host, address.port, KEEPALIVE_S)
        self._client.loop_start()
        self._answered.wait(_CONNECT_S)

    def write(self, y: Array, t_s: float) -> None:
        """Hand over one message.

        Raises
        ------
        OSError
            There is no connection, or the broker does not keep up.
        """
        where = f"the broker at {self._address.host}:{self._address.port}"
        if not self._client.is_connected():
            raise OSError(f"{where} {self._refusal or 'is not connected'}")
        if len(self._sent) == _UNSENT and not self._sent[0].is_published():
            raise OSError(f"{where} does not keep up: {_UNSENT} messages are unsent")
        payload = self._line(f"{t_s:.6f}", y).rstrip("\n")
        info = self._client.publish(self._address.topic, payload, self._qos, self._retain)
        if info.rc != 0:
            raise OSError(f"{where} took no message: {info.rc.name}")
        self._sent.append(info)

    def close(self) -> None:
        """Send what is unsent, for a short while, and leave the broker."""
        if self._sent and self._client.is_connected():
            with contextlib.suppress(RuntimeError, ValueError):  # it was never queued, or the connection went
                self._sent[-1].wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._refusal = f"refused us: {reason}" if reason.is_failure else ""
        self._answered.set()
