"""A connection to an MQTT broker, through paho-mqtt: its address, who we are, and what goes wrong in words."""

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
"""A broker that is silent for half as long again is gone."""

USER_VARIABLE, PASSWORD_VARIABLE = "EDGE_RNN_MQTT_USERNAME", "EDGE_RNN_MQTT_PASSWORD"

CREDENTIAL = "edge-rnn-mqtt-password"
"""Name of the password among a service's credentials."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LONGEST_TOPIC_BYTES = 65535
_MOST_PASSWORD_BYTES = 65535


def check_topic(topic: str, what: str) -> None:
    """Refuse a topic that a broker would, and one that stands for many.

    Raises
    ------
    InputError
        It is empty, too long, holds what MQTT does not allow, or a wildcard.
    """
    if any(wildcard in topic for wildcard in "+#"):
        raise InputError(
            f"{what} {topic!r} stands for many topics, whose samples would be mixed in one state; give one topic, and "
            f"run one process for each, or step an edge_rnn.StreamBank in Python."
        )
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= _LONGEST_TOPIC_BYTES or not topic.isprintable():
        raise InputError(
            f"{what} {topic[:60]!r} is no topic; expected 1 to {_LONGEST_TOPIC_BYTES} bytes of printable text."
        )


@dataclass(frozen=True, slots=True)
class Address:
    """Where a topic is, and who asks for it.

    Parameters
    ----------
    host, port
        Of the broker.
    topic
        What to read from or write to, without wildcards.
    user, password
        Empty for those of the environment, ``EDGE_RNN_MQTT_USERNAME`` and ``EDGE_RNN_MQTT_PASSWORD``, if they are set.
    tls
        Whether the connection is encrypted, and the broker's certificate checked.
    password_file
        File that holds the password.
    ca
        File of the authority that signed the broker's certificate, in PEM; empty for those that the system trusts.
    cert, key
        Files of a certificate of our own and its key, in PEM; both may be one file.
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
            raise InputError("ca, cert and key are for a connection with TLS; expected mqtts://HOST/TOPIC.")
        if self.key and not self.cert:
            raise InputError("key got a file without cert, expected both.")

    @staticmethod
    def refuse_password(url: str) -> None:
        """Refuse an address with a password in it.

        Raises
        ------
        InputError
            There is one; the message does not show it.
        """
        if PASSWORD.search(url):
            raise InputError(
                f"{masked(url)!r} holds a password, which every process of this machine could see; put it into "
                f"{PASSWORD_VARIABLE} in the environment, or into a file: ?password_file=FILE."
            )

    @classmethod
    def of(cls, url: str, **files: str) -> Address:
        """Read ``mqtt://HOST:PORT/TOPIC``, or ``mqtts://…`` with TLS; a topic keeps its slashes.

        Parameters
        ----------
        files
            ``user``, ``password_file``, ``ca``, ``cert``, ``key``.

        Raises
        ------
        InputError
            It is not of this form, or holds a password.
        """
        cls.refuse_password(url)
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
            host = (parts.hostname or "").encode("idna").decode()
        except (ValueError, KeyError) as error:
            raise InputError(f"{url!r} is no address of a broker: {error}; expected mqtt://HOST/TOPIC.") from None
        topic = unquote(parts.path[1:]) + (f"#{parts.fragment}" if "#" in url else "")
        if not host or not topic:
            raise InputError(f"{url!r} has no {'topic' if host else 'host'}; expected mqtt://HOST/TOPIC.")
        user = files.pop("user", "") or unquote(parts.username or "")
        return cls(host, port, topic, user, tls=parts.scheme == "mqtts", **files)


def make_client(address: Address, *, reconnects: bool) -> Client:
    """A client that is not connected yet.

    Raises
    ------
    UnsupportedError
        paho-mqtt is not installed.
    FileError
        A file of a password, a certificate or a key cannot be read, or is none.
    InputError
        There is a password, but no user name.
    """
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ModuleNotFoundError:
        raise UnsupportedError("MQTT takes paho-mqtt, which is not installed; pip install 'edge-rnn[mqtt]'.") from None
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
    """Write in words why a broker refused us, and what to do."""
    text = f"the broker refused us: {reason}"
    if str(reason) in ("Not authorized", "Bad user name or password"):
        text += (
            f"; look at user name and password: {USER_VARIABLE} and {PASSWORD_VARIABLE} in the environment, or "
            f"?user=NAME&password_file=FILE"
        )
    return text


def connection_problem(error: BaseException | None, address: Address) -> str:
    """Write in words why there is no connection, and what to do; None is a broker that hung up before it answered."""
    where = f"the broker at {address.host}:{address.port}"
    if error is None:
        other = "a certificate of ours may be wanted (?cert=FILE&key=FILE)" if address.tls else "mqtts:// is for TLS"
        return f"{where} hung up before it answered; {other}, or it serves something else at this port"
    if isinstance(error, socket.gaierror):
        return f"the broker's name {address.host!r} is not known here ({error.strerror}); check it, or give its number"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {where} is not trusted: {error.verify_message.rstrip('.')}; ?ca=FILE names who signed "
            f"it, and HOST has to be the name that it is for"
        )
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "").upper():
        return f"{where} refused our TLS: {error.reason}; it may want a certificate of ours: ?cert=FILE&key=FILE"
    if address.tls and isinstance(error, (ssl.SSLError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        return f"{where} speaks no TLS there; mqtt:// is without, and the port for TLS is usually 8883"
    if isinstance(error, ConnectionRefusedError):
        return (
            f"the connection to {where} was refused: nothing listens there; start it, look at the port (1883, with TLS "
            f"8883), and whether it listens to other machines (mosquitto: a line listener {address.port})"
        )
    return f"{where} does not answer: {reason_of(error)}; look at the name, the network and firewalls"


def _credential() -> str:
    """The file of the password that systemd hands to a service (``LoadCredential=``); empty for none."""
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
        raise FileError(f"{address.ca}: is no certificate in PEM format, as ca takes it.") from None
    if address.cert:
        try:
            context.load_cert_chain(address.cert, address.key or None, password=lambda: "")  # else it asks the terminal
        except (OSError, ValueError) as error:
            raise FileError(
                f"{address.cert}: is no certificate with the key {address.key or 'in the same file'}, in PEM format "
                f"and without a password ({getattr(error, 'reason', None) or error})."
            ) from None
    return context
