"""Operators that move, slice and join axes, and those that build shapes and states.

NumPy executes them, on constants in the file or on the codes of a signal (see
:mod:`edge_rnn_export.readers.tracing.trace`). Memory that a small file could inflate is charged to the budget first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.codes import Signal
from edge_rnn_export.readers.tracing.graph import Constant
from edge_rnn_export.readers.tracing.node import Node

__all__ = ["FOLDS", "GLUE", "is_whole"]


_FLOATS: dict[int, Any] = {1: np.float32, 10: np.float16, 11: np.float64, 16: np.float32}
_INTEGERS: dict[int, Any] = {6: np.int32, 7: np.int64, 9: np.bool_}
_BOOL = 9
_END = 2**31 - 1  # at or beyond this, exporters mean "to the end"


def _data(node: Node, place: int = 0) -> AnyArray:
    value = node.input(place)
    return value.codes if isinstance(value, Signal) else node.numbers(place)


def _identity(node: Node) -> list[AnyArray]:
    return [_data(node)]


def _dropout(node: Node) -> list[AnyArray]:
    node.take("ratio", 0.5)
    node.take("seed", 0)
    if node.input(2) is not None and node.numbers(2).any():
        raise node.refuse("it drops values in training; export the network in inference mode.")
    return [_data(node)]  # without the mask: a graph that reads it is in training mode


def _cast(node: Node) -> list[AnyArray]:
    to, value = node.take("to", 0), node.input(0)
    node.take("saturate", 1)
    if to not in _FLOATS and to not in _INTEGERS:
        raise node.refuse(f"it casts to type {to}, expected floating point or integers.")
    if isinstance(value, Signal):
        if to == _BOOL:
            raise node.refuse("it casts samples or outputs of layers to booleans.")
        port = node.trace.only_port(value)
        if port is None and to not in _FLOATS:
            raise node.refuse("it casts the output of a layer to integers.")
        if value.whole and to in _FLOATS and not (port and port.integers):
            raise node.refuse("it casts samples to integers; only an Embedding's table may read these.")
        return [value.codes]
    with np.errstate(all="ignore"):
        return [node.numbers(0).astype((_FLOATS | _INTEGERS)[to])]


def _transpose(node: Node) -> list[AnyArray]:
    return [np.transpose(_data(node), node.take("perm", None, list))]


def _squeeze(node: Node) -> list[AnyArray]:
    array, axes = _data(node), node.whole(1, "axes")
    if axes is None and node.trace.open and isinstance(node.input(0), Signal):
        raise node.refuse("it does not list the axes to remove, and some have open lengths; export it with axes.")
    return [np.squeeze(array, None if axes is None else tuple(axes))]


def _unsqueeze(node: Node) -> list[AnyArray]:
    return [np.expand_dims(_data(node), tuple(node.whole(1, "axes") or ()))]


def _reshape(node: Node) -> list[AnyArray]:
    array, shape = _data(node), node.whole(1, "shape") or []
    if not node.take("allowzero", 0):
        shape = [array.shape[place] if length == 0 else length for place, length in enumerate(shape)]
    return [array.reshape(shape)]


def _flatten(node: Node) -> list[AnyArray]:
    array, axis = _data(node), node.take("axis", 1)
    axis += array.ndim if axis < 0 else 0
    return [array.reshape(int(np.prod(array.shape[:axis], dtype=np.int64)), -1)]


def _slice(node: Node) -> list[AnyArray]:
    array = _data(node)
    starts, ends = node.whole(1, "starts") or [], node.whole(2, "ends") or []
    axes, steps = node.whole(3, "axes"), node.whole(4, "steps")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    parts = [slice(None)] * array.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = array.shape[axis]
        inside = -size <= start <= size and (-size <= end <= size or end >= _END)
        # For an open axis "the last 50 steps" must not become "all" because the trace used 5 of them.
        if step < 1 or (not inside and node.trace.open and isinstance(node.input(0), Signal)):
            raise node.refuse(
                f"it takes from {start} to {end} by {step} of axis {axis}, expected the last step, all of them, or "
                f"some features."
            )
        parts[axis] = slice(start, end, step)
    return [array[tuple(parts)]]


def _gather(node: Node) -> list[AnyArray]:
    array, places, axis = _data(node), node.numbers(1), node.take("axis", 0)
    if places.dtype.kind not in "iu":
        raise node.damaged(f"takes indices of {places.dtype}, expected integers.")
    rest = array.size // max(array.shape[axis], 1)
    node.budget.take(f"the {node.title}", array.itemsize * places.size * rest)
    return [np.take(array, places, axis)]


def _split(node: Node) -> list[AnyArray]:
    array, axis, sizes = _data(node), node.take("axis", 0), node.whole(1, "split")
    count = node.take("num_outputs", len(node.operator.outputs))
    size = array.shape[axis]
    each = -(-size // count)
    sizes = [min(each, size - each * place) for place in range(count)] if sizes is None else sizes
    if sum(sizes) != size or min(sizes) < 0 or len(sizes) != len(node.operator.outputs):
        raise node.refuse(f"it splits {size} into {sizes} for {len(node.operator.outputs)} outputs.")
    return list(np.split(array, np.cumsum(sizes)[:-1], axis))


def _concat(node: Node) -> list[AnyArray]:
    arrays = [_data(node, place) for place in range(len(node.inputs))]
    node.budget.take(f"the {node.title}", sum(8 * array.size for array in arrays))
    if any(isinstance(value, Signal) for value in node.inputs):
        arrays = [
            array if isinstance(value, Signal) else node.trace.constants(array).codes
            for array, value in zip(arrays, node.inputs, strict=True)
        ]
    return [np.concatenate(arrays, node.take("axis", 0))]


def _expand(node: Node) -> list[AnyArray]:
    array = _data(node)
    wanted = np.broadcast_shapes(array.shape, _shape(node, 1))
    value = node.input(0)
    if wanted != array.shape and isinstance(value, Signal) and node.trace.kinds(value) & {"port", "y", "h", "c"}:
        raise node.refuse(f"it repeats {array.shape} as {wanted}; expected no repetition.")
    return [_filled(node, array, wanted)]


def _pad(node: Node) -> list[AnyArray]:
    node.take("mode", "constant")
    node.take("value", 0.0)
    if any(node.whole(1, "pads") or ()):
        raise node.refuse("it pads steps or features, for which there is no layer.")
    return [_data(node)]


def _size(node: Node) -> list[AnyArray]:
    return [np.array(_data(node).size, np.int64)]


def _shape_of(node: Node) -> list[AnyArray]:
    array = _data(node)
    start, end = node.take("start", 0), node.take("end", None, int)
    return [np.array(array.shape[start:end], np.int64)]


GLUE: dict[str, Callable[[Node], list[AnyArray]]] = {
    "Cast": _cast,
    "Concat": _concat,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _identity,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""Operators whose data may be a signal; every other input is constant."""


