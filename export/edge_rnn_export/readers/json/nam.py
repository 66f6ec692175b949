"""Neural Amp Modeler's ``.nam`` files: an LSTM whose weights are stored in one flat list.

Layout [1]_: ``architecture`` ``"LSTM"``, ``config`` with the sizes, and ``weights``: for each layer ``W (4*H, I+H)``
row by row, ``b (4*H)``, the trained ``h0 (H)`` and ``c0 (H)``; then the head's weight ``(O, H)`` and bias ``(O)``.
Gates in PyTorch's order i f g o.

References
----------
.. [1] S. Atkinson, NeuralAmpModelerCore, ``NAM/lstm.cpp``.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.layers import LSTM, Dense, Layer
from edge_rnn.model import Description, Model
from edge_rnn.storage.model_file import MAX_LAYERS
from edge_rnn_export.readers.json_text import array_of, count_of

__all__ = ["read_nam"]

_KEYS = {"input_size", "hidden_size", "num_layers", "in_channels", "out_channels"}


def read_nam(document: Mapping[str, Any], about: Description) -> Model:
    """Return the network of a ``.nam`` file, including its trained initial state.

    Parameters
    ----------
    about
        Description of the Model: its arguments other than the layers.

    Raises
    ------
    FileError
        An entry is missing or has a wrong type, or the number of weights differs from what ``config`` implies.
    UnsupportedError
        The architecture is not LSTM (WaveNet, ConvNet), or ``config`` has unknown options.
    """
    architecture, config = document.get("architecture"), document.get("config")
    if architecture != "LSTM":
        raise UnsupportedError(
            f"architecture got {reprlib.repr(architecture)}, expected 'LSTM': the others of Neural Amp Modeler are not "
            f"recurrent."
        )
    if not isinstance(config, dict):
        raise FileError(f"config got {reprlib.repr(config)}, expected an object with the sizes.")
    unknown = config.keys() - _KEYS
    if unknown:
        raise UnsupportedError(f"config has {reprlib.repr(sorted(unknown))}; expected {', '.join(sorted(_KEYS))}.")
    inputs, units, stacked = (count_of("config", config, key) for key in ("input_size", "hidden_size", "num_layers"))
    channels = count_of("config", config, "in_channels", default=inputs)
    outputs = count_of("config", config, "out_channels", default=1)
    if channels != inputs:
        raise FileError(f"config in_channels got {channels}, expected {inputs}, its input_size.")
    if stacked >= MAX_LAYERS:
        raise UnsupportedError(f"config num_layers got {stacked}, expected fewer than {MAX_LAYERS}.")
    weights = array_of("weights", document.get("weights"))
    cells = 4 * units * (inputs + (stacked - 1) * units + stacked * units) + stacked * 6 * units
    expected = cells + outputs * (units + 1)
    if weights.shape != (expected,):
        raise FileError(
            f"weights got shape {weights.shape}, expected {(expected,)}: {stacked} LSTM layers of {units} units from "
            f"{inputs} values, and a head of {outputs}, as config says."
        )
    place = 0

    def take(*shape: int) -> Any:
        nonlocal place
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        place += count
        return weights[place - count : place].reshape(shape)

    layers: list[Layer] = []
    size = inputs
    for k in range(stacked):
        matrix, bias, h0, c0 = take(4 * units, size + units), take(4 * units), take(units), take(units)
        name = f"lstm_l{k}" if stacked > 1 else "lstm"
        layers.append(LSTM(matrix[:, :size], matrix[:, size:], bias, h0=h0, c0=c0, name=name))
        size = units
    layers.append(Dense(take(outputs, units), take(outputs), name="head"))
    return Model(layers, **about)
