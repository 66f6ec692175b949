"""Dense layer: packing and step, softmax in two more passes over the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.kernels.panels import bias_of, chains, gates_of, pack_panels, widths
from edge_rnn.kernels.record import Operation, Record

__all__ = ["build", "pack"]


def pack(fields: Mapping[str, Any], block: int) -> Operation:
    """Operation for the fields of a Dense layer: panels of [bias | weight].

    For softmax, outputs that only exist as padding have the bias -inf and so no share in the sum.
    """
    activation = fields["activation"]
    scale = (0.5 if activation == "sigmoid" else 1.0,)  # sigmoid(z) is computed as tanh(z / 2) / 2 + 1 / 2
    segments = gates_of(bias_of(fields, "bias"), scale), gates_of(fields["weight"], scale)
    pad = -np.inf if activation == "softmax" else 0.0
    return Operation(f"dense_{activation}", pack_panels(segments, block, 1, pad=pad))


def build(name: str, block: int) -> Any:
    """The compiled step: ``y = activation(b + W x)``, activation as the name says."""
    from edge_rnn.kernels import activations
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.sweep import sweep
    from edge_rnn.kernels.vector import at, fma_rows, largest_lane, load, maximum, splat, store, sum_of_lanes

    by_name = {
        "dense_none": activations.identity,
        "dense_softmax": activations.identity,
        "dense_sigmoid": activations.sigmoid_of_twice,
        "dense_tanh": activations.tanh,
        "dense_relu": activations.relu,
    }
    activation, exp = by_name[name], activations.exp
    x_at, n_in_at, n_out_at, out_at = int(Record.X), int(Record.N_IN), int(Record.N_OUT), int(Record.OUT)

    def panel(lanes: int) -> Any:
        split = chains(block, 1, lanes)

        @helper
        def panel(record, w, arena, unit):  # type: ignore[no-untyped-def]
            n_in = record[n_in_at]
            (total,) = fma_rows(split, (load(lanes, w, 0),), at(w, lanes), at(arena, record[x_at]), n_in)
            store(activation(total), arena, record[out_at] + unit)
            return at(w, lanes * (1 + n_in))

        return panel

    affine = sweep((panel, widths(block, 1)))
    if name != "dense_softmax":
        return affine
    affine = helper(affine)

    def softmax(record, weights, arena):  # type: ignore[no-untyped-def]
        affine(record, weights, arena)
        out, n_out = at(arena, record[out_at]), record[n_out_at]
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
