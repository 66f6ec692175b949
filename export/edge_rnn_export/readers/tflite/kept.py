"""Put matrices back into the integers that the file stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.formats import Int8
from edge_rnn.model import Model
from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tflite.constants import numbers_of, stored_integers
from edge_rnn_export.readers.tflite.contents import Tensor

__all__ = ["with_integers"]

_Row = tuple[AnyArray, np.float32]  # integers and their scale


def with_integers(model: Model, tensors: Iterable[Tensor], budget: Budget) -> Model:
    """Return the model with matrices in int8 whose rows are all rows of constant int8 tensors, or zeros.

    Raises
    ------
    UnsupportedError
        A tensor has integers or scales that :class:`~edge_rnn.formats.Int8` lacks.
    InputError
        There is no such matrix.
    """
    rows: dict[bytes, _Row] = {}
    for tensor in tensors:
        if tensor.type not in ("INT8", "UINT8") or len(tensor.shape) != 2:
            continue
        stored = stored_integers(tensor)
        if stored is None:
            raise UnsupportedError(
                f"from_tflite: {tensor.title} is of type {tensor.type}, has a zero point other than 0, holds -128, or "
                f"has a scale for each column; read it with keep_int8=False."
            )
        numbers = numbers_of(tensor, budget)
        rows |= {row.tobytes(): pair for row, *pair in zip(numbers, *stored, strict=True)}
    layers = []
    for layer in model.layers:
        kept = {name: _kept(getattr(layer, name), rows) for name in layer.matrices}
        layers.append(layer.replaced(**{name: matrix for name, matrix in kept.items() if matrix is not None}))
    if not any(layer.formats for layer in layers):
        raise InputError("from_tflite got keep_int8=True, but the file has no matrix in int8; leave it out.")
    return replace(model, layers=tuple(layers))


def _kept(matrix: AnyArray, rows: dict[bytes, _Row]) -> Int8 | None:
    """Matrix as int8; None if not every row is one of the rows or zero, or if all are zero."""
    zeros = (np.zeros(matrix.shape[1], np.int8), np.float32(0))
    found = [rows.get(row.tobytes(), None if row.any() else zeros) for row in matrix]
    if any(each is None for each in found) or not matrix.any():
        return None
    values, scales = zip(*found, strict=True)
    return Int8(np.array(values), np.array(scales, np.float32))
