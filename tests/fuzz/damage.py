"""Damage to files, drawn from a :class:`random.Random`: to bytes, words, JSON, archives and protobuf messages."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

__all__ = ["archive", "as_json", "bits", "message", "scalar", "several", "text_lines", "tree", "words"]

NUMBERS = (0, 1, 2, 3, 5, 7, 8, 15, 31, 63, 100, 127, 128, 255, 256, 1023, 4095, 2**15, 2**16 - 1, 2**16, 2**20, 2**24)
LARGE = (2**28, 2**30, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**24)
REALS = (0.0, -0.0, 0.25, -1.0, 1e-44, 1e-36, 1e-310, 1e6, 3.3e38, -3.3e38, 1e39, 1e308, 98765.4321)
TEXTS = (
    "",
    "a",
    "b" * 99,
    "../up",
    "/dev/null",
    "\0",
    "\x1b]0;title\x07",
    "\u2066hidden",
    "ü",
    "nan",
    "-3",
    "tanh",
    "LSTM",
)


def several(rng: Random) -> int:
    """Number of times that a file is damaged: mostly once."""
    return rng.choice((1, 1, 1, 1, 2, 3, 5))


def bits(rng: Random, data: bytes) -> bytes:
    """Damage bytes: flip bits, insert numbers, cut, repeat or move pieces, or truncate."""
    found = bytearray(data)
    for _ in range(several(rng)):
        if not found:
            break
        place, length = rng.randrange(len(found)), rng.choice((1, 2, 4, 8, 40, 200))
        other = rng.randrange(len(found))
        match rng.choice(("bit", "byte", "number", "cut", "double", "move", "noise", "end", "swap")):
            case "bit":
                found[place] ^= 1 << rng.randrange(8)
            case "byte":
                found[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case "number":
                size = rng.choice((2, 4, 8))
                found[place : place + size] = (rng.choice(NUMBERS + LARGE) % 256**size).to_bytes(size, "little")
            case "cut":
                del found[place : place + length]
            case "double":
                found[place:place] = found[place : place + length]
            case "move":
                found[place : place + length] = found[other : other + length]
            case "noise":
                found[place : place + length] = rng.randbytes(length)
            case "end":
                del found[place:]
            case "swap":
                piece = found[place : place + length]
                del found[place : place + length]
                found[other:other] = piece
    return bytes(found)


def words(rng: Random, data: bytes, edge: int = 4096) -> bytes:
    """Change aligned words slightly, or to other numbers, mostly within ``edge`` bytes of an end."""
    found = bytearray(data)
    for _ in range(several(rng)):
        size = rng.choice((1, 2, 4, 4, 4, 8))
        count = len(found) // size
        if not count:
            break
        near = min(count, edge // size)
        at = size * rng.choice((rng.randrange(count), rng.randrange(near), count - 1 - rng.randrange(near)))
        old = int.from_bytes(found[at : at + size], "little")
        other = size * rng.randrange(count)
        new = rng.choice((
            rng.choice(NUMBERS + LARGE), old + rng.choice((-16, -4, -1, 1, 4, 16)), old ^ 1 << rng.randrange(8 * size),
            int.from_bytes(found[other : other + size], "little"), -old,
        ))  # fmt: skip
        found[at : at + size] = (new % 256**size).to_bytes(size, "little")
    return bytes(found)


def scalar(rng: Random, old: object = None) -> Any:
    """Replacement of a value: often of the same type."""
    near: list[Any] = []
    match old:
        case bool():
            near = [not old]
        case int():
            near = [old - 1, old + 1, 2 * old, -old, old // 2]
        case float():
            near = [-old, 1.5 * old, 1e30 * old, *REALS[:4]]
        case str():
            near = [old + "_", old[1:], old.swapcase(), old * 40]
        case list():
            near = [[], old[1:], old * 2, old[::-1], [old]]
        case dict():
            near = [{}, [old]]
    if near and rng.random() < 0.5:
        return copy.deepcopy(rng.choice(near))
    kinds = (None, True, [], {}, [[0.5]], {"x": [1]}, rng.choice(NUMBERS), rng.choice(LARGE), -1, rng.choice(REALS))
    return copy.deepcopy(rng.choice((*kinds, rng.choice(TEXTS), rng.choice(TEXTS))))


def _places(value: Any, most: int = 24) -> Iterator[tuple[Any, Any]]:
    """Containers and keys of a tree; only the first ones of a long list."""
    keys = list(value) if isinstance(value, dict) else range(min(len(value), most)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key], most)


def tree(rng: Random, value: Any) -> Any:
    """Damage JSON: replace, omit, duplicate, exchange or rename values."""
    value = copy.deepcopy(value)
    for _ in range(several(rng)):
        found = list(_places(value))
        if not found:
            break
        (at, key), (there, other) = rng.choice(found), rng.choice(found)
        match rng.choice(("replace", "replace", "replace", "leave out", "copy", "exchange", "rename")):
            case "replace":
                at[key] = scalar(rng, at[key])
            case "leave out":
                del at[key]
            case "copy":
                at[key] = copy.deepcopy(there[other])
            case "exchange":
                if at is there:
                    at[key], at[other] = at[other], at[key]
            case "rename":
                if isinstance(at, dict):
                    at[rng.choice((*TEXTS, f"{key}1", str(key)[:-1]))] = at.pop(key)
    return value


def as_json(value: Any) -> bytes:
    """Encode JSON as Python does, including NaN and lone surrogates."""
    return json.dumps(value).encode()


def archive(rng: Random, members: dict[str, bytes], damage: dict[str, Callable[[Random, bytes], bytes]]) -> bytes:
    """Damage one member, the directory or the bytes of a zip archive."""
    members = dict(members)
    how = rng.random()
    if how < 0.7:
        name = rng.choice(list(damage))
        members[name] = damage[name](rng, members[name])
    elif how < 0.75:
        del members[rng.choice(list(members))]
    elif how < 0.8:
        members[rng.choice(TEXTS)] = members[rng.choice(list(members))]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as new:
        for name, data in members.items():
            new.writestr(zipfile.ZipInfo(name), data, new.compression)  # of no date: the same bytes every day
    whole = file.getvalue()
    return whole if how < 0.8 else words(rng, whole, 512) if how < 0.92 else bits(rng, whole)


def text_lines(rng: Random, text: str, lines: tuple[str, ...]) -> str:
    """Damage text: replace, duplicate or omit some lines."""
    found = text.split("\n")
    for _ in range(several(rng)):
        place = rng.randrange(len(found))
        found[place : place + rng.choice((0, 1, 1, 1))] = rng.choice(([rng.choice(lines)], [rng.choice(found)], []))
        found = found or [""]
    return "\n".join(found)


def message(rng: Random, proto: Any) -> None:
    """Damage a protobuf message: change, clear, duplicate or exchange fields, at any depth."""
    for _ in range(several(rng)):
        found = list(_fields(proto))
        if not found:
            return
        holder, field, repeated = rng.choice(found)
        value = getattr(holder, field.name)
        if rng.random() < 0.15:
            holder.ClearField(field.name)
        elif field.type == field.TYPE_MESSAGE:
            if repeated and value:
                first, second = rng.randrange(len(value)), rng.randrange(len(value))
                match rng.choice(("double", "leave out", "overwrite")):
                    case "double":
                        value.add().CopyFrom(value[first])
                    case "leave out":
                        del value[first]
                    case "overwrite" if first != second:
                        value[first].CopyFrom(value[second])
        elif repeated:
            place = rng.randrange(len(value))
            new = _of_field(rng, field, value[place])
            value[place : place + rng.choice((0, 1, 1))] = [new] if new is not None else []
        else:
            new = _of_field(rng, field, value)
            if new is not None:
                setattr(holder, field.name, new)


def _fields(proto: Any, depth: int = 7) -> Iterator[tuple[Any, Any, bool]]:
    for field, value in proto.ListFields():
        repeated = not isinstance(value, int | float | str | bytes) and not hasattr(value, "ListFields")
        yield proto, field, repeated
        if field.type == field.TYPE_MESSAGE and depth:
            for each in list(value) if repeated else [value]:
                yield from _fields(each, depth - 1)


def _of_field(rng: Random, field: Any, old: Any) -> Any:
    """Value for a field; None if the drawn value is invalid."""
    if field.type == field.TYPE_STRING:
        return rng.choice((*TEXTS, old + "_", "x", "y", "Identity", "MatMul", "Loop", "Scan"))
    if field.type == field.TYPE_BYTES:
        return bits(rng, old) if old else rng.randbytes(rng.choice((0, 4, 64)))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return rng.choice(REALS[:10])
    if field.type == field.TYPE_ENUM:
        return rng.choice([each.number for each in field.enum_type.values])
    new = rng.choice((old + 1, old - 1, -1, rng.choice(NUMBERS), rng.choice(LARGE)))
    bounds = (0, 2**64) if field.type in (field.TYPE_UINT32, field.TYPE_UINT64) else (-(2**63), 2**63)
    narrow = field.type in (field.TYPE_INT32, field.TYPE_UINT32)
    return new if (-(2**31) <= new < 2**31 if narrow else bounds[0] <= new < bounds[1]) else None
