"""Softmax, in place: the second operation of a Dense layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import Record

__all__ = ["build"]


def build(name: str, target: Target, streams: int) -> Any:
    """Build the step: ``y = exp(y - max y) / sum``, over outputs whose padding holds -inf."""
    from edge_rnn.kernels.vectors.activations import exp
    from edge_rnn.kernels.vectors.load_store import at, load, store
    from edge_rnn.kernels.vectors.vector import largest_lane, maximum, splat, sum_of_lanes

    def softmax(record, weights, arena):  # type: ignore[no-untyped-def]
        out, n_out = at(arena, record[Record.OUT]), record[Record.N_OUT]
        most = load(8, out, 0)
        for unit in range(8, n_out, 8):
            most = maximum(most, load(8, out, unit))
        highest = largest_lane(most)
        total = splat(8, np.float32(0))
        for unit in range(0, n_out, 8):
            share = exp(load(8, out, unit) - highest)
            store(share, out, unit)
            total = total + share
        whole = sum_of_lanes(total)
        for unit in range(0, n_out, 8):
            store(load(8, out, unit) / whole, out, unit)

    return softmax
