"""Sources and sinks by short texts, as the command line takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edge_rnn.errors import InputError
from edge_rnn.loop.scheme import Scheme, masked
from edge_rnn.registry import Registry

if TYPE_CHECKING:
    from edge_rnn.loop.protocols import Sink, Source
    from edge_rnn.model import Model

__all__ = ["SINKS", "SOURCES", "open_sink", "open_source", "parse_sink", "scheme_of"]

_SOURCES = {
    "csv": "lines:CSV",
    "jsonl": "lines:JSONL",
    "serial": "serial_line:SERIAL",
    "mqtt": "mqtt:MQTT",
    "mqtts": "mqtt:MQTT",
    "proc": "machine:PROC",
    "mpu6050": "mpu6050:MPU6050",
    "wav": "wav:WAV",
    "mic": "microphone:MIC",
}
_SINKS = {
    "csv": "lines:CSV",
    "jsonl": "lines:JSONL",
    "mqtt": "mqtt:MQTT",
    "mqtts": "mqtt:MQTT",
    "null": "call:NULL",
}


def _registry(what: str, own: Mapping[str, str]) -> Registry[Scheme]:
    homes = {name: f"edge_rnn.loop.{what}s.{home}" for name, home in own.items()}
    return Registry(f"edge_rnn.{what}s", what, Scheme, homes, lambda scheme: scheme.names)


SOURCES = _registry("source", _SOURCES)
"""Forms of a source, by what they begin with."""

SINKS = _registry("sink", _SINKS)
"""Forms of a sink, by what they begin with."""


def open_source(url: str, model: Model) -> Source | Callable[[], Source]:
    """What :class:`edge_rnn.loop.SensorLoop` takes as its source, for a text of one of the forms of ``SOURCES``.

    Raises
    ------
    InputError
        There is no such form, or an option is unknown or does not fit.
    FileError
        A file is not there.
    UnsupportedError
        A package is missing, or the machine does not have what is asked for.
    """
    scheme = scheme_of(url, SOURCES)
    source: Source | Callable[[], Source] = scheme.open(scheme.parse(url), model)
    return source


def open_sink(url: str, model: Model, *, header: bool = True) -> Sink:
    """The sink for a text of one of the forms of ``SINKS``.

    Raises
    ------
    InputError
        There is no such form, or an option is unknown or does not fit.
    FileError
        A file cannot be written.
    UnsupportedError
        A package is missing.
    """
    return parse_sink(url, model, header=header)()


def parse_sink(url: str, model: Model, *, header: bool = True) -> Callable[[], Sink]:
    """A function that opens the sink; what can be wrong with its text is said at once, as by :func:`open_sink`."""
    scheme = scheme_of(url, SINKS)
    make: Callable[[], Sink] = scheme.open(scheme.parse(url, header=header), model)
    return make


def scheme_of(url: str, schemes: Registry[Scheme]) -> Scheme:
    """The form of a text.

    Raises
    ------
    InputError
        It has none of those that there are.
    UnsupportedError
        The package that adds it cannot be used.
    """
    name, colon, _ = url.partition(":")
    scheme = schemes.find(name) if colon else None
    if scheme is None:
        raise InputError(f"{masked(url)!r} is none of {', '.join(each.form for each in schemes.unique())}.")
    return scheme
