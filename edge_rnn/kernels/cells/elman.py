"""Elman network: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.matrices.operations import coded, matrices, operation, with_parameters
from edge_rnn.kernels.matrices.panels import bias_of, gates_of
from edge_rnn.kernels.matrices.segments import formats_in, lanes_for, widths_for
from edge_rnn.kernels.program.record import Operation, Record, Site

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True

_PLAIN = ("tanh", "relu")


def pack(fields: Mapping[str, Any], site: Site) -> tuple[Operation, ...]:
    """Operations for the fields of an Elman layer: panels of [bias | input | recurrent].

    A variant has three more rows behind its bias: alpha and beta of the activation, and the clip.
    """
    bias = gates_of(bias_of(fields, "bias_ih") + bias_of(fields, "bias_hh"), (1.0,))
    clip = fields["gate_clip"]
    name, parameters = coded(fields["activation"])
    if name not in _PLAIN or clip:
        bias = with_parameters(bias, *parameters, clip or 0.0)
        name = f"variant_{name}" + ("_clip" if clip else "")
    return (operation(f"elman_{name}", bias, matrices(fields, (1.0,), site), site),)


def build(name: str, target: Target, streams: int) -> Any:
    """The compiled step: ``h' = activation(b + W x + U h)``, activation as the name says."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.matrices.multiply import multiply
    from edge_rnn.kernels.program.sweep import sweep
    from edge_rnn.kernels.vectors import activations
    from edge_rnn.kernels.vectors.activations import BY_NAME, clip
    from edge_rnn.kernels.vectors.load_store import at, each, load_shared, store_each
    from edge_rnn.kernels.vectors.vector import flush_tiny

    bare, formats = formats_in(name, 2)
    _, *words = bare.split("_")
    is_variant, is_clipped = words[0] == "variant", words[-1] == "clip"
    rows = 4 if is_variant else 1
    activation = BY_NAME[words[1]] if is_variant else getattr(activations, words[0])
    h_new = Record.STATE + 1

    def panel(width: int, lanes: int) -> Any:
        add_input, add_recurrent = (multiply(kind, 1, width, lanes * streams, target) for kind in formats)

        @helper
        def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
            n_in, n_h = records[0][Record.N_IN], records[0][Record.N_H]
            total = (load_shared(lanes, streams, w, 0),)
            parameters, w = at(w, width), at(w, rows * width)
            total, w = add_input(total, w, each(records, arenas, Record.X, 0), n_in)
            (total,), w = add_recurrent(total, w, each(records, arenas, Record.H, 0), n_h)
            if is_clipped:
                total = clip(total, load_shared(lanes, streams, parameters, 2 * width))
            if is_variant:
                alpha = load_shared(lanes, streams, parameters, 0)
                h = activation(total, alpha, load_shared(lanes, streams, parameters, width))
            else:
                h = activation(total)
            store_each(flush_tiny(h), each(records, arenas, h_new, unit))

        return panel

    return sweep(streams, panel, widths_for(target, 1, formats), lanes_for(target, 1, formats))
