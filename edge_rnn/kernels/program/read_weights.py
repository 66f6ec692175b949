"""Bandwidth probe: a compiled loop that only reads a model's weights.

:mod:`edge_rnn.timing` compares steps with it. It has the signature of every other kernel, but a record of its own.
"""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.compile.words import Words

__all__ = ["ReadRecord", "build"]


class ReadRecord(Words):
    """Layout of the record of a reading loop, int32 each."""

    FLOATS = 0
    """Number of floats to read, a multiple of 8."""
    TIMES = 1
    """Number of passes."""


def build(name: str, target: Target, streams: int = 1) -> Any:
    """Build the loop: add up ``floats`` values, ``times`` over; the sums go to ``arena[:24]``.

    Vectors have 8 floats, or 16 if a register holds that many. Eight sums are in flight at once, so that the loop waits
    for loads and not for additions. The sums of one pass are carried into the next, so that no pass can be optimized
    away.
    """
    import numpy as np

    from edge_rnn.kernels.vectors.load_store import load, store
    from edge_rnn.kernels.vectors.vector import splat

    zero = np.float32(0)
    lanes = 16 if target.register_bits == 512 else 8
    turn = 8 * lanes

    def read(record, weights, arena):  # type: ignore[no-untyped-def]
        floats = record[ReadRecord.FLOATS]
        whole = floats // turn * turn
        a = b = c = d = e = f = g = h = splat(lanes, zero)
        rest = splat(8, zero)
        for _ in range(record[ReadRecord.TIMES]):
            for i in range(0, whole, turn):
                a = a + load(lanes, weights, i)
                b = b + load(lanes, weights, i + lanes)
                c = c + load(lanes, weights, i + 2 * lanes)
                d = d + load(lanes, weights, i + 3 * lanes)
                e = e + load(lanes, weights, i + 4 * lanes)
                f = f + load(lanes, weights, i + 5 * lanes)
                g = g + load(lanes, weights, i + 6 * lanes)
                h = h + load(lanes, weights, i + 7 * lanes)
            for i in range(whole, floats, 8):
                rest = rest + load(8, weights, i)
        store((a + b) + (c + d) + ((e + f) + (g + h)), arena, 0)
        store(rest, arena, 16)

    return read
