"""URL options shared by the MQTT source and sink: ``mqtt://HOST/TOPIC?user=NAME``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from edge_rnn.loop.mqtt_client import CREDENTIAL, PASSWORD_VARIABLE, USER_VARIABLE, Address
from edge_rnn.loop.scheme import Secret, Url

__all__ = ["BROKER", "BROKER_OPTIONS", "address_of"]

_FILES = ("password_file", "ca", "cert", "key")

BROKER_OPTIONS: Mapping[str, Callable[[str], Any]] = MappingProxyType(dict.fromkeys(("user", *_FILES), str))
"""Options for authentication and TLS."""

BROKER: Mapping[str, Any] = MappingProxyType(
    {
        "name": "mqtt",
        "place": "//HOST/TOPIC",
        "aliases": ("mqtts",),
        "kind": "network",
        "files": _FILES,
        "secret": Secret(
            "user name and password of a broker that requires them",
            option="password_file",
            credential=CREDENTIAL,
            variables=(USER_VARIABLE, PASSWORD_VARIABLE),
        ),
        "check": Address.refuse_password,
        "packages": ("paho-mqtt",),
        "install": "edge-rnn[mqtt]",
        "ability": "read and write MQTT",
    }
)
"""Fields shared by both schemes."""


def address_of(url: Url) -> tuple[Address, dict[str, Any]]:
    """Split a URL into the broker address (with the topic) and the remaining options."""
    files = {name: value for name, value in url.options.items() if name in BROKER_OPTIONS}
    others = {name: value for name, value in url.options.items() if name not in BROKER_OPTIONS}
    return Address.of(f"{url.scheme}:{url.place}", **files), others
