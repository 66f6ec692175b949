"""Checks of a file's header against its actual contents, before any of it is trusted.

JSON is parsed strictly by the specification; tensors have to fill the file's data without gaps or overlaps.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

import numpy as np

from edge_rnn.errors import FileError
from edge_rnn.spelling import counted

__all__ = ["canonical_json", "check_record", "fits", "parse_json", "spell_type", "tensor_dtypes"]

_DTYPES = {
    code: np.dtype(name)
    for code, name in {"F64": "f8", "F32": "f4", "F16": "f2", "I32": "i4", "I16": "i2", "I8": "i1", "U8": "u1"}.items()
}

_TENSOR: dict[str, Any] = {"dtype": str, "shape": list[int], "data_offsets": list[int]}


def parse_json(text: bytes | str, what: str) -> Any:
    """Parse JSON strictly by the specification: no duplicate keys, no NaN, no excessive nesting."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key occurs twice")
        return dict(pairs)

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not a JSON number")

    try:
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        canonical_json(value).encode()  # a lone surrogate is valid JSON, but not text
    except (ValueError, RecursionError) as error:
        raise FileError(f"is not a safetensors file of edge_rnn: its {what} is not JSON: {error}") from None
    return value


def tensor_dtypes(header: object, data_bytes: int) -> dict[str, np.dtype[Any]]:
    """Return the dtype of each tensor, after checking that they fill the file's data without gaps or overlaps."""
    if not isinstance(header, dict):
        raise FileError(f"is not a safetensors file: its header is a {type(header).__name__}, expected an object")
    dtypes, places = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        check_record(f"tensor {reprlib.repr(name)}", entry, _TENSOR)
        dtype, shape, offsets = _DTYPES.get(entry["dtype"]), entry["shape"], entry["data_offsets"]
        if dtype is None:
            raise FileError(f"tensor {name!r} has dtype {entry['dtype']!r}, expected one of {', '.join(_DTYPES)}")
        if len(shape) > 8 or not all(0 <= n <= data_bytes for n in shape):
            raise FileError(
                f"tensor {name!r} has shape {reprlib.repr(shape)}, expected up to 8 lengths from 0 to {data_bytes}, "
                f"the bytes of the file's data"
            )
        length = math.prod(shape) * dtype.itemsize
        if len(offsets) != 2 or offsets[1] - offsets[0] != length:
            raise FileError(
                f"tensor {name!r} has the offsets {reprlib.repr(offsets)}, expected {counted(length, 'byte')}"
            )
        dtypes[name] = dtype
        places.append((*offsets, name))
    filled = 0
    for begin, end, name in sorted(places):
        if begin != filled:
            raise FileError(f"tensor {name!r} begins at byte {begin} of the data, expected {filled}")
        filled = end
    if filled != data_bytes:
        raise FileError(
            f"is truncated or too long: its tensors take {counted(filled, 'byte')}, the file holds {data_bytes}"
        )
    return dtypes


def canonical_json(value: object) -> str:
    """Return the canonical JSON text, which is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def check_record(what: str, value: object, hints: Mapping[str, Any]) -> None:
    """Refuse any value but a JSON object with exactly these keys and types."""
    if not isinstance(value, dict) or value.keys() != hints.keys():
        got = sorted(value) if isinstance(value, dict) else value
        raise FileError(f"{what} has {reprlib.repr(got)}, expected the keys {', '.join(hints)}")
    for key, hint in hints.items():
        if not fits(value[key], hint):
            raise FileError(f"{what} {key} got {reprlib.repr(value[key])}, expected {spell_type(hint)}")


def fits(value: object, hint: Any) -> bool:
    """True if a JSON value has the annotated type, which is one of the plain types of options."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin is list:
        return isinstance(value, list) and all(fits(each, parts[0]) for each in value)
    if hint is float:
        return (type(value) is int and abs(value) < 2**63) or (type(value) is float and math.isfinite(value))
    return type(value) is (NoneType if hint is None else origin or hint)


def spell_type(hint: Any) -> str:
    """Spell a type for a message."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    return str(hint) if get_args(hint) else str(hint.__name__)
