"""Add what amplifier models have around their layers: a skip connection from input to output, and gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.layers import INPUT, Add, Dense, Layer, Recurrent

__all__ = ["with_skip"]

MAX_SKIP_VALUES = 2**22
"""Maximum number of values in the matrix that selects input channels, which has no counterpart in the file."""


def with_skip(layers: Sequence[Layer], *, skip: int, in_gain: float = 1.0, out_gain: float = 1.0) -> list[Layer]:
    """``y = out_gain * (net(v) + v[:skip])``, where ``v`` is the sample with its first channel times ``in_gain``.

    Parameters
    ----------
    layers
        Layers of ``net`` in order, each with a name; the first and the last are Dense or recurrent. Gains are folded
        into their weights.
    skip
        Number of input channels that are added: none, one for each output, or one for all outputs.

    Raises
    ------
    FileError
        The network has fewer channels or outputs than that.
    """
    wired = list(layers)
    channels, outputs = _input_size(wired[0]), _output_size(wired[-1])
    if skip and (skip > channels or skip not in (1, outputs)):
        raise FileError(
            f"the skip connection takes {skip} of the input's channels, but the network has {channels} "
            f"inputs and {outputs} outputs."
        )
    if in_gain != 1:
        wired[0] = _scaled_input(wired[0], in_gain)
    if out_gain != 1:
        wired[-1:] = _scaled_output(wired[-1], out_gain)
    if not skip:
        return wired
    last = wired[-1].name
    if channels == outputs == skip and in_gain * out_gain == 1:
        return [*wired, Add(inputs=(INPUT, last), name="sum")]
    if channels * outputs > MAX_SKIP_VALUES:
        raise UnsupportedError(
            f"the skip connection from {channels} channels to {outputs} outputs takes {channels} times {outputs} "
            f"weights, expected {MAX_SKIP_VALUES} at most."
        )
    selection = np.zeros((outputs, channels))
    selection[np.arange(outputs), np.arange(outputs) if skip > 1 else 0] = out_gain
    selection[:, 0] *= in_gain
    return [
        *wired,
        Dense(selection, inputs=(INPUT,), name="skip"),  # type: ignore[arg-type]
        Add(inputs=(last, "skip"), name="sum"),
    ]


def _scaled_input(layer: Layer, gain: float) -> Layer:
    """Return a layer equivalent to this one with the first input multiplied by ``gain``."""
    field = "weight" if isinstance(layer, Dense) else "weight_ih"
    weight: Any = np.array(getattr(layer, field), np.float64)
    weight[:, 0] *= gain
    return replace(layer, **{field: weight})


def _scaled_output(layer: Layer, gain: float) -> list[Layer]:
    """Return layers whose output is that of the layer times ``gain``."""
    if isinstance(layer, Dense) and layer.activation == "none":
        scaled: dict[str, Any] = {name: array * np.float64(gain) for name, array in layer.arrays.items()}
        return [replace(layer, **scaled)]
    size = _output_size(layer)
    if size * size > MAX_SKIP_VALUES:
        raise UnsupportedError(f"a gain behind {layer.title} takes {size} times {size} weights; end in a Dense layer.")
    return [layer, Dense(np.eye(size) * gain, name="gain")]  # type: ignore[arg-type]


def _input_size(layer: Layer) -> int:
    assert isinstance(layer, Dense | Recurrent)
    return layer.input_size


def _output_size(layer: Layer) -> int:
    assert isinstance(layer, Dense | Recurrent)
    return layer.output_size([layer.input_size])
