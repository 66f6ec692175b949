"""Sources and sinks by URL, as on the command line."""

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
"""Source schemes by name."""

SINKS = _registry("sink", _SINKS)
"""Sink schemes by name."""


def open_source(url: str, model: Model) -> Source | Callable[[], Source]:
    """Return the source, or a factory of it, for a URL of one of the schemes in ``SOURCES``.

    Raises
    ------
    InputError
        The scheme or an option is unknown, or a value does not fit.
    FileError
        A file is missing.
    UnsupportedError
        A package is missing, or the machine lacks the device or reading asked for.
    """
    scheme = scheme_of(url, SOURCES)
    source: Source | Callable[[], Source] = scheme.open(scheme.parse(url), model)
    return source


def open_sink(url: str, model: Model, *, header: bool = True) -> Sink:
    """Return the sink for a URL of one of the schemes in ``SINKS``.

    Raises
    ------
    InputError
        The scheme or an option is unknown, or a value does not fit.
    FileError
        A file cannot be written.
    UnsupportedError
        A package is missing.
    """
    return parse_sink(url, model, header=header)()


def parse_sink(url: str, model: Model, *, header: bool = True) -> Callable[[], Sink]:
    """Return a factory of the sink; an invalid URL is reported at once, as by :func:`open_sink`."""
    scheme = scheme_of(url, SINKS)
    make: Callable[[], Sink] = scheme.open(scheme.parse(url, header=header), model)
    return make


def scheme_of(url: str, schemes: Registry[Scheme]) -> Scheme:
    """Return the scheme of a URL.

    Raises
    ------
    InputError
        The scheme is unknown.
    UnsupportedError
        The package that provides the scheme cannot be used.
    """
    name, colon, _ = url.partition(":")
    scheme = schemes.find(name) if colon else None
    if scheme is None:
        forms = ", ".join(each.form for each in schemes.unique())
        raise InputError(f"{masked(url)!r} has an unknown form, expected one of {forms}.")
    return scheme
