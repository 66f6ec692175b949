"""Long short-term memory: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_rnn.kernels.panels import bias_of, chains, gates_of, pack_panels, widths
from edge_rnn.kernels.record import Operation, Record

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True

_GATES = 4


def pack(fields: Mapping[str, Any], block: int) -> tuple[Operation, ...]:
    """Operations for the fields of an LSTM layer: panels of [bias | input | recurrent], gates i f g o.

    The sigmoid gates are halved, since ``sigmoid(z)`` is computed as ``tanh(z / 2) / 2 + 1 / 2``.
    """
    half = (0.5, 0.5, 1.0, 0.5)
    bias = bias_of(fields, "bias_ih") + bias_of(fields, "bias_hh")
    segments = (gates_of(part, half) for part in (bias, fields["weight_ih"], fields["weight_hh"]))
    return (Operation("lstm", (pack_panels(tuple(segments), block, _GATES),)),)


def build(name: str, block: int, streams: int) -> Any:
    """The compiled step: ``c' = f c + i g``, ``h' = o tanh(c')``."""
    from edge_rnn.kernels.activations import sigmoid_of_twice, tanh
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at, each, load_each, load_shared, store_each
    from edge_rnn.kernels.rows import fma_rows
    from edge_rnn.kernels.sweep import sweep
    from edge_rnn.kernels.vector import flush_tiny, fma

    x_at, n_in_at, n_out_at = int(Record.X), int(Record.N_IN), int(Record.N_OUT)
    h_old, h_new, c_old, c_new = (int(Record.STATE) + slot for slot in range(4))

    def panel(width: int, lanes: int) -> Any:
        split = chains(block, _GATES, lanes * streams)

        @helper
        def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
            n_in, n_out = records[0][n_in_at], records[0][n_out_at]
            i, f = load_shared(lanes, streams, w, 0), load_shared(lanes, streams, w, width)
            g, o = load_shared(lanes, streams, w, 2 * width), load_shared(lanes, streams, w, 3 * width)
            w = at(w, 4 * width)
            gates = fma_rows(split, (i, f, g, o), w, width, each(records, arenas, x_at, 0), n_in)
            w = at(w, 4 * width * n_in)
            i, f, g, o = fma_rows(split, gates, w, width, each(records, arenas, h_old, 0), n_out)
            c = load_each(lanes, each(records, arenas, c_old, unit))
            c = flush_tiny(fma(sigmoid_of_twice(f), c, sigmoid_of_twice(i) * tanh(g)))
            store_each(c, each(records, arenas, c_new, unit))
            store_each(sigmoid_of_twice(o) * tanh(c), each(records, arenas, h_new, unit))

        return panel

    return sweep(streams, (panel, widths(block, _GATES)))
