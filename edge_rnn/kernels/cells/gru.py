"""Gated recurrent unit, reset gate after or before the matrix: packing and steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.matrices.operations import coded, matrices, operation, with_parameters
from edge_rnn.kernels.matrices.panels import bias_of, gates_of
from edge_rnn.kernels.matrices.segments import formats_in, lanes_for, widths_for
from edge_rnn.kernels.program.record import Operation, Record, Site, padded
from edge_rnn.typing import AnyArray

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True

_GATES = 3
_HALF = (0.5, 0.5, 1.0)  # sigmoid(z) is computed as tanh(z / 2) / 2 + 1 / 2


def pack(fields: Mapping[str, Any], site: Site) -> tuple[Operation, ...]:
    """Operations for the fields of a GRU layer.

    Reset after: panels of [bias r z nx nh | input r z nx | recurrent r z nh]. Reset before: one operation with panels
    of [bias r z | input r z | recurrent r z], which leaves r * h and z as scratch, and one with panels of
    [bias n | input n | recurrent n], since n needs every unit's r. Variants have five more rows behind their biases:
    alpha and beta of both activations, and the clip; their gates are not halved.
    """
    name, parameters = coded(fields["gate_activation"], fields["candidate_activation"])
    clip = fields["gate_clip"]
    plain = name == "sigmoid_tanh" and not clip
    scales = _HALF if plain else (1.0, 1.0, 1.0)
    bias_ih, bias_hh = gates_of(bias_of(fields, "bias_ih"), scales), gates_of(bias_of(fields, "bias_hh"), scales)
    both, ending = bias_ih + bias_hh, "" if plain else f"_{name}{'_clip' if clip else ''}"

    def rows(bias: AnyArray) -> AnyArray:
        return bias if plain else with_parameters(bias, *parameters, clip or 0.0)

    if fields["reset_after"]:
        bias = np.concatenate([both[:2], bias_ih[2:], bias_hh[2:]])
        whole = "gru" if plain else "gru_whole"
        return (operation(f"{whole}{ending}", rows(bias), matrices(fields, scales, site), site),)
    units = both.shape[1]
    gates, candidate = (matrices(fields, scales, site, part) for part in ((0, 1), (2,)))
    return (
        operation(f"gru_gates{ending}", rows(both[:2]), gates, site, scratch=2 * padded(units)),
        operation(f"gru_candidate{ending}", rows(both[2:]), candidate, site, h_from_scratch=units),
    )


def build(name: str, target: Target, streams: int) -> Any:
    """The compiled step, or one of its halves: ``h' = (1 - z) n + z h``."""
    from edge_rnn.kernels.matrices.multiply import multiply
    from edge_rnn.kernels.program.sweep import sweep

    bare, formats = formats_in(name, 2)
    half, *words = bare.split("_")[1:] or ["whole"]
    panel, gates = {"whole": (_whole, 3), "gates": (_gates, 2), "candidate": (_candidate, 1)}[half]

    def of_width(width: int, lanes: int) -> Any:
        functions = _variant(tuple(words), width, lanes, streams) if words else _plain()
        products = (multiply(kind, gates, width, lanes * streams, target) for kind in formats)
        return panel(width, lanes, streams, functions, *products)

    return sweep(streams, of_width, widths_for(target, gates, formats), lanes_for(target, gates, formats))


class _Functions(NamedTuple):
    """What a panel computes with, and how many rows of parameters there are behind its bias."""

    rows: int
    gate: Any
    candidate: Any


