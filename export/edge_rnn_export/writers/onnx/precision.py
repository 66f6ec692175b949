"""What a graph computes with: the precision of its matrices, and whether what they are multiplied with is rounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

from edge_rnn import quantize
from edge_rnn.checks import choice
from edge_rnn.errors import InputError
from edge_rnn.formats import Int8
from edge_rnn.model import Model
from edge_rnn.quantization import dequantize

__all__ = ["Form", "Operators", "Precision", "at_precision", "check_target", "has_ranges", "rounded_vectors"]

Form = Literal["step", "sequence"]
"""A graph of one step, or of as many as the samples are."""

Precision = Literal["float32", "float16", "int8", "int8-weights", "int4"]
"""``"int8"``: weights of 8 bits, and vectors too, rounded as they come. ``"int8-weights"``: weights alone."""

Operators = Literal["onnxruntime", "standard"]
"""``"onnxruntime"``: its own ones (``com.microsoft``) too. ``"standard"``: those of ``ai.onnx`` alone."""

_KEEPS = {"float16": ("float16",), "int8": ("int8", "w8a8"), "int8-weights": ("int8", "w8a8"), "int4": ("int4",)}
"""Formats of matrices that are left as they are, with the scales that they have."""


def check_target(precision: object, operators: object) -> None:
    """Raise InputError where one of the two is unknown."""
    if precision is not None:
        otherwise = "or None for the formats that the model's matrices have"
        choice("to_onnx", "precision", precision, get_args(Precision), otherwise=otherwise)
    choice("to_onnx", "operators", operators, get_args(Operators))


def at_precision(model: Model, precision: str | None) -> Model:
    """The model whose weights a graph of this precision holds, bit for bit.

    Parameters
    ----------
    precision
        None: the model itself. ``"float32"``: each matrix as what it stands for. Else matrices of float32 are rounded
        for their own sake, and those that have the format already stay, with the scales that they have.

    Raises
    ------
    InputError
        A matrix has another format, or does not take this one.
    """
    if precision is None:
        return model
    if precision == "float32":
        return dequantize(model)
    keeps = _KEEPS[precision]
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
    """Matrices that are multiplied with vectors of 8 bits, by layer and field.

    Parameters
    ----------
    model
        What :func:`at_precision` gave.
    """
    if precision == "int8-weights":
        return {}
    found = {layer.name: dict(_int8(layer)) for layer in model.layers}
    return {name: matrices for name, matrices in found.items() if matrices}


def has_ranges(model: Model) -> bool:
    """Whether a matrix says which range the vectors have that it is multiplied with (``input_range``)."""
    formats = [matrix for layer in model.layers for matrix in layer.formats.values()]
    return any(getattr(matrix, "input_range", None) is not None for matrix in formats)


def _int8(layer: Any) -> Iterator[tuple[str, Int8]]:
    for name, matrix in layer.formats.items():
        if isinstance(matrix, Int8):
            yield name, matrix
