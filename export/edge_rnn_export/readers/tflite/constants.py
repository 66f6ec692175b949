"""Numbers of constant tensors: as float32 if they are floating point or quantized, else as stored."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tflite.contents import Tensor, shape_text

__all__ = ["is_real", "numbers_of", "stored_integers"]

_DTYPES: Mapping[str, str] = {
    "FLOAT64": "<f8",
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "INT64": "<i8",
    "INT32": "<i4",
    "INT16": "<i2",
    "INT8": "i1",
    "UINT8": "u1",
    "BOOL": "?",
}


def is_real(tensor: Tensor) -> bool:
    """True if a tensor holds real numbers: floating point, or integers with a scale."""
    return tensor.type.startswith("FLOAT") or len(tensor.scale) > 0 or tensor.type in ("INT8", "UINT8", "INT16")


def numbers_of(tensor: Tensor, budget: Budget) -> AnyArray:
    """Return the numbers of a constant tensor.

    Raises
    ------
    FileError
        The data do not fill the shape, or the scales do not fit.
    UnsupportedError
        The type is unknown, or the data are stored in a special way.
    """
    title = f"from_tflite: {tensor.title}"
    if tensor.refusal:
        raise UnsupportedError(f"{title} cannot be read: {tensor.refusal}.")
    if tensor.type not in _DTYPES:
        raise UnsupportedError(f"{title} is of type {tensor.type}, expected one of {', '.join(_DTYPES)}.")
    dtype = np.dtype(_DTYPES[tensor.type])
    data = np.empty(0, np.uint8) if tensor.data is None else tensor.data
    expected = prod(tensor.shape) * dtype.itemsize
    if len(data) != expected:
        raise FileError(
            f"{title} holds {len(data)} bytes, expected {expected} for {tensor.type} of shape "
            f"{shape_text(tensor.shape)}."
        )
    stored = np.frombuffer(data, dtype).reshape(tensor.shape)
    budget.take(title, stored.size * 12)
    if not is_real(tensor):
        return stored
    with np.errstate(over="ignore"):
        if stored.dtype.kind == "f":
            return stored.astype(np.float32)
        scale, zero_point = _quantization(title, tensor)
        return np.asarray((stored.astype(np.float64) - zero_point) * scale, np.float32)


def stored_integers(tensor: Tensor) -> tuple[AnyArray, AnyArray] | None:
    """Return a matrix of INT8 as stored, and the scale of each row, float32; None if a format with these lacks it."""
    stored = np.frombuffer(np.empty(0, np.uint8) if tensor.data is None else tensor.data, np.int8)
    if tensor.type != "INT8" or len(tensor.shape) != 2 or stored.size != prod(tensor.shape):
        return None
    by_row = len(tensor.scale) == 1 or (tensor.axis == 0 and len(tensor.scale) == tensor.shape[0])
    if not by_row or tensor.zero_point.any() or (stored == -128).any():
        return None
    return stored.reshape(tensor.shape), np.broadcast_to(tensor.scale.astype(np.float32), tensor.shape[:1])


def _quantization(title: str, tensor: Tensor) -> tuple[AnyArray, AnyArray]:
    """Scale and zero point in float64, shaped for broadcasting."""
    rank, count = len(tensor.shape), len(tensor.scale)
    along = tensor.shape[tensor.axis] if 0 <= tensor.axis < rank else 1
    zero_point = tensor.zero_point if len(tensor.zero_point) else np.zeros(1, np.int64)
    if count not in (1, along) or len(zero_point) not in (1, count):
        raise FileError(
            f"{title} is {tensor.type} with {count} scales and {len(zero_point)} zero points, expected 1, or {along}, "
            f"one for each index along axis {tensor.axis}."
        )
    if not (np.isfinite(tensor.scale).all() and (tensor.scale > 0).all()):
        raise FileError(f"{title} has a scale that is not a positive number.")
    shape = [1] * rank
    if count > 1:
        shape[tensor.axis] = count
    scale = tensor.scale.astype(np.float64).reshape(shape)
    return scale, np.broadcast_to(zero_point.astype(np.float64), (count,)).reshape(shape)
