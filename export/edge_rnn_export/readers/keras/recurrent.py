"""Write Keras's recurrent layers as ONNX operators: the one place for its gate orders and biases.

Keras stores kernels as ``(inputs, gates * units)``, gates along the columns in the order i f c o (LSTM) and z r h
(GRU) [1]_; ONNX has i o f c and z r h along the rows.

References
----------
.. [1] F. Chollet et al., Keras, ``keras/src/layers/rnn/{lstm,gru}.py``; CuDNN layers: ``_convert_rnn_weights`` in
   ``tensorflow/python/keras/saving/hdf5_format.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_rnn.errors import FileError
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.keras.activations import Function, activation_of
from edge_rnn_export.readers.keras.cell_steps import Cell, Gates, write_steps
from edge_rnn_export.readers.keras.emission import At, Tensor
from edge_rnn_export.readers.keras.options import count_of, flag_of

__all__ = ["CELLS", "RECURRENT", "recurrent"]

CELLS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "SimpleRNN": ("RNN", "h"),
        "GRU": ("GRU", "zrh"),
        "LSTM": ("LSTM", "ifco"),
        "CuDNNGRU": ("GRU", "zrh"),
        "CuDNNLSTM": ("LSTM", "ifco"),
    }
)
"""ONNX's operator, and Keras's order of gates; the suffix ``Cell`` marks a cell inside an RNN layer."""

RECURRENT = (*CELLS, "RNN")
"""Recurrent layers."""

_ORDER = {"RNN": "h", "GRU": "zrh", "LSTM": "iofc"}
_CUDNN = ("CuDNNGRU", "CuDNNLSTM")  # GPU layers of Keras 2: two biases in one row, and kernels in cuDNN's layout


def recurrent(at: At, sequence: Tensor, initial: Sequence[Tensor]) -> list[Tensor]:
    """Write a recurrent layer; return its output, and its final states if it returns them.

    Parameters
    ----------
    sequence
        ``(batch, time, features)``.
    initial
        Initial states in Keras's order, ``(batch, units)`` each; empty for zeros.
    """
    config = at.config
    if len(sequence.shape) != 3:
        raise at.refuse(
            f"it reads the shape {sequence.shape}, expected steps; build the layer before it with "
            "return_sequences=True."
        )
    first, steps = at.emission.steps = at.emission.steps or (at.title, sequence.shape[1])
    if steps != sequence.shape[1]:
        raise at.refuse(
            f"it reads {_steps(sequence.shape[1])}, and the {first} before it {_steps(steps)}; a stream has one step a "
            f"sample. Build the layer before it with return_sequences=True."
        )
    odd = next((state.shape for state in initial if len(state.shape) != 2), None)
    if odd is not None:
        raise at.refuse(f"it is given an initial state of the shape {odd}, expected (batch, units).")
    if initial and flag_of(at.title, config, "stateful", False):
        raise at.refuse("it is stateful and is given initial states; expected one of the two.")
    if len(at.layer.calls) > 1 and flag_of(at.title, config, "stateful", False):
        raise at.refuse("it is stateful and is called several times, with one state; build a layer for each.")
    cells = [each for outer in (at.layer.wrapped or (at.layer,)) for each in (outer.wrapped or (outer,))]
    given, states = list(initial), list[Tensor]()
    for cell in cells:
        count = 2 if _operator(cell.kind) == "LSTM" else 1
        of_cell, given = given[:count], given[count:]
        sequence, final = _cell(at.inside(cell), at, sequence, of_cell)
        states += final
    if initial and len(initial) != len(states):
        raise at.refuse(f"it is given {len(initial)} initial states, expected {len(states)}.")
    if not flag_of(at.title, config, "return_sequences", False):
        last = at("Gather", sequence, np.array(-1, np.int64), axis=1)
        sequence = Tensor(last, (sequence.shape[0], sequence.shape[2]))
    return [sequence, *(states if flag_of(at.title, config, "return_state", False) else [])]


def _steps(count: int | None) -> str:
    return "sequences of any length" if count is None else f"sequences of {count}"


def _operator(kind: str) -> str:
    return CELLS[kind.removesuffix("Cell")][0]


def _cell(at: At, layer: At, sequence: Tensor, initial: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Write one cell over a sequence; return its outputs of all steps and its final states."""
    kind, units = _operator(at.layer.kind), count_of(at.title, at.config, "units")
    gates, functions = _gates(at, units, sequence.size), _functions(at, kind)
    if not all(each.kind in _OF_CELLS or each.is_identity for each in functions):
        return write_steps(layer, sequence, initial, Cell(kind, units, gates, functions, _resets_after(at)))
    attributes = _activations(functions)
    if kind == "GRU":
        attributes["linear_before_reset"] = int(_resets_after(at))
    starts = [layer("Unsqueeze", state, [1]) for state in initial]
    before = ["", *starts] if starts else []
    count = 3 if kind == "LSTM" else 2
    weights = _weights(kind, gates)
    made = layer.several(kind, count, sequence, *weights, *before, hidden_size=units, layout=1, **attributes)
    batch, time = sequence.shape[:2]
    states = [Tensor(layer("Squeeze", name, [1]), (batch, units), state=True) for name in made[1:]]
    return Tensor(layer("Squeeze", made[0], [2]), (batch, time, units)), states


