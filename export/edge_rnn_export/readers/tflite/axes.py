"""Trace the tensors in a ``.tflite`` graph: samples and outputs of layers, and the meaning of their axes.

Converters move axes between layers. A stream has only the feature axis, so the others are tracked: moving one has no
effect, and an operator that mixes steps, such as flattening a window, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn_export.readers.tflite.constants import Constants, shape_text
from edge_rnn_export.readers.tflite.graph import Operator, Tensor

__all__ = ["GLUE", "Flow", "after_glue", "after_layer", "as_rows", "as_sequence", "start"]

GLUE = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "STRIDED_SLICE", "QUANTIZE", "DEQUANTIZE")

_SLICE = {1: "begin", 2: "end", 3: "step"}  # inputs of STRIDED_SLICE


@dataclass(frozen=True, slots=True)
class Flow:
    """Tensor between the samples and the output.

    Parameters
    ----------
    tensor
        The tensor.
    shape
        Lengths of its axes.
    axes
        Meaning of each: ``"batch"``, ``"steps"``, ``"features"``, or ``""`` for unknown or of length 1.
    raw
        True if no layer has read it yet: the first layer determines the shape of a sample.
    last
        True if only the last step has been kept.
    """

    tensor: Tensor
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    raw: bool = False
    last: bool = False


def start(tensor: Tensor) -> Flow:
    """Flow of the samples."""
    return Flow(tensor, tensor.shape, ("",) * len(tensor.shape), raw=True)


def as_rows(operator: Operator, flow: Flow, size: int) -> Flow:
    """Flow as FULLY_CONNECTED reads it: in rows of ``size``, regardless of its shape."""
    if not flow.shape or flow.shape[-1] != size:
        count = prod(flow.shape)
        if not size or count % size:
            got = shape_text(flow.shape)
            raise FileError(f"{operator.title} reads the shape {got}, expected rows of {size}, from its weights.")
        flow = _reshaped(operator, flow, (count // size, size))
    if flow.axes[-1] not in ("", "features"):
        raise _window(operator, flow, flow.shape)
    return flow


def as_sequence(operator: Operator, flow: Flow, time: int | None, size: int) -> Flow:
    """Flow as a recurrent operator reads it: ``time`` is the time axis, None for a single step."""
    expected = ("batch", "features") if time is None else ("steps", "batch") if time == 0 else ("batch", "steps")
    wanted = expected if time is None else (*expected, "features")
    if len(flow.shape) != len(wanted) or flow.shape[-1] != size:
        got = shape_text(flow.shape)
        raise FileError(f"{operator.title} reads the shape {got}, expected ({', '.join(wanted)}) with {size} features.")
    if flow.last:
        raise UnsupportedError(
            f"{operator.title} reads only the last step of a sequence; in a stream it would read every step."
        )
    if any(got not in ("", want) for got, want in zip(flow.axes, wanted, strict=True)):
        got = ", ".join(name or "1" for name in flow.axes)
        raise UnsupportedError(f"{operator.title} reads axes that are ({got}), expected ({', '.join(wanted)}).")
    return Flow(flow.tensor, flow.shape, wanted)


def after_layer(operator: Operator, flow: Flow, size: int, output: Tensor) -> Flow:
    """Output of a layer with ``size`` outputs that reads a flow."""
    given = Flow(flow.tensor, (*flow.shape[:-1], size), (*flow.axes[:-1], "features"), last=flow.last)
    moved = _reshaped(operator, given, output.shape)
    return Flow(output, moved.shape, moved.axes, last=flow.last)


def after_glue(operator: Operator, flow: Flow, constants: Constants, output: Tensor) -> Flow:
    """Return the output of an operator without weights.

    Raises
    ------
    FileError
        Shapes are inconsistent.
    UnsupportedError
        The operator mixes steps with each other or with features, or selects some of the steps.
    """
    if operator.kind == "TRANSPOSE":
        moved = _transposed(operator, flow, constants)
    elif operator.kind == "STRIDED_SLICE":
        moved = _sliced(operator, flow, constants)
    elif operator.kind in ("QUANTIZE", "DEQUANTIZE"):
        moved = flow
    else:
        moved = _reshaped(operator, flow, output.shape)
    if moved.shape != output.shape:
        got, expected = shape_text(output.shape), shape_text(moved.shape)
        raise FileError(f"{operator.title} returns the shape {got}, expected {expected}.")
    return Flow(output, moved.shape, moved.axes, moved.raw, moved.last)


def _reshaped(operator: Operator, flow: Flow, shape: tuple[int, ...]) -> Flow:
    if prod(shape) != prod(flow.shape):
        got, expected = shape_text(shape), shape_text(flow.shape)
        raise FileError(f"{operator.title} returns the shape {got}, expected the number of elements of {expected}.")
    before = [(length, axis) for length, axis in zip(flow.shape, flow.axes, strict=True) if length != 1]
    after = [length for length in shape if length != 1]
    if [length for length, _ in before] == after:
        kept = iter([axis for _, axis in before])
        axes = ["" if length == 1 else next(kept) for length in shape]
        if not flow.raw and "features" in flow.axes and "features" not in axes:  # the only one
            if not shape or shape[-1] != 1:
                raise _window(operator, flow, shape)
            axes[-1] = "features"
        return Flow(flow.tensor, shape, tuple(axes), flow.raw, flow.last)
    if flow.raw and (len(before) <= 1 or len(after) <= 1):  # flattened, or the reverse
        return Flow(flow.tensor, shape, ("",) * len(shape), True, flow.last)
    raise _window(operator, flow, shape)


def _window(operator: Operator, flow: Flow, shape: tuple[int, ...]) -> UnsupportedError:
    name = flow.tensor.name or flow.tensor.place
    return UnsupportedError(
        f"{operator.title} reshapes {shape_text(flow.shape)} to {shape_text(shape)}, which mixes steps that a stream "
        f"gets one by one; read the part before it with upto={name!r}, and the part after it, a network for a whole "
        f"window, with after={name!r}."
    )


def _transposed(operator: Operator, flow: Flow, constants: Constants) -> Flow:
    order = constants.integers(operator, 1, "order of axes")
    rank = len(flow.shape)
    order = tuple(place + rank if place < 0 else place for place in order)
    if sorted(order) != list(range(rank)):
        raise FileError(f"{operator.title} has the order of axes {order}, expected each of {rank} once.")
    shape, axes = tuple(flow.shape[place] for place in order), tuple(flow.axes[place] for place in order)
    return Flow(flow.tensor, shape, axes, flow.raw, flow.last)


def _sliced(operator: Operator, flow: Flow, constants: Constants) -> Flow:
    """Last step, with all of every other axis."""
    rank = len(flow.shape)
    begin, end, strides = (
        constants.integers(operator, at, what) for at, what in enumerate(("begin", "end", "step"), 1)
    )
    if not len(begin) == len(end) == len(strides) == rank:
        raise UnsupportedError(f"{operator.title} slices {len(begin)} of {rank} axes, expected all of them.")
    refusal = UnsupportedError(
        f"{operator.title} takes begin {begin}, end {end}, step {strides} of the shape {shape_text(flow.shape)}; "
        f"expected the last step, or all of them."
    )
    options = operator.options
    if options["EllipsisMask"] or options["NewAxisMask"] or any(stride != 1 for stride in strides):
        raise refusal
    shape: list[int] = []
    axes: list[str] = []
    last = flow.last
    for axis, length in enumerate(flow.shape):
        bit = 1 << axis
        any_length = flow.tensor.signature[axis] < 0  # then `length` has no meaning
        from_end = [-1] if any_length else [-1, length - 1]
        is_last = begin[axis] in from_end and not options["BeginMask"] & bit
        until_end = bool(options["EndMask"] & bit) or (not any_length and end[axis] >= length)
        if options["ShrinkAxisMask"] & bit or (is_last and until_end and (length > 1 or any_length)):
            if not is_last or flow.raw or (flow.axes[axis] != "steps" and (length > 1 or any_length)):
                raise refusal
            last = last or length > 1 or any_length
            if options["ShrinkAxisMask"] & bit:
                continue
            shape.append(1)
            axes.append("")
        elif (begin[axis] == 0 or options["BeginMask"] & bit) and until_end:
            shape.append(length)
            axes.append(flow.axes[axis])
        else:
            raise refusal
    return Flow(flow.tensor, tuple(shape), tuple(axes), flow.raw, last)
