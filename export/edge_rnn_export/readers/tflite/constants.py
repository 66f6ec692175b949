"""Read the constants of a ``.tflite`` graph: arrays and matrices, as float32 or as the stored int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.formats import Int8
from edge_rnn.layers import Weight
from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tflite.graph import Graph, Operator, Tensor

__all__ = ["Constants", "shape_text"]


_DTYPES: Mapping[str, str] = {
    "FLOAT64": "<f8",
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "INT64": "<i8",
    "INT32": "<i4",
    "INT16": "<i2",
    "INT8": "i1",
    "UINT8": "u1",
}


class Constants:
    """Reader of a graph's constants that counts its allocations.

    Parameters
    ----------
    graph
        The graph.
    keep_int8
        True to keep a matrix stored in int8 as int8.

    Notes
    -----
    Tensors of a damaged file may all refer to the same bytes, so their lengths alone bound nothing: the total that is
    read is checked against the length of the file.
    """

    def __init__(self, graph: Graph, *, keep_int8: bool = False) -> None:
        self.graph = graph
        self.keep_int8 = keep_int8
        self._budget = Budget.of_file(graph.file_bytes, error=UnsupportedError)

    def take(self, title: str, count: int) -> None:
        """Reserve ``count`` bytes; raise UnsupportedError if they are not left."""
        self._budget.take(title, count)

    def has(self, operator: Operator, position: int) -> bool:
        """True if an operator has this input."""
        return position < len(operator.inputs) and operator.inputs[position] >= 0

    def array(self, operator: Operator, position: int, what: str, shape: Sequence[int]) -> AnyArray:
        """Return a constant input, dequantized: float32 of the given shape.

        Raises
        ------
        FileError
            The input is missing, has another shape, or its data do not fill it.
        UnsupportedError
            The input is computed, or of an unsupported type.
        """
        tensor = self._stored(operator, position, what)
        self._check_shape(operator, what, tensor, shape)
        return self._dequantized(operator, what, tensor)

    def matrix(self, operator: Operator, inputs: Mapping[str, int | None], shape: tuple[int, int]) -> Weight:
        """Return constant inputs, one per gate, stacked along the rows.

        Parameters
        ----------
        inputs
            Positions by description; None for a gate without one, which gives zeros.
        shape
            ``(H, K)`` of each.

        Returns
        -------
        array or Int8
            ``(gates * H, K)``; int8 if it is to be kept and all existing inputs are stored as int8.
        """
        found = {what: None if at is None else self._stored(operator, at, what) for what, at in inputs.items()}
        for what, tensor in found.items():
            if tensor is not None:
                self._check_shape(operator, what, tensor, shape)
        self.take(operator.title, prod(shape) * 4 * len(found))
        types = {tensor.type for tensor in found.values() if tensor is not None}
        if not self.keep_int8 or types.isdisjoint({"INT8", "UINT8"}):
            zeros = np.zeros(shape, np.float32)
            parts = [zeros if t is None else self._dequantized(operator, what, t) for what, t in found.items()]
            return np.concatenate(parts)
        values, scales = [], []
        for what, tensor in found.items():
            value, scale = (
                (np.zeros(shape, np.int8), np.zeros(shape[0], np.float32))
                if tensor is None
                else self._kept(operator, what, tensor)
            )
            values.append(value)
            scales.append(scale)
        return Int8(np.concatenate(values), np.concatenate(scales))

    def integers(self, operator: Operator, position: int, what: str) -> tuple[int, ...]:
        """Constant vector of int32 or int64, one number per axis."""
        tensor = self._stored(operator, position, what)
        if tensor.type not in ("INT32", "INT64") or len(tensor.shape) > 1 or prod(tensor.shape) > 8:
            got = f"{tensor.type} of shape {shape_text(tensor.shape)}"
            raise UnsupportedError(f"{operator.title} {what} got {got}, expected an integer for each axis.")
        return tuple(int(number) for number in np.atleast_1d(self._numbers(operator, what, tensor)))

    def _stored(self, operator: Operator, position: int, what: str) -> Tensor:
        """Tensor that holds a constant input: the input itself, or the one that DEQUANTIZE reads."""
        if not self.has(operator, position):
            raise FileError(f"{operator.title} has no {what}, which is its input {position}.")
        tensor = self.graph.tensors[operator.inputs[position]]
        producer = self.graph.producers.get(tensor.place)
        if tensor.data is None and producer is not None and producer.kind == "DEQUANTIZE" and self.has(producer, 0):
            stored = self.graph.tensors[producer.inputs[0]]
            if stored.shape != tensor.shape:
                got, expected = shape_text(stored.shape), shape_text(tensor.shape)
                raise FileError(f"{producer.title} reads {stored.title} of shape {got}, expected {expected}.")
            tensor = stored
        if tensor.data is None:
            raise UnsupportedError(f"{operator.title} {what}: {tensor.title} is not stored in the file but computed.")
        if tensor.refusal:
            raise UnsupportedError(f"{operator.title} {what}: {tensor.title} cannot be read: {tensor.refusal}.")
        return tensor

    def _check_shape(self, operator: Operator, what: str, tensor: Tensor, shape: Sequence[int]) -> None:
        if tensor.shape != tuple(shape):
            got, expected = shape_text(tensor.shape), shape_text(shape)
            raise FileError(f"{operator.title} {what} got shape {got}, expected {expected}.")

    def _numbers(self, operator: Operator, what: str, tensor: Tensor) -> AnyArray:
        """Stored values, not dequantized."""
        if tensor.type not in _DTYPES:
            known = ", ".join(_DTYPES)
            raise UnsupportedError(f"{operator.title} {what} is of type {tensor.type}, expected one of {known}.")
        dtype = np.dtype(_DTYPES[tensor.type])
        assert tensor.data is not None
        expected = prod(tensor.shape) * dtype.itemsize
        if len(tensor.data) != expected:
            raise FileError(
                f"{operator.title} {what} holds {len(tensor.data)} bytes, expected {expected} for {tensor.type} of "
                f"shape {shape_text(tensor.shape)}."
            )
        return np.frombuffer(tensor.data, dtype).reshape(tensor.shape)

    def _dequantized(self, operator: Operator, what: str, tensor: Tensor) -> AnyArray:
        numbers = self._numbers(operator, what, tensor)
        self.take(f"{operator.title} {what}", numbers.size * 12)
        if numbers.dtype.kind == "f":
            with np.errstate(over="ignore"):
                return numbers.astype(np.float32)
        scale, zero_point = self._quantization(operator, what, tensor)
        with np.errstate(over="ignore"):
            return np.asarray((numbers.astype(np.float64) - zero_point) * scale, np.float32)

    def _kept(self, operator: Operator, what: str, tensor: Tensor) -> tuple[AnyArray, AnyArray]:
        """Arrays ``(H, K)`` int8 and ``(H,)`` float32, the scale of each row."""
        numbers = self._numbers(operator, what, tensor)
        if tensor.type != "INT8":
            raise UnsupportedError(f"{operator.title} {what} is {tensor.type}, expected INT8 for keep_int8=True.")
        scale, zero_point = self._quantization(operator, what, tensor)
        if zero_point.any() or (numbers == -128).any() or (scale.size > 1 and tensor.axis != 0):
            raise UnsupportedError(
                f"{operator.title} {what} has a zero point other than 0, holds -128, or has a scale for each column; "
                f"read it with keep_int8=False."
            )
        return numbers, np.broadcast_to(scale.reshape(-1).astype(np.float32), numbers.shape[:1])

    def _quantization(self, operator: Operator, what: str, tensor: Tensor) -> tuple[AnyArray, AnyArray]:
        """Scale and zero point in float64, shaped for broadcasting."""
        rank, count = len(tensor.shape), len(tensor.scale)
        along = tensor.shape[tensor.axis] if 0 <= tensor.axis < rank else 1
        zero_point = tensor.zero_point if len(tensor.zero_point) else np.zeros(1, np.int64)
        if count not in (1, along) or len(zero_point) not in (1, count):
            raise FileError(
                f"{operator.title} {what} is {tensor.type} with {count} scales and {len(zero_point)} zero points, "
                f"expected 1, or {along}, one for each index along axis {tensor.axis}."
            )
        if not (np.isfinite(tensor.scale).all() and (tensor.scale > 0).all()):
            raise FileError(f"{operator.title} {what} has a scale that is not a positive number.")
        shape = [1] * rank
        if count > 1:
            shape[tensor.axis] = count
        scale = tensor.scale.astype(np.float64).reshape(shape)
        return scale, np.broadcast_to(zero_point.astype(np.float64), (count,)).reshape(shape)


def shape_text(shape: Sequence[int]) -> str:
    """Shape as NumPy prints it, truncated if long."""
    listed = ", ".join(map(str, shape[:8])) + (", ..." if len(shape) > 8 else "")
    return f"({listed},)" if len(shape) == 1 else f"({listed})"
