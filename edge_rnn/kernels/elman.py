"""Elman network: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_rnn.kernels.panels import bias_of, chains, gates_of, pack_panels, widths
from edge_rnn.kernels.record import Operation, Record

__all__ = ["build", "pack"]


def pack(fields: Mapping[str, Any], block: int) -> Operation:
    """Operation for the fields of an Elman layer: panels of [bias | input | recurrent]."""
    bias = bias_of(fields, "bias_ih") + bias_of(fields, "bias_hh")
    segments = (gates_of(part, (1.0,)) for part in (bias, fields["weight_ih"], fields["weight_hh"]))
    return Operation(f"elman_{fields['activation']}", pack_panels(tuple(segments), block, 1))


def build(name: str, block: int) -> Any:
    """The compiled step: ``h' = activation(b + W x + U h)``, activation as the name says."""
    from edge_rnn.kernels import activations
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.sweep import sweep
    from edge_rnn.kernels.vector import at, fma_rows, load, store

    activation = getattr(activations, name.removeprefix("elman_"))
    x_at, n_in_at, n_out_at = int(Record.X), int(Record.N_IN), int(Record.N_OUT)
    h_old, h_new = int(Record.STATE), int(Record.STATE) + 1

    def panel(lanes: int) -> Any:
        split = chains(block, 1, lanes)

        @helper
        def panel(record, w, arena, unit):  # type: ignore[no-untyped-def]
            n_in, n_out = record[n_in_at], record[n_out_at]
            total = fma_rows(split, (load(lanes, w, 0),), at(w, lanes), at(arena, record[x_at]), n_in)
            w = at(w, lanes * (1 + n_in))
            (total,) = fma_rows(split, total, w, at(arena, record[h_old]), n_out)
            store(activation(total), arena, record[h_new] + unit)
            return at(w, lanes * n_out)

        return panel

    return sweep((panel, widths(block, 1)))
