"""Messages from an MQTT topic, one sample each."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_rnn.checks import choice
from edge_rnn.loop.mqtt_client import KEEPALIVE_S, Address, connection_problem, make_client, refusal
from edge_rnn.loop.mqtt_url import BROKER, BROKER_OPTIONS, address_of
from edge_rnn.loop.protocols import SampleError, Timed
from edge_rnn.loop.scheme import Scheme, Url, whole
from edge_rnn.loop.sources.line_options import LINE_OPTIONS, line_options
from edge_rnn.loop.sources.line_sample import sample_of
from edge_rnn.model import Model
from edge_rnn.recordings.sample_lines import LineParser

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = ["MQTT", "Mqtt"]

_PLACES = 1024
_LONGEST_BYTES = 1 << 16
_LOOK_S = 0.2


class Mqtt:
    """Source that reads one sample per message, CSV or JSON, via paho-mqtt (``pip install 'edge-rnn[mqtt]'``).

    Connects at the first ``read``. If the broker is gone, ``read`` raises, and the next call reconnects. Retained
    messages are ignored, because their time is unknown.

    Parameters
    ----------
    address
        Broker and topic.
    size
        Values per sample.
    names
        The model's input names, by which columns and JSON keys are found.
    qos
        0, 1 or 2.
    kind
        ``"csv"``, ``"json"`` or ``"auto"``.
    time, columns, units, sample_rate_hz
        As for :class:`Lines`.

    Raises
    ------
    InputError
        ``qos`` is invalid.
    UnsupportedError
        paho-mqtt is not installed.
    FileError
        A password, certificate or key file cannot be read or is invalid.
    """

    blocks = True
    live = True
    timed = True

    def __init__(
        self,
        address: Address,
        size: int,
        names: Sequence[str] = (),
        *,
        qos: int = 0,
        kind: str = "auto",
        time: str = "",
        columns: Sequence[str] = (),
        units: Sequence[str] = (),
        sample_rate_hz: float | None = None,
    ) -> None:
        choice("Mqtt", "qos", qos, (0, 1, 2))
        make_client(address, reconnects=False)  # reports problems now
        self._address = address
        self._qos = qos
        self._parse = LineParser(size, names, kind, units=units, columns=columns, time=time, chatty=True)
        self.sample_rate_hz = sample_rate_hz
        self._client: Client | None = None
        self._messages: queue.Queue[bytes | OSError] = queue.Queue(_PLACES)
        self._closed = False

    def read(self) -> Timed | list[float] | None:
        """Return the sample of the next message.

        Raises
        ------
        SampleError
            The message contains no sample.
        SourceUnfit
            The columns of the header differ from the model's inputs.
        OSError
            The broker does not answer, refuses the connection, or is gone.
        """
        while not self._closed:
            if self._client is None:
                self._connect()
            try:
                message = self._messages.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if isinstance(message, OSError):
                self._disconnect()
                raise message
            if len(message) > _LONGEST_BYTES:
                raise SampleError(f"a message has {len(message)} bytes, expected at most {_LONGEST_BYTES}")
            sample = sample_of(self._parse, message, "a message")
            if sample is not None:
                return sample
        return None

    def close(self) -> None:
        """Disconnect from the broker; a waiting ``read`` returns soon."""
        self._closed = True
        self._disconnect()

    def _connect(self) -> None:
        client = make_client(self._address, reconnects=False)
        messages: queue.Queue[bytes | OSError] = queue.Queue(_PLACES)

        def put(message: bytes | OSError) -> None:
            while True:
                try:
                    messages.put_nowait(message)
                    return
                except queue.Full:
                    try:
                        messages.get_nowait()
                    except queue.Empty:
                        continue

        answered = threading.Event()

        def on_connect(client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            answered.set()
            if reason.is_failure:
                put(OSError(refusal(reason)))
            else:
                client.subscribe(self._address.topic, self._qos)

        def on_subscribe(client: Client, data: Any, mid: int, reasons: Any, properties: Any) -> None:
            if reasons and reasons[0].is_failure:
                put(OSError(f"the broker refused the topic {self._address.topic!r}: {reasons[0]}"))

        def on_message(client: Client, data: Any, message: Any) -> None:
            if not message.retain:
                put(bytes(message.payload))

        def on_disconnect(client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            if answered.is_set():
                put(OSError(f"the connection to the broker was lost: {reason}"))
            else:
                put(OSError(connection_problem(None, self._address)))

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_message, client.on_disconnect = on_message, on_disconnect
        self._messages = messages
        try:
            client.connect(self._address.host, self._address.port, KEEPALIVE_S)
        except OSError as error:
            raise OSError(connection_problem(error, self._address)) from None
        client.loop_start()
        self._client = client
        if self._closed:  # closed while connecting: disconnect here
            self._disconnect()

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.on_disconnect = None
            client.disconnect()
            client.loop_stop()


def _source(url: Url, model: Model) -> Callable[[], Mqtt]:
    address, given = address_of(url)
    choice(repr(url.text), "qos", given.get("qos", 0), (0, 1, 2))
    return partial(Mqtt, address, model.input_size, model.input_names, **line_options(given, model))


MQTT = Scheme(
    **BROKER,
    help="messages; mqtt://HOST:PORT/TOPIC, mqtts:// with TLS; ?qos=1; ?user=NAME&password_file=FILE, or "
    "EDGE_RNN_MQTT_USERNAME and EDGE_RNN_MQTT_PASSWORD in the environment; ?ca=FILE; ?cert=FILE&key=FILE; ?time, "
    "?columns, ?rate as for csv",
    open=_source,
    options={"qos": whole, **LINE_OPTIONS, **BROKER_OPTIONS},
)
