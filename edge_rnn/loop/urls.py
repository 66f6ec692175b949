"""Sources and sinks by short texts, as the command line takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from edge_rnn.checks import choice
from edge_rnn.errors import InputError
from edge_rnn.loop import sinks, sources
from edge_rnn.loop.mqtt_client import Address, masked
from edge_rnn.loop.protocols import Sink, Source
from edge_rnn.loop.sinks.mqtt import check_sink
from edge_rnn.loop.sources.machine import FIELDS
from edge_rnn.model import Model

__all__ = ["SINKS", "SOURCES", "open_sink", "open_source", "parse_sink"]

SOURCES = {
    "csv:FILE": "lines of CSV, or jsonl:FILE of JSON; - is stdin; ?follow=1 goes on as tail -F does, &start=1 from the "
    "first line; ?time=COLUMN or COLUMN,ms (s, us, ns, iso); ?columns=NAME,NAME; ?rate=HZ; ?live=1 lets old samples go",
    "serial:PORT": "lines from a serial port; ?baud=115200; ?dtr=0&rts=0 lowers its control lines; ?time, ?columns "
    "and ?rate as for csv",
    "mqtt://HOST/TOPIC": "messages; mqtt://HOST:PORT/TOPIC, mqtts:// with TLS; ?qos=1; ?user=NAME&password_file=FILE, "
    "or EDGE_RNN_MQTT_USERNAME and EDGE_RNN_MQTT_PASSWORD in the environment; ?ca=FILE; ?cert=FILE&key=FILE; ?time, "
    "?columns, ?rate as for csv",
    "proc:": "the machine's telemetry; proc:cpu,memory,temperature,swap,load in any choice; takes a rate",
    "mpu6050:BUS": "an IMU on an I²C bus; ?address=0x68&range_g=2&range_dps=250&si=1; takes a rate",
    "wav:FILE": "sound from a file, also .flac and .ogg; ?channel=1",
    "mic:": "sound from a microphone; mic:DEVICE?rate=16000",
}
"""Forms of a source, and what they are."""

SINKS = {
    "csv:FILE": "lines of CSV; - is stdout",
    "jsonl:FILE": "lines of JSON; - is stdout",
    "mqtt://HOST/TOPIC": "messages, with the source's options; ?qos=1&retain=1; ?will=TOPIC says online or offline",
    "null:": "nowhere",
}
"""Forms of a sink, and what they are."""

_ADDRESS = ("user", "password_file", "ca", "cert", "key")

_Kinds = Mapping[str, Callable[[str], Any]]


def open_source(url: str, model: Model) -> Source | Callable[[], Source]:
    """What :class:`edge_rnn.loop.SensorLoop` takes as its source, for one of ``SOURCES``.

    Raises
    ------
    InputError
        There is no such form, or an option is unknown or does not fit.
    FileError
        A file is not there.
    UnsupportedError
        A package is missing, or the machine does not have what is asked for.
    """
    scheme, rest = _split(url, SOURCES)
    size, names = model.input_size, model.input_names
    texts: _Kinds = {"time": str, "columns": _list, "rate": _rate}
    if scheme in ("csv", "jsonl"):
        path, given = _options(url, rest, {"follow": _flag, "start": _flag, "live": _flag, **texts})
        if "start" in given:
            given["from_start"] = given.pop("start")
        return sources.Lines(path, size, names, kind=scheme.removesuffix("l"), **_of_model(given, model))
    if scheme == "wav":
        path, given = _options(url, rest, {"channel": _places})
        return sources.Wav(path, size, **given)
    if scheme == "proc":
        fields, _ = _options(url, rest, {})
        return sources.Machine(fields.split(",") if fields else [*FIELDS][:size], size)
    if scheme == "serial":
        port, given = _options(url, rest, {"baud": _whole, "format": str, "dtr": _flag, "rts": _flag, **texts})
        given |= {"kind": given.pop("format")} if "format" in given else {}
        return _maker(partial(sources.SerialLine, port, size, names, **_of_model(given, model)))
    if scheme == "mpu6050":
        bus, given = _options(url, rest, {"address": _whole, "range_g": _whole, "range_dps": _whole, "si": _flag})
        if size != 6:
            raise InputError(f"{url!r} gives 6 numbers, but the model reads {size}.")
        if bus and not (bus.isascii() and bus.isdecimal() and len(bus) < 10):
            raise InputError(f"{url!r} has the bus {bus!r}, expected its number: mpu6050:1 for /dev/i2c-1.")
        return _maker(partial(sources.Mpu6050, int(bus or "1"), **given))
    if scheme == "mic":
        device, given = _options(url, rest, {"rate": float})
        given |= {"rate_hz": given.pop("rate")} if "rate" in given else {}
        chosen: str | int | None = int(device) if device.isdecimal() else device or None
        return _maker(partial(sources.Microphone, size, device=chosen, **given))
    address, given = _broker(url, {"qos": _whole, **texts})
    choice(repr(url), "qos", given.get("qos", 0), (0, 1, 2))
    return _maker(partial(sources.Mqtt, address, size, names, **_of_model(given, model)))


def open_sink(url: str, model: Model, *, header: bool = True) -> Sink:
    """The sink for one of ``SINKS``.

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
    scheme, rest = _split(url, SINKS)
    if scheme in ("csv", "jsonl"):
        path, _ = _options(url, rest, {})
        return partial(sinks.Lines, path, model, kind=scheme.removesuffix("l"), header=header)
    if scheme == "null":
        _options(url, rest, {})
        return partial(sinks.Call, lambda y, t_s: None)
    address, given = _broker(url, {"qos": _whole, "retain": _flag, "will": str})
    check_sink(address, given.get("qos", 0), given.get("will", ""))
    return partial(sinks.Mqtt, address, model, **given)


