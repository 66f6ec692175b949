"""Convert recurrent operators of a ``.tflite`` graph to layers: their inputs, gate orders and options.

LSTM and UNIDIRECTIONAL_SEQUENCE_LSTM [1]_ have the same inputs, at the same places::

    0       input                   9 - 11   peepholes i f o            18, 19   states h, c (variables)
    1 - 4   input to i f c o        12 - 15  biases i f c o             20 - 23  layer normalization i f c o
    5 - 8   recurrent to i f c o    16, 17   projection, its bias

Without an input gate (1, 5, 9 and 12 are missing) it is 1 minus the forget gate. Peepholes of i and f see the old cell
state, that of o the new one, once it has been clipped. One activation serves the candidate c and the new cell state. If
it is NONE, LiteRT 2.3 skips the cell state and outputs o times the candidate: such an operator is refused.

References
----------
.. [1] https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/kernels/unidirectional_sequence_lstm.cc and
   lstm_eval.cc in the same folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from edge_rnn.errors import FileError, ModelError, UnsupportedError
from edge_rnn.layers import LSTM, Dense, Elman, Layer, Weight
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tflite.constants import Constants, shape_text
from edge_rnn_export.readers.tflite.graph import Operator

__all__ = ["RECURRENT", "activation_of", "dense_of", "reads_steps_of", "recurrent_of"]

_L = TypeVar("_L", bound=Layer)

RECURRENT = ("UNIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "RNN")

# ActivationFunctionType of the schema; its other values have no counterpart.
_ACTIVATIONS: Mapping[int, str] = {0: "none", 1: "relu", 4: "tanh"}
_OTHERS: Mapping[int, str] = {2: "RELU_N1_TO_1", 3: "RELU6", 5: "SIGN_BIT"}

_GATES = ("input", "forget", "cell", "output")


def recurrent_of(operator: Operator, constants: Constants) -> LSTM | Elman:
    """Return the layer of a recurrent operator.

    Raises
    ------
    FileError
        Weights are missing or have inconsistent shapes.
    UnsupportedError
        An option has no counterpart: layer normalization, a projection bias, another activation.
    """
    return _built(operator, lambda: (_lstm if operator.kind.endswith("LSTM") else _rnn)(operator, constants))


def dense_of(operator: Operator, constants: Constants) -> Dense:
    """Return the layer of FULLY_CONNECTED."""
    if operator.options["WeightsFormat"]:
        raise UnsupportedError(f"{operator.title} has shuffled weights, expected them in their usual order.")
    outputs, inputs = _matrix_shape(operator, constants, 1, "weights")
    weight = constants.matrix(operator, {"weights": 1}, (outputs, inputs))
    bias = constants.array(operator, 2, "bias", (outputs,)) if constants.has(operator, 2) else None
    return _built(operator, lambda: Dense(weight, bias, activation=activation_of(operator)))


def activation_of(operator: Operator) -> str:
    """Fused activation of an operator."""
    number = operator.options["FusedActivationFunction"]
    if number not in _ACTIVATIONS:
        got = _OTHERS.get(number, f"number {number}")
        raise UnsupportedError(f"{operator.title} has the activation {got}, expected NONE, RELU or TANH.")
    return _ACTIVATIONS[number]


def reads_steps_of(operator: Operator) -> int | None:
    """Time axis of the three; None for an operator that takes a single step."""
    if not operator.kind.startswith("UNIDIRECTIONAL"):
        return None
    return 0 if operator.options["TimeMajor"] else 1


def _built(operator: Operator, build: Callable[[], _L]) -> _L:
    try:
        return build()
    except ModelError as error:
        raise FileError(f"{operator.title} makes no valid layer: {error}") from None


def _lstm(operator: Operator, constants: Constants) -> LSTM:
    if len(operator.inputs) not in (20, 24) or len(operator.outputs) != 1:
        got = f"{len(operator.inputs)} inputs and {len(operator.outputs)} outputs"
        raise UnsupportedError(f"{operator.title} got {got}, expected 20 or 24 and 1: the full kernel, not the basic.")
    if operator.options.get("KernelType") or operator.options.get("DiagonalRecurrentTensors"):
        raise UnsupportedError(f"{operator.title} is of the basic kernel or has diagonal matrices; expected full ones.")
    if any(constants.has(operator, position) for position in range(20, 24)):
        raise UnsupportedError(f"{operator.title} normalizes its gates (layer normalization), which no layer supports.")
    coupled = not constants.has(operator, 5)
    gates = {1: None, 2: 2, 3: 3, 4: 4} if coupled else {1: 1, 2: 2, 3: 3, 4: 4}
    hidden, size = _matrix_shape(operator, constants, 2, "input-to-forget weights")
    _, projected = _matrix_shape(operator, constants, 6, "recurrent-to-forget weights")
    for position, gate in ((1, "input weights"), (9, "input peephole"), (12, "input bias")):
        if coupled and constants.has(operator, position):
            raise FileError(f"{operator.title} has an {gate} but no recurrent-to-input weights; expected all or none.")

    def stacked(name: str, first: int, columns: int) -> Weight:
        inputs = {
            f"{name}-to-{gate} weights": None if at is None else at + first - 1
            for gate, at in zip(_GATES, gates.values(), strict=True)
        }
        return constants.matrix(operator, inputs, (hidden, columns))

    def joined(name: str, first: int, names: tuple[str, ...]) -> AnyArray:
        zeros, parts = np.zeros(hidden, np.float32), []
        for offset, gate in enumerate(names):
            absent = gate == "input" and coupled
            parts.append(zeros if absent else constants.array(operator, first + offset, f"{gate} {name}", (hidden,)))
        return np.concatenate(parts)

    weight_hr = None
    if constants.has(operator, 16):
        weight_hr = constants.array(operator, 16, "projection weights", (projected, hidden))
        if constants.has(operator, 17) and constants.array(operator, 17, "projection bias", (projected,)).any():
            raise UnsupportedError(f"{operator.title} has a projection bias, which LSTM does not support.")
    elif projected != hidden:
        got, expected = shape_text((hidden, projected)), shape_text((hidden, hidden))
        raise FileError(f"{operator.title} recurrent-to-forget weights got shape {got}, expected {expected}.")
    elif constants.has(operator, 17):
        raise FileError(f"{operator.title} has a projection bias, but no projection.")
    _check_states(operator, constants, {18: projected, 19: hidden})
    activation = activation_of(operator)
    if activation == "none":
        raise UnsupportedError(
            f"{operator.title} has the activation NONE, with which LiteRT skips the cell state; expected TANH or RELU."
        )
    read = constants.graph.tensors[operator.inputs[0]].type
    if read in ("INT8", "INT16") and activation != "tanh":
        raise UnsupportedError(f"{operator.title} computes in integers with tanh, but says {activation!r}.")
    return LSTM(
        stacked("input", 1, size),
        stacked("recurrent", 5, projected),
        joined("bias", 12, _GATES),
        weight_hr=weight_hr,
        peephole=joined("peephole", 9, ("input", "forget", "output")) if constants.has(operator, 10) else None,
        coupled="input" if coupled else "none",
        cell_clip=_clip(operator, "CellClip"),
        projection_clip=_clip(operator, "ProjClip") if weight_hr is not None else None,
        cell_activation=activation,
        output_activation=activation,
    )


def _rnn(operator: Operator, constants: Constants) -> Elman:
    """Inputs: input, input weights, recurrent weights, bias, state."""
    if len(operator.inputs) != 5 or len(operator.outputs) != 1:
        raise FileError(f"{operator.title} got {len(operator.inputs)} inputs, expected 5, and 1 output.")
    hidden, size = _matrix_shape(operator, constants, 1, "input weights")
    weight_ih = constants.matrix(operator, {"input weights": 1}, (hidden, size))
    weight_hh = constants.matrix(operator, {"recurrent weights": 2}, (hidden, hidden))
    bias = constants.array(operator, 3, "bias", (hidden,))
    _check_states(operator, constants, {4: hidden})
    return Elman(weight_ih, weight_hh, bias, activation=activation_of(operator))


def _clip(operator: Operator, name: str) -> float | None:
    limit = float(operator.options[name])
    if not 0 <= limit < float("inf"):
        raise FileError(f"{operator.title} {name} is {limit}, expected a positive number, or 0 for none.")
    return limit or None


def _check_states(operator: Operator, constants: Constants, states: Mapping[int, int]) -> None:
    """Check that states are variables, which start at zero: a computed state would be another network."""
    for position, length in states.items():
        if not constants.has(operator, position):
            raise FileError(f"{operator.title} has no state at input {position}.")
        tensor = constants.graph.tensors[operator.inputs[position]]
        if not tensor.variable:
            raise UnsupportedError(f"{operator.title} has {tensor.title} as a state, expected a variable.")
        if not tensor.shape or tensor.shape[-1] != length:
            got = shape_text(tensor.shape)
            raise FileError(f"{operator.title} has a state of shape {got}, expected (batch, {length}).")


def _matrix_shape(operator: Operator, constants: Constants, position: int, what: str) -> tuple[int, int]:
    if not constants.has(operator, position):
        raise FileError(f"{operator.title} has no {what}, which are its input {position}.")
    shape = constants.graph.tensors[operator.inputs[position]].shape
    if len(shape) != 2:
        raise FileError(f"{operator.title} {what} got shape {shape_text(shape)}, expected (rows, columns).")
    return shape[0], shape[1]
