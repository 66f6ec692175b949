"""What a piece of work with a memory knows at a moment, in bytes: whole numbers and arrays, with whose they are.

Layout, little-endian: magic, SHA-256 of the text that says what was made, number of bytes that follow, CRC-32 of these:
the whole numbers as int64, then the arrays as they lie in memory.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from edge_rnn.errors import StateError
from edge_rnn.spelling import counted
from edge_rnn.typing import AnyArray

__all__ = ["pack", "refused", "unpack"]

_HEAD = struct.Struct("<8s32sII")
_MAGIC = b"ERNNfe01"


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
    return _HEAD.pack(_MAGIC, _fingerprint(spec), len(payload), zlib.crc32(payload)) + payload


def unpack(spec: str, data: bytes, numbers: int, arrays: Sequence[AnyArray]) -> tuple[tuple[int, ...], list[AnyArray]]:
    """The whole numbers in ``data``, and arrays of the shapes and number types of ``arrays``, which stay as they are.

    A checksum says that bytes are as somebody wrote them, not that :func:`pack` did. Whether the values can be what was
    packed is for the caller to check, who knows what they mean: see :func:`refused`.

    Raises
    ------
    StateError
        The bytes are damaged, of another version, or of something that was made otherwise.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise StateError(f"restore got {type(data).__name__}, expected the bytes of snapshot().")
    data = bytes(data)
    if not data.startswith(_MAGIC) or len(data) < _HEAD.size:
        raise StateError("restore got bytes that are not a snapshot of this version; they begin otherwise.")
    _, fingerprint, length, checksum = _HEAD.unpack_from(data)
    if fingerprint != _fingerprint(spec):
        raise StateError(f"restore got a snapshot of something else than {spec!r}; make it with the same options.")
    payload = data[_HEAD.size :]
    if not length == len(payload) == 8 * numbers + sum(array.nbytes for array in arrays):
        raise StateError(
            f"restore got {counted(len(data), 'byte')}, which is not what {spec!r} needs; it is cut off or padded."
        )
    if checksum != zlib.crc32(payload):
        raise StateError("restore got a damaged snapshot: its checksum does not fit; use an older one, or reset.")
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
