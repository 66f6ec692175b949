"""Read layer lists in RTNeural's format: Keras's arrays, layer by layer.

Layout [1]_: ``in_shape`` and ``layers``, each with ``type``, ``activation``, ``shape`` (its last entry is the number of
outputs) and ``weights``, as returned by Keras's ``get_weights``.

References
----------
.. [1] J. Chowdhury, "RTNeural: fast neural inferencing for real-time systems", 2021, arXiv:2106.03037;
   ``RTNeural/model_loader.h``.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.layers import GRU, LSTM, Dense, Layer
from edge_rnn.storage.model_file import MAX_LAYERS
from edge_rnn.typing import F64
from edge_rnn_export.readers.json_text import MAX_COUNT, array_of

__all__ = ["MAX_IDENTITY_VALUES", "input_size_of", "layers_of_list"]


MAX_IDENTITY_VALUES = 2**22
"""Maximum number of values in matrices without weights in the file: those of standalone activations."""

_ACTIVATIONS = ("tanh", "relu", "sigmoid", "softmax", "elu")
_KEYS = {"type", "name", "activation", "shape", "weights"}


def input_size_of(document: Mapping[str, Any]) -> int:
    """Number of values per sample, from ``in_shape``."""
    return _last("in_shape", document.get("in_shape"))


def layers_of_list(document: Mapping[str, Any]) -> list[Layer]:
    """Return the named layers of a list, after checking their shapes against those that the file declares.

    Raises
    ------
    FileError
        An entry is missing or has a wrong type, or shapes are inconsistent.
    UnsupportedError
        A layer or an option has no counterpart; the message names it.
    """
    listed = document.get("layers")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_LAYERS:
        got = f"{len(listed)} layers" if isinstance(listed, list) else reprlib.repr(listed)
        raise FileError(f"layers got {got}, expected a list of 1 to {MAX_LAYERS}.")
    layers: list[Layer] = []
    size = input_size_of(document)
    left = MAX_IDENTITY_VALUES
    for place, record in enumerate(listed, start=1):
        kind = record.get("type") if isinstance(record, dict) else None
        if not isinstance(kind, str):
            raise FileError(f"layer {place} got {reprlib.repr(record)}, expected an object with a type.")
        title = f"layer {place} ({reprlib.repr(kind)[1:-1]})"
        if kind != "activation" and kind not in _READERS:
            raise UnsupportedError(f"{title} cannot be converted; expected one of {', '.join(_READERS)}, activation.")
        unknown = record.keys() - _KEYS
        if unknown:
            raise UnsupportedError(
                f"{title} has {reprlib.repr(sorted(unknown))}, which edge_rnn does not know; expected "
                f"{', '.join(sorted(_KEYS))}."
            )
        outputs = _last(f"{title} shape", record.get("shape"))
        arrays = _arrays(title, record)
        activation = _activation(title, record)
        if kind == "activation":
            left = _activate(layers, f"activation{place}", title, activation, arrays, (size, outputs), left)
        else:
            layers.append(_READERS[kind](title, f"{kind.rpartition('-')[2]}{place}", arrays, activation, size, outputs))
        size = outputs
    return layers


def _dense(title: str, name: str, arrays: list[F64], activation: str, inputs: int, outputs: int) -> Layer:
    if len(arrays) not in (1, 2):
        raise FileError(f"{title} got {len(arrays)} weights, expected 2: kernel and bias.")
    _check(title, ("kernel", "bias"), arrays, ((inputs, outputs), (outputs,)))
    bias = arrays[1] if len(arrays) == 2 else None
    return Dense(arrays[0].T, bias, name=name, activation=activation)  # type: ignore[arg-type]


def _lstm(title: str, name: str, arrays: list[F64], activation: str, inputs: int, units: int) -> Layer:
    """Convert Keras's gate order i f c o to PyTorch's i f g o."""
    _check_cell(title, arrays, activation)
    rows = 4 * units
    _check(title, ("kernel", "recurrent kernel", "bias"), arrays, ((inputs, rows), (units, rows), (rows,)))
    kernel, recurrent, bias = arrays
    return LSTM(kernel.T, recurrent.T, bias, name=name)  # type: ignore[arg-type]


def _gru(title: str, name: str, arrays: list[F64], activation: str, inputs: int, units: int) -> Layer:
    """Convert Keras's gates z r h (PyTorch's z r n) to the order r z n; two biases mean ``reset_after=True``."""
    _check_cell(title, arrays, activation)
    rows = 3 * units
    if arrays[2].shape == (rows,):
        raise UnsupportedError(
            f"{title} bias got shape {arrays[2].shape}, expected {(2, rows)}: RTNeural runs cells with "
            f"reset_after=True only. Read the Keras model itself, which also tells the gates' activation."
        )
    _check(title, ("kernel", "recurrent kernel", "bias"), arrays, ((inputs, rows), (units, rows), (2, rows)))
    order = np.r_[units : 2 * units, 0:units, 2 * units : rows]
    kernel, recurrent, bias = (array[:, order] for array in arrays)
    return GRU(kernel.T, recurrent.T, bias[0], bias[1], name=name)  # type: ignore[arg-type]


_READERS: dict[str, Callable[[str, str, list[F64], str, int, int], Layer]] = {
    "dense": _dense,
    "time-distributed-dense": _dense,
    "gru": _gru,
    "lstm": _lstm,
}


def _activate(
    layers: list[Layer], name: str, title: str, activation: str, arrays: list[F64], sizes: tuple[int, int], left: int
) -> int:
    """Apply the activation in the last layer or an added identity Dense; return the identity weights left."""
    size, outputs = sizes
    if arrays or size != outputs:
        raise FileError(
            f"{title} got {len(arrays)} weights and {size} to {outputs} values, expected no weights and equal numbers."
        )
    if not layers:
        raise UnsupportedError(f"{title} comes before the first layer with weights; apply it to the samples.")
    last = layers[-1]
    if isinstance(last, Dense) and last.activation == "none":
        layers[-1] = Dense(last.weight, last.bias, name=last.name, activation=activation)
    elif activation != "none":
        left -= size * size
        if left < 0:
            raise UnsupportedError(
                f"{title} of {size} values would take {size} times {size} weights, beyond the {MAX_IDENTITY_VALUES} "
                f"that activations without weights may take."
            )
        layers.append(Dense(np.eye(size, dtype=np.float32), name=name, activation=activation))
    return left


def _arrays(title: str, record: Mapping[str, Any]) -> list[F64]:
    weights = record.get("weights", [])
    if not isinstance(weights, list) or len(weights) > 3:
        got = f"a list of {len(weights)}" if isinstance(weights, list) else reprlib.repr(weights)
        raise FileError(f"{title} weights got {got}, expected a list of up to 3 arrays.")
    return [array_of(f"{title} weights[{place}]", value) for place, value in enumerate(weights)]


def _activation(title: str, record: Mapping[str, Any]) -> str:
    value = record.get("activation", "")
    if value == "":
        return "none"
    if value not in _ACTIVATIONS:
        raise UnsupportedError(
            f"{title} activation got {reprlib.repr(value)}, expected '' or one of {', '.join(_ACTIVATIONS)}."
        )
    return str(value)


def _check_cell(title: str, arrays: list[F64], activation: str) -> None:
    """Check weights and activation: RTNeural always computes tanh, so any other one would be ambiguous."""
    if activation not in ("none", "tanh"):
        raise UnsupportedError(
            f"{title} activation got {activation!r}, expected 'tanh', the only one that RTNeural computes."
        )
    if len(arrays) != 3:
        raise FileError(f"{title} got {len(arrays)} weights, expected 3: kernel, recurrent kernel and bias.")


def _check(title: str, names: tuple[str, ...], arrays: list[F64], shapes: tuple[tuple[int, ...], ...]) -> None:
    for name, array, shape in zip(names, arrays, shapes, strict=False):
        if array.shape != shape:
            raise FileError(
                f"{title} {name} got shape {array.shape}, expected {shape}, from its shape and the layer before it."
            )


def _last(what: str, value: object) -> int:
    """Last entry of a Keras shape such as ``[None, None, 8]``."""
    entries = value if isinstance(value, list) and 0 < len(value) <= 8 else [""]
    if not all(each is None or type(each) is int for each in entries):
        entries = [""]
    if type(entries[-1]) is not int or not 0 < entries[-1] <= MAX_COUNT:
        raise FileError(f"{what} got {reprlib.repr(value)}, expected a list such as [null, null, 8].")
    return entries[-1]
