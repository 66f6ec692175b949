"""Quantization: a model's matrices in smaller formats, each in its own.

A format is spelled ``"float32"``, ``"float16"``, ``"int8"``, ``"w8a8"``, ``"int4"``, ``"sparse:0.75"`` (the share of
columns that are dropped) or ``"rank:16"``; see :mod:`edge_rnn.formats` for what is stored and :mod:`edge_rnn.rounding`
for how it is chosen. Biases, scalings and states stay float32.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn import reference, rounding
from edge_rnn.arrays import float32_array
from edge_rnn.errors import InputError
from edge_rnn.formats import W8A8, Matrix, format_of
from edge_rnn.layers import Layer, Recurrent, Weight
from edge_rnn.model import Model
from edge_rnn.stream import Stream

__all__ = ["JUDGED_STEPS", "Calibration", "calibrate", "dequantize", "matrices", "quantize", "spelled"]

Array = NDArray[np.float32]

JUDGED_STEPS = 10_000
"""Steps, state carried, over which two ways of rounding are compared: the recording, again and again."""

_TRACED_STEPS = 20_000
"""Steps at most from which second moments are taken; that is enough for some hundred columns."""

_SPELLING = re.compile(r"(?P<name>float32|float16|int8|w8a8|int4)|sparse:(?P<zeros>0?\.\d+)|rank:(?P<rank>[1-9]\d*)")
_ROUNDED = ("int8", "w8a8", "int4")


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What a model's matrices meet in a recording.

    Parameters
    ----------
    xs
        ``(time, input_size)`` float32: the recording.
    vectors
        ``(time, K)`` float64 for each matrix by ``"layer.field"``: what it is multiplied with.
    moments
        ``(K, K)`` for each: the mean of ``x x^T``.
    """

    xs: Array
    vectors: Mapping[str, NDArray[np.float64]]
    moments: Mapping[str, NDArray[np.float64]]


def matrices(model: Model) -> dict[str, Weight]:
    """The matrices of a model by ``"layer.field"``: ``{"gru1.weight_ih": …}``, in the order of the layers."""
    return {f"{layer.name}.{name}": getattr(layer, name) for layer in model.layers for name in layer.matrices}


def spelled(matrix: Weight) -> str:
    """A matrix's format as :func:`quantize` takes it."""
    name = format_of(matrix)
    if name == "sparse":
        return f"sparse:{1 - matrix.multiply_adds / matrix.size:.2g}"  # type: ignore[union-attr]
    return f"rank:{matrix.left.shape[1]}" if name == "rank" else name  # type: ignore[union-attr]


def calibrate(model: Model, recording: ArrayLike) -> Calibration:
    """Run a recording through the model, in float64, and note what each matrix meets.

    Parameters
    ----------
    recording
        ``(time, input_size)``, in the sensor's units; one sequence.

    Raises
    ------
    InputError
        The recording is empty, has another number of channels, or holds a value that is not finite.
    """
    xs = float32_array("calibration", "recording", recording)
    if xs.ndim != 2 or xs.shape[1] != model.input_size:
        raise InputError(
            f"calibration got shape {xs.shape}, expected (time, {model.input_size}), a row for each sample."
        )
    if not len(xs):
        raise InputError("calibration got no samples, expected some seconds of what the sensor delivers.")
    if not np.isfinite(xs).all():
        t, channel = (int(i) for i in np.argwhere(~np.isfinite(xs))[0])
        raise InputError(
            f"calibration got {xs[t, channel]} in sample {t}, channel {channel}; expected finite values: leave such "
            f"samples out."
        )
    vectors: dict[str, NDArray[np.float64]] = {}
    for layer, (reads, puts) in zip(model.layers, reference.trace(model, xs[:_TRACED_STEPS]), strict=True):
        for name in layer.matrices:
            vectors[f"{layer.name}.{name}"] = reads
        if isinstance(layer, Recurrent):
            vectors[f"{layer.name}.weight_hh"] = np.vstack([layer.initial_state["h"], puts[:-1]])
    return Calibration(xs, vectors, {name: x.T @ x / len(x) for name, x in vectors.items()})


def quantize(
    model: Model, formats: str | Mapping[str, str] = "int8", *, calibration: ArrayLike | Calibration | None = None
) -> Model:
    """The model with its matrices in other formats.

    Parameters
    ----------
    formats
        One format for all matrices, or formats by matrix (``"gru1.weight_hh"``) or layer (``"gru1"``); what is not
        named stays as it is.
    calibration
        ``(time, input_size)``: a recording, in the sensor's units, from which weights are rounded so that what they
        meet there comes out best, the better of two ways of rounding being found over 10,000 steps with state carried;
        and from which ``w8a8`` takes how large its vectors become. Without one, weights are rounded for their own sake.
        What :func:`calibrate` made will do too.

    Returns
    -------
    Model
        Everything else as before. The same arguments give the same bytes.

    Raises
    ------
    InputError
        A format or name is unknown, a matrix does not take its format or is in another one already (quantize the
        float32 model), or the recording does not fit.
    """
    if not isinstance(model, Model):
        raise InputError(f"quantize got {type(model).__name__}, expected a Model: edge_rnn.load(path) reads one.")
    wanted = _wanted(model, formats)
    if calibration is not None and not isinstance(calibration, Calibration):
        calibration = calibrate(model, calibration)
    to_nearest = _quantized(model, wanted, calibration, feedback=False)
    if calibration is None or not any(format_.startswith(_ROUNDED) for format_ in wanted.values()):
        return to_nearest
    with_feedback = _quantized(model, wanted, calibration, feedback=True)
    return min((to_nearest, with_feedback), key=lambda made: drift(model, made, calibration.xs))