def _maker(make: Callable[[], Source]) -> Callable[[], Source]:
    """The function itself, for a source that can be made anew."""
    return make


def _split(url: str, forms: Mapping[str, str]) -> tuple[str, str]:
    scheme, colon, rest = url.partition(":")
    known = {form.partition(":")[0] for form in forms} | {"jsonl", "mqtts"}
    if not colon or scheme not in known:
        raise InputError(f"{masked(url)!r} is none of {', '.join(forms)}.")
    return scheme, rest


def _options(url: str, rest: str, kinds: _Kinds) -> tuple[str, dict[str, Any]]:
    """What stands before the question mark, and the options after it."""
    place, _, query = rest.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise InputError(f"{masked(url)!r}: expected NAME=VALUE&NAME=VALUE after the question mark.") from None
    given = {}
    for name, value in pairs:
        if name not in kinds:
            raise InputError(f"{masked(url)!r} has the option {name!r}, expected {', '.join(kinds) or 'none'}.")
        try:
            given[name] = kinds[name](value)
        except ValueError:
            raise InputError(f"{masked(url)!r} has {name} {value!r}, expected a number.") from None
    return place, given


def _broker(url: str, kinds: _Kinds) -> tuple[Address, dict[str, Any]]:
    Address.refuse_password(url)
    place, given = _options(url, url, {**kinds, **dict.fromkeys(_ADDRESS, str)})
    files = {name: given.pop(name) for name in _ADDRESS if name in given}
    return Address.of(place, **files), given


def _of_model(given: dict[str, Any], model: Model) -> dict[str, Any]:
    """Options of a source of lines, by the names of its parameters."""
    rate = {"sample_rate_hz": given.pop("rate")} if "rate" in given else {}
    return {**given, **rate, "units": model.input_units}


def _list(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(","))


def _places(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e12:
        raise ValueError
    return value


def _whole(text: str) -> int:
    return int(text, 0)


def _flag(text: str) -> bool:
    return bool(int(text))
