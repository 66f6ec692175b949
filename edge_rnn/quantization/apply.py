"""Quantize a model: store each of its matrices in a smaller format.

A format is spelled ``"float32"``, ``"float16"``, ``"int8"``, ``"w8a8"``, ``"int4"``, ``"sparse:0.75"`` (the share of
columns that are dropped) or ``"rank:16"``; :mod:`edge_rnn.formats` describes the stored values and their choice.
Biases, scalings and states stay float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.errors import InputError, InputTypeError
from edge_rnn.formats import FORMATS, Fitting, Matrix, grammar, parse
from edge_rnn.formats.rounding import input_range
from edge_rnn.layers import INPUT, Layer, Weight
from edge_rnn.model import Model
from edge_rnn.quantization.calibration import JUDGED_STEPS, Calibration, calibrate, drift

__all__ = ["JUDGED_STEPS", "Calibration", "calibrate", "dequantize", "drift", "matrices", "quantize", "spelled"]


def matrices(model: Model) -> dict[str, Weight]:
    """Matrices of a model by ``"layer.field"``: ``{"gru1.weight_ih": …}``, in the order of the layers."""
    return {f"{layer.name}.{name}": getattr(layer, name) for layer in model.layers for name in layer.matrices}


def spelled(matrix: Weight) -> str:
    """Spelling of a matrix's format, as :func:`quantize` takes it."""
    return matrix.spelling if isinstance(matrix, Matrix) else "float32"


def quantize(
    model: Model, formats: str | Mapping[str, str] = "int8", *, calibration: ArrayLike | Calibration | None = None
) -> Model:
    """Convert the matrices of a model to other formats.

    Parameters
    ----------
    formats
        One format for all matrices, or formats by matrix (``"gru1.weight_hh"``) or layer (``"gru1"``); matrices that
        are not named keep their format.
    calibration
        Calibration recording ``(time, input_size)`` in the sensor's units, or a result of
        :func:`~edge_rnn.quantization.calibration.calibrate`, which uses all of it. Weights are rounded to minimize the
        error of their products in this recording: several methods are tried, and the one whose outputs and states stay
        closest to the model's over 10,000 steps, with the state carried along, is taken. Without a recording, each
        weight is rounded to the nearest value.

    Returns
    -------
    Model
        The quantized model. A recording may also change biases, which stay float32; everything else is unchanged. The
        same arguments give the same bytes.

    Raises
    ------
    InputError
        A format or name is unknown, a matrix cannot have its format or is already in another one (quantize the float32
        model), the recording does not fit, or the calibration belongs to another model.

    Examples
    --------
    >>> import edge_rnn
    >>> model = edge_rnn.load(edge_rnn.data_path("smart_watch/gru.safetensors"))
    >>> small = edge_rnn.quantize(model, {"rnn": "int8"})
    >>> edge_rnn.Stream(small).memory.weights < edge_rnn.Stream(model).memory.weights
    True
    """
    if not isinstance(model, Model):
        raise InputTypeError(f"quantize got {type(model).__name__}, expected a Model: edge_rnn.load(path) reads one.")
    wanted = _wanted(model, formats)
    if calibration is not None and not isinstance(calibration, Calibration):
        calibration = calibrate(model, calibration)
    if calibration is None:
        return _quantized(model, wanted, None, _Way())
    if calibration.fingerprint != model.fingerprint:
        raise InputError(f"quantize got the calibration of another model; call calibrate({model!r}, recording).")
    ways: dict[tuple[Any, ...], _Way] = {}
    for way in _WAYS:  # one of each group that gives the same matrices in these formats
        ways.setdefault(tuple(_keys(model, wanted, way)), way)
    made = [_quantized(model, wanted, calibration, way) for way in ways.values()]
    return made[0] if len(made) == 1 else min(made, key=calibration.yardstick.drift)


def dequantize(model: Model) -> Model:
    """Convert every matrix back to the float32 array that it stands for; return the model itself if all are float32."""
    if not any(layer.formats for layer in model.layers):
        return model
    layers: list[Layer] = []
    for layer in model.layers:
        dense: dict[str, Any] = {name: matrix.dense() for name, matrix in layer.formats.items()}
        layers.append(layer.replaced(**dense) if dense else layer)
    return replace(model, layers=tuple(layers))


def _wanted(model: Model, formats: str | Mapping[str, str]) -> dict[str, str]:
    """Check the formats; return those of the matrices that are named, by ``"layer.field"``."""
    known = matrices(model)
    if isinstance(formats, str):
        formats = dict.fromkeys(known, formats)
    if not isinstance(formats, Mapping):
        raise InputTypeError(f"quantize got {formats!r} as formats, expected a format or formats by matrix.")
    by_layer = {layer.name: [f"{layer.name}.{name}" for name in layer.matrices] for layer in model.layers}
    wanted: dict[str, str] = {}
    for name, format_ in formats.items():
        if not isinstance(format_, str) or (format_ != "float32" and parse(format_) is None):
            raise (InputError if isinstance(format_, str) else InputTypeError)(
                f"quantize got the format {format_!r} for {name!r}, expected {grammar()}."
            )
        names = [name] if name in known else by_layer.get(name, [])
        if not names:
            raise InputError(f"quantize got the matrix {name!r}, expected one of {', '.join(known)}, or a layer.")
        wanted |= dict.fromkeys(names, format_)
    return wanted


