"""Connection to an MQTT broker through paho-mqtt: address, credentials, and readable error messages."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from edge_rnn.errors import FileError, InputError, UnsupportedError, file_access, reason_of
from edge_rnn.loop.scheme import PASSWORD, masked

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = [
    "CREDENTIAL",
    "KEEPALIVE_S",
    "PASSWORD_VARIABLE",
    "USER_VARIABLE",
    "Address",
    "check_topic",
    "connection_problem",
    "make_client",
    "refusal",
]

KEEPALIVE_S = 15
"""MQTT keep-alive in s; a broker that is silent for 22.5 s (1.5 keep-alives) counts as gone."""

USER_VARIABLE, PASSWORD_VARIABLE = "EDGE_RNN_MQTT_USERNAME", "EDGE_RNN_MQTT_PASSWORD"

CREDENTIAL = "edge-rnn-mqtt-password"
"""Name of the password in a service's systemd credentials."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LONGEST_TOPIC_BYTES = 65535
_MOST_PASSWORD_BYTES = 65535


def check_topic(topic: str, what: str) -> None:
    """Reject invalid topics and topics with wildcards.

    Raises
    ------
    InputError
        The topic is empty, too long, or contains a wildcard or characters that MQTT does not allow.
    """
    if any(wildcard in topic for wildcard in "+#"):
        raise InputError(
            f"{what} {topic!r} contains a wildcard, which would mix samples of several topics in one state; give one "
            f"topic and run one process per topic, or step an edge_rnn.StreamBank in Python."
        )
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= _LONGEST_TOPIC_BYTES or not topic.isprintable():
        raise InputError(
            f"{what} {topic[:60]!r} is not a valid topic; expected 1 to {_LONGEST_TOPIC_BYTES} bytes of printable text."
        )


@dataclass(frozen=True, slots=True)
class Address:
    """Broker, topic and credentials.

    Parameters
    ----------
    host, port
        Address of the broker.
    topic
        Topic to read from or write to, without wildcards.
    user, password
        Empty to use the environment variables ``EDGE_RNN_MQTT_USERNAME`` and ``EDGE_RNN_MQTT_PASSWORD``, if set.
    tls
        True to encrypt the connection and verify the broker's certificate.
    password_file
        File that contains the password.
    ca
        PEM file of the CA that signed the broker's certificate; empty for the system's trusted CAs.
    cert, key
        PEM files of the client certificate and its key; both may be in one file.
    """

    host: str
    port: int
    topic: str
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    password_file: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        check_topic(self.topic, "the topic")
        if (self.ca or self.cert or self.key) and not self.tls:
            raise InputError("ca, cert and key need a TLS connection; expected mqtts://HOST/TOPIC.")
        if self.key and not self.cert:
            raise InputError("got key without cert; give both.")

    @staticmethod
    def refuse_password(url: str) -> None:
        """Reject a URL that contains a password.

        Raises
        ------
        InputError
            It contains one; the message does not show it.
        """
        if PASSWORD.search(url):
            raise InputError(
                f"{masked(url)!r} contains a password, which every process on this machine could see; put it in the "
                f"environment variable {PASSWORD_VARIABLE}, or in a file: ?password_file=FILE."
            )

    @classmethod
    def of(cls, url: str, **files: str) -> Address:
        """Parse ``mqtt://HOST:PORT/TOPIC``, or ``mqtts://…`` for TLS; slashes in the topic are kept.

        Parameters
        ----------
        files
            ``user``, ``password_file``, ``ca``, ``cert``, ``key``.

        Raises
        ------
        InputError
            The URL has another form, or contains a password.
        """
        cls.refuse_password(url)
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
            host = (parts.hostname or "").encode("idna").decode()
        except (ValueError, KeyError) as error:
            raise InputError(f"{url!r} is not a broker URL: {error}; expected mqtt://HOST/TOPIC.") from None
        topic = unquote(parts.path[1:]) + (f"#{parts.fragment}" if "#" in url else "")
        if not host or not topic:
            raise InputError(f"{url!r} has no {'topic' if host else 'host'}; expected mqtt://HOST/TOPIC.")
        user = files.pop("user", "") or unquote(parts.username or "")
        return cls(host, port, topic, user, tls=parts.scheme == "mqtts", **files)


