"""Read networks of RNNoise, in the text format of rnnoise-nu and of FFmpeg's ``arnndn`` filter."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from edge_rnn.errors import FileError, InputError, InputTypeError
from edge_rnn.layers import GRU, Dense, Layer
from edge_rnn.model import Description, Model
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.file_bytes import read_bytes

__all__ = ["START", "from_rnnoise"]

START = b"rnnoise-nu model file version 1\n"

_SCALE = 1 / 256
_LARGEST = 128
_MOST_BYTES = 2**22
_ACTIVATIONS = ("tanh", "sigmoid", "relu")
_RATE_HZ = 100.0
_PARTS = ("gains", "vad")


def from_rnnoise(source: str | PathLike[str], *, part: str | None = None, **about: Unpack[Description]) -> Model:
    """Read a network of RNNoise [1]_ from a file, ``.rnnn``.

    A sample of the network is the features of a frame of 10 ms: 22 coefficients of the spectrum of bands, their first
    and second differences, and the pitch. RNNoise computes these from sound at 48 kHz, which is not part of the file.

    Parameters
    ----------
    source
        Path of the file.
    part
        Output to read, as a model has one: ``"gains"`` of the bands, 0 .. 1, or ``"vad"``, the probability of voice.
    about
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``vocabulary`` of the
        :class:`~edge_rnn.model.Model`. The rate defaults to 100 Hz.

    Returns
    -------
    Model
        Weights of 8 bits, divided by 256, as float32. RNNoise's own program looks tanh and sigmoid up in a table.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, or is of another kind.
    InputError
        ``part`` is missing or unknown.
    ModelError
        Sizes of the layers do not fit each other.

    References
    ----------
    .. [1] J.-M. Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech Enhancement", MMSP 2018.
    """
    if not isinstance(source, str | PathLike):
        raise InputTypeError(f"from_rnnoise got {type(source).__name__}, expected the path of a file.")
    if part not in _PARTS:
        raise InputError(
            f"from_rnnoise got part={part!r}; an RNNoise network has two outputs, state the one to read: part='gains' "
            f"or 'vad' (--part)."
        )
    path = Path(source)
    numbers = _numbers(path)
    layers: list[Layer] = [
        _dense(path, numbers, "input_dense", ()),
        _gru(path, numbers, "vad_gru", ()),
        _gru(path, numbers, "noise_gru", ("input_dense", "vad_gru", "input")),
        _gru(path, numbers, "denoise_gru", ("vad_gru", "noise_gru", "input")),
        _dense(path, numbers, "denoise_output", ()),
        _dense(path, numbers, "vad_output", ("vad_gru",)),
    ]
    if next(numbers, None) is not None:
        raise FileError(f"{path} is damaged: numbers follow the last layer.")
    if about.get("sample_rate_hz") is None:
        about["sample_rate_hz"] = _RATE_HZ
    return Model(layers[:5] if part == "gains" else [*layers[:2], layers[5]], **about)


def _numbers(path: Path) -> Iterator[int]:
    """Yield the numbers after the first line."""
    data = read_bytes(path, _MOST_BYTES, "an RNNoise network")
    if not data.startswith(START):
        raise FileError(f"{path} begins with {data[:40]!r}, expected {START.decode().strip()!r}.")
    words = data[len(START) :].split()
    for word in words:
        if not word.removeprefix(b"-").isdigit() or len(word) > 4:
            raise FileError(f"{path} is damaged: it holds {word[:20]!r}, expected whole numbers of 8 bits.")
    return map(int, words)


def _array(path: Path, numbers: Iterator[int], *shape: int) -> AnyArray:
    """Take an array of weights."""
    found = np.fromiter(islice(numbers, prod(shape)), np.float64)
    if found.size < prod(shape):
        raise FileError(f"{path} is truncated.")
    if np.abs(found).max(initial=0) > _LARGEST:
        raise FileError(f"{path} is damaged: it holds the weight {np.abs(found).max():.0f}, expected 8 bits.")
    return (_SCALE * found).reshape(shape)


def _head(path: Path, numbers: Iterator[int], name: str) -> tuple[int, int, str]:
    """Take the number of inputs and of units, and the activation."""
    inputs, units, activation = (next(numbers, -1) for _ in range(3))
    if not (0 < inputs <= _LARGEST and 0 < units <= _LARGEST and 0 <= activation < len(_ACTIVATIONS)):
        raise FileError(
            f"{path} is damaged: {name} got {inputs} inputs, {units} units and activation {activation}, expected 1 to "
            f"{_LARGEST}, and 0 to {len(_ACTIVATIONS) - 1}."
        )
    return inputs, units, _ACTIVATIONS[activation]


def _dense(path: Path, numbers: Iterator[int], name: str, sources: tuple[str, ...]) -> Dense:
    inputs, units, activation = _head(path, numbers, name)
    weight, bias = _array(path, numbers, inputs, units), _array(path, numbers, units)
    return Dense(_f32(weight.T), _f32(bias), activation=activation, name=name, inputs=sources)


def _gru(path: Path, numbers: Iterator[int], name: str, sources: tuple[str, ...]) -> GRU:
    inputs, units, activation = _head(path, numbers, name)
    weights = [_array(path, numbers, rows, 3, units) for rows in (inputs, units)]
    bias = _array(path, numbers, 3, units)[[1, 0, 2]]  # the file has z, r, candidate; a GRU r, z, n
    weight_ih, weight_hh = (_f32(each[:, [1, 0, 2]].transpose(1, 2, 0).reshape(3 * units, -1)) for each in weights)
    return GRU(
        weight_ih,
        weight_hh,
        _f32(bias.reshape(-1)),
        reset_after=False,
        candidate_activation=activation,
        name=name,
        inputs=sources,
    )


def _f32(array: AnyArray) -> Any:
    return np.ascontiguousarray(array, np.float32)
