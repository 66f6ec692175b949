"""Operators that move, slice and join axes, and those that compute shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn_export.readers.tflite.contents import TfliteOperator
from edge_rnn_export.readers.tflite.operators import Write, fused
from edge_rnn_export.readers.tflite.writer import Writer
from edge_rnn_export.readers.tracing.graph import Constant

__all__ = ["END", "MOVES", "replaced"]

END = 2**31 - 1
"""End of a slice that takes all that remains."""


def _axis(writer: Writer, operator: TfliteOperator, position: int, what: str = "axis") -> int:
    """Constant input that is one integer."""
    found = writer.constant(operator, position, what)
    if found.size != 1 or found.dtype.kind not in "iu":
        raise operator.damaged(f"has {what} of {found.dtype} and shape {found.shape}, expected one integer.")
    return int(found.item())


def _whole(writer: Writer, operator: TfliteOperator, position: int, what: str) -> list[int]:
    """Constant input that is a few integers."""
    found = writer.constant(operator, position, what)
    if found.size > 64 or found.dtype.kind not in "iu":
        raise operator.damaged(f"has {what} of {found.dtype} and shape {found.shape}, expected a few integers.")
    return [int(each) for each in found.reshape(-1)]


def _lengths(writer: Writer, operator: TfliteOperator, position: int) -> str:
    """Lengths of axes as ONNX has them, int64."""
    stored = writer.stored(operator, position) if operator.has(position) else None
    if stored is not None and stored.dtype.kind == "i":
        return writer.number(stored, np.int64)
    return writer.one("Cast", writer.input(operator, position, "shape"), to=7)


def _reshape(writer: Writer, operator: TfliteOperator) -> list[str]:
    shape = _lengths(writer, operator, 1) if operator.has(1) else writer.number(operator.options["NewShape"], np.int64)
    return writer.add("Reshape", writer.input(operator, 0), shape, allowzero=1)


def _squeeze(writer: Writer, operator: TfliteOperator) -> list[str]:
    """Remove the axes of the options; without options all of length 1 that are not open."""
    tensor = writer.tensor(operator, 0)
    axes = operator.options["SqueezeDims"] or [
        axis for axis, lengths in enumerate(zip(tensor.shape, tensor.signature, strict=True)) if lengths == (1, 1)
    ]
    return writer.add("Squeeze", writer.input(operator, 0), writer.number(axes, np.int64))


def _expand_dims(writer: Writer, operator: TfliteOperator) -> list[str]:
    axis = _axis(writer, operator, 1)
    return writer.add("Unsqueeze", writer.input(operator, 0), writer.number([axis], np.int64))


def _transpose(writer: Writer, operator: TfliteOperator) -> list[str]:
    return writer.add("Transpose", writer.input(operator, 0), perm=_whole(writer, operator, 1, "order of axes"))


def _strided_slice(writer: Writer, operator: TfliteOperator) -> list[str]:
    """Slice the first axes, and remove some: begin and end may be computed, masks replace them."""
    options = operator.options
    if options["EllipsisMask"] or options["NewAxisMask"] or options["Offset"]:
        raise operator.refuse("it has an ellipsis, a new axis or ends relative to begins, expected plain slices.")
    count = writer.tensor(operator, 1, "begin").shape
    if len(count) != 1 or count[0] > 64:
        raise operator.damaged(f"has begins of shape {count}, expected one for each axis.")

    def masked(name: str, mask: str, value: str) -> str:
        bits = [bool(options[mask] >> axis & 1) for axis in range(count[0])]
        return writer.one("Where", writer.number(bits), value, name) if any(bits) else name

    begin, end, step = (writer.input(operator, place, what) for place, what in enumerate(("begin", "end", "step"), 1))
    whole = {"INT32": np.int32, "INT64": np.int64}.get(writer.tensor(operator, 1).type, np.int32)
    zero, one, last = (writer.number([value], whole) for value in (0, 1, END))
    starts = masked(begin, "BeginMask", zero)
    ends = masked(end, "EndMask", last)
    if options["ShrinkAxisMask"]:  # of such an axis one index is taken: begin, which may be -1, the last
        is_last = writer.one("Equal", starts, writer.number([-1], whole))
        behind = writer.one("Where", is_last, last, writer.one("Add", starts, one))
        ends = masked(ends, "ShrinkAxisMask", behind)
        step = masked(step, "ShrinkAxisMask", one)
    found = writer.one("Slice", writer.input(operator, 0), starts, ends, "", step)
    removed = [axis for axis in range(count[0]) if options["ShrinkAxisMask"] >> axis & 1]
    return [writer.one("Squeeze", found, writer.number(removed, np.int64))] if removed else [found]


def _slice(writer: Writer, operator: TfliteOperator) -> list[str]:
    """Slice all axes by begin and size; a size of -1 takes what remains."""
    begin, size = writer.input(operator, 1, "begin"), writer.input(operator, 2, "size")
    whole = {"INT64": np.int64}.get(writer.tensor(operator, 2).type, np.int32)
    stored = writer.stored(operator, 2)
    if stored is not None and (stored == -1).all():
        return writer.add("Slice", writer.input(operator, 0), begin, writer.number(np.full(stored.shape, END, whole)))
    rest = writer.one("Equal", size, writer.number([-1], whole))
    ends = writer.one("Where", rest, writer.number([END], whole), writer.one("Add", begin, size))
    return writer.add("Slice", writer.input(operator, 0), begin, ends)


def _split(writer: Writer, operator: TfliteOperator) -> list[str]:
    count = len(operator.outputs)
    if operator.options["NumSplits"] not in (0, count):
        raise operator.damaged(f"splits in {operator.options['NumSplits']}, but has {count} outputs.")
    axis = _axis(writer, operator, 0)
    return writer.add("Split", writer.input(operator, 1), outputs=count, axis=axis, num_outputs=count)


def _split_v(writer: Writer, operator: TfliteOperator) -> list[str]:
    sizes, axis = _whole(writer, operator, 1, "sizes"), _axis(writer, operator, 2)
    shape = writer.tensor(operator, 0).shape
    if len(sizes) != len(operator.outputs) or not -len(shape) <= axis < len(shape) or sizes.count(-1) > 1:
        raise operator.damaged(f"splits axis {axis} into {sizes[:8]}, but has {len(operator.outputs)} outputs.")
    sizes = [shape[axis] - sum(sizes) - 1 if size == -1 else size for size in sizes]
    lengths = writer.number(sizes, np.int64)
    return writer.add("Split", writer.input(operator, 0), lengths, outputs=len(sizes), axis=axis)


def _concatenation(writer: Writer, operator: TfliteOperator) -> list[str]:
    names = [writer.input(operator, place) for place in range(len(operator.inputs))]
    return fused(writer, operator, writer.one("Concat", *names, axis=operator.options["Axis"]))


def _pack(writer: Writer, operator: TfliteOperator) -> list[str]:
    axis = operator.options["Axis"]
    names = [writer.input(operator, place) for place in range(len(operator.inputs))]
    along = writer.number([axis], np.int64)
    return writer.add("Concat", *(writer.one("Unsqueeze", name, along) for name in names), axis=axis)


def _unpack(writer: Writer, operator: TfliteOperator) -> list[str]:
    axis, count = operator.options["Axis"], len(operator.outputs)
    parts = writer.add("Split", writer.input(operator, 0), outputs=count, axis=axis, num_outputs=count)
    along = writer.number([axis], np.int64)
    return [writer.one("Squeeze", part, along) for part in parts]


def _gather(writer: Writer, operator: TfliteOperator) -> list[str]:
    if operator.options["BatchDims"]:
        raise operator.refuse("it takes other indices for each element of the batch.")
    return writer.add("Gather", writer.input(operator, 0), writer.input(operator, 1), axis=operator.options["Axis"])


def _embedding_lookup(writer: Writer, operator: TfliteOperator) -> list[str]:
    return writer.add("Gather", writer.input(operator, 1), writer.input(operator, 0), axis=0)


def _shape(writer: Writer, operator: TfliteOperator) -> list[str]:
    """Shape in integers of the output's type."""
    found = writer.one("Shape", writer.input(operator, 0))
    wanted = writer.subgraph.tensors[operator.outputs[0]].type
    return [found if wanted == "INT64" else writer.one("Cast", found, to=6)]


