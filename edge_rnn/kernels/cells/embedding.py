"""Rows of a table: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import Operation, Packed, Record, Site, padded

__all__ = ["build", "pack"]


def pack(fields: Mapping[str, Any], site: Site) -> tuple[Operation, ...]:
    """Operations for the fields of an Embedding layer: rows padded to 8 floats, and their number."""
    weight = fields["weight"]
    rows = np.pad(weight, ((0, 0), (0, padded(weight.shape[1]) - weight.shape[1])))
    return (Operation("embedding", Packed(rows.ravel(), len(rows))),)


def build(name: str, target: Target, streams: int) -> Any:
    """Build the step: ``y = weight[x]``, with x rounded to the nearest integer and clipped to the table.

    The number may be another layer's output, so it can have any value: nothing outside the table is ever read, and a
    NaN makes the whole row NaN, which the stream's policy then handles.
    """
    from edge_rnn.kernels.vectors.load_store import at, load, store
    from edge_rnn.kernels.vectors.vector import splat

    zero, rounding = np.float32(0), np.float32(12582912.0)  # 1.5 * 2^23: adding it leaves a whole number

    def embedding(record, weights, arena):  # type: ignore[no-untyped-def]
        given, last = arena[record[Record.X]], np.float32(np.int32(record[Record.UNIT_FLOATS] - 1))
        wanted = zero  # row 0 for all that is not above 0, NaN included
        if given > zero:
            wanted = given if given < last else last
        place = np.int32((wanted + rounding) - rounding)
        row = at(weights, record[Record.WEIGHTS] + place * ((record[Record.N_OUT] + 7) // 8 * 8))
        if given == given:
            for i in range(0, record[Record.N_OUT], 8):
                store(load(8, row, i), arena, record[Record.OUT] + i)
        else:
            for i in range(0, record[Record.N_OUT], 8):
                store(splat(8, given), arena, record[Record.OUT] + i)

    return embedding