@cache
def _plain() -> _Functions:
    """Gate and candidate as helpers ``(sum, parameters)``; of the gate's sum packing has made half."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.activations import sigmoid_of_twice, tanh

    @helper
    def gate(total, p):  # type: ignore[no-untyped-def]
        return sigmoid_of_twice(total)

    @helper
    def candidate(total, p):  # type: ignore[no-untyped-def]
        return tanh(total)

    return _Functions(0, gate, candidate)


@cache
def _variant(words: tuple[str, ...], width: int, lanes: int, streams: int) -> _Functions:
    """Gate and candidate as helpers ``(sum, parameters)``: activations by name, with parameters and a clip."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.activations import BY_NAME, clip
    from edge_rnn.kernels.vectors.load_store import load_shared

    gate_of, candidate_of, is_clipped = BY_NAME[words[0]], BY_NAME[words[1]], words[-1] == "clip"

    @helper
    def row(p, number):  # type: ignore[no-untyped-def]
        return load_shared(lanes, streams, p, number * width)

    @helper
    def clipped(total, p):  # type: ignore[no-untyped-def]
        if is_clipped:
            total = clip(total, row(p, 4))
        return total

    @helper
    def gate(total, p):  # type: ignore[no-untyped-def]
        return gate_of(clipped(total, p), row(p, 0), row(p, 1))

    @helper
    def candidate(total, p):  # type: ignore[no-untyped-def]
        return candidate_of(clipped(total, p), row(p, 2), row(p, 3))

    return _Functions(5, gate, candidate)


_H_NEW = Record.STATE + 1


def _whole(width: int, lanes: int, streams: int, functions: _Functions, add_input: Any, add_recurrent: Any) -> Any:
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.load_store import at, each, load_each, load_shared, store_each
    from edge_rnn.kernels.vectors.vector import flush_tiny, fma

    rows, gate, candidate = functions

    @helper
    def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
        r, z = load_shared(lanes, streams, w, 0), load_shared(lanes, streams, w, width)
        nx, nh = load_shared(lanes, streams, w, 2 * width), load_shared(lanes, streams, w, 3 * width)
        p, w = at(w, 4 * width), at(w, (4 + rows) * width)
        (r, z, nx), w = add_input((r, z, nx), w, each(records, arenas, Record.X, 0), records[0][Record.N_IN])
        (r, z, nh), w = add_recurrent((r, z, nh), w, each(records, arenas, Record.H, 0), records[0][Record.N_H])
        n = candidate(fma(gate(r, p), nh, nx), p)
        h = load_each(lanes, each(records, arenas, Record.STATE, unit))
        store_each(flush_tiny(fma(gate(z, p), h - n, n)), each(records, arenas, _H_NEW, unit))

    return panel


def _gates(width: int, lanes: int, streams: int, functions: _Functions, add_input: Any, add_recurrent: Any) -> Any:
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.load_store import at, each, load_each, load_shared, store_each

    rows, gate, _ = functions

    @helper
    def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
        gates = (load_shared(lanes, streams, w, 0), load_shared(lanes, streams, w, width))
        p, w = at(w, 2 * width), at(w, (2 + rows) * width)
        gates, w = add_input(gates, w, each(records, arenas, Record.X, 0), records[0][Record.N_IN])
        (r, z), w = add_recurrent(gates, w, each(records, arenas, Record.H, 0), records[0][Record.N_H])
        h = load_each(lanes, each(records, arenas, Record.STATE, unit))
        store_each(gate(r, p) * h, each(records, arenas, Record.SCRATCH, unit))
        behind = (records[0][Record.N_OUT] + 7) // 8 * 8
        store_each(gate(z, p), each(records, arenas, Record.SCRATCH, behind + unit))

    return panel


def _candidate(width: int, lanes: int, streams: int, functions: _Functions, add_input: Any, add_recurrent: Any) -> Any:
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.load_store import at, each, load_each, load_shared, store_each
    from edge_rnn.kernels.vectors.vector import flush_tiny, fma

    rows, _, candidate = functions

    @helper
    def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
        total = (load_shared(lanes, streams, w, 0),)
        p, w = at(w, width), at(w, (1 + rows) * width)
        total, w = add_input(total, w, each(records, arenas, Record.X, 0), records[0][Record.N_IN])
        (total,), w = add_recurrent(total, w, each(records, arenas, Record.H, 0), records[0][Record.N_H])
        n = candidate(total, p)
        behind = (records[0][Record.N_OUT] + 7) // 8 * 8
        z = load_each(lanes, each(records, arenas, Record.SCRATCH, behind + unit))
        h = load_each(lanes, each(records, arenas, Record.STATE, unit))
        store_each(flush_tiny(fma(z, h - n, n)), each(records, arenas, _H_NEW, unit))

    return panel