def dequantize(model: Model) -> Model:
    """The model with every matrix as the float32 array that it stands for; itself where all are."""
    if not any(layer.formats for layer in model.layers):
        return model
    return _with_matrices(model, {name: np.asarray(matrix) for name, matrix in matrices(model).items()})


def drift(model: Model, other: Model, xs: Array, steps: int = JUDGED_STEPS) -> float:
    """Root mean square of the difference of outputs and states, over that of the model's own; state carried.

    ``xs`` is repeated until there are as many steps; outputs of the last half count, and the states in the end.
    """
    rows = np.ascontiguousarray(np.resize(xs, (max(steps, len(xs)), xs.shape[1])))
    streams = [Stream(model), Stream(other)]
    ys = [stream.run(rows).astype(np.float64) for stream in streams]
    off, own = np.square(ys[1] - ys[0]).sum(), np.square(ys[0]).sum()
    for name, mine in streams[0].state.items():
        off += np.square(streams[1].state[name].astype(np.float64) - mine).sum()
        own += np.square(mine.astype(np.float64)).sum()
    return float(np.sqrt(off / own)) if own > 0 else float(np.sqrt(off))


def _wanted(model: Model, formats: str | Mapping[str, str]) -> dict[str, str]:
    """Formats by ``"layer.field"``, for those matrices that are named, each found to be a format."""
    known = matrices(model)
    if isinstance(formats, str):
        formats = dict.fromkeys(known, formats)
    if not isinstance(formats, Mapping):
        raise InputError(f"quantize got {formats!r} as formats, expected a format or formats by matrix.")
    by_layer = {layer.name: [f"{layer.name}.{name}" for name in layer.matrices] for layer in model.layers}
    wanted: dict[str, str] = {}
    for name, format_ in formats.items():
        if not isinstance(format_, str) or not _SPELLING.fullmatch(format_):
            raise InputError(
                f"quantize got the format {format_!r} for {name!r}, expected float32, float16, int8, w8a8, int4, "
                f"sparse:SHARE (0 < SHARE < 1) or rank:NUMBER."
            )
        names = [name] if name in known else by_layer.get(name, [])
        if not names:
            raise InputError(f"quantize got the matrix {name!r}, expected one of {', '.join(known)}, or a layer.")
        wanted |= dict.fromkeys(names, format_)
    return wanted


def _quantized(model: Model, wanted: Mapping[str, str], calibration: Calibration | None, *, feedback: bool) -> Model:
    known = matrices(model)
    gates = {layer.name: len(getattr(layer, "gates", "y")) for layer in model.layers}
    made = {}
    for name, format_ in wanted.items():
        if isinstance(known[name], Matrix):
            if spelled(known[name]) != format_:
                raise InputError(
                    f"quantize got {name} as {spelled(known[name])} already, expected float32; quantize the model that "
                    f"it was made from, or dequantize(model) first."
                )
            continue
        if format_ != "float32":
            made[name] = _made(name, np.asarray(known[name]), format_, gates[name.split(".")[0]], calibration, feedback)
    return _with_matrices(model, made)


def _made(
    name: str, matrix: Array, format_: str, gates: int, calibration: Calibration | None, feedback: bool
) -> Matrix:
    moments = None if calibration is None else calibration.moments[name]
    try:
        if format_ == "float16":
            return rounding.float16(matrix)
        if format_ == "int8":
            return rounding.int8(matrix, moments, feedback=feedback)
        if format_ == "w8a8":
            made = rounding.w8a8(matrix, moments, feedback=feedback)
            limit = None if calibration is None else rounding.input_range(calibration.vectors[name], 127)
            return W8A8(made.values, made.scale, limit)
        if format_ == "int4":
            return rounding.int4(matrix, moments, feedback=feedback)
        if format_.startswith("sparse"):
            return rounding.sparse(matrix, gates, float(format_.removeprefix("sparse:")), moments)
        return _low_rank(matrix, int(format_.removeprefix("rank:")), moments)
    except InputError as error:
        raise InputError(f"quantize of {name}: {error}") from None


def _low_rank(matrix: Array, rank: int, moments: NDArray[np.float64] | None) -> Matrix:
    rows, columns = matrix.shape
    if rank * (rows + columns) >= rows * columns:
        most = (rows * columns - 1) // (rows + columns)
        raise InputError(f"rank:{rank} saves nothing for {rows} x {columns}, expected {most} at most.")
    return rounding.low_rank(matrix, rank, moments)


def _with_matrices(model: Model, made: Mapping[str, Weight]) -> Model:
    layers: list[Layer] = []
    for layer in model.layers:
        own = {name: made[f"{layer.name}.{name}"] for name in layer.matrices if f"{layer.name}.{name}" in made}
        layers.append(replace(layer, **own) if own else layer)  # type: ignore[arg-type]  # fields of its class
    return replace_layers(model, layers)


def replace_layers(model: Model, layers: list[Layer]) -> Model:
    """The model with other layers in place of its own, all else as it was."""
    return Model(
        layers,
        name=model.name,
        labels=model.labels,
        sample_rate_hz=model.sample_rate_hz,
        input_names=model.input_names,
        input_units=model.input_units,
        input_size=model.input_size,
    )
