"""AIDA-X files: RTNeural's layer list, a skip connection, gains, and a recording to check the network against.

Layout [1]_: besides ``in_shape`` and ``layers``, a file may have ``in_skip`` (1: the first input is added to the
output), ``in_gain`` and ``out_gain`` in dB, ``input_batch`` and ``output_batch``, and free ``metadata``. A file without
these is a plain layer list.

References
----------
.. [1] AIDA DSP, aidadsp-lv2, ``rt-neural-generic.cpp``, and AIDA-X, ``aidadsp-plugin.cpp``.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rnn.errors import FileError
from edge_rnn.model import Description, Model
from edge_rnn.typing import F64
from edge_rnn_export.readers.json.rtneural import input_size_of, layers_of_list
from edge_rnn_export.readers.json.skip import with_skip
from edge_rnn_export.readers.json_text import array_of, count_of

__all__ = ["Reference", "read_layer_list"]


MAX_PADDED_VALUES = 2**24
"""Maximum number of values in a recording, after omitted channels are filled with zeros."""

MAX_GAIN_DB = 120.0
"""Largest accepted absolute gain in dB."""

SILENCE_DB = -90.0
"""Gain in dB at and below which the plugins output silence."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Recorded input and expected output of the network, from the start of a stream.

    Parameters
    ----------
    xs
        ``(time, input_size)`` float64.
    ys
        ``(time, output_size)`` float64, as computed by the program that wrote the file, usually in float32.
    """

    xs: F64
    ys: F64


def read_layer_list(document: Mapping[str, Any], about: Description) -> tuple[Model, Reference | None]:
    """Return the network of a layer list, and the recording of an AIDA-X file if it has one.

    Parameters
    ----------
    about
        Description of the Model: its arguments other than the layers.

    Raises
    ------
    FileError, UnsupportedError
        See :func:`~edge_rnn_export.readers.json.rtneural.layers_of_list`.
    """
    layers = layers_of_list(document)
    skip = count_of("the file's", document, "in_skip", least=0, default=0)
    if skip > 1:
        raise FileError(f"in_skip got {skip}, expected 0 or 1: AIDA-X adds only the first input.")
    outputs = Model(layers).output_size
    if skip and outputs != 1:
        raise FileError(f"in_skip is 1, and the last layer has {outputs} outputs, expected 1.")
    in_gain, out_gain = (_gain(document, key) for key in ("in_gain", "out_gain"))
    model = Model(with_skip(layers, skip=skip, in_gain=in_gain, out_gain=out_gain), **about)
    return model, _reference(document, input_size_of(document), outputs)


def _gain(document: Mapping[str, Any], key: str) -> float:
    """Gain in dB, converted to a factor; 1 if the file has none."""
    value = document.get(key)
    value = 0 if value is None else value
    if type(value) not in (int, float) or not abs(value) <= MAX_GAIN_DB:
        raise FileError(f"{key} got {reprlib.repr(value)}, expected a gain within ±{MAX_GAIN_DB:g} dB.")
    return float(10.0 ** (value / 20)) if value > SILENCE_DB else 0.0


def _reference(document: Mapping[str, Any], inputs: int, outputs: int) -> Reference | None:
    """Recording, or None; for a network with controls it may hold only the first channel, the others being 0."""
    given = {key: document[key] for key in ("input_batch", "output_batch") if document.get(key) is not None}
    if not given:
        return None
    if len(given) == 1:
        raise FileError(
            f"{next(iter(given))} is there without its counterpart, expected both input_batch and output_batch."
        )
    xs, ys = (array_of(key, value) for key, value in given.items())
    if xs.ndim == 1 and len(xs) * inputs <= MAX_PADDED_VALUES:
        xs = np.pad(xs.reshape(-1, 1), ((0, 0), (0, inputs - 1)))
    ys = ys.reshape(-1, 1) if ys.ndim == 1 else ys
    steps = xs.shape[0] if xs.ndim else 1
    for key, array, size in (("input_batch", xs, inputs), ("output_batch", ys, outputs)):
        if array.shape != (steps, size):
            raise FileError(
                f"{key} got shape {array.shape}, expected {(steps, size)}: the same number of steps in both."
            )
    return Reference(xs, ys)
