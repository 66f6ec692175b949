"""Precision of a graph's matrices, and rounding of the vectors that they are multiplied by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

from edge_rnn import quantize
from edge_rnn.checks import choice
from edge_rnn.errors import InputError
from edge_rnn.formats import FORMATS, Int8, precisions
from edge_rnn.model import Model
from edge_rnn.quantization import dequantize

__all__ = ["PRECISIONS", "Form", "Operators", "Precision", "at_precision", "check_target", "has_ranges"]
__all__ += ["rounded_vectors"]

Form = Literal["step", "sequence"]
"""Graph of one step, or of any number of steps."""

Precision = str
"""One of :data:`PRECISIONS`."""

PRECISIONS = precisions()
"""``"int8"``: 8-bit weights, and vectors rounded to 8 bits at run time. ``"int8-weights"``: weights only."""

Operators = Literal["onnxruntime", "standard"]
"""``"onnxruntime"``: its own operators (``com.microsoft``) too. ``"standard"``: only those of ``ai.onnx``."""


def check_target(precision: object, operators: object) -> None:
    """Raise InputError if one of the two is unknown."""
    if precision is not None:
        otherwise = "or None for the formats of the model's matrices"
        choice("to_onnx", "precision", precision, PRECISIONS, otherwise=otherwise)
    choice("to_onnx", "operators", operators, get_args(Operators))


def at_precision(model: Model, precision: str | None) -> Model:
    """Return the model whose weights equal those of a graph of this precision, bit for bit.

    Parameters
    ----------
    precision
        None: the model itself. ``"float32"``: each matrix dequantized. Otherwise float32 matrices are quantized without
        calibration, and those in the format already are kept, with their scales.

    Raises
    ------
    InputError
        A matrix has another format, or cannot be converted to this one.
    """
    if precision is None:
        return model
    if precision == "float32":
        return dequantize(model)
    keeps = [name for name, each in FORMATS.items() if precision in each.precisions]
    wanted = {}
    for layer in model.layers:
        for name in layer.matrices:
            found = layer.formats.get(name)
            if found is not None and found.format not in keeps:
                raise InputError(
                    f"to_onnx got {layer.name}.{name} in the format {found.format} and the precision {precision!r}; "
                    f"leave precision out to keep the formats, or export edge_rnn.quantization.dequantize(model)."
                )
            if found is None:
                wanted[f"{layer.name}.{name}"] = keeps[0]
    return quantize(model, wanted) if wanted else model


def rounded_vectors(model: Model, precision: str | None) -> dict[str, dict[str, Int8]]:
    """Matrices that are multiplied by 8-bit vectors, by layer and field.

    Parameters
    ----------
    model
        Result of :func:`at_precision`.
    """
    if precision == "int8-weights":
        return {}
    found = {layer.name: dict(_int8(layer)) for layer in model.layers}
    return {name: matrices for name, matrices in found.items() if matrices}


def has_ranges(model: Model) -> bool:
    """True if a matrix states the range of the vectors that it is multiplied by (``input_range``)."""
    formats = [matrix for layer in model.layers for matrix in layer.formats.values()]
    return any(getattr(matrix, "input_range", None) is not None for matrix in formats)


def _int8(layer: Any) -> Iterator[tuple[str, Int8]]:
    for name, matrix in layer.formats.items():
        if isinstance(matrix, Int8):
            yield name, matrix
