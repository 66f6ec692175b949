"""Front ends from specs: the short text form used on the command line and in model metadata."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from edge_rnn.errors import InputError, InputTypeError
from edge_rnn.frontend.chain import MOST_STAGES, Chain
from edge_rnn.frontend.front_end import FrontEnd
from edge_rnn.frontend.log_mel import LogMel
from edge_rnn.frontend.mfcc import MFCC
from edge_rnn.frontend.micro import MicroFrontEnd
from edge_rnn.frontend.moving import Moving
from edge_rnn.frontend.resample import Resample
from edge_rnn.frontend.sound_settings import CEPSTRAL, SoundSettings
from edge_rnn.frontend.standardize import Standardize

__all__ = ["KINDS", "parse"]

KINDS: Mapping[str, type[FrontEnd]] = MappingProxyType(
    {each.kind: each for each in (Resample, Moving, LogMel, MFCC, MicroFrontEnd, Standardize)}
)
"""Front-end classes by kind."""

_UNIT = re.compile("_(hz|db)$")


def parse(text: str) -> FrontEnd:
    """Build a front end from its spec: ``"logmel:rate=16000,frame=400,hop=160,bands=40"``.

    A spec is a kind, followed after a colon by options: parameters of the class without their units (``rate`` is
    ``rate_hz``). Several specs in series are joined by ``|``. Lists are written ``mean=0.1/0.2``, statistics
    ``mean+std``, booleans 1 and 0. The ``spec`` of a front end parses to an equivalent front end.

    Raises
    ------
    InputError
        A kind or option is unknown, or a value is invalid.

    Examples
    --------
    >>> from edge_rnn.frontend import parse
    >>> front = parse("resample:rate_in=44100,rate_out=16000|mfcc:bands=40,coefficients=10")
    >>> front.spec
    'resample:rate_in=44100,rate_out=16000|mfcc:rate=16000,frame=400,hop=160,bands=40,coefficients=10'
    """
    if not isinstance(text, str):
        raise InputTypeError(
            f"front end got {type(text).__name__}, expected a text such as 'logmel:rate=16000,bands=40'."
        )
    front: FrontEnd | None = None
    parts = text.split("|")
    if len(parts) > MOST_STAGES:
        raise InputError(f"front end got {len(parts):,} parts separated by |, expected at most {MOST_STAGES}.")
    for part in parts:
        stage = _stage(part.strip())
        front = stage if front is None else Chain([front, stage])  # checks limits before the next stage is built
    assert front is not None
    return front


def _stage(text: str) -> FrontEnd:
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise InputError(f"front end {text!r} begins with {kind!r}, expected one of {', '.join(KINDS)}.")
    cls = KINDS[kind]
    types = _types(cls)
    given: dict[str, Any] = {}
    for option in filter(None, rest.split(",")):
        name, equals, value = (piece.strip() for piece in option.partition("="))
        if not equals or name not in types:
            raise InputError(
                f"front end {kind!r} got {option!r}, expected NAME=VALUE with NAME one of {', '.join(types)}."
            )
        parameter, convert = types[name]
        if parameter in given:
            raise InputError(f"front end {kind!r} got {name} twice.")
        try:
            given[parameter] = convert(value)
        except ValueError:
            raise InputError(f"front end {kind!r} got {name} {value!r}, expected {_EXPECTED[convert]}.") from None
    missing = [name for name in _needed(cls) if name not in given]
    if missing:
        raise InputError(f"front end {text!r} is missing {', '.join(_UNIT.sub('', name) for name in missing)}.")
    return cls(**given)


def _types(cls: type[FrontEnd]) -> dict[str, tuple[str, Callable[[str], Any]]]:
    """Parameter and text converter by the option name that users write."""
    found = {
        name: parameter.annotation
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    if issubclass(cls, LogMel):
        more = {field.name: str(field.type) for field in fields(SoundSettings)}
        if not issubclass(cls, MFCC):
            more = {name: more[name] for name in more if name not in CEPSTRAL}
        found |= more
    return {_UNIT.sub("", name): (name, _CONVERTERS[annotation]) for name, annotation in found.items()}


def _needed(cls: type[FrontEnd]) -> list[str]:
    parameters = inspect.signature(cls).parameters.values()
    return [each.name for each in parameters if each.default is each.empty and each.kind is not each.VAR_KEYWORD]


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split("/")]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split("+"))


_CONVERTERS: Mapping[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": _flag,
    "ArrayLike": _numbers,
    "Sequence[str]": _words,
}
_EXPECTED: Mapping[Callable[[str], Any], str] = {
    int: "a whole number",
    float: "a number",
    _flag: "0 or 1",
    _numbers: "numbers separated by /",
}
