"""Write recurrent operators of a ``.tflite`` graph as ONNX's: their inputs, gate orders and options.

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

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_rnn.typing import F32
from edge_rnn_export.readers.tflite.contents import TfliteOperator, shape_text
from edge_rnn_export.readers.tflite.operators import Write, fused_activation
from edge_rnn_export.readers.tflite.writer import Writer

__all__ = ["CELLS"]

# Offsets of gates in ONNX's order, i o f c, and of peepholes, i o f.
_GATES = {"input": 0, "output": 3, "forget": 1, "cell": 2}
_PEEPHOLES = {"input": 0, "output": 2, "forget": 1}


def _lstm(writer: Writer, operator: TfliteOperator) -> list[str]:
    _check_lstm(writer, operator)
    coupled, projects = not operator.has(5), operator.has(16)
    hidden, size = _matrix_shape(writer, operator, 2, "input-to-forget weights")
    _, output = _matrix_shape(writer, operator, 6, "recurrent-to-forget weights")
    if not projects and output != hidden:
        got, expected = shape_text((hidden, output)), shape_text((hidden, hidden))
        raise operator.damaged(f"recurrent-to-forget weights got shape {got}, expected {expected}.")

    def joined(first: int, what: str, shape: Sequence[int], places: Mapping[str, int] = _GATES) -> F32:
        writer.shared.budget.take(f"the {operator.label}", 8 * len(places) * int(np.prod(shape)))
        parts = [
            np.zeros(shape, np.float32)
            if coupled and gate == "input"
            else writer.array(operator, first + offset, what.format(gate), shape)
            for gate, offset in places.items()
        ]
        return np.concatenate(parts)[None]

    weights = {
        1: joined(1, "input-to-{} weights", (hidden, size)),
        2: joined(5, "recurrent-to-{} weights", (hidden, output)),
        3: np.pad(joined(12, "{} bias", (hidden,)), ((0, 0), (0, 4 * hidden))),
    }
    if operator.has(10):
        weights[7] = joined(9, "{} peephole", (hidden,), _PEEPHOLES)
    beyond: dict[str, Any] = {"coupled": "input"} if coupled else {}
    beyond |= {"cell_clip": _clip(operator, "CellClip"), "projection_clip": None}
    if projects:
        weights[8] = writer.array(operator, 16, "projection weights", (output, hidden))
        beyond |= {"weight_hr": 8, "projection_clip": _clip(operator, "ProjClip")}
    _check_states(writer, operator, {18: output, 19: hidden})
    activation = _lstm_activation(writer, operator)
    beyond = {name: value for name, value in beyond.items() if value is not None}
    about = {"hidden_size": hidden, "activations": ["Sigmoid", activation, activation], "beyond": beyond}
    return _written(writer, operator, "LSTM", weights, about)


def _check_lstm(writer: Writer, operator: TfliteOperator) -> None:
    """Refuse what no LSTM of edge_rnn does."""
    if len(operator.inputs) not in (20, 24) or len(operator.outputs) != 1:
        got = f"{len(operator.inputs)} inputs and {len(operator.outputs)} outputs"
        raise operator.refuse(f"it has {got}, expected 20 or 24 and 1: the full kernel, not the basic.")
    if operator.options.get("KernelType") or operator.options.get("DiagonalRecurrentTensors"):
        raise operator.refuse("it is of the basic kernel or has diagonal matrices; expected full ones.")
    if any(operator.has(position) for position in range(20, 24)):
        raise operator.refuse("it normalizes its gates (layer normalization), which no layer supports.")
    if not operator.has(5):
        for position, gate in ((1, "input weights"), (9, "input peephole"), (12, "input bias")):
            if operator.has(position):
                raise operator.damaged(f"has an {gate} but no recurrent-to-input weights; expected all or none.")
    if operator.has(17) and not operator.has(16):
        raise operator.damaged("has a projection bias, but no projection.")
    if operator.has(17) and writer.constant(operator, 17, "projection bias").any():
        raise operator.refuse("it has a projection bias, which LSTM does not support.")


def _lstm_activation(writer: Writer, operator: TfliteOperator) -> str:
    activation = _activation(operator)
    if not activation:
        raise operator.refuse(
            "it has the activation NONE, with which LiteRT skips the cell state; expected TANH or RELU."
        )
    if writer.tensor(operator, 0).type in ("INT8", "INT16") and activation != "Tanh":
        raise operator.refuse(f"it computes in integers with tanh, but says {activation!r}.")
    return activation


def _rnn(writer: Writer, operator: TfliteOperator) -> list[str]:
    """Inputs: input, input weights, recurrent weights, bias, state."""
    if len(operator.inputs) != 5 or len(operator.outputs) != 1:
        raise operator.damaged(f"has {len(operator.inputs)} inputs, expected 5, and 1 output.")
    hidden, size = _matrix_shape(writer, operator, 1, "input weights")
    bias = writer.array(operator, 3, "bias", (hidden,))
    weights = {
        1: writer.array(operator, 1, "input weights", (hidden, size))[None],
        2: writer.array(operator, 2, "recurrent weights", (hidden, hidden))[None],
        3: np.concatenate([bias, np.zeros_like(bias)])[None],
    }
    _check_states(writer, operator, {4: hidden})
    activation = _activation(operator)
    about: dict[str, Any] = {"hidden_size": hidden, "activations": [activation or "Affine"]}
    if not activation:
        about |= {"activation_alpha": [1.0], "activation_beta": [0.0]}
    return _written(writer, operator, "RNN", weights, about)


def _activation(operator: TfliteOperator) -> str:
    activation = fused_activation(operator)
    if activation not in ("", "Relu", "Tanh"):
        raise operator.refuse(f"it has the activation {activation}, expected NONE, RELU or TANH.")
    return activation


def _written(
    writer: Writer, operator: TfliteOperator, kind: str, weights: Mapping[int, F32], about: dict[str, Any]
) -> list[str]:
    """Write a recurrent operator over time, or over one step, with the axes that ONNX expects, and back."""
    x, shape = writer.input(operator, 0), writer.tensor(operator, 0).shape
    sequence = operator.kind.startswith("UNIDIRECTIONAL")
    batch_first = sequence and not operator.options["TimeMajor"]
    expected = ("batch", "features") if not sequence else ("time", "batch", "features")
    if len(shape) != len(expected):
        wanted = ", ".join(expected)
        raise operator.damaged(f"reads the shape {shape_text(shape)}, expected {len(expected)} axes: {wanted}.")
    inputs = [""] * (1 + max(weights))
    for place, array in weights.items():
        inputs[place] = writer.number(array)
    zero, one = (writer.number([axis], np.int64) for axis in (0, 1))
    if not sequence:
        x = writer.one("Unsqueeze", x, zero)
    elif batch_first:
        x = writer.one("Transpose", x, perm=[1, 0, 2])
    every = writer.one("Squeeze", writer.one(kind, x, *inputs[1:], **about), one)
    if not sequence:
        return [writer.one("Squeeze", every, zero)]
    return [writer.one("Transpose", every, perm=[1, 0, 2]) if batch_first else every]


def _clip(operator: TfliteOperator, name: str) -> float | None:
    limit = float(operator.options[name])
    if not 0 <= limit < float("inf"):
        raise operator.damaged(f"{name} is {limit}, expected a positive number, or 0 for none.")
    return limit or None


def _check_states(writer: Writer, operator: TfliteOperator, states: Mapping[int, int]) -> None:
    """Check that states are variables, which start at zero: a computed state would be another network."""
    for position, length in states.items():
        tensor = writer.tensor(operator, position, "state")
        if not tensor.variable:
            raise operator.refuse(f"it has {tensor.title} as a state, expected a variable.")
        if not tensor.shape or tensor.shape[-1] != length:
            got = shape_text(tensor.shape)
            raise operator.damaged(f"has a state of shape {got}, expected (batch, {length}).")


def _matrix_shape(writer: Writer, operator: TfliteOperator, position: int, what: str) -> tuple[int, int]:
    shape = writer.tensor(operator, position, what).shape
    if len(shape) != 2:
        raise operator.damaged(f"{what} got shape {shape_text(shape)}, expected (rows, columns).")
    return shape[0], shape[1]


CELLS: Mapping[str, Write] = {
    "LSTM": _lstm,
    "RNN": _rnn,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _rnn,
}
"""Recurrent operators, by kind."""
