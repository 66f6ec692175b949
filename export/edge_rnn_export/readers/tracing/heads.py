"""Convert stateless ONNX operators to layers: matrix products, sums, scalings, activations, tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_rnn.activation import ACTIVATIONS, Activation
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.codes import Signal
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.node import Node

__all__ = ["HEADS"]


_ACTIVATIONS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "Elu": ("elu", (1.0,)),
    "HardSigmoid": ("hard_sigmoid", (0.2, 0.5)),
    "LeakyRelu": ("leaky_relu", (0.01,)),
    "Relu": ("relu", ()),
    "Sigmoid": ("sigmoid", ()),
    "Softplus": ("softplus", ()),
    "Softsign": ("softsign", ()),
    "Tanh": ("tanh", ()),
    "ThresholdedRelu": ("thresholded_relu", (1.0,)),
}


def _matmul(node: Node) -> Signal:
    if not isinstance(node.input(0), Signal):
        raise node.refuse("its first input is constant, expected samples or outputs of a layer, times a matrix.")
    return _dense(node, node.signal(0), node.numbers(1).T)


def _gemm(node: Node) -> Signal:
    alpha, beta = node.take("alpha", 1.0), node.take("beta", 1.0)
    if node.take("transA", 0) or not isinstance(node.input(0), Signal):
        raise node.refuse("its matrix is the left factor; expected samples or outputs of a layer, times a matrix.")
    weight = node.numbers(1) if node.take("transB", 0) else node.numbers(1).T
    fields = {}
    if node.input(2) is not None:
        bias = node.numbers(2)
        wanted = np.broadcast_shapes(bias.shape, (1, len(weight)))
        rows = np.broadcast_to(bias, wanted).reshape(-1, len(weight))
        if (rows != rows[:1]).any() or bias.size > weight.size + len(weight):
            raise node.refuse(f"it adds constants of shape {bias.shape} that differ from row to row.")
        fields["bias"] = beta * rows[0]
    return _dense(node, node.signal(0), weight if alpha == 1 else alpha * weight, **fields)


def _dense(node: Node, signal: Signal, weight: AnyArray, **fields: Any) -> Signal:
    if weight.ndim != 2 or weight.dtype.kind != "f":
        raise node.refuse(f"it multiplies by {weight.dtype} of shape {weight.shape}, expected a matrix.")
    reads, rows = node.trace.features(node.operator, signal)
    count = sum(draft.size for draft in reads)
    if count != weight.shape[1]:
        raise node.damaged(f"reads {count} values, expected {weight.shape[1]}.")
    draft = node.trace.draft(node.operator, "Dense", len(weight), reads, weight=weight, **fields)
    return node.trace.put_out(draft, rows)


def _along(node: Node, signal: Signal) -> tuple[tuple[Draft, ...], Callable[[Draft], Signal], int]:
    """Return the layers read along the feature axis, a function that places an output there, and the axis."""
    axis = node.trace.place(node.operator, signal)
    reads, rows = node.trace.features(node.operator, signal, axis)

    def put(draft: Draft) -> Signal:
        return Signal(np.moveaxis(node.trace.put_out(draft, rows).codes, -1, axis))

    return reads, put, axis


def _vector(node: Node, array: AnyArray, shape: tuple[int, ...], axis: int) -> AnyArray:
    """Broadcast constants next to a signal to one per feature."""
    if array.dtype.kind != "f" or np.broadcast_shapes(array.shape, shape) != shape:
        raise node.refuse(f"it combines {array.dtype} of shape {array.shape} with values of shape {shape}.")
    moved = np.moveaxis(np.broadcast_to(array, shape), axis, -1).reshape(-1, shape[axis])
    if (moved != moved[:1]).any():
        raise node.refuse("its constants differ between steps or batch elements.")
    return np.array(moved[0])


def _with_numbers(node: Node, signal: Signal, array: AnyArray) -> Signal:
    """Convert Add, Sub, Mul or Div of a signal and constants."""
    reads, put, axis = _along(node, signal)
    vector = _vector(node, array, signal.codes.shape, axis)
    size = len(vector)
    if node.kind == "Mul":
        node.trace.graph.budget.take(f"the {node.title}", 4 * size * size)
        return put(node.trace.draft(node.operator, "Dense", size, reads, weight=np.diag(vector)))
    if node.kind == "Div":
        return put(node.trace.draft(node.operator, "divide", size, reads, scale=vector))
    return put(node.trace.draft(node.operator, "shift", size, reads, mean=-vector if node.kind == "Add" else vector))


def _arithmetic(node: Node) -> Signal:
    values = [node.input(place) for place in range(2)]
    signals = [value for value in values if isinstance(value, Signal)]
    if len(signals) == 2 and node.kind == "Add":
        return _sum(node)
    if len(signals) == 2:
        raise node.refuse("it combines two signals, as gates do; only sums of layers are supported.")
    place = 1 if values[0] is signals[0] else 0
    if node.kind in ("Sub", "Div") and place == 0:
        raise node.refuse("its left operand is constant and its right one a signal, expected the other way round.")
    return _with_numbers(node, signals[0], node.numbers(place))


def _sum(node: Node) -> Signal:
    signals = [node.signal(place) for place in range(len(node.inputs))]
    if len({signal.codes.shape for signal in signals}) > 1:
        raise node.refuse(
            f"it adds values of shapes {[signal.codes.shape for signal in signals]}, expected equal ones."
        )
    if len(signals) == 1:
        return signals[0]
    axis = node.trace.place(node.operator, signals[0])
    read = [node.trace.features(node.operator, signal, axis) for signal in signals]
    if any(not np.array_equal(rows, read[0][1]) for _, rows in read):
        raise node.refuse("it adds values of different steps.")
    parts = [_one(node, reads) for reads, _ in read]
    draft = node.trace.draft(node.operator, "Add", parts[0].size, parts)
    return Signal(np.moveaxis(node.trace.put_out(draft, read[0][1]).codes, -1, axis))


def _one(node: Node, reads: tuple[Draft, ...]) -> Draft:
    """Return the inputs as one layer: a Dense that joins them if there are several."""
    if len(reads) == 1:
        return reads[0]
    size = sum(draft.size for draft in reads)
    node.trace.graph.budget.take(f"the {node.title}", 4 * size * size)
    return node.trace.draft(node.operator, "Dense", size, reads, weight=np.eye(size, dtype=np.float32))


def _batch_norm(node: Node) -> Signal:
    """Convert scaling by training statistics, features on axis 1, to a matrix with a bias."""
    epsilon, training = node.take("epsilon", 1e-5), node.take("training_mode", 0)
    node.take("momentum", 0.9)
    if not node.take("spatial", 1):
        raise node.refuse("it scales each position of a sequence by another factor.")
    if training or any(node.operator.outputs[1:]):
        raise node.refuse("it is in training mode; export the network in inference mode.")
    signal = node.signal(0)
    if signal.codes.ndim < 2:
        raise node.refuse(f"it scales axis 1 of a value of shape {signal.codes.shape}.")
    reads, rows = node.trace.features(node.operator, signal, 1)
    size = sum(draft.size for draft in reads)
    scale, bias, mean, variance = (node.numbers(place).astype(np.float64) for place in range(1, 5))
    if any(array.shape != (size,) for array in (scale, bias, mean, variance)):
        raise node.damaged(f"has scales of shape {scale.shape}, expected {(size,)}.")
    with np.errstate(all="ignore"):  # non-finite values are refused when they become weights
        factor = scale / np.sqrt(variance + epsilon)
        bias = bias - mean * factor
    node.trace.graph.budget.take(f"the {node.title}", 8 * size * size)
    draft = node.trace.draft(node.operator, "Dense", size, reads, weight=np.diag(factor), bias=bias)
    return Signal(np.moveaxis(node.trace.put_out(draft, rows).codes, -1, 1))


def _activation(node: Node) -> Signal:
    name, defaults = _ACTIVATIONS[node.kind]
    given = [node.take(key, default) for key, default in zip(("alpha", "beta"), defaults, strict=False)]
    numbers = tuple(float(str(np.float32(value))) for value in given)
    return _activated(node, str(Activation(name, numbers or ACTIVATIONS[name])))


def _softmax(node: Node) -> Signal:
    signal = node.signal(0)
    axis = node.take("axis", -1 if node.trace.graph.opset >= 13 else 1)
    shape = signal.codes.shape
    axis += len(shape) if axis < 0 else 0
    place = node.trace.place(node.operator, signal)
    behind = shape[axis + 1 :] if node.trace.graph.opset < 13 else ()
    if axis != place or any(length > 1 for length in behind):
        raise node.refuse(f"it works along axis {axis} of {shape}, expected the feature axis, {place}.")
    return _activated(node, "softmax")


def _activated(node: Node, text: str) -> Signal:
    reads, put, _ = _along(node, node.signal(0))
    size = sum(draft.size for draft in reads)
    return put(node.trace.draft(node.operator, "activation", size, reads, activation=text))


def _table(node: Node) -> Signal:
    """Convert Gather with a table of constants: rows by symbols."""
    table, signal = node.numbers(0), node.signal(1)
    if table.ndim != 2 or table.dtype.kind != "f" or node.take("axis", 0):
        raise node.refuse(f"it takes parts of {table.dtype} of shape {table.shape}, expected rows of a table.")
    reads, rows = node.trace.features(node.operator, Signal(signal.codes[..., None], signal.whole))
    if reads[0].kind != "input" or reads[0].size != 1:
        raise node.refuse("it takes rows by something other than one symbol per step.")
    draft = node.trace.draft(node.operator, "Embedding", table.shape[1], reads, weight=table)
    return node.trace.put_out(draft, rows)


HEADS: Mapping[str, Callable[[Node], Signal]] = {
    "Add": _arithmetic,
    "BatchNormalization": _batch_norm,
    "Div": _arithmetic,
    "Gather": _table,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Mul": _arithmetic,
    "Softmax": _softmax,
    "Sub": _arithmetic,
    "Sum": _sum,
    **dict.fromkeys(_ACTIVATIONS, _activation),
}
"""Operators that read a signal and become a layer, or part of one."""
