"""Long short-term memory: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_rnn.kernels.layout import matrices, operation
from edge_rnn.kernels.panels import bias_of, gates_of
from edge_rnn.kernels.record import Operation, Record, Site
from edge_rnn.kernels.segments import formats_in, widths_for
from edge_rnn.kernels.target import Target

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True

_GATES = 4


def pack(fields: Mapping[str, Any], site: Site) -> tuple[Operation, ...]:
    """Operations for the fields of an LSTM layer: panels of [bias | input | recurrent], gates i f g o.

    The sigmoid gates are halved, since ``sigmoid(z)`` is computed as ``tanh(z / 2) / 2 + 1 / 2``.
    """
    half = (0.5, 0.5, 1.0, 0.5)
    bias = gates_of(bias_of(fields, "bias_ih") + bias_of(fields, "bias_hh"), half)
    return (operation("lstm", bias, matrices(fields, half, site), site),)


def build(name: str, target: Target, streams: int) -> Any:
    """The compiled step: ``c' = f c + i g``, ``h' = o tanh(c')``."""
    from edge_rnn.kernels.activations import sigmoid_of_twice, tanh
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at, each, load_each, load_shared, store_each
    from edge_rnn.kernels.multiply import multiply
    from edge_rnn.kernels.sweep import sweep
    from edge_rnn.kernels.vector import flush_tiny, fma

    _, formats = formats_in(name, 2)
    x_at, n_in_at, h_at, n_h_at = int(Record.X), int(Record.N_IN), int(Record.H), int(Record.N_H)
    _, h_new, c_old, c_new = (int(Record.STATE) + slot for slot in range(4))

    def panel(width: int, lanes: int) -> Any:
        add_input, add_recurrent = (multiply(kind, _GATES, width, lanes * streams, target) for kind in formats)

        @helper
        def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
            n_in, n_h = records[0][n_in_at], records[0][n_h_at]
            i, f = load_shared(lanes, streams, w, 0), load_shared(lanes, streams, w, width)
            g, o = load_shared(lanes, streams, w, 2 * width), load_shared(lanes, streams, w, 3 * width)
            gates, w = add_input((i, f, g, o), at(w, 4 * width), each(records, arenas, x_at, 0), n_in)
            (i, f, g, o), w = add_recurrent(gates, w, each(records, arenas, h_at, 0), n_h)
            c = load_each(lanes, each(records, arenas, c_old, unit))
            c = flush_tiny(fma(sigmoid_of_twice(f), c, sigmoid_of_twice(i) * tanh(g)))
            store_each(c, each(records, arenas, c_new, unit))
            store_each(sigmoid_of_twice(o) * tanh(c), each(records, arenas, h_new, unit))

        return panel

    return sweep(streams, panel, widths_for(target, _GATES, formats))