def _fill(writer: Writer, operator: TfliteOperator) -> list[str]:
    return writer.add("Expand", writer.input(operator, 1, "value"), _lengths(writer, operator, 0))


def _zeros_like(writer: Writer, operator: TfliteOperator) -> list[str]:
    whole = writer.tensor(operator, 0).type in ("INT32", "INT64")
    kind: Any = {"INT32": np.int32, "INT64": np.int64}.get(writer.tensor(operator, 0).type, np.float32)
    value = Constant(not whole, lambda: np.zeros(1, kind))
    return writer.add("ConstantOfShape", writer.one("Shape", writer.input(operator, 0)), value=value)


def _range(writer: Writer, operator: TfliteOperator) -> list[str]:
    return writer.add("Range", *(writer.input(operator, place) for place in range(3)))


def _repeated(kind: str) -> Write:
    def write(writer: Writer, operator: TfliteOperator) -> list[str]:
        return writer.add(kind, writer.input(operator, 0), _lengths(writer, operator, 1))

    return write


def replaced(writer: Writer, name: str, start: str, part: str, length: int, axis: int) -> str:
    """Replace ``length`` indices of an axis from ``start``, one int32 in a vector, by another value."""
    zero, last, along = (writer.number([value], np.int32) for value in (0, END, axis))
    behind = writer.one("Add", start, writer.number([length], np.int32))
    before = writer.one("Slice", name, zero, start, along)
    return writer.one("Concat", before, part, writer.one("Slice", name, behind, last, along), axis=axis)


