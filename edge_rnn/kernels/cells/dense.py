"""Dense layer: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.activation import Activation, parse
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.matrices.panels import DOTS, Segment, pack_panels
from edge_rnn.kernels.matrices.segments import (
    format_in,
    formats_of,
    lanes_for,
    named,
    segment,
    weights_per_float,
    widths_for,
)
from edge_rnn.kernels.program.record import Operation, Packed, Record, Site
from edge_rnn.typing import F32, AnyArray

__all__ = ["FOR_GROUPS", "build", "pack"]

FOR_GROUPS = True

_FEW = 8
"""Most outputs of a layer that is computed by dot products: a panel would be half padding and wait for its sums."""

_PLAIN = ("none", "tanh", "sigmoid", "relu")
"""Activations without parameters of their own; all others are variants, with rows for alpha and beta."""


def pack(fields: Mapping[str, Any], site: Site) -> tuple[Operation, ...]:
    """Operations for the fields of a Dense layer: panels of [bias | weight]; softmax is an operation of its own.

    For softmax, outputs in the padding have the bias -inf; each adds e^-87 to the sum.
    """
    if fields["activation"] == "softmax":
        return _linear(fields, Activation("none"), site, pad=-np.inf), Operation("softmax")
    return (_linear(fields, parse(fields["activation"]), site),)


def _linear(fields: Mapping[str, Any], activation: Activation, site: Site, pad: float = 0.0) -> Operation:
    """Operation ``activation(b + W x)``; ``pad`` is the bias of padding.

    A variant has two more rows after its bias: alpha and beta of its activation, or 0.
    """
    scale = 0.5 if activation.name == "sigmoid" else 1.0  # sigmoid(z) is computed as tanh(z / 2) / 2 + 1 / 2
    matrix = segment(fields["weight"], (scale,), site.target)
    (format_,) = formats_of(matrix)
    rows = np.zeros((1 if activation.name in _PLAIN else 3, fields["weight"].shape[0]))
    if fields["bias"] is not None:
        rows[0] = scale * np.asarray(fields["bias"], np.float64)
    if len(rows) == 1 and rows.size <= _FEW and matrix.per_float and site.target.has_vectors:
        packed = Packed(_pack_dots(rows[0], matrix, pad))
        return Operation(named(f"dense_few_{activation.name}", format_), packed, matrix.dots_operand(site.x_bound))
    for row, parameter in enumerate(activation.parameters, start=1):
        rows[row] = parameter
    kind = activation.name if len(rows) == 1 else f"variant_{activation.name.replace('_', '')}"
    packed = pack_panels(rows, (matrix,), widths_for(site.target, 1, (format_,)), pad)
    return Operation(named(f"dense_{kind}", format_), packed, matrix.operand(site.x_bound))


def _pack_dots(bias: AnyArray, matrix: Segment, pad: float) -> F32:
    """Pack 8 biases, 8 row scales, then 4 or 8 rows in the order of :mod:`edge_rnn.kernels.matrices.dots`."""
    rows, scales = matrix.stored()
    outputs, inputs = rows.shape
    whole = np.pad(rows, ((0, -outputs % DOTS), (0, -inputs % 8)))
    blocks = whole.reshape(-1, DOTS, whole.shape[1] // 8, 8).transpose(0, 2, 1, 3)
    room = (0, _FEW - outputs)
    head = np.stack([np.pad(bias, room, constant_values=pad), np.pad(scales, room)]).astype(np.float32)
    return np.concatenate([head.ravel(), np.frombuffer(blocks.tobytes(), np.float32)])


def build(name: str, target: Target, streams: int) -> Any:
    """Build the step ``y = activation(b + W x)``; ``name`` has the activation."""
    bare, kind = format_in(name)
    _, *variant, function = bare.split("_")
    if variant == ["few"]:
        return _few(function, kind, target, streams)
    return _many(bool(variant), function, kind, target, streams)


def _few(function: str, kind: str, target: Target, streams: int) -> Any:
    """Build the step for up to 8 outputs, by dot products; several streams are computed one after the other."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.matrices.dots import dots
    from edge_rnn.kernels.matrices.weight_loads import load_of
    from edge_rnn.kernels.vectors.activations import PLAIN
    from edge_rnn.kernels.vectors.addresses import floats_from, int32s_from
    from edge_rnn.kernels.vectors.load_store import at, load, store
    from edge_rnn.kernels.vectors.vector import fma, join, splat

    activation, zero = PLAIN[function], np.float32(0)
    split, per_float = 2 if target.block > 4 else 1, weights_per_float(kind)
    products = dots(load_of(kind, target))

    @helper
    def one(record, weights, arena):  # type: ignore[no-untyped-def]
        x, n_in = at(arena, record[Record.X]), record[Record.N_IN]
        bias = at(weights, record[Record.WEIGHTS])
        w = at(bias, 2 * _FEW)
        low, high = products(split, w, x, n_in), splat(DOTS, zero)
        if record[Record.N_OUT] > DOTS:
            high = products(split, at(w, DOTS * ((n_in + 7) // 8 * 8) // per_float), x, n_in)
        total = fma(join(low, high), load(8, bias, _FEW), load(8, bias, 0))
        store(activation(total), arena, record[Record.OUT])

    def several(records, weights, arenas):  # type: ignore[no-untyped-def]
        of_each, arena_of_each = int32s_from(streams, records), floats_from(streams, arenas)
        for s in range(streams):
            one(of_each[s], weights, arena_of_each[s])

    return one if streams == 1 else several


def _many(is_variant: bool, function: str, kind: str, target: Target, streams: int) -> Any:
    """Build the step for any number of outputs, panel by panel."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.matrices.multiply import multiply
    from edge_rnn.kernels.program.sweep import sweep
    from edge_rnn.kernels.vectors.activations import PLAIN, VARIANTS
    from edge_rnn.kernels.vectors.load_store import at, each, load_shared, store_each

    activation = (VARIANTS if is_variant else PLAIN)[function]
    rows = 3 if is_variant else 1

    def panel(width: int, lanes: int) -> Any:
        add = multiply(kind, 1, width, lanes * streams, target)

        @helper
        def panel(records, w, arenas, unit):  # type: ignore[no-untyped-def]
            total, x = (load_shared(lanes, streams, w, 0),), each(records, arenas, Record.X, 0)
            (total,), _ = add(total, at(w, rows * width), x, records[0][Record.N_IN])
            if is_variant:
                alpha = load_shared(lanes, streams, w, width)
                y = activation(total, alpha, load_shared(lanes, streams, w, 2 * width))
            else:
                y = activation(total)
            store_each(y, each(records, arenas, Record.OUT, unit))

        return panel

    return sweep(streams, panel, widths_for(target, 1, (kind,)), lanes_for(target, 1, (kind,)))