@dataclass(frozen=True, slots=True)
class _Way:
    """Method of using a calibration recording.

    Parameters
    ----------
    feedback
        See :func:`edge_rnn.formats.rounding.rounded`.
    biases
        True to correct the mean rounding error by the bias [1]_, and to fit weights to the variation around the mean
        alone.
    ranges
        True to take the range of hidden states from the recording, for formats that have one (``w8a8``).

    References
    ----------
    .. [1] M. Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019,
       arXiv:1906.04721, section 4.2.
    """

    feedback: bool = False
    biases: bool = False
    ranges: bool = False


_WAYS = tuple(_Way(*choice) for choice in product((False, True), repeat=3))


def _key(layer: Layer, name: str, format_: str, way: _Way) -> tuple[str, str, _Way]:
    """Key of a matrix in a format, given a recording; of the method it has only the parts that change this matrix."""
    kind = FORMATS[format_.partition(":")[0]]
    own = _Way(
        way.feedback and bool(kind.scales_of),
        way.biases and _bias_of(layer, name) is not None,
        way.ranges and kind.has_range and layer.matrices[name] != INPUT,
    )
    return f"{layer.name}.{name}", format_, own


def _keys(model: Model, wanted: Mapping[str, str], way: _Way) -> Iterator[tuple[str, str, _Way]]:
    for layer in model.layers:
        for name in layer.matrices:
            format_ = wanted.get(f"{layer.name}.{name}", "float32")
            if format_ != "float32":
                yield _key(layer, name, format_, way)


def _quantized(model: Model, wanted: Mapping[str, str], calibration: Calibration | None, way: _Way) -> Model:
    layers: list[Layer] = []
    for layer in model.layers:
        made: dict[str, Any] = {}
        for name in layer.matrices:
            full, matrix = f"{layer.name}.{name}", getattr(layer, name)
            format_ = wanted.get(full, "float32")
            if isinstance(matrix, Matrix):
                if full in wanted and not matrix.has_spelling(format_):
                    raise InputError(
                        f"quantize got {full} as {spelled(matrix)} already, expected float32; quantize the model that "
                        f"it was made from, or dequantize(model) first."
                    )
            elif format_ != "float32" and calibration is None:
                made |= _formatted(layer, name, format_, None, way)
            elif format_ != "float32" and calibration is not None:
                key = _key(layer, name, format_, way)
                if key not in calibration.rounded:
                    calibration.rounded[key] = _formatted(layer, name, format_, calibration, key[2])
                made |= calibration.rounded[key]
        layers.append(layer.replaced(**made) if made else layer)
    return replace(model, layers=tuple(layers))


def _bias_of(layer: Layer, name: str) -> str | None:
    """Name of the bias that is added only to the product with this matrix; None if there is no such bias."""
    if (graph := layer.graph) is not None:
        several = [matrix for matrix, _ in graph.products].count(name) > 1 and not layer.matrices[name]
        return None if several else graph.bias_of(name)
    bias = name.replace("weight", "bias")
    return bias if getattr(layer, bias) is not None else None


def _formatted(layer: Layer, name: str, format_: str, calibration: Calibration | None, way: _Way) -> dict[str, Any]:
    """Convert a layer's matrix to a format; return it, and its bias if that changes, by field name."""
    matrix, bias_name = np.asarray(getattr(layer, name)), _bias_of(layer, name)
    meets = None if calibration is None else calibration.meets[f"{layer.name}.{name}"]
    moments = None if meets is None else meets.moving if way.biases else meets.moments
    parsed = parse(format_)
    assert parsed is not None
    kind, option = parsed
    scales = limit = None
    if calibration is not None and kind.scales_of:
        key = (layer.name, name, kind.scales_of, way.biases)
        if key not in calibration.rounded:
            calibration.rounded[key] = kind.scales(matrix, moments)
        scales = calibration.rounded[key]
    if way.ranges and meets is not None and meets.some is not None and kind.vector_steps is not None:
        limit = input_range(meets.some.astype(np.float64), kind.vector_steps)
    fitting = Fitting(layer.gates_of(name), moments, way.feedback, scales, limit)
    try:
        made = kind.quantized(matrix, fitting, option)
    except InputError as error:
        raise InputError(f"quantize of {layer.name}.{name}: {error}") from None
    if meets is None or not way.biases or bias_name is None:
        return {name: made}
    change = (matrix.astype(np.float64) - made.dense()) @ meets.mean
    if name == "weight_hh" and getattr(layer, "reset_after", True) is False:
        change[-matrix.shape[1] :] = 0  # the candidate's rows multiply r * h, not h
    return {name: made, bias_name: (getattr(layer, bias_name) + change).astype(np.float32)}
