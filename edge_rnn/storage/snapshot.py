"""Snapshots: the state of a stream, front end or loop as bytes that identify their owner.

Layout of all kinds, little-endian: magic of 8 bytes, the last two of them the version; SHA-256 of the snapshot's owner;
fields specific to the kind; length of the payload, in items; CRC-32; payload. The checksum covers the payload, and the
head before it if the kind has fields in it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from edge_rnn.digest import sha256
from edge_rnn.errors import StateError, StateTypeError
from edge_rnn.spelling import counted
from edge_rnn.typing import AnyArray

__all__ = ["LOOP", "STREAM", "Kind", "Snapshot", "decode", "encode", "pack", "refused", "unpack"]

_CHECKSUM = struct.Struct("<I")


class Kind(NamedTuple):
    """Properties that distinguish one kind of snapshot."""

    magic: bytes
    fields: str = ""
    """Fields of the head specific to the kind, as format characters of :mod:`struct`."""
    length: str = "I"
    """Format character of the length field."""
    item: int = 1
    """Bytes per unit of the length."""

    @property
    def head(self) -> struct.Struct:
        """Structure of the head, without the checksum."""
        return struct.Struct(f"<8s32s{self.fields}{self.length}")


STREAM = Kind(b"ERNNst01", item=4)
"""Stream: its state in float32. The owner is the fingerprint of a model."""

_FRONT_END = Kind(b"ERNNfe01")
"""Front end or back-end rule: integers as int64, then arrays. The owner is the SHA-256 of its spec."""

LOOP = Kind(b"ERNNlp01", fields="Qd", length="Q")
"""Loop: steps done, Unix time; a stream's snapshot. The owner is the fingerprint of a model."""


class Snapshot(NamedTuple):
    """Snapshot that is complete and undamaged."""

    owner: bytes
    """SHA-256 of its owner."""
    fields: tuple[Any, ...]
    payload: bytes


def encode(kind: Kind, owner: bytes, payload: bytes, *fields: float) -> bytes:
    """Encode a snapshot for :func:`decode`."""
    head = kind.head.pack(kind.magic, owner, *fields, len(payload) // kind.item)
    return head + _CHECKSUM.pack(_checksum(kind, head, payload)) + payload


def decode(kind: Kind, data: object, where: str = "restore") -> Snapshot:
    """Decode a snapshot, after checking that it is complete and undamaged.

    The checksum proves that bytes are unchanged, not that :func:`encode` wrote them. The caller has to check the owner,
    and that the values are possible ones, as only it knows their meaning.

    Parameters
    ----------
    where
        Start of the message: the call, or the file.

    Raises
    ------
    StateError
        The bytes are damaged, of another version, or not a snapshot of this kind.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise StateTypeError(f"{where} got {type(data).__name__}, expected the bytes of snapshot().")
    data, size = bytes(data), kind.head.size
    if not data.startswith(kind.magic) or len(data) < size + _CHECKSUM.size:
        raise StateError(f"{where} got bytes that are not a snapshot of this version (bad magic number).")
    head, payload = data[:size], data[size + _CHECKSUM.size :]
    _, owner, *fields, length = kind.head.unpack(head)
    if length * kind.item != len(payload):
        raise StateError(
            f"{where} got a snapshot of {counted(len(data), 'byte')}, expected "
            f"{len(data) - len(payload) + length * kind.item:,}, as stated in its head; it is truncated or padded."
        )
    if data[size : size + _CHECKSUM.size] != _CHECKSUM.pack(_checksum(kind, head, payload)):
        raise StateError(f"{where} got a damaged snapshot: its checksum does not match; use an older one, or reset.")
    return Snapshot(owner, tuple(fields), payload)


def _checksum(kind: Kind, head: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(head) if kind.fields else 0)


def pack(spec: str, numbers: Sequence[int], arrays: Sequence[AnyArray]) -> bytes:
    """Serialize integers and arrays for :func:`unpack`.

    Parameters
    ----------
    spec
        Spec of the owner with its options: bytes of another spec are refused.
    numbers
        Integers, each in 64 bits.
    arrays
        Arrays of any shape and numeric dtype.
    """
    payload = struct.pack(f"<{len(numbers)}q", *numbers) + b"".join(map(_as_bytes, arrays))
    return encode(_FRONT_END, _fingerprint(spec), payload)


def unpack(spec: str, data: bytes, numbers: int, arrays: Sequence[AnyArray]) -> tuple[tuple[int, ...], list[AnyArray]]:
    """Return the integers in ``data``, and arrays with the shapes and dtypes of ``arrays``, which are not changed.

    Raises
    ------
    StateError
        The bytes are damaged, of another version, or of an object with another spec.
    """
    owner, _, payload = decode(_FRONT_END, data)
    if owner != _fingerprint(spec):
        raise StateError(
            f"restore got a snapshot of another object, expected one of {spec!r}; create it with the same options."
        )
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
    """Return the error for values that no snapshot of ``spec`` can hold."""
    return StateError(f"restore got values that {spec!r} cannot have; use a snapshot made by it, or reset.")


def _as_bytes(array: AnyArray) -> bytes:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _fingerprint(spec: str) -> bytes:
    return sha256(spec.encode()).digest()
