"""Long short-term memory: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.matrices.operations import coded, matrices, operation, with_parameters
from edge_rnn.kernels.matrices.panels import bias_of, gates_of
from edge_rnn.kernels.matrices.segments import formats_in, lanes_for, widths_for
from edge_rnn.kernels.program.record import Operation, Record, Site, padded
from edge_rnn.typing import F32

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True

_GATES = 4
_ONES = (1.0, 1.0, 1.0, 1.0)


def pack(fields: Mapping[str, Any], site: Site) -> tuple[Operation, ...]:
    """Operations for the fields of an LSTM layer: panels of [bias | input | recurrent], gates i f g o.

    The sigmoid gates are halved, since ``sigmoid(z)`` is computed as ``tanh(z / 2) / 2 + 1 / 2``; not so in a variant,
    which has more rows behind its bias: alpha and beta of its activations, both clips, and three of peepholes. With a
    projection the cell leaves what is to be projected as scratch, and a Dense operation makes the hidden state of it.
    """
    bias = bias_of(fields, "bias_ih") + bias_of(fields, "bias_hh")
    name, parameters = coded(fields["gate_activation"], fields["cell_activation"], fields["output_activation"])
    flags = _flags(fields)
    if name == "sigmoid_tanh_tanh" and not flags:
        half = (0.5, 0.5, 1.0, 0.5)
        return (operation("lstm", gates_of(bias, half), matrices(fields, half, site), site),)
    rows = with_parameters(gates_of(bias, _ONES), *parameters, fields["gate_clip"] or 0.0, fields["cell_clip"] or 0.0)
    if fields["peephole"] is not None:
        rows = np.vstack([rows, fields["peephole"].reshape(3, -1)])
    units, project = rows.shape[1], fields["weight_hr"]
    room = {} if project is None else {"scratch": padded(units), "to_scratch": units}
    cell = operation(f"lstm_{name}_{flags or 'z'}", rows, matrices(fields, _ONES, site), site, **room)
    return (cell,) if project is None else (cell, _projection(project, fields["projection_clip"], units, site))


def _flags(fields: Mapping[str, Any]) -> str:
    """What sets a variant apart beside activations: peepholes, coupled gates, clips, a projection."""
    letters = {
        "p": fields["peephole"] is not None,
        "i": fields["coupled"] == "input",
        "f": fields["coupled"] == "forget",
        "g": fields["gate_clip"] is not None,
        "c": fields["cell_clip"] is not None,
        "j": fields["weight_hr"] is not None,
    }
    return "".join(letter for letter, is_set in letters.items() if is_set)


def _projection(weight: F32, clip: float | None, units: int, site: Site) -> Operation:
    """Dense without a bias, from the scratch to the hidden state."""
    from edge_rnn.kernels.cells.dense import linear

    kind, parameters = ("none", ()) if clip is None else ("clip", (clip, 0.0))
    return replace(linear({"weight": weight, "bias": None}, kind, parameters, site), x_from_scratch=units)


def build(name: str, target: Target, streams: int) -> Any:
    """The compiled step: ``c' = f c + i g``, ``h' = o tanh(c')``; of a variant, as its name says."""
    from edge_rnn.kernels.matrices.multiply import multiply
    from edge_rnn.kernels.program.sweep import sweep

    bare, formats = formats_in(name, 2)
    _, *words = bare.split("_")

    def panel(width: int, lanes: int) -> Any:
        products = tuple(multiply(kind, _GATES, width, lanes * streams, target) for kind in formats)
        make = partial(_variant, words) if words else _plain
        return make(width, lanes, streams, *products)

    return sweep(streams, panel, widths_for(target, _GATES, formats), lanes_for(target, _GATES, formats))


_H_NEW, _C_OLD, _C_NEW = (Record.STATE + slot for slot in (1, 2, 3))


def _plain(width: int, lanes: int, streams: int, add_input: Any, add_recurrent: Any) -> Any:
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.activations import sigmoid_of_twice, tanh
    from edge_rnn.kernels.vectors.load_store import at, each, load_each, load_shared, store_each
    from edge_rnn.kernels.vectors.vector import flush_tiny, fma

    @helper
    def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
        i, f = load_shared(lanes, streams, w, 0), load_shared(lanes, streams, w, width)
        g, o = load_shared(lanes, streams, w, 2 * width), load_shared(lanes, streams, w, 3 * width)
        gates, w = add_input(
            (i, f, g, o), at(w, 4 * width), each(records, arenas, Record.X, 0), records[0][Record.N_IN]
        )
        (i, f, g, o), w = add_recurrent(gates, w, each(records, arenas, Record.H, 0), records[0][Record.N_H])
        c = load_each(lanes, each(records, arenas, _C_OLD, unit))
        c = flush_tiny(fma(sigmoid_of_twice(f), c, sigmoid_of_twice(i) * tanh(g)))
        store_each(c, each(records, arenas, _C_NEW, unit))
        store_each(sigmoid_of_twice(o) * tanh(c), each(records, arenas, _H_NEW, unit))

    return panel


def _variant(words: list[str], width: int, lanes: int, streams: int, add_input: Any, add_recurrent: Any) -> Any:
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.activations import BY_NAME, clip
    from edge_rnn.kernels.vectors.load_store import at, each, load_each, load_shared, store_each
    from edge_rnn.kernels.vectors.vector import flush_tiny, fma

    gate_of, cell_of, output_of = (BY_NAME[word] for word in words[:3])
    has_peephole, input_follows, forget_follows = ("p" in words[3], "i" in words[3], "f" in words[3])
    clips_gates, clips_cell, is_projected = ("g" in words[3], "c" in words[3], "j" in words[3])
    rows, one = 15 if has_peephole else 12, np.float32(1)
    out = Record.SCRATCH if is_projected else _H_NEW

    @helper
    def row(w, number):  # type: ignore[no-untyped-def]
        return load_shared(lanes, streams, w, number * width)

    @helper
    def gate(total, w, c, number):  # type: ignore[no-untyped-def]
        if has_peephole:
            total = fma(row(w, number), c, total)
        if clips_gates:
            total = clip(total, row(w, 10))
        return gate_of(total, row(w, 4), row(w, 5))

    @helper
    def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
        gates, n_in, n_h = (row(w, 0), row(w, 1), row(w, 2), row(w, 3)), records[0][Record.N_IN], records[0][Record.N_H]
        gates, behind = add_input(gates, at(w, rows * width), each(records, arenas, Record.X, 0), n_in)
        (i, f, g, o), behind = add_recurrent(gates, behind, each(records, arenas, Record.H, 0), n_h)
        c = load_each(lanes, each(records, arenas, _C_OLD, unit))
        if input_follows:
            f = gate(f, w, c, 13)
            i = one - f
        elif forget_follows:
            i = gate(i, w, c, 12)
            f = one - i
        else:
            i, f = gate(i, w, c, 12), gate(f, w, c, 13)
        if clips_gates:
            g = clip(g, row(w, 10))
        c = flush_tiny(fma(f, c, i * cell_of(g, row(w, 6), row(w, 7))))
        if clips_cell:
            c = clip(c, row(w, 11))
        store_each(c, each(records, arenas, _C_NEW, unit))
        store_each(gate(o, w, c, 14) * output_of(c, row(w, 8), row(w, 9)), each(records, arenas, out, unit))

    return panel