def _resets_after(at: At) -> bool:
    return at.layer.kind == "CuDNNGRU" or flag_of(at.title, at.config, "reset_after", False)


def _gates(at: At, units: int, inputs: int | None) -> Gates:
    """Weights of the gates, in Keras's order."""
    kind, cudnn = at.layer.kind.removesuffix("Cell"), at.layer.kind in _CUDNN
    operator, theirs = CELLS[kind]
    rows = len(theirs) * units
    names = ["kernel", "recurrent_kernel"]
    names += ["bias"] if cudnn or flag_of(at.title, at.config, "use_bias", True) else []
    arrays = at.arrays(*names)
    at.check_shape("kernel", arrays[0], (inputs, rows))
    at.check_shape("recurrent_kernel", arrays[1], (units, rows))
    two = operator == "GRU" and _resets_after(at)
    if len(arrays) == 3:
        at.check_shape("bias", arrays[2], (2 * rows,) if cudnn else (2, rows) if two else (rows,))
    kernels = [gate.T for gate in np.split(arrays[0], len(theirs), axis=1)]
    recurrent_kernels = [gate.T for gate in np.split(arrays[1], len(theirs), axis=1)]
    if cudnn:  # cuDNN's (units, inputs) matrix, flattened row by row and stored with shape (inputs, units)
        kernels = [gate.T.reshape(gate.shape) for gate in kernels]
        recurrent_kernels = [gate.T for gate in recurrent_kernels]
    biases = [] if len(arrays) < 3 else list(arrays[2].reshape(-1, rows))
    if len(biases) == 2 and not two:  # CuDNNLSTM: only the sum counts
        biases = [biases[0] + biases[1]]
    return Gates(kernels, recurrent_kernels, [np.split(bias, len(theirs)) for bias in biases])


def _weights(kind: str, gates: Gates) -> list[AnyArray]:
    """Matrices and biases in ONNX's layout; the biases are missing if there are none."""
    theirs = next(order for operator, order in CELLS.values() if operator == kind)

    def arranged(parts: Sequence[AnyArray]) -> AnyArray:
        return np.concatenate([parts[theirs.index(gate)] for gate in _ORDER[kind]])

    found = [arranged(gates.kernels)[None], arranged(gates.recurrent_kernels)[None]]
    if gates.biases:
        both = [arranged(bias) for bias in gates.biases]
        found.append(np.concatenate([both[0], both[1] if len(both) == 2 else np.zeros_like(both[0])])[None])
    return found


def _functions(at: At, kind: str) -> list[Function]:
    """Activations in the order of ONNX's attributes."""
    if at.layer.kind in _CUDNN:
        return [Function(name) for name in ("Sigmoid", "Tanh", "Tanh")[: 3 if kind == "LSTM" else 2]]
    activation = activation_of(at.title, {"activation": "tanh", **at.config}, "activation", at.version)
    if kind == "RNN":
        return [activation]
    # The default was hard_sigmoid in Keras 2.0 to 2.2 and is sigmoid in tf.keras and Keras 3; each writes it to the
    # file.
    if "recurrent_activation" not in at.config:
        raise FileError(f"{at.title} has no recurrent_activation.")
    gate = activation_of(at.title, at.config, "recurrent_activation", at.version)
    return [gate, activation, activation][: 3 if kind == "LSTM" else 2]


def _activations(functions: Sequence[Function]) -> dict[str, Any]:
    """Attributes of ONNX's operators for the activations."""
    listed: dict[str, Any] = {"activations": [each.kind or "Affine" for each in functions]}
    for key, of_identity in (("alpha", 1.0), ("beta", 0.0)):
        numbers = [of_identity if each.is_identity else each.attributes.get(key) for each in functions]
        if any(number is not None for number in numbers):
            listed[f"activation_{key}"] = [number for number in numbers if number is not None]
    return listed


_OF_CELLS = ("Tanh", "Sigmoid", "Relu", "Elu", "LeakyRelu", "HardSigmoid", "Softplus", "Softsign", "ThresholdedRelu")
