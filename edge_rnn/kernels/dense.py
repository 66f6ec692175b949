"""Dense layer: packing and step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.kernels.panels import bias_of, chains, gates_of, pack_panels, widths
from edge_rnn.kernels.record import Operation, Record, padded

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True

FEW = 8
"""Up to so many outputs a layer is done by dot products: a panel would be half padding and wait for its sums."""

DOTS = 4
"""How many dot products are done at a time."""

_WEIGHTS, _X, _N_IN = int(Record.WEIGHTS), int(Record.X), int(Record.N_IN)
_OUT, _N_OUT = int(Record.OUT), int(Record.N_OUT)


def pack(fields: Mapping[str, Any], block: int) -> tuple[Operation, ...]:
    """Operations for the fields of a Dense layer: panels of [bias | weight]; softmax is an operation of its own.

    For softmax, outputs that only exist as padding have the bias -inf: a share of e^-87 in the sum.
    """
    activation, few = fields["activation"], fields["weight"].shape[0] <= FEW
    scale = (0.5 if activation == "sigmoid" else 1.0,)  # sigmoid(z) is computed as tanh(z / 2) / 2 + 1 / 2
    segments = gates_of(bias_of(fields, "bias"), scale), gates_of(fields["weight"], scale)
    packed = _pack_dots if few else partial(pack_panels, block=block, gates=1)
    name = "dense_few" if few else "dense"
    if activation == "softmax":
        return Operation(f"{name}_none", (packed(segments, pad=-np.inf),)), Operation("softmax")
    return (Operation(f"{name}_{activation}", (packed(segments),)),)


def _pack_dots(segments: Sequence[NDArray[Any]], pad: float = 0.0) -> NDArray[np.float32]:
    """``(n,)`` float32: 8 biases, then for 4 outputs or twice 4 what :func:`edge_rnn.kernels.dots.dots` reads."""
    (bias,), (weight,) = segments
    outputs, inputs = weight.shape
    biases = np.pad(bias[:, 0], (0, FEW - outputs), constant_values=pad)
    rows = np.pad(weight, ((0, -outputs % DOTS), (0, padded(inputs) - inputs)))
    return np.concatenate(
        [biases, rows.reshape(-1, DOTS, padded(inputs) // 8, 8).transpose(0, 2, 1, 3).ravel()], dtype=np.float32
    )


def build(name: str, block: int, streams: int) -> Any:
    """The compiled step: ``y = activation(b + W x)``, activation as the name says."""
    *_, kind = name.split("_")
    return _few(kind, block, streams) if name.startswith("dense_few") else _many(kind, block, streams)


def _activation(kind: str) -> Any:
    from edge_rnn.kernels import activations

    by_name = {
        "none": activations.identity,
        "sigmoid": activations.sigmoid_of_twice,
        "tanh": activations.tanh,
        "relu": activations.relu,
    }
    return by_name[kind]


def _few(kind: str, block: int, streams: int) -> Any:
    """Up to 8 outputs, by dot products; several streams one after the other."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.dots import dots
    from edge_rnn.kernels.memory import at, load, store
    from edge_rnn.kernels.pointer import floats_from, int32s_from
    from edge_rnn.kernels.vector import join, splat

    activation, zero = _activation(kind), np.float32(0)
    split = 2 if block > 4 else 1

    @helper
    def one(record, weights, arena):  # type: ignore[no-untyped-def]
        x, n_in = at(arena, record[_X]), record[_N_IN]
        bias = at(weights, record[_WEIGHTS])
        w = at(bias, FEW)
        low, high = dots(split, w, x, n_in), splat(DOTS, zero)
        if record[_N_OUT] > DOTS:
            high = dots(split, at(w, DOTS * ((n_in + 7) // 8 * 8)), x, n_in)
        store(activation(join(low, high) + load(8, bias, 0)), arena, record[_OUT])

    def several(records, weights, arenas):  # type: ignore[no-untyped-def]
        of_each, arena_of_each = int32s_from(streams, records), floats_from(streams, arenas)
        for s in range(streams):
            one(of_each[s], weights, arena_of_each[s])

    return one if streams == 1 else several


def _many(kind: str, block: int, streams: int) -> Any:
    """Any number of outputs, panel by panel."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at, each, load_shared, store_each
    from edge_rnn.kernels.rows import fma_rows
    from edge_rnn.kernels.sweep import sweep

    activation = _activation(kind)

    def panel(width: int, lanes: int) -> Any:
        split = chains(block, 1, lanes * streams)

        @helper
        def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
            n_in = records[0][_N_IN]
            total = (load_shared(lanes, streams, w, 0),)
            w = at(w, width)
            (total,) = fma_rows(split, total, w, width, each(records, arenas, _X, 0), n_in)
            store_each(activation(total), each(records, arenas, _OUT, unit))

        return panel

    return sweep(streams, (panel, widths(block, 1)))
