"""Write functions of ``keras.ops`` that move, cut and join axes."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_rnn.errors import FileError
from edge_rnn_export.readers.keras.emission import At, Tensor, operand, tensor_of
from edge_rnn_export.readers.keras.options import axes_of
from edge_rnn_export.readers.keras.shapes import concatenated, joined_shape, reshape_to

__all__ = ["MOVES"]

_END = 2**31 - 1
_MAX_PARTS = 2**10


def _concatenate(at: At, *values: Any) -> Tensor:
    tensors = [tensor_of(at, each) for value in values for each in (value if isinstance(value, list) else [value])]
    return concatenated(at, tensors, at.config.get("axis", -1))


def _stack(at: At, *values: Any) -> Tensor:
    tensors = [tensor_of(at, each) for value in values for each in (value if isinstance(value, list) else [value])]
    (axis,) = axes_of(at.title, at.config.get("axis", 0), len(tensors[0].shape) + 1)
    wide = [
        Tensor(at("Unsqueeze", tensor, [axis]), (*tensor.shape[:axis], 1, *tensor.shape[axis:])) for tensor in tensors
    ]
    return Tensor(at("Concat", *wide, axis=axis), joined_shape(at, wide, axis))


def _split(at: At, x: Any) -> list[Tensor]:
    tensor, given = tensor_of(at, x), at.config.get("indices_or_sections")
    (axis,) = axes_of(at.title, at.config.get("axis", 0), len(tensor.shape))
    length = tensor.shape[axis]
    if length is None:
        raise at.refuse(f"it splits axis {axis} of the shape {tensor.shape}, which is open.")
    if type(given) is int and 0 < given <= _MAX_PARTS and length % given == 0:
        given = [length // given * part for part in range(1, given)]
    cuts = [0, *given, length] if isinstance(given, list) and all(type(n) is int for n in given) else [0, -1]
    sizes = [int(size) for size in np.diff(cuts)]
    if min(sizes) < 1 or len(sizes) > _MAX_PARTS:
        raise at.refuse(f"it splits {length} values at {reprlib.repr(given)}.")
    parts = at.several("Split", len(sizes), tensor, sizes, axis=axis)
    return [
        Tensor(part, (*tensor.shape[:axis], size, *tensor.shape[axis + 1 :]))
        for part, size in zip(parts, sizes, strict=True)
    ]


def _unstack(at: At, x: Any) -> list[Tensor]:
    tensor = tensor_of(at, x)
    (axis,) = axes_of(at.title, at.config.get("axis", 0), len(tensor.shape))
    length = tensor.shape[axis]
    if length is None or length > _MAX_PARTS:
        raise at.refuse(f"it takes axis {axis} of the shape {tensor.shape} apart, expected {_MAX_PARTS} at most.")
    return [_picked(at, tensor, axis, place) for place in range(length)]


def _picked(at: At, tensor: Tensor, axis: int, place: int) -> Tensor:
    name = at("Gather", tensor, np.asarray(place, np.int64), axis=axis)
    return Tensor(name, (*tensor.shape[:axis], *tensor.shape[axis + 1 :]), tensor.integers)


def _take(at: At, x: Any, places: Any) -> Tensor:
    tensor = tensor_of(at, x)
    (axis,) = axes_of(at.title, at.config.get("axis"), len(tensor.shape))
    array, shape = operand(at, places)
    if not isinstance(array, np.ndarray) or (array != array.astype(np.int64)).any():
        raise at.refuse("it takes places that are computed, expected whole numbers.")
    name = at("Gather", tensor, array.astype(np.int64), axis=axis)
    return Tensor(name, (*tensor.shape[:axis], *shape, *tensor.shape[axis + 1 :]), tensor.integers)


def _get_item(at: At, x: Any, key: Any) -> Tensor:
    """``x[key]`` for whole numbers, slices, ``...`` and new axes."""
    tensor = tensor_of(at, x)
    entries = key if isinstance(key, list) else [key]
    used = sum(entry is not None and entry is not ... for entry in entries)
    fill = [slice(None)] * (len(tensor.shape) - used)
    places = [place for place, entry in enumerate(entries) if entry is ...]
    here = places[0] if places else len(entries)
    entries = [*entries[:here], *fill, *entries[here + 1 :]]
    if len(places) > 1 or not all(entry is None or isinstance(entry, slice) or type(entry) is int for entry in entries):
        raise at.refuse(f"it takes {reprlib.repr(key)}, expected whole numbers and slices.")
    axis = 0
    for entry in entries:
        if entry is None:
            tensor = Tensor(at("Unsqueeze", tensor, [axis]), (*tensor.shape[:axis], 1, *tensor.shape[axis:]))
        elif type(entry) is int:
            tensor = _picked(at, tensor, axis, entry)
            axis -= 1
        elif entry != slice(None):
            tensor = _sliced(at, tensor, axis, entry)
        axis += 1
    return tensor


def _sliced(at: At, tensor: Tensor, axis: int, part: slice) -> Tensor:
    length, step = tensor.shape[axis], 1 if part.step is None else part.step
    if step < 1:
        raise at.refuse(f"it takes steps of {step} along an axis, expected forward ones.")
    start, end = part.start or 0, _END if part.stop is None else part.stop
    taken = None if length is None else len(range(*part.indices(length)))
    name = at("Slice", tensor, [start], [end], [axis], [step])
    return Tensor(name, (*tensor.shape[:axis], taken, *tensor.shape[axis + 1 :]), tensor.integers)


def _reshape(at: At, x: Any) -> Tensor:
    shape = at.config.get("newshape")
    if not isinstance(shape, list) or not all(type(n) is int for n in shape):
        raise at.refuse(f"its output has the shape {reprlib.repr(shape)}, expected whole numbers.")
    return reshape_to(at, tensor_of(at, x), shape)


def _transpose(at: At, x: Any) -> Tensor:
    tensor, axes = tensor_of(at, x), at.config.get("axes")
    order = [*range(len(tensor.shape))][::-1] if axes is None else axes_of(at.title, axes, len(tensor.shape))
    return _permuted(at, tensor, order)


def _permuted(at: At, tensor: Tensor, order: Sequence[int]) -> Tensor:
    if sorted(order) != [*range(len(tensor.shape))]:
        raise FileError(f"{at.title} moves axes to {order}, expected an order of {len(tensor.shape)} axes.")
    return Tensor(at("Transpose", tensor, perm=list(order)), tuple(tensor.shape[axis] for axis in order))


def _swapped(at: At, x: Any) -> Tensor:
    tensor = tensor_of(at, x)
    a, b = axes_of(at.title, [at.config.get("axis1"), at.config.get("axis2")], len(tensor.shape))
    order = [*range(len(tensor.shape))]
    order[a], order[b] = order[b], order[a]
    return _permuted(at, tensor, order)


def _moved(at: At, x: Any) -> Tensor:
    tensor = tensor_of(at, x)
    source, target = axes_of(at.title, [at.config.get("source"), at.config.get("destination")], len(tensor.shape))
    order = [*range(len(tensor.shape))]
    order.insert(target, order.pop(source))
    return _permuted(at, tensor, order)


def _squeeze(at: At, x: Any) -> Tensor:
    tensor, axis = tensor_of(at, x), at.config.get("axis")
    rank = len(tensor.shape)
    axes = axes_of(at.title, axis, rank) if axis is not None else [p for p in range(rank) if tensor.shape[p] == 1]
    shape = tuple(length for place, length in enumerate(tensor.shape) if place not in axes)
    return Tensor(at("Squeeze", tensor, axes), shape, tensor.integers)


def _expand_dims(at: At, x: Any) -> Tensor:
    tensor, axis = tensor_of(at, x), at.config.get("axis")
    axes = axes_of(at.title, axis, len(tensor.shape) + (len(axis) if isinstance(axis, list) else 1))
    shape = list(tensor.shape)
    for place in sorted(axes):
        shape.insert(place, 1)
    return Tensor(at("Unsqueeze", tensor, axes), tuple(shape), tensor.integers)


MOVES: Mapping[str, Callable[..., Tensor | list[Tensor]]] = MappingProxyType(
    {
        "Concatenate": _concatenate,
        "ExpandDims": _expand_dims,
        "GetItem": _get_item,
        "Moveaxis": _moved,
        "Reshape": _reshape,
        "Split": _split,
        "Squeeze": _squeeze,
        "Stack": _stack,
        "Swapaxes": _swapped,
        "Take": _take,
        "Transpose": _transpose,
        "Unstack": _unstack,
    }
)
"""Operations by class, each written for its arguments."""