def make_client(address: Address, *, reconnects: bool) -> Client:
    """Create a client that is not connected yet.

    Raises
    ------
    UnsupportedError
        paho-mqtt is not installed.
    FileError
        A password, certificate or key file cannot be read or is invalid.
    InputError
        A password is given without a user name.
    """
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ModuleNotFoundError:
        raise UnsupportedError("MQTT needs paho-mqtt, which is not installed; pip install 'edge-rnn[mqtt]'.") from None
    client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=reconnects)
    user = address.user or os.environ.get(USER_VARIABLE, "")
    password = address.password or _read_password(address.password_file or _credential())
    password = password or os.environ.get(PASSWORD_VARIABLE, "")
    if password and not user:
        raise InputError(f"MQTT got a password without a user name; set {USER_VARIABLE}, or give ?user=NAME.")
    if user:
        client.username_pw_set(user, password or None)
    if address.tls:
        client.tls_set_context(_context(address))
    return client


def refusal(reason: Any) -> str:
    """Describe why the broker refused the connection, and what to do."""
    text = f"the broker refused the connection: {reason}"
    if str(reason) in ("Not authorized", "Bad user name or password"):
        text += (
            f"; check user name and password: {USER_VARIABLE} and {PASSWORD_VARIABLE} in the environment, or "
            f"?user=NAME&password_file=FILE"
        )
    return text


def connection_problem(error: BaseException | None, address: Address) -> str:
    """Describe why the connection failed, and what to do; None if the broker disconnected before it answered."""
    where = f"the broker at {address.host}:{address.port}"
    if error is None:
        other = "it may require a client certificate (?cert=FILE&key=FILE)" if address.tls else "TLS needs mqtts://"
        return f"{where} closed the connection before answering; {other}, or another service uses this port"
    if isinstance(error, socket.gaierror):
        return f"cannot resolve the broker's name {address.host!r} ({error.strerror}); check it, or give an IP address"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {where} is not trusted: {error.verify_message.rstrip('.')}; name the CA that signed "
            f"it with ?ca=FILE, and use the host name for which it was issued"
        )
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "").upper():
        return f"{where} rejected the TLS handshake: {error.reason}; it may want a certificate: ?cert=FILE&key=FILE"
    if address.tls and isinstance(error, (ssl.SSLError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        return f"{where} does not speak TLS on this port; use mqtt:// for no TLS; the usual TLS port is 8883"
    if isinstance(error, ConnectionRefusedError):
        return (
            f"the connection to {where} was refused: nothing listens there; start the broker, check the port (1883, or "
            f"8883 for TLS) and that it accepts other machines (mosquitto: a line listener {address.port})"
        )
    return f"{where} does not answer: {reason_of(error)}; check the name, the network and firewalls"


def _credential() -> str:
    """Path of the password that systemd passes to a service (``LoadCredential=``); empty for none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(folder, CREDENTIAL)
    return str(path) if folder and path.exists() else ""


def _read_password(path: str) -> str:
    if not path:
        return ""
    try:
        with file_access(path, "the password cannot be read"), Path(path).open("rb") as file:
            data = file.read(_MOST_PASSWORD_BYTES + 1)
        password = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        password = ""
    if not password or len(data) > _MOST_PASSWORD_BYTES:
        raise FileError(f"{path}: expected a password, one line of text.")
    return password


def _context(address: Address) -> ssl.SSLContext:
    for path in filter(None, (address.ca, address.cert, address.key)):
        with file_access(path):
            Path(path).open("rb").close()
    try:
        context = ssl.create_default_context(cafile=address.ca or None)
    except (OSError, ValueError):
        raise FileError(f"{address.ca}: not a certificate in PEM format, which ca expects.") from None
    if address.cert:
        try:
            context.load_cert_chain(address.cert, address.key or None, password=lambda: "")  # else OpenSSL prompts
        except (OSError, ValueError) as error:
            raise FileError(
                f"{address.cert}: no certificate with the key {address.key or 'in the same file'}, in PEM format and "
                f"without a password ({getattr(error, 'reason', None) or error})."
            ) from None
    return context
