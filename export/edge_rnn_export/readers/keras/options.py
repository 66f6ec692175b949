"""Read options of Keras's layers: numbers, switches, axes and arrays."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from math import isfinite
from typing import Any

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.typing import F64
from edge_rnn_export.readers.json_text import array_of

__all__ = ["axes_of", "count_of", "flag_of", "number_of", "numbers_of"]


def number_of(title: str, config: Mapping[str, Any], key: str, default: float) -> float:
    """Number among the options; null counts as missing."""
    value = _plain(config.get(key))
    if value is None:
        return default
    if type(value) not in (int, float) or not isfinite(value) or abs(value) > 1e30:
        raise FileError(f"{title} {key} got {reprlib.repr(value)}, expected a number.")
    return float(value)


def numbers_of(title: str, key: str, value: Any) -> F64:
    """Number or nested list of numbers as an array."""
    return array_of(f"{title} {key}", _plain(value))


def _plain(value: Any) -> Any:
    """Value inside an object, as Keras writes NumPy's numbers and arrays."""
    for key in ("config", "value"):
        if isinstance(value, dict) and key in value:
            value = value[key]
    return value


def flag_of(title: str, config: Mapping[str, Any], key: str, default: bool) -> bool:
    """Boolean among the options."""
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise FileError(f"{title} {key} got {reprlib.repr(value)}, expected true or false.")
    return value


def count_of(title: str, config: Mapping[str, Any], key: str) -> int:
    """Positive whole number among the options."""
    value = config.get(key)
    if value is None and "output_dim" in config and key in ("units", "filters"):
        raise UnsupportedError(
            f"{title} was written by Keras 1; load the model in Keras 2, for example with TensorFlow 1.15, and save it."
        )
    if type(value) is not int or value <= 0:
        raise FileError(f"{title} {key} got {reprlib.repr(value)}, expected a positive whole number.")
    return value


def axes_of(title: str, value: object, rank: int) -> list[int]:
    """Axis or list of axes, each counted from 0."""
    listed = value if isinstance(value, list) else [value]
    axes = [axis % rank for axis in listed if type(axis) is int and -rank <= axis < rank]
    if len(axes) < len(listed):
        raise FileError(f"{title} works along {reprlib.repr(value)} of {rank} axes, which does not exist.")
    return axes
