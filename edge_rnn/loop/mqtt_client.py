"""A connection to an MQTT broker, through paho-mqtt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from edge_rnn.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = ["KEEPALIVE_S", "Address", "make_client"]

KEEPALIVE_S = 15
"""A broker that is silent for half as long again is gone."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a topic is.

    Parameters
    ----------
    host, port
        Of the broker.
    topic
        What to read from or write to.
    user, password
        Empty for none.
    tls
        Whether the connection is encrypted, and the broker's certificate checked.
    """

    host: str
    port: int
    topic: str
    user: str = ""
    password: str = ""
    tls: bool = False

    @classmethod
    def of(cls, url: str) -> Address:
        """Read ``mqtt://USER:PASSWORD@HOST:PORT/TOPIC``, or ``mqtts://…`` with TLS; a topic keeps its slashes.

        Raises
        ------
        InputError
            It is not of this form.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError) as error:
            raise InputError(f"{url!r} is no address of a broker: {error}; expected mqtt://HOST/TOPIC.") from None
        topic = unquote(parts.path[1:])
        if not parts.hostname or not topic:
            raise InputError(f"{url!r} has no {'topic' if parts.hostname else 'host'}; expected mqtt://HOST/TOPIC.")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.hostname, port, topic, user, password, parts.scheme == "mqtts")


def make_client(address: Address, *, reconnects: bool) -> Client:
    """A client that is not connected yet.

    Raises
    ------
    UnsupportedError
        paho-mqtt is not installed.
    """
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ModuleNotFoundError:
        raise UnsupportedError("MQTT takes paho-mqtt, which is not installed; pip install 'edge-rnn[mqtt]'.") from None
    client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=reconnects)
    if address.user:
        client.username_pw_set(address.user, address.password)
    if address.tls:
        client.tls_set()
    return client