def is_whole(node: Node) -> bool:
    """True if an operator of :data:`GLUE` whose data are a signal gives integers."""
    if node.kind == "Cast":
        return node.attributes.get("to") in _INTEGERS
    return any(isinstance(value, Signal) and value.whole for value in node.inputs)


def _constant(node: Node) -> list[AnyArray]:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in node.attributes:
            value = node.attributes.pop(name)
            if name == "value":
                return [_tensor(node, value)]
            return [np.asarray(value, np.float32 if "float" in name else np.int64)]
    raise node.refuse(f"it holds {', '.join(node.attributes)[:80] or 'nothing'}, expected numbers.")


def _tensor(node: Node, value: Any) -> AnyArray:
    if not isinstance(value, Constant):
        raise node.damaged(f"has the value {str(value)[:80]}, expected a tensor.")
    return value.load()


def _constant_of_shape(node: Node) -> list[AnyArray]:
    tensor = node.attributes.pop("value", None)
    value = np.zeros(1, np.float32) if tensor is None else _tensor(node, tensor)
    return [_filled(node, value.reshape(-1)[:1].reshape(()), _shape(node, 0))]


def _filled(node: Node, array: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """View of the array broadcast to a larger shape; charged in advance, as its consumers will allocate it."""
    count = array.itemsize
    for length in shape:
        count *= length
    node.budget.take(f"the {node.title}", count)
    return np.broadcast_to(array, shape)


def _shape(node: Node, place: int) -> tuple[int, ...]:
    entries = node.numbers(place)
    if entries.dtype.kind not in "iu" or entries.ndim > 1 or entries.size > 8 or (entries < 0).any():
        raise node.refuse(f"its input {place} is not a shape.")
    return tuple(int(length) for length in entries.reshape(-1))


def _dequantize(node: Node) -> list[AnyArray]:
    """Weights that are stored as integers."""
    array, scale = node.numbers(0), node.numbers(1)
    zero = node.numbers(2) if node.input(2) is not None else np.zeros((), array.dtype)
    axis, block = node.take("axis", 1), node.take("block_size", 0)
    node.take("output_dtype", 0)
    if array.dtype.kind not in "iu" or scale.dtype.kind != "f" or block or scale.ndim > 1 or zero.shape != scale.shape:
        raise node.refuse("it dequantizes in blocks, or other numbers than integers.")
    shape = [-1 if place == axis % array.ndim else 1 for place in range(array.ndim)] if scale.ndim else []
    node.budget.take(f"the {node.title}", 8 * array.size)
    offset, factor = (each.astype(np.float64).reshape(shape) for each in (zero, scale))
    return [((array - offset) * factor).astype(np.float32)]


def _tile(node: Node) -> list[AnyArray]:
    array, counts = node.numbers(0), _shape(node, 1)
    count = array.nbytes
    for each in counts:
        count *= each
    node.budget.take(f"the {node.title}", count)
    return [np.tile(array, counts)]


def _where(node: Node) -> list[AnyArray]:
    arrays = [node.numbers(place) for place in range(3)]
    _filled(node, np.zeros((), np.int64), np.broadcast_shapes(*(array.shape for array in arrays)))
    return [np.where(*arrays)]


def _range(node: Node) -> list[AnyArray]:
    start, limit, delta = (node.numbers(place) for place in range(3))
    if any(each.size != 1 or each.dtype.kind not in "iu" for each in (start, limit, delta)):
        raise node.refuse("it makes a range of floating-point numbers, expected integers.")
    numbers = range(int(start.item()), int(limit.item()), int(delta.item()))
    node.budget.take(f"the {node.title}", 8 * len(numbers))
    return [np.array(numbers, start.dtype)]


def _reduced(function: Callable[..., Any]) -> Callable[[Node], list[AnyArray]]:
    def fold(node: Node) -> list[AnyArray]:
        array, axes, kept = node.numbers(0), node.whole(1, "axes"), node.take("keepdims", 1)
        if axes is None and node.take("noop_with_empty_axes", 0):
            return [array]
        with np.errstate(all="ignore"):
            found = function(array, axis=None if axes is None else tuple(axes), keepdims=bool(kept))
        return [np.asarray(found, array.dtype)]

    return fold


def _extreme(function: Callable[[Any, Any], Any]) -> Callable[[Node], list[AnyArray]]:
    def fold(node: Node) -> list[AnyArray]:
        arrays = [node.numbers(place) for place in range(len(node.inputs))]
        _filled(node, np.zeros((), np.int64), np.broadcast_shapes(*(array.shape for array in arrays)))
        return [reduce(function, arrays)]

    return fold


def _not(node: Node) -> list[AnyArray]:
    array = node.numbers(0)
    if array.dtype != np.bool_:
        raise node.damaged(f"reads {array.dtype}, expected booleans.")
    return [~array]


def _quotient(a: AnyArray, b: AnyArray) -> AnyArray:
    """ONNX divides integers towards zero."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if not b.all():
        raise ValueError("an integer is divided by zero")
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)


def _arithmetic(function: Callable[[Any, Any], Any], *, booleans: bool = False) -> Callable[[Node], list[AnyArray]]:
    def fold(node: Node) -> list[AnyArray]:
        a, b = node.numbers(0), node.numbers(1)
        _filled(node, np.zeros((), np.int64), np.broadcast_shapes(a.shape, b.shape))
        if a.dtype != b.dtype or (a.dtype == np.bool_) != booleans:
            raise node.damaged(f"reads {a.dtype} and {b.dtype}, expected equal types.")
        with np.errstate(all="ignore"):  # non-finite values are refused when they become weights
            return [np.asarray(function(a, b))]

    return fold


FOLDS: dict[str, Callable[[Node], list[AnyArray]]] = GLUE | {
    "Add": _arithmetic(np.add),
    "And": _arithmetic(np.logical_and, booleans=True),
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DequantizeLinear": _dequantize,
    "Div": _arithmetic(_quotient),
    "Equal": _arithmetic(np.equal),
    "Greater": _arithmetic(np.greater),
    "GreaterOrEqual": _arithmetic(np.greater_equal),
    "Less": _arithmetic(np.less),
    "LessOrEqual": _arithmetic(np.less_equal),
    "Max": _extreme(np.maximum),
    "Min": _extreme(np.minimum),
    "Mul": _arithmetic(np.multiply),
    "Not": _not,
    "Or": _arithmetic(np.logical_or, booleans=True),
    "Range": _range,
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "Shape": _shape_of,
    "Size": _size,
    "Sub": _arithmetic(np.subtract),
    "Tile": _tile,
    "Where": _where,
}
"""Operators on constants (Shape takes any input). NumPy's errors about them do not name the node."""
