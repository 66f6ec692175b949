"""Dense layer: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.kernels.panels import bias_of, chains, gates_of, pack_panels, widths
from edge_rnn.kernels.record import Operation, Record

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True


def pack(fields: Mapping[str, Any], block: int) -> tuple[Operation, ...]:
    """Operations for the fields of a Dense layer: panels of [bias | weight]; softmax is an operation of its own.

    For softmax, outputs that only exist as padding have the bias -inf: a share of e^-87 in the sum.
    """
    activation = fields["activation"]
    scale = (0.5 if activation == "sigmoid" else 1.0,)  # sigmoid(z) is computed as tanh(z / 2) / 2 + 1 / 2
    segments = gates_of(bias_of(fields, "bias"), scale), gates_of(fields["weight"], scale)
    if activation == "softmax":
        packed = pack_panels(segments, block, 1, pad=-np.inf)
        return Operation("dense_none", (packed,)), Operation("softmax")
    return (Operation(f"dense_{activation}", (pack_panels(segments, block, 1),)),)


def build(name: str, block: int, streams: int) -> Any:
    """The compiled step: ``y = activation(b + W x)``, activation as the name says."""
    from edge_rnn.kernels import activations
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at, each, load_shared, store_each
    from edge_rnn.kernels.rows import fma_rows
    from edge_rnn.kernels.sweep import sweep

    by_name = {
        "dense_none": activations.identity,
        "dense_sigmoid": activations.sigmoid_of_twice,
        "dense_tanh": activations.tanh,
        "dense_relu": activations.relu,
    }
    activation = by_name[name]
    x_at, n_in_at, out_at = int(Record.X), int(Record.N_IN), int(Record.OUT)

    def panel(width: int, lanes: int) -> Any:
        split = chains(block, 1, lanes * streams)

        @helper
        def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
            n_in = records[0][n_in_at]
            total = (load_shared(lanes, streams, w, 0),)
            w = at(w, width)
            (total,) = fma_rows(split, total, w, width, each(records, arenas, x_at, 0), n_in)
            store_each(activation(total), each(records, arenas, out_at, unit))

        return panel

    return sweep(streams, (panel, widths(block, 1)))
