"""Parse untrusted JSON into plain values and arrays: strictly by the specification, in bounded memory."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.typing import F64

__all__ = ["MAX_COUNT", "MAX_JSON_BYTES", "WHOLE_KERAS", "array_of", "check_weights", "count_of", "parse_object"]


MAX_JSON_BYTES = 2**26
"""Largest accepted file in bytes. Python objects take about ten times the size of the text; real files have less than 1
MiB.
"""

MAX_CONTAINERS = 2**20
"""Maximum number of lists and objects: empty ones take thirty times their text. A matrix takes one per row."""

MAX_COUNT = 2**24
"""Largest accepted size of a layer."""

MAX_DIMENSIONS = 4
"""Maximum number of dimensions of an array."""


WHOLE_KERAS = "save the whole model, model.save('model.keras'), or load the weights into it and hand over the model"
"""What to do with half a Keras model."""


def check_weights(content: Mapping[str, Any]) -> None:
    """Refuse what ``model.to_json()`` of Keras returns.

    Raises
    ------
    UnsupportedError
        The content is a Keras model without weights.
    """
    if isinstance(content.get("class_name"), str) and "config" in content:
        raise UnsupportedError(f"it holds the layers of a Keras model without their weights; {WHOLE_KERAS}.")


def parse_object(data: bytes) -> dict[str, Any]:
    """Parse the bytes as a JSON object, without duplicate keys, NaN, Infinity or excessive nesting.

    Raises
    ------
    FileError
        There are too many bytes, or they are not a valid JSON object.
    """
    if len(data) > MAX_JSON_BYTES:
        raise FileError(f"it has {len(data)} bytes of JSON, expected {MAX_JSON_BYTES} at most.")
    containers = data.count(b"[") + data.count(b"{")
    if containers > MAX_CONTAINERS:
        raise FileError(f"it holds {containers} lists and objects, expected {MAX_CONTAINERS} at most.")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key occurs twice")
        return found

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not a JSON number")

    try:
        value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise FileError("it is not JSON of a network: its lists are nested too deeply.") from None
    except ValueError as error:
        reason = str(error).splitlines()[0][:200]
        raise FileError(f"it is not JSON, or is truncated: {reason}.") from None
    if not isinstance(value, dict):
        raise FileError(f"it holds a JSON {type(value).__name__}, expected an object.")
    return value


def array_of(what: str, value: object) -> F64:
    """Convert nested lists of numbers to a nonempty float64 array of finite values.

    Parameters
    ----------
    what
        Name of the value, for messages: ``"layer 2 (gru) kernel"``.
    value
        A number, or lists of equal length, nested once per dimension of the array.

    Raises
    ------
    FileError
        A list is empty or longer than its neighbours, something is not a number, or a number is not finite.
    """
    shape: list[int] = []
    flat: list[Any] = [value]
    while type(flat[0]) is list:
        length = len(flat[0])
        odd = [each for each in flat if type(each) is not list or len(each) != length]
        if odd:
            got = f"a list of {len(odd[0])}" if type(odd[0]) is list else reprlib.repr(odd[0])
            raise FileError(f"{what} is not an array: {got} is next to a list of {length}.")
        if not length or len(shape) == MAX_DIMENSIONS:
            raise FileError(
                f"{what} got {'an empty list' if not length else f'more than {MAX_DIMENSIONS} dimensions'}, expected "
                f"lists of numbers."
            )
        shape.append(length)
        flat = [entry for each in flat for entry in each]
    odd = [each for each in flat if type(each) not in (int, float)]
    if odd:
        raise FileError(f"{what} holds {reprlib.repr(odd[0])}, expected numbers.")
    try:
        array = np.array(flat, np.float64)
    except OverflowError:
        array = np.array([np.inf])
    if not np.isfinite(array).all():
        raise FileError(f"{what} holds a number out of float64's range, expected finite numbers.")
    return array.reshape(shape)


def count_of(what: str, record: Mapping[str, Any], key: str, *, least: int = 1, default: int | None = None) -> int:
    """Integer in a JSON object; the default, if any, where the key is missing or null.

    Raises
    ------
    FileError
        The value is missing, or not an integer from ``least`` up.
    """
    value = record.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int or not least <= value <= MAX_COUNT:
        got = reprlib.repr(value) if key in record else "nothing"
        raise FileError(f"{what} {key} got {got}, expected a whole number from {least} to {MAX_COUNT}.")
    return value
