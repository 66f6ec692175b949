"""Snapshots: what a piece of work with a memory knows at a moment, in bytes that name whose they are.

Layout of all kinds, little-endian: magic of 8 bytes, the last two of them the version; SHA-256 of what the snapshot
belongs to; fields that the kind has of its own; length of the payload, in items; CRC-32; payload. The checksum is that
of the payload, and of the head before it where the kind has fields in there.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from edge_rnn.errors import StateError, StateTypeError
from edge_rnn.spelling import counted
from edge_rnn.typing import AnyArray

__all__ = ["LOOP", "STREAM", "Kind", "Snapshot", "decode", "encode", "pack", "refused", "unpack"]

_CHECKSUM = struct.Struct("<I")


class Kind(NamedTuple):
    """What tells one kind of snapshots from the others."""

    magic: bytes
    fields: str = ""
    """Own fields of the head, by the letters of :mod:`struct`."""
    length: str = "I"
    """Letter of the field that holds the length."""
    item: int = 1
    """Bytes that the length counts as one."""

    @property
    def head(self) -> struct.Struct:
        """What stands before the checksum."""
        return struct.Struct(f"<8s32s{self.fields}{self.length}")


STREAM = Kind(b"ERNNst01", item=4)
"""A stream: its state in float32. It belongs to the model of a fingerprint."""

_FRONT_END = Kind(b"ERNNfe01")
"""A front end, or a back end's rule: whole numbers as int64, then arrays. It belongs to what a spelling makes."""

LOOP = Kind(b"ERNNlp01", fields="Qd", length="Q")
"""A loop: steps done, Unix time; a stream's snapshot. It belongs to the model of a fingerprint."""


class Snapshot(NamedTuple):
    """A snapshot that is whole."""

    owner: bytes
    """SHA-256 of what it belongs to."""
    fields: tuple[Any, ...]
    payload: bytes


def encode(kind: Kind, owner: bytes, payload: bytes, *fields: float) -> bytes:
    """The bytes that :func:`decode` takes."""
    head = kind.head.pack(kind.magic, owner, *fields, len(payload) // kind.item)
    return head + _CHECKSUM.pack(_checksum(kind, head, payload)) + payload


def decode(kind: Kind, data: object, where: str = "restore") -> Snapshot:
    """Take a snapshot apart, once it is known to be whole.

    A checksum says that bytes are as somebody wrote them, not that :func:`encode` did. Whose they are, and whether the
    values can be what was kept, is for the caller to check, who knows what they mean.

    Parameters
    ----------
    where
        Begins the message: the call, or the file.

    Raises
    ------
    StateError
        The bytes are damaged, of another version, or no snapshot of this kind.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise StateTypeError(f"{where} got {type(data).__name__}, expected the bytes of snapshot().")
    data, size = bytes(data), kind.head.size
    if not data.startswith(kind.magic) or len(data) < size + _CHECKSUM.size:
        raise StateError(f"{where} got bytes that are not a snapshot of this version; they begin otherwise.")
    head, payload = data[:size], data[size + _CHECKSUM.size :]
    _, owner, *fields, length = kind.head.unpack(head)
    if length * kind.item != len(payload):
        raise StateError(
            f"{where} got a snapshot of {counted(len(data), 'byte')}, expected "
            f"{len(data) - len(payload) + length * kind.item:,}, as its head says; it is cut off or padded."
        )
    if data[size : size + _CHECKSUM.size] != _CHECKSUM.pack(_checksum(kind, head, payload)):
        raise StateError(f"{where} got a damaged snapshot: its checksum does not fit; use an older one, or reset.")
    return Snapshot(owner, tuple(fields), payload)


def _checksum(kind: Kind, head: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(head) if kind.fields else 0)


def pack(spec: str, numbers: Sequence[int], arrays: Sequence[AnyArray]) -> bytes:
    """The bytes that :func:`unpack` takes.

    Parameters
    ----------
    spec
        What was made, in words that name its options: bytes of one are refused by another.
    numbers
        Whole numbers, each in 64 bits.
    arrays
        Arrays of any shape and number type.
    """
    payload = struct.pack(f"<{len(numbers)}q", *numbers) + b"".join(map(_as_bytes, arrays))
    return encode(_FRONT_END, _fingerprint(spec), payload)


def unpack(spec: str, data: bytes, numbers: int, arrays: Sequence[AnyArray]) -> tuple[tuple[int, ...], list[AnyArray]]:
    """The whole numbers in ``data``, and arrays of the shapes and number types of ``arrays``, which stay as they are.

    Raises
    ------
    StateError
        The bytes are damaged, of another version, or of something that was made otherwise.
    """
    owner, _, payload = decode(_FRONT_END, data)
    if owner != _fingerprint(spec):
        raise StateError(f"restore got a snapshot of something else than {spec!r}; make it with the same options.")
    if len(payload) != 8 * numbers + sum(array.nbytes for array in arrays):
        raise refused(spec)
    begin = 8 * numbers
    found = []
    for array in arrays:
        piece = payload[begin : begin + array.nbytes]
        if array.dtype == np.bool_ and not {*piece} <= {0, 1}:
            raise refused(spec)
        found.append(np.frombuffer(piece, array.dtype.newbyteorder("<")).reshape(array.shape).astype(array.dtype))
        begin += array.nbytes
    return struct.unpack_from(f"<{numbers}q", payload), found


def refused(spec: str) -> StateError:
    """The error for values that no snapshot of ``spec`` can hold."""
    return StateError(f"restore got values that {spec!r} cannot have; use a snapshot that it made, or reset.")


def _as_bytes(array: AnyArray) -> bytes:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _fingerprint(spec: str) -> bytes:
    return hashlib.sha256(spec.encode()).digest()
