"""Layouts of integer matrices and vectors in memory, byte by byte, as the kernels' documentation describes them.

Written from the words and not from the code: ``segments`` packs what this does, and ``int_rows`` reads it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEPTHS", "segment_bytes", "vector_bytes"]

DEPTHS = {"vnni": 4, "sdot": 4, "pmaddwd": 2, "mla": 1}
"""Rows side by side for each unit: as many as one instruction of the CPU adds up."""


def segment_bytes(kind: str, dot: str, values: NDArray[np.int8], scales: NDArray[np.float32]) -> bytes:
    """A segment of integers.

    Parameters
    ----------
    kind
        ``"int8"``, ``"w8a8"`` or ``"int4"``.
    dot
        The CPU's way to multiply, see ``Target.dot``.
    values
        ``(rows, gates, units)``.
    scales
        ``(groups, gates, units)``: one group, or one for each 32 rows of int4.
    """
    rows = len(values)
    if kind != "int4":
        return _head(dot, values, scales[0]) + _body(dot, values)
    groups = [values[start : start + 32] for start in range(0, rows, 32)]
    return b"".join(_head(dot, group, scale) + _halved(dot, group) for group, scale in zip(groups, scales, strict=True))


def _head(dot: str, values: NDArray[np.int8], scale: NDArray[np.float32]) -> bytes:
    """Scales, and the correction for CPUs to which values of the vector are given with 128 added."""
    words = scale.astype("<f4").tobytes()
    if dot == "vnni":
        words += (-128 * values.astype(np.int64).sum(axis=0)).astype("<i4").tobytes()
    return words


def _body(dot: str, values: NDArray[np.int8]) -> bytes:
    """Values of one byte each, rows padded to 4."""
    rows, gates, units = values.shape
    depth, found = DEPTHS[dot], np.zeros(-(-rows // 4) * 4 * gates * units, np.uint8)
    for (k, g, u), value in np.ndenumerate(values):
        found[(k // depth * gates * units + g * units + u) * depth + k % depth] = int(value) % 256
    return found.tobytes()


def _halved(dot: str, values: NDArray[np.int8]) -> bytes:
    """Values of half a byte each, rows padded to 8: the first of each two blocks of rows is in the low halves."""
    rows, gates, units = values.shape
    depth, found = DEPTHS[dot], np.zeros(-(-rows // 8) * 4 * gates * units, np.uint8)
    for (k, g, u), value in np.ndenumerate(values):
        block, within = divmod(k, depth)
        place = (block // 2 * gates * units + g * units + u) * depth + within
        found[place] |= (int(value) % 16) << (4 if block % 2 else 0)
    return found.tobytes()


def vector_bytes(kind: str, dot: str, step: float, integers: NDArray[np.int64]) -> bytes:
    """Rounded vector: the step, seven arbitrary floats, and integers padded to a multiple of 8."""
    head = np.array([step] + [np.nan] * 7, "<f4").tobytes()
    if kind == "w8a8" and dot in ("vnni", "sdot"):
        return head + bytes((int(v) + (128 if dot == "vnni" else 0)) % 256 for v in integers)
    if dot not in ("vnni", "sdot"):
        return head + integers.astype("<i2").tobytes()
    found = bytearray()
    for start in range(0, len(integers), 4):
        four = [int(v) for v in integers[start : start + 4]]
        if dot == "vnni":  # v = 256 high + low, high with 128 added, low from 0 to 255
            found += bytes((v >> 8) + 128 for v in four) + bytes(v & 255 for v in four)
        else:  # low from -128 to 127
            lows = [(v + 128) % 256 - 128 for v in four]
            found += bytes((v - low) // 256 % 256 for v, low in zip(four, lows, strict=True))
            found += bytes(low % 256 for low in lows)
    return head + bytes(found)
