"""Elman network: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_rnn.kernels.panels import bias_of, chains, gates_of, pack_panels, widths
from edge_rnn.kernels.record import Operation, Record

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True


def pack(fields: Mapping[str, Any], block: int) -> tuple[Operation, ...]:
    """Operations for the fields of an Elman layer: panels of [bias | input | recurrent]."""
    bias = bias_of(fields, "bias_ih") + bias_of(fields, "bias_hh")
    segments = (gates_of(part, (1.0,)) for part in (bias, fields["weight_ih"], fields["weight_hh"]))
    return (Operation(f"elman_{fields['activation']}", (pack_panels(tuple(segments), block, 1),)),)


def build(name: str, block: int, streams: int) -> Any:
    """The compiled step: ``h' = activation(b + W x + U h)``, activation as the name says."""
    from edge_rnn.kernels import activations
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at, each, load_shared, store_each
    from edge_rnn.kernels.rows import fma_rows
    from edge_rnn.kernels.sweep import sweep
    from edge_rnn.kernels.vector import flush_tiny

    activation = getattr(activations, name.removeprefix("elman_"))
    x_at, n_in_at, n_out_at = int(Record.X), int(Record.N_IN), int(Record.N_OUT)
    h_old, h_new = int(Record.STATE), int(Record.STATE) + 1

    def panel(width: int, lanes: int) -> Any:
        split = chains(block, 1, lanes * streams)

        @helper
        def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
            n_in, n_out = records[0][n_in_at], records[0][n_out_at]
            total = (load_shared(lanes, streams, w, 0),)
            w = at(w, width)
            total = fma_rows(split, total, w, width, each(records, arenas, x_at, 0), n_in)
            w = at(w, width * n_in)
            (total,) = fma_rows(split, total, w, width, each(records, arenas, h_old, 0), n_out)
            store_each(flush_tiny(activation(total)), each(records, arenas, h_new, unit))

        return panel

    return sweep(streams, (panel, widths(block, 1)))
