"""Reading and nothing else: what the memory that a model's weights sit in can deliver, from a compiled loop.

The yardstick of :mod:`edge_rnn.timing`, with the signature of every other kernel but a record of its own.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

__all__ = ["ReadRecord", "build"]


class ReadRecord(IntEnum):
    """What the record of a reading loop holds, int32 each."""

    FLOATS = 0
    """How many floats to read, a multiple of 8."""
    TIMES = 1
    """How often."""


_FLOATS, _TIMES = int(ReadRecord.FLOATS), int(ReadRecord.TIMES)


def build(name: str, block: int, streams: int = 1) -> Any:
    """The compiled loop: adds ``floats`` values up ``times`` over, as vectors of 8; the 8 sums go to ``arena[:8]``.

    Eight sums are under way at once, so that loads are what it waits for and not the additions. The sums of one pass
    are carried into the next: no pass can be left out.
    """
    import numpy as np

    from edge_rnn.kernels.memory import load, store
    from edge_rnn.kernels.vector import splat

    zero = np.float32(0)

    def read(record, weights, arena):  # type: ignore[no-untyped-def]
        floats = record[_FLOATS]
        whole = floats // 64 * 64
        a = b = c = d = e = f = g = h = splat(8, zero)
        for _ in range(record[_TIMES]):
            for i in range(0, whole, 64):
                a = a + load(8, weights, i)
                b = b + load(8, weights, i + 8)
                c = c + load(8, weights, i + 16)
                d = d + load(8, weights, i + 24)
                e = e + load(8, weights, i + 32)
                f = f + load(8, weights, i + 40)
                g = g + load(8, weights, i + 48)
                h = h + load(8, weights, i + 56)
            for i in range(whole, floats, 8):
                a = a + load(8, weights, i)
        store((a + b) + (c + d) + ((e + f) + (g + h)), arena, 0)

    return read
