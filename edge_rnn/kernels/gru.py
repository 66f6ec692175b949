"""Gated recurrent unit, reset gate after or before the matrix: packing and steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.kernels.layout import matrices, operation
from edge_rnn.kernels.panels import bias_of, gates_of
from edge_rnn.kernels.record import Operation, Record, Site, padded
from edge_rnn.kernels.segments import formats_in, widths_for
from edge_rnn.kernels.target import Target

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True

_GATES = 3
_HALF = (0.5, 0.5, 1.0)  # sigmoid(z) is computed as tanh(z / 2) / 2 + 1 / 2


def pack(fields: Mapping[str, Any], site: Site) -> tuple[Operation, ...]:
    """Operations for the fields of a GRU layer.

    Reset after: panels of [bias r z nx nh | input r z nx | recurrent r z nh]. Reset before: one operation with panels
    of [bias r z | input r z | recurrent r z], which leaves r * h and z as scratch, and one with panels of
    [bias n | input n | recurrent n], since n needs every unit's r.
    """
    bias_ih, bias_hh = gates_of(bias_of(fields, "bias_ih"), _HALF), gates_of(bias_of(fields, "bias_hh"), _HALF)
    both = bias_ih + bias_hh
    if fields["reset_after"]:
        bias = np.concatenate([both[:2], bias_ih[2:], bias_hh[2:]])
        return (operation("gru", bias, matrices(fields, _HALF, site), site),)
    scratch = 2 * padded(both.shape[1])
    gates, candidate = (matrices(fields, _HALF, site, part) for part in ((0, 2), (2, 3)))
    return (
        operation("gru_gates", both[:2], gates, site, scratch=scratch),
        operation("gru_candidate", both[2:], candidate, site, scratch=scratch, h_from_scratch=True),
    )


def build(name: str, target: Target, streams: int) -> Any:
    """The compiled step, or one of its halves: ``h' = (1 - z) n + z h``."""
    bare, formats = formats_in(name, 2)
    panel, gates = {"gru": (_whole, 3), "gru_gates": (_gates, 2), "gru_candidate": (_candidate, 1)}[bare]
    from edge_rnn.kernels.multiply import multiply
    from edge_rnn.kernels.sweep import sweep

    def of_width(width: int, lanes: int) -> Any:
        products = (multiply(kind, gates, width, lanes * streams, target) for kind in formats)
        return panel(width, lanes, streams, *products)

    return sweep(streams, of_width, widths_for(target, gates, formats))


_X, _N_IN, _N_OUT, _SCRATCH = int(Record.X), int(Record.N_IN), int(Record.N_OUT), int(Record.SCRATCH)
_H, _N_H = int(Record.H), int(Record.N_H)
_H_OLD, _H_NEW = int(Record.STATE), int(Record.STATE) + 1


def _whole(width: int, lanes: int, streams: int, add_input: Any, add_recurrent: Any) -> Any:
    from edge_rnn.kernels.activations import sigmoid_of_twice, tanh
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at, each, load_each, load_shared, store_each
    from edge_rnn.kernels.vector import flush_tiny, fma

    @helper
    def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
        r, z = load_shared(lanes, streams, w, 0), load_shared(lanes, streams, w, width)
        nx, nh = load_shared(lanes, streams, w, 2 * width), load_shared(lanes, streams, w, 3 * width)
        (r, z, nx), w = add_input((r, z, nx), at(w, 4 * width), each(records, arenas, _X, 0), records[0][_N_IN])
        (r, z, nh), w = add_recurrent((r, z, nh), w, each(records, arenas, _H, 0), records[0][_N_H])
        n = tanh(fma(sigmoid_of_twice(r), nh, nx))
        h = load_each(lanes, each(records, arenas, _H_OLD, unit))
        store_each(flush_tiny(fma(sigmoid_of_twice(z), h - n, n)), each(records, arenas, _H_NEW, unit))

    return panel


def _gates(width: int, lanes: int, streams: int, add_input: Any, add_recurrent: Any) -> Any:
    from edge_rnn.kernels.activations import sigmoid_of_twice
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at, each, load_each, load_shared, store_each

    @helper
    def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
        gates = (load_shared(lanes, streams, w, 0), load_shared(lanes, streams, w, width))
        gates, w = add_input(gates, at(w, 2 * width), each(records, arenas, _X, 0), records[0][_N_IN])
        (r, z), w = add_recurrent(gates, w, each(records, arenas, _H, 0), records[0][_N_H])
        h = load_each(lanes, each(records, arenas, _H_OLD, unit))
        store_each(sigmoid_of_twice(r) * h, each(records, arenas, _SCRATCH, unit))
        behind = (records[0][_N_OUT] + 7) // 8 * 8
        store_each(sigmoid_of_twice(z), each(records, arenas, _SCRATCH, behind + unit))

    return panel


def _candidate(width: int, lanes: int, streams: int, add_input: Any, add_recurrent: Any) -> Any:
    from edge_rnn.kernels.activations import tanh
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at, each, load_each, load_shared, store_each
    from edge_rnn.kernels.vector import flush_tiny, fma

    @helper
    def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
        total = (load_shared(lanes, streams, w, 0),)
        total, w = add_input(total, at(w, width), each(records, arenas, _X, 0), records[0][_N_IN])
        (total,), w = add_recurrent(total, w, each(records, arenas, _H, 0), records[0][_N_H])
        n = tanh(total)
        behind = (records[0][_N_OUT] + 7) // 8 * 8
        z = load_each(lanes, each(records, arenas, _SCRATCH, behind + unit))
        h = load_each(lanes, each(records, arenas, _H_OLD, unit))
        store_each(flush_tiny(fma(z, h - n, n)), each(records, arenas, _H_NEW, unit))

    return panel