def _dynamic_update_slice(writer: Writer, operator: TfliteOperator) -> list[str]:
    """Replace a block, which has the whole length of every axis but one."""
    whole, part = (writer.tensor(operator, place).shape for place in range(2))
    axes = [axis for axis, lengths in enumerate(zip(whole, part, strict=True)) if lengths[0] != lengths[1]]
    if len(axes) > 1:
        raise operator.refuse(f"it replaces {part} of {whole}, expected the whole length of every axis but one.")
    if not axes:
        return [writer.input(operator, 1)]
    at = writer.number([axes[0]], np.int32)
    start = writer.one("Cast", writer.one("Gather", writer.input(operator, 2), at, axis=0), to=6)
    # LiteRT moves a start inside the range, such that the block fits.
    start = writer.one("Max", start, writer.number([0], np.int32))
    start = writer.one("Min", start, writer.number([whole[axes[0]] - part[axes[0]]], np.int32))
    name, block = writer.input(operator, 0), writer.input(operator, 1)
    return [replaced(writer, name, start, block, part[axes[0]], axes[0])]


MOVES: Mapping[str, Write] = {
    "BROADCAST_TO": _repeated("Expand"),
    "CONCATENATION": _concatenation,
    "DYNAMIC_UPDATE_SLICE": _dynamic_update_slice,
    "EMBEDDING_LOOKUP": _embedding_lookup,
    "EXPAND_DIMS": _expand_dims,
    "FILL": _fill,
    "GATHER": _gather,
    "PACK": _pack,
    "RANGE": _range,
    "RESHAPE": _reshape,
    "SHAPE": _shape,
    "SLICE": _slice,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _repeated("Tile"),
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
    "ZEROS_LIKE": _zeros_like,
}
"""Operators that move values, by kind."""
