"""Apply functions of units to signals and constants, which are broadcast along axes without features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_rnn.equations.functions import concat
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.codes import Codes, Signal, Value
from edge_rnn_export.readers.tracing.drafts import Draft, Vector
from edge_rnn_export.readers.tracing.features import ACROSS_STEPS, feature_axis, features
from edge_rnn_export.readers.tracing.functions import Function
from edge_rnn_export.readers.tracing.node import Node

__all__ = ["applied", "joined", "put_units"]


def joined(node: Node, reads: Sequence[Draft]) -> Draft:
    """Concatenation of vectors as one."""
    if len(reads) == 1:
        return reads[0]
    draft = node.trace.draft(
        node.operator, "op", sum(each.size for each in reads), reads, operation="concat", function=concat
    )
    draft.rows = max((each.rows for each in reads if each.rows is not None), key=lambda rows: rows[0], default=None)
    return draft


def applied(node: Node, function: Function, values: Sequence[Value]) -> Signal:
    """Apply a function of units to signals and constants, which are broadcast."""
    shape = np.broadcast_shapes(*(_shape(value) for value in values))
    signals = [value for value in values if isinstance(value, Signal)]
    main = max(signals, key=lambda signal: signal.codes.size)
    first = max(_varying(values, shape), -main.codes.ndim)
    axis = feature_axis(node.trace, node.operator, main, first) + len(shape) - main.codes.ndim
    args: list[Vector] = []
    rows: list[Codes] = []
    for value in values:
        if isinstance(value, Signal):
            reads, row = _along(node, value, shape, axis)
            args.append(joined(node, reads))
            rows.append(row)
        else:
            args.append(_vector(node, np.asarray(value), shape, axis))
    return put_units(node, function, args, _latest(node, rows), shape[axis], axis)


def _varying(values: Sequence[Value], shape: tuple[int, ...]) -> int:
    """Axis along which constants vary, from the end; the last one if they tell none."""
    for value in values:
        if isinstance(value, np.ndarray) and value.size > 1:
            axes = [axis for axis in range(-value.ndim, 0) if value.shape[axis] == value.size == shape[axis]]
            if axes:
                return axes[0]
    return -1


def put_units(node: Node, function: Function, args: Sequence[Vector], rows: Codes, size: int, axis: int) -> Signal:
    """Put out a function of vectors, with its units along an axis."""
    draft = node.trace.draft(node.operator, "op", size, args, operation=function.name, function=function.call)
    return Signal(np.moveaxis(node.trace.put_out(draft, rows).codes, -1, axis))


def _shape(value: Value) -> tuple[int, ...]:
    return value.codes.shape if isinstance(value, Signal) else np.asarray(value).shape


def _along(node: Node, signal: Signal, shape: tuple[int, ...], axis: int) -> tuple[tuple[Draft, ...], Codes]:
    """Vectors that a signal holds along an axis of the shape it is broadcast to, and the rows of that shape."""
    codes = signal.codes.reshape((1,) * (len(shape) - signal.codes.ndim) + signal.codes.shape)
    reads, rows = features(node.trace, node.operator, Signal(codes, signal.whole), axis)
    wanted = tuple(length for place, length in enumerate(shape) if place != axis)
    return reads, np.broadcast_to(rows, wanted)


def _latest(node: Node, rows: Sequence[Codes]) -> Codes:
    """Latest of the steps that a function combines, after checking that they are equally far apart everywhere."""
    latest: Codes = np.max(rows, axis=0)
    for each in rows:
        lags = np.where(each < 0, 0, latest - each)
        if (lags != lags.reshape(-1)[0]).any() or (lags.any() and latest.size == node.trace.rows):
            raise node.refuse(ACROSS_STEPS)
    return latest


def _vector(node: Node, array: AnyArray, shape: tuple[int, ...], axis: int) -> AnyArray:
    """Broadcast constants next to a signal to one per feature, or to a single one if all are equal."""
    if array.dtype.kind not in "fiu" or np.broadcast_shapes(array.shape, shape) != shape:
        raise node.refuse(f"it combines {array.dtype} of shape {array.shape} with values of shape {shape}.")
    if array.size == 1:
        return np.full(shape[axis], array.reshape(()), np.float32 if array.dtype.kind != "f" else array.dtype)
    moved = np.moveaxis(np.broadcast_to(array, shape), axis, -1).reshape(-1, shape[axis])
    if (moved != moved[:1]).any():
        raise node.refuse("its constants differ between steps or batch elements.")
    return np.array(moved[0])
