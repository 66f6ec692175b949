"""Gated recurrent unit, reset gate after or before the matrix: packing and steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.kernels.panels import bias_of, chains, gates_of, pack_panels, widths
from edge_rnn.kernels.record import Operation, Record, padded

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True

_GATES = 3
_HALF = (0.5, 0.5, 1.0)  # sigmoid(z) is computed as tanh(z / 2) / 2 + 1 / 2


def pack(fields: Mapping[str, Any], block: int) -> tuple[Operation, ...]:
    """Operations for the fields of a GRU layer.

    Reset after: panels of [bias r z nx nh | input r z nx | recurrent r z nh]. Reset before: all panels of
    [bias r z | input r z | recurrent r z], then all of [bias n | input n | recurrent n], since n needs every unit's r.
    """
    bias_ih = gates_of(bias_of(fields, "bias_ih"), _HALF)
    bias_hh = gates_of(bias_of(fields, "bias_hh"), _HALF)
    weight_ih, weight_hh = gates_of(fields["weight_ih"], _HALF), gates_of(fields["weight_hh"], _HALF)
    both = bias_ih + bias_hh
    if fields["reset_after"]:
        bias = np.concatenate([both[:2], bias_ih[2:], bias_hh[2:]])
        return (Operation("gru", (pack_panels((bias, weight_ih, weight_hh), block, _GATES),)),)
    gates = pack_panels((both[:2], weight_ih[:2], weight_hh[:2]), block, 2)
    candidate = pack_panels((both[2:], weight_ih[2:], weight_hh[2:]), block, 1)
    scratch = 2 * padded(weight_hh.shape[1])  # r * h and z
    return (Operation("gru_reset_before", (gates, candidate), scratch),)


def build(name: str, block: int, streams: int) -> Any:
    """The compiled step: ``h' = (1 - z) n + z h``."""
    return _reset_after(block, streams) if name == "gru" else _reset_before(block, streams)


_X, _N_IN, _N_OUT, _SCRATCH = int(Record.X), int(Record.N_IN), int(Record.N_OUT), int(Record.SCRATCH)
_H_OLD, _H_NEW = int(Record.STATE), int(Record.STATE) + 1


def _reset_after(block: int, streams: int) -> Any:
    from edge_rnn.kernels.activations import sigmoid_of_twice, tanh
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at, each, load_each, load_shared, store_each
    from edge_rnn.kernels.rows import fma_rows
    from edge_rnn.kernels.sweep import sweep
    from edge_rnn.kernels.vector import flush_tiny, fma

    def panel(width: int, lanes: int) -> Any:
        split = chains(block, _GATES, lanes * streams)

        @helper
        def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
            n_in, n_out = records[0][_N_IN], records[0][_N_OUT]
            r, z = load_shared(lanes, streams, w, 0), load_shared(lanes, streams, w, width)
            nx, nh = load_shared(lanes, streams, w, 2 * width), load_shared(lanes, streams, w, 3 * width)
            w = at(w, 4 * width)
            r, z, nx = fma_rows(split, (r, z, nx), w, width, each(records, arenas, _X, 0), n_in)
            w = at(w, 3 * width * n_in)
            r, z, nh = fma_rows(split, (r, z, nh), w, width, each(records, arenas, _H_OLD, 0), n_out)
            n = tanh(fma(sigmoid_of_twice(r), nh, nx))
            h = load_each(lanes, each(records, arenas, _H_OLD, unit))
            store_each(flush_tiny(fma(sigmoid_of_twice(z), h - n, n)), each(records, arenas, _H_NEW, unit))

        return panel

    return sweep(streams, (panel, widths(block, _GATES)))


def _reset_before(block: int, streams: int) -> Any:
    from edge_rnn.kernels.activations import sigmoid_of_twice, tanh
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at, each, load_each, load_shared, store_each
    from edge_rnn.kernels.rows import fma_rows
    from edge_rnn.kernels.sweep import sweep
    from edge_rnn.kernels.vector import flush_tiny, fma

    def gates_panel(width: int, lanes: int) -> Any:
        split = chains(block, 2, lanes * streams)

        @helper
        def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
            n_in, n_out = records[0][_N_IN], records[0][_N_OUT]
            gates = (load_shared(lanes, streams, w, 0), load_shared(lanes, streams, w, width))
            w = at(w, 2 * width)
            gates = fma_rows(split, gates, w, width, each(records, arenas, _X, 0), n_in)
            w = at(w, 2 * width * n_in)
            r, z = fma_rows(split, gates, w, width, each(records, arenas, _H_OLD, 0), n_out)
            h = load_each(lanes, each(records, arenas, _H_OLD, unit))
            store_each(sigmoid_of_twice(r) * h, each(records, arenas, _SCRATCH, unit))
            store_each(sigmoid_of_twice(z), each(records, arenas, _SCRATCH, (n_out + 7) // 8 * 8 + unit))

        return panel

    def candidate_panel(width: int, lanes: int) -> Any:
        split = chains(block, 1, lanes * streams)

        @helper
        def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
            n_in, n_out = records[0][_N_IN], records[0][_N_OUT]
            total = (load_shared(lanes, streams, w, 0),)
            w = at(w, width)
            total = fma_rows(split, total, w, width, each(records, arenas, _X, 0), n_in)
            w = at(w, width * n_in)
            (total,) = fma_rows(split, total, w, width, each(records, arenas, _SCRATCH, 0), n_out)
            n = tanh(total)
            z = load_each(lanes, each(records, arenas, _SCRATCH, (n_out + 7) // 8 * 8 + unit))
            h = load_each(lanes, each(records, arenas, _H_OLD, unit))
            store_each(flush_tiny(fma(z, h - n, n)), each(records, arenas, _H_NEW, unit))

        return panel

    return sweep(streams, (gates_panel, widths(block, 2)), (candidate_panel, widths(block, 1)))
