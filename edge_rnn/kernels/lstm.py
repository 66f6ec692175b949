"""Long short-term memory: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_rnn.kernels.panels import bias_of, chains, gates_of, pack_panels, widths
from edge_rnn.kernels.record import Operation, Record

__all__ = ["build", "pack"]

_GATES = 4


def pack(fields: Mapping[str, Any], block: int) -> Operation:
    """Operation for the fields of an LSTM layer: panels of [bias | input | recurrent], gates i f g o.

    The sigmoid gates are halved, since ``sigmoid(z)`` is computed as ``tanh(z / 2) / 2 + 1 / 2``.
    """
    half = (0.5, 0.5, 1.0, 0.5)
    bias = bias_of(fields, "bias_ih") + bias_of(fields, "bias_hh")
    segments = (gates_of(part, half) for part in (bias, fields["weight_ih"], fields["weight_hh"]))
    return Operation("lstm", pack_panels(tuple(segments), block, _GATES))


def build(name: str, block: int) -> Any:
    """The compiled step: ``c' = f c + i g``, ``h' = o tanh(c')``."""
    from edge_rnn.kernels.activations import sigmoid_of_twice, tanh
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.sweep import sweep
    from edge_rnn.kernels.vector import at, fma, fma_rows, load, store

    x_at, n_in_at, n_out_at = int(Record.X), int(Record.N_IN), int(Record.N_OUT)
    h_old, h_new, c_old, c_new = (int(Record.STATE) + slot for slot in range(4))

    def panel(lanes: int) -> Any:
        split = chains(block, _GATES, lanes)

        @helper
        def panel(record, w, arena, unit):  # type: ignore[no-untyped-def]
            n_in, n_out = record[n_in_at], record[n_out_at]
            gates = (load(lanes, w, 0), load(lanes, w, lanes), load(lanes, w, 2 * lanes), load(lanes, w, 3 * lanes))
            w = at(w, 4 * lanes)
            gates = fma_rows(split, gates, w, at(arena, record[x_at]), n_in)
            w = at(w, 4 * lanes * n_in)
            i, f, g, o = fma_rows(split, gates, w, at(arena, record[h_old]), n_out)
            c = fma(sigmoid_of_twice(f), load(lanes, arena, record[c_old] + unit), sigmoid_of_twice(i) * tanh(g))
            store(c, arena, record[c_new] + unit)
            store(sigmoid_of_twice(o) * tanh(c), arena, record[h_new] + unit)
            return at(w, 4 * lanes * n_out)

        return panel

    return sweep((panel, widths(block, _GATES)))
