"""Reduction of a vector to a single number, which is broadcast so that any vector operation can read it."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import Record

__all__ = ["build"]


def build(name: str, target: Target, streams: int) -> Any:
    """Build ``reduce_total``, ``out[:] = sum(x)``, or ``reduce_largest``, ``out[:] = max(x)``."""
    from edge_rnn.kernels.vectors.load_store import at, load, store
    from edge_rnn.kernels.vectors.vector import first_lanes, largest_lane, maximum, splat, sum_of_lanes

    def reduce_total(record, weights, arena):  # type: ignore[no-untyped-def]
        x, n_in, out = at(arena, record[Record.X]), record[Record.N_IN], at(arena, record[Record.OUT])
        total = splat(8, np.float32(0))
        whole = n_in // 8 * 8
        for i in range(0, whole, 8):
            total = total + load(8, x, i)
        if whole < n_in:
            total = total + first_lanes(load(8, x, whole), n_in - whole)
        result = splat(8, sum_of_lanes(total))
        for i in range(0, record[Record.N_OUT], 8):
            store(result, out, i)

    def reduce_largest(record, weights, arena):  # type: ignore[no-untyped-def]
        x, n_in, out = at(arena, record[Record.X]), record[Record.N_IN], at(arena, record[Record.OUT])
        most = splat(8, x[0])
        whole = n_in // 8 * 8
        for i in range(0, whole, 8):
            most = maximum(most, load(8, x, i))
        for i in range(whole, n_in):
            most = maximum(most, splat(8, x[i]))
        result = splat(8, largest_lane(most))
        for i in range(0, record[Record.N_OUT], 8):
            store(result, out, i)

    return {"reduce_total": reduce_total, "reduce_largest": reduce_largest}[name]
