"""Read operators that compute vectors from vectors: matrix products, functions of units, norms, tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from edge_rnn.equations.functions import maximum, minimum, prelu
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.causes import convolves
from edge_rnn_export.readers.tracing.codes import Signal, Value
from edge_rnn_export.readers.tracing.features import feature_axis, features
from edge_rnn_export.readers.tracing.functions import (
    BINARY,
    COMPARISONS,
    NORMS,
    REDUCTIONS,
    UNARY,
    WHOLE,
    Function,
    chosen,
    shortest,
)
from edge_rnn_export.readers.tracing.node import Node
from edge_rnn_export.readers.tracing.units import applied, joined, put_units

__all__ = ["OPERATORS", "dense"]


def _matmul(node: Node) -> Signal:
    if not isinstance(node.input(0), Signal):
        raise node.refuse("its first input is constant, expected samples or outputs of a layer, times a matrix.")
    if isinstance(node.input(1), Signal):
        raise node.refuse("it multiplies two signals, as attention does; expected a matrix of constants.")
    return dense(node, node.signal(0), node.numbers(1).T)


def _gemm(node: Node) -> Signal:
    alpha, beta = node.take("alpha", 1.0), node.take("beta", 1.0)
    if node.take("transA", 0) or not isinstance(node.input(0), Signal):
        raise node.refuse("its matrix is the left factor; expected samples or outputs of a layer, times a matrix.")
    if isinstance(node.input(1), Signal):
        raise node.refuse("it multiplies two signals, as attention does; expected a matrix of constants.")
    weight = node.numbers(1) if node.take("transB", 0) else node.numbers(1).T
    weight = weight if alpha == 1 else alpha * weight
    if node.input(2) is None:
        return dense(node, node.signal(0), weight)
    if isinstance(node.input(2), Signal):
        if beta != 1:
            raise node.refuse(f"it adds {beta} times a signal, expected 1.")
        return applied(node, BINARY["Add"], [dense(node, node.signal(0), weight), node.signal(2)])
    bias = node.numbers(2)
    wanted = np.broadcast_shapes(bias.shape, (1, len(weight)))
    rows = np.broadcast_to(bias, wanted).reshape(-1, len(weight))
    if (rows != rows[:1]).any() or bias.size > weight.size + len(weight):
        raise node.refuse(f"it adds constants of shape {bias.shape} that differ from row to row.")
    return dense(node, node.signal(0), weight, bias=beta * rows[0])


def dense(node: Node, signal: Signal, weight: AnyArray, **fields: Any) -> Signal:
    """Matrix times the last axis of a signal, with fields of a Dense."""
    if weight.ndim != 2 or weight.dtype.kind != "f":
        raise node.refuse(f"it multiplies by {weight.dtype} of shape {weight.shape}, expected a matrix.")
    reads, rows = features(node.trace, node.operator, signal)
    count = sum(draft.size for draft in reads)
    if count != weight.shape[1]:
        raise node.damaged(f"reads {count} values, expected {weight.shape[1]}.")
    draft = node.trace.draft(node.operator, "Dense", len(weight), reads, weight=weight, **fields)
    return node.trace.put_out(draft, rows)


def _conv(node: Node) -> Signal:
    """Convolution over a single position, which is a matrix product along axis 1."""
    signal, weight = node.signal(0), node.numbers(1)
    node.take("auto_pad", "NOTSET")
    ones = [node.take(name, None, list) for name in ("kernel_shape", "strides", "dilations")]
    pads = node.take("pads", None, list)
    if reason := convolves(weight.shape[2:], node.take("group", 1)):
        raise node.refuse(reason)
    if any(pads or ()):
        raise node.refuse("it adds positions by padding, which a stream does not have.")
    if any(value != 1 for value in ones[1] or ()):
        raise node.refuse("it leaves out positions.")
    reads, rows = features(node.trace, node.operator, signal, 1)
    fields = {} if node.input(2) is None else {"bias": node.numbers(2)}
    matrix = weight.reshape(weight.shape[:2])
    draft = node.trace.draft(node.operator, "Dense", len(matrix), reads, weight=matrix, **fields)
    return Signal(np.moveaxis(node.trace.put_out(draft, rows).codes, -1, 1))


def _binary(node: Node) -> Signal:
    values = [node.input(place) for place in range(len(node.inputs))]
    if any(value is None for value in values) or len(values) < 2:
        raise node.damaged(f"reads {len(values)} values, expected two or more.")
    found = values[0]
    for value in values[1:]:
        if not isinstance(found, Signal) and not isinstance(value, Signal):
            found = np.asarray(BINARY[node.kind].call(found, value))
        elif isinstance(found, Signal) and _is_neutral(node.kind, value, found.codes.shape):
            continue
        else:
            found = applied(node, BINARY[node.kind], [found, value])
    assert isinstance(found, Signal)
    return found


def _is_neutral(kind: str, value: Value, shape: tuple[int, ...]) -> bool:
    """True for a number that changes nothing, such as the zero by which an exporter keeps an input in the graph."""
    neutral = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}.get(kind)
    if neutral is None or not isinstance(value, np.ndarray) or value.size != 1 or value.ndim > len(shape):
        return False
    return bool(value.reshape(()) == neutral)


def _compared(node: Node) -> Signal:
    return applied(node, COMPARISONS[node.kind], [node.input(0), node.input(1)])


def _where(node: Node) -> Signal:
    condition, a, b = (node.input(place) for place in range(3))
    if not isinstance(condition, Signal):
        numbers = node.numbers(0).astype(np.float32)
        return applied(node, Function("where", chosen), [numbers, a, b])
    if condition.whole:
        raise node.refuse("its condition is an integer, and samples are no integers.")
    return applied(node, Function("where", chosen), [condition, a, b])


def _sum(node: Node) -> Signal:
    signal = node.signal(0)
    for place in range(1, len(node.inputs)):
        signal = applied(node, BINARY["Add"], [signal, node.input(place)])
    return signal


def _unary(node: Node) -> Signal:
    return applied(node, UNARY[node.kind](node), [node.signal(0)])


def _power(node: Node) -> Signal:
    exponents = np.unique(node.numbers(1))
    known: Mapping[float, Function] = {
        2.0: Function("square", lambda x: x * x),
        0.5: UNARY["Sqrt"](node),
        -1.0: UNARY["Reciprocal"](node),
    }
    if exponents.tolist() == [1.0]:
        return node.signal(0)
    if len(exponents) != 1 or float(exponents[0]) not in known:
        raise node.refuse(f"it raises to the power {exponents.tolist()[:4]}, expected 2, 0.5, -1 or 1.")
    return applied(node, known[float(exponents[0])], [node.signal(0)])


def _clip(node: Node) -> Signal:
    limits = []
    for place, name in ((1, "min"), (2, "max")):
        limit = node.take(name, None, float)
        if limit is None and node.input(place) is not None:
            limit = float(node.numbers(place).reshape(()))
        limits.append(limit)
    signal = node.signal(0)
    for limit, name, function in ((limits[0], "maximum", maximum), (limits[1], "minimum", minimum)):
        if limit is not None and abs(limit) < 3e38:
            signal = applied(node, Function(name, function), [signal, np.asarray(limit, np.float32)])
    return signal


def _prelu(node: Node) -> Signal:
    return applied(node, Function("prelu", prelu), [node.signal(0), node.numbers(1)])


def _axis(node: Node, given: int, signal: Signal) -> int:
    shape = signal.codes.shape
    axis = given + len(shape) if given < 0 else given
    place = feature_axis(node.trace, node.operator, signal)
    if axis != place:
        raise node.refuse(f"it works along axis {given} of {shape}, expected the feature axis, {place}.")
    return axis


def _whole(node: Node) -> Signal:
    """Read a function of all units at once: Softmax, LogSoftmax."""
    signal = node.signal(0)
    axis = node.take("axis", -1 if node.trace.graph.opset >= 13 else 1)
    shape = signal.codes.shape
    behind = shape[axis + 1 :] if node.trace.graph.opset < 13 and axis >= 0 else ()
    if any(length > 1 for length in behind):
        raise node.refuse(f"it works along axis {axis} of {shape} and all axes after it, expected the feature axis.")
    _axis(node, axis, signal)
    return applied(node, WHOLE[node.kind], [signal])


def _reduced(node: Node) -> Signal:
    """Read a reduction of all units to a single number."""
    signal, axes, kept = node.signal(0), node.whole(1, "axes"), node.take("keepdims", 1)
    node.take("noop_with_empty_axes", 0)
    if axes is None or len(axes) != 1:
        raise node.refuse(f"it works along axes {axes}, expected the feature axis.")
    axis = _axis(node, axes[0], signal)
    reads, rows = features(node.trace, node.operator, signal, axis)
    found = put_units(node, REDUCTIONS[node.kind], [joined(node, reads)], rows, 1, axis)
    return found if kept else Signal(np.squeeze(found.codes, axis))


def _norm(node: Node) -> Signal:
    """Read a normalization over all units: LayerNormalization, RMSNormalization."""
    signal, axis = node.signal(0), node.take("axis", -1)
    node.take("stash_type", 1)
    epsilon = shortest(node.take("epsilon", 1e-5))
    place = _axis(node, axis, signal)
    if signal.codes.shape[place + 1 :]:
        raise node.refuse("it normalizes over several axes, expected the feature axis.")
    name, call = NORMS[node.kind]
    numbers = [node.numbers(each) for each in range(1, len(node.inputs)) if node.input(each) is not None]
    function = Function(f"{name}:{epsilon}", partial(call, eps=epsilon))
    return applied(node, function, [signal, *numbers])


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
        raise node.refuse(f"it scales axis 1 of the shape {signal.codes.shape}, expected two axes or more.")
    reads, rows = features(node.trace, node.operator, signal, 1)
    size = sum(draft.size for draft in reads)
    scale, bias, mean, variance = (node.numbers(place).astype(np.float64) for place in range(1, 5))
    if any(array.shape != (size,) for array in (scale, bias, mean, variance)):
        raise node.damaged(f"has scales of shape {scale.shape}, expected {(size,)}.")
    with np.errstate(all="ignore"):  # non-finite values are refused when they become weights
        factor = scale / np.sqrt(variance + epsilon)
        bias = bias - mean * factor
    scaled = put_units(node, BINARY["Mul"], [joined(node, reads), factor], rows, size, 1)
    reads, rows = features(node.trace, node.operator, scaled, 1)
    return put_units(node, BINARY["Add"], [reads[0], bias], rows, size, 1)


def _table(node: Node) -> Signal:
    """Convert Gather with a table of constants: rows by symbols."""
    table, signal = node.numbers(0), node.signal(1)
    if table.ndim != 2 or table.dtype.kind != "f" or node.take("axis", 0):
        raise node.refuse(f"it takes parts of {table.dtype} of shape {table.shape}, expected rows of a table.")
    reads, rows = features(node.trace, node.operator, Signal(signal.codes[..., None], signal.whole))
    source = node.trace.rolls.of_all(reads[0]) or reads[0]
    if source.kind != "input" or source.size != 1:
        raise node.refuse("it takes rows by something other than one symbol per step.")
    draft = node.trace.draft(node.operator, "Embedding", table.shape[1], reads, weight=table)
    return node.trace.put_out(draft, rows)


OPERATORS: Mapping[str, Callable[[Node], Signal]] = {
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(COMPARISONS, _compared),
    **dict.fromkeys(NORMS, _norm),
    **dict.fromkeys(REDUCTIONS, _reduced),
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(WHOLE, _whole),
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Conv": _conv,
    "Gather": _table,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "PRelu": _prelu,
    "Pow": _power,
    "Sum": _sum,
    "Where": _where,
}
"""Operators that read a signal and compute vectors."""
