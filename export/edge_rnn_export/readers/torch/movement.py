"""Write PyTorch's operators that move values and do not compute: axes, slices, joins, casts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_rnn_export.readers.torch.writer import Pieces, Traced, Writer

__all__ = ["MOVEMENTS", "RAW"]

_INT64 = 7


def _same(writer: Writer, a: Any) -> Traced:
    return writer.emit("Identity", a.self)


def _dropout(writer: Writer, a: Any) -> Traced:
    if a.train:
        raise writer.refuse("it drops values although the module is in eval mode; a stream computes without dropout.")
    return writer.emit("Identity", a.input)


def _cast(writer: Writer, a: Any) -> Traced:
    dtype = getattr(a, "dtype", None)
    if dtype is None or dtype.is_floating_point:
        writer.rounds |= dtype is not None
        return writer.emit("Identity", a.self)
    return writer.emit("Cast", a.self, to=_INT64)


def _ignored(writer: Writer, a: Any) -> None:
    writer.rounds |= getattr(a, "dtype", None) is not None


def _reshape(writer: Writer, a: Any) -> Traced:
    return writer.reshaped(a.self, writer.shape)


def _permute(writer: Writer, a: Any) -> Traced:
    axes = len(a.self.shape)
    return writer.emit("Transpose", a.self, perm=[place % axes for place in a.dims])


def _transpose(writer: Writer, a: Any) -> Traced:
    perm = list(range(len(a.self.shape)))
    perm[a.dim0], perm[a.dim1] = perm[a.dim1], perm[a.dim0]
    return writer.emit("Transpose", a.self, perm=perm)


def _turn(writer: Writer, a: Any) -> Traced:
    return writer.emit("Transpose", a.self, perm=list(reversed(range(len(a.self.shape)))))


def _last_two(writer: Writer, a: Any) -> Traced:
    first = range(len(a.self.shape) - 2)
    return writer.emit("Transpose", a.self, perm=[*first, len(first) + 1, len(first)])


def _expand(writer: Writer, a: Any) -> Traced:
    return writer.emit("Expand", a.self, np.array(writer.shape, np.int64))


def _select(writer: Writer, a: Any) -> Traced:
    if isinstance(a.self, Pieces):
        place = a.index % a.self.shape[a.dim]
        if a.dim % len(a.self.shape) == a.self.axis and place in a.self.written:
            return writer.reshaped(a.self.written[place], writer.shape)
        a.self = writer.whole(a.self)
    return writer.emit("Gather", a.self, np.array(a.index, np.int64), axis=a.dim % len(a.self.shape))


def _slice(writer: Writer, a: Any) -> Traced:
    size = a.self.shape[a.dim]
    start, end, step = slice(a.start, a.end, a.step).indices(size)
    numbers = [np.array([value], np.int64) for value in (start, end, a.dim % len(a.self.shape), step)]
    return writer.emit("Slice", a.self, *numbers)


def _index_select(writer: Writer, a: Any) -> Traced:
    return writer.emit("Gather", a.self, a.index, axis=a.dim % len(a.self.shape))


def _index(writer: Writer, a: Any) -> Traced:
    """Rows of a table by symbols, or the parts of a value along one axis that constants name."""
    places = [place for place, index in enumerate(a.indices) if index is not None]
    if len(places) != 1 or (isinstance(a.self, Traced) and isinstance(a.indices[places[0]], Traced)):
        raise writer.refuse("it takes parts by several indices, or by computed ones.")
    index = a.indices[places[0]]
    if isinstance(index, np.ndarray) and index.dtype == np.bool_:
        index = np.flatnonzero(index)
    return writer.emit("Gather", a.self, index, axis=places[0])


def _flip(writer: Writer, a: Any) -> Traced:
    found: Traced = a.self
    for axis in a.dims:
        places = np.arange(a.self.shape[axis])[::-1].copy()
        found = writer.emit("Gather", found, places, axis=axis % len(a.self.shape))
    return found


def _roll(writer: Writer, a: Any) -> Traced:
    found: Traced = a.self
    for axis, shift in zip(a.dims, a.shifts, strict=True):
        places = np.roll(np.arange(a.self.shape[axis]), shift)
        found = writer.emit("Gather", found, places, axis=axis % len(a.self.shape))
    return found


def _split(writer: Writer, a: Any) -> list[Traced]:
    axis = a.dim % len(a.self.shape)
    sizes = [shape[axis] for shape in writer.shapes]
    return writer.emit_all("Split", a.self, np.array(sizes, np.int64), shapes=writer.shapes, axis=axis)


def _unbind(writer: Writer, a: Any) -> list[Traced]:
    axis = a.dim % len(a.self.shape)
    shape = tuple(1 if place == axis else length for place, length in enumerate(a.self.shape))
    count = a.self.shape[axis]
    parts = writer.emit_all("Split", a.self, np.ones(count, np.int64), shapes=[shape] * count, axis=axis)
    return [writer.reshaped(part, each) for part, each in zip(parts, writer.shapes, strict=True)]


def _cat(writer: Writer, a: Any) -> Traced:
    parts = [part for part in a.tensors if part.shape != (0,)]  # PyTorch leaves an empty list of numbers out
    return writer.emit("Concat", *parts, axis=a.dim % len(writer.shape))


def _stack(writer: Writer, a: Any) -> Traced:
    axis = a.dim % len(writer.shape)
    shape = tuple(1 if place == axis else length for place, length in enumerate(writer.shape))
    return writer.emit("Concat", *(writer.reshaped(part, shape) for part in a.tensors), axis=axis)


def _select_scatter(writer: Writer, a: Any) -> Pieces | Traced:
    base = a.self
    axis = a.dim % len(base.shape)
    written: dict[int, Traced] = {}
    if isinstance(base, Pieces):
        base, written = (base.base, dict(base.written)) if base.axis == axis else (writer.whole(base), {})
    if not isinstance(a.src, Traced):
        raise writer.refuse("it writes constants between values that are computed from samples.")
    return Pieces(base, axis, written | {a.index % base.shape[axis]: a.src}, tuple(base.shape))


def _copy(writer: Writer, a: Any) -> Traced:
    source = writer.whole(a.src) if isinstance(a.src, Pieces) else a.src
    if source.shape == writer.shape:
        return writer.emit("Identity", source)
    return writer.emit("Expand", source, np.array(writer.shape, np.int64))


MOVEMENTS: dict[str, Callable[[Writer, Any], Any]] = {
    **dict.fromkeys(("alias", "clone", "contiguous", "detach", "detach_", "lift_fresh_copy", "lift_fresh"), _same),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), _dropout),
    **dict.fromkeys(("to", "_to_copy"), _cast),
    **dict.fromkeys(("_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size"), _ignored),
    **dict.fromkeys(
        (
            "view",
            "reshape",
            "_unsafe_view",
            "view_as",
            "flatten",
            "unflatten",
            "unsqueeze",
            "squeeze",
            "_reshape_alias",
        ),
        _reshape,
    ),
    **dict.fromkeys(("t", "numpy_T"), _turn),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), _expand),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), _split),
    **dict.fromkeys(("cat", "concat"), _cat),
    "flip": _flip,
    "mT": _last_two,
    "permute": _permute,
    "roll": _roll,
    "transpose": _transpose,
    "select": _select,
    "slice": _slice,
    "index_select": _index_select,
    "index": _index,
    "unbind": _unbind,
    "stack": _stack,
    "select_scatter": _select_scatter,
    "copy": _copy,
}
"""Functions that write these operators."""

RAW = frozenset({"copy", "select", "select_scatter"})
"""Operators that take values whose slices were overwritten as they are."""
