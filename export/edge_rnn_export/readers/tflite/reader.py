"""Read TensorFlow Lite networks into edge_rnn's :class:`~edge_rnn.model.Model`, without TensorFlow or LiteRT."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Unpack

import numpy as np

from edge_rnn.checks import is_whole
from edge_rnn.errors import FileError, InputError, InputTypeError, UnsupportedError
from edge_rnn.layers import Dense, Layer
from edge_rnn.model import Description, Model
from edge_rnn_export.readers.tflite.axes import GLUE, Flow, after_glue, after_layer, as_rows, as_sequence, start
from edge_rnn_export.readers.tflite.cells import RECURRENT, dense_of, reads_steps_of, recurrent_of
from edge_rnn_export.readers.tflite.constants import Constants
from edge_rnn_export.readers.tflite.file import open_graph
from edge_rnn_export.readers.tflite.graph import Graph, Operator

__all__ = ["from_tflite"]

_ACTIVATIONS = {"TANH": "tanh", "LOGISTIC": "sigmoid", "RELU": "relu", "ELU": "elu"}
_OTHER_ACTIVATIONS = ("SOFTMAX", "LEAKY_RELU")
_READ = (*RECURRENT, "FULLY_CONNECTED", *GLUE, *_ACTIVATIONS, *_OTHER_ACTIVATIONS)


def from_tflite(
    source: str | PathLike[str],
    *,
    keep_int8: bool = False,
    upto: str | int | None = None,
    after: str | int | None = None,
    **about: Unpack[Description],
) -> Model:
    """Read a ``.tflite`` file.

    Parameters
    ----------
    source
        Path of the file. Supported are chains of UNIDIRECTIONAL_SEQUENCE_LSTM, LSTM (also without input gate, with
        peepholes, projection and clipping), UNIDIRECTIONAL_SEQUENCE_RNN, RNN and FULLY_CONNECTED, with TANH, LOGISTIC,
        RELU, ELU, LEAKY_RELU and SOFTMAX, and RESHAPE, SQUEEZE, EXPAND_DIMS, TRANSPOSE, QUANTIZE, DEQUANTIZE and a
        STRIDED_SLICE of the last step between them.
    keep_int8
        True to keep matrices that the file stores in int8 as :class:`edge_rnn.formats.Int8` (except a projection). By
        default they are dequantized to float32. Either way activations are not rounded to 8 bits as in an integer
        network, so that outputs differ by the effect of that rounding.
    upto
        Name or index of a tensor: the network is read from its input up to this tensor. By default up to the output,
        which must be the only one.
    after
        Name or index of a tensor that is taken as the input: the network is read from this tensor. A head that takes a
        whole window of steps cannot be part of a stream; read it as a separate network, and pass it the outputs of the
        last steps in one row::

            cell = from_tflite("digits.tflite", upto="lstm")
            head = from_tflite("digits.tflite", after="lstm")

    about
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``vocabulary`` of the
        :class:`~edge_rnn.model.Model`. A sample holds real numbers, even if the file's input is int8.

    Returns
    -------
    Model
        States start at zero. A network that returns only the last step returns every step. An activation that follows
        any other operator than FULLY_CONNECTED becomes a Dense with an identity matrix.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, or its shapes are inconsistent; the message names the operator.
    UnsupportedError
        An operator, an option or a type has no counterpart, or the network mixes steps. Or the package ``tflite`` is
        not installed.
    InputError
        An argument is invalid: a tensor that does not exist, or ``keep_int8`` for a file without int8 matrices.
    """
    if not isinstance(source, str | PathLike):
        raise InputTypeError(f"from_tflite got {type(source).__name__}, expected the path of a .tflite file.")
    graph = open_graph(Path(source))
    chain, flow = _chain(graph, upto, after)
    constants = Constants(graph, keep_int8=keep_int8)
    layers: list[Layer] = []
    for operator in chain:
        if len(operator.outputs) != 1 or operator.outputs[0] < 0:
            raise FileError(f"{operator.title} returns {len(operator.outputs)} tensors, expected one.")
        flow = _read(operator, flow, layers, constants)
    if not layers:
        raise UnsupportedError("from_tflite found no layer with weights between input and output.")
    if keep_int8 and not any(layer.formats for layer in layers):
        raise InputError("from_tflite got keep_int8=True, but the file has no matrix in int8; leave it out.")
    return Model(layers, **about)


def _read(operator: Operator, flow: Flow, layers: list[Layer], constants: Constants) -> Flow:
    """Append the layer of an operator, if it has one; return the output."""
    output = constants.graph.tensors[operator.outputs[0]]
    if operator.kind in GLUE:
        return after_glue(operator, flow, constants, output)
    if operator.kind in RECURRENT:
        cell = recurrent_of(operator, constants)
        flow = as_sequence(operator, flow, reads_steps_of(operator), cell.input_size)
        layers.append(cell)
        return after_layer(operator, flow, cell.output_size([cell.input_size]), output)
    if operator.kind == "FULLY_CONNECTED":
        dense = dense_of(operator, constants)
        flow = as_rows(operator, flow, dense.input_size)
        layers.append(dense)
        return after_layer(operator, flow, dense.output_size([dense.input_size]), output)
    if not layers:
        raise UnsupportedError(f"{operator.title} is an activation before the first layer with weights.")
    if flow.axes[-1:] != ("features",):
        raise UnsupportedError(f"{operator.title} reads {flow.tensor.title}, whose last axis is not the feature axis.")
    size, activation = flow.shape[-1], _activation(operator)
    before = layers[-1]
    if isinstance(before, Dense) and before.activation == "none":
        layers[-1] = replace(before, activation=activation)
    else:
        constants.take(operator.title, 8 * size * size)
        layers.append(Dense(np.eye(size, dtype=np.float32), activation=activation))
    return after_layer(operator, flow, size, output)


def _activation(operator: Operator) -> str:
    if operator.kind == "SOFTMAX":
        if operator.options["Beta"] != 1:
            raise UnsupportedError(f"{operator.title} has the beta {operator.options['Beta']}, expected 1.")
        return "softmax"
    if operator.kind == "LEAKY_RELU":
        alpha = float(operator.options["Alpha"])
        if not np.isfinite(alpha):
            raise FileError(f"{operator.title} has the alpha {alpha}, expected a finite number.")
        return f"leaky_relu:{alpha!r}"
    return _ACTIVATIONS[operator.kind]


def _chain(graph: Graph, upto: str | int | None, after: str | int | None) -> tuple[list[Operator], Flow]:
    """Return the operators from the input to the output, and the input."""
    end = _place(graph, "upto", upto, graph.outputs, "outputs")
    begin = _place(graph, "after", after, graph.inputs, "inputs")
    chain: list[Operator] = []
    seen: set[int] = set()
    place = end
    while place != begin:
        operator = graph.producers.get(place)
        if operator is None:
            met, wanted = graph.tensors[place].title, graph.tensors[begin].title
            kind = FileError if upto is None and after is None else InputError
            raise kind(f"from_tflite traced the output back to {met}, which no operator produces, and not to {wanted}.")
        if operator.kind not in _READ:
            raise _unknown(operator)
        if operator.place in seen:
            raise FileError(f"{operator.title} reads its own output; expected no cycle.")
        chain.append(operator)
        seen.add(operator.place)
        if not operator.inputs or operator.inputs[0] < 0:
            raise FileError(f"{operator.title} has no input.")
        place = operator.inputs[0]
    chain.reverse()
    left = [op for op in graph.operators if op.place not in seen and op.kind != "DEQUANTIZE"]
    if upto is None and after is None and left:
        raise UnsupportedError(
            f"{left[0].title} is not on a path between the input and the output; name them by upto=."
        )
    return chain, start(graph.tensors[begin])


def _unknown(operator: Operator) -> UnsupportedError:
    if operator.kind in ("WHILE", "IF", "CALL_ONCE"):
        reason = "a loop or a branch, as Keras writes all but the plain LSTM; read the Keras file or ONNX instead"
    elif operator.kind.startswith("BIDIRECTIONAL"):
        reason = "bidirectional, and the backward half needs samples that a stream has not seen yet"
    else:
        reason = f"not one of {', '.join(_READ)}"
    return UnsupportedError(f"{operator.title} cannot be read: it is {reason}.")


def _place(graph: Graph, argument: str, wanted: str | int | None, usual: tuple[int, ...], what: str) -> int:
    """Index of the tensor that an argument names, or of the only one among the default ones."""
    if wanted is None:
        if len(usual) != 1 or usual[0] < 0:
            names = ", ".join(graph.tensors[place].title for place in usual[:8] if place >= 0) or "none"
            raise UnsupportedError(f"from_tflite found the {what} {names}, expected one; name one by {argument}=.")
        return usual[0]
    if not isinstance(wanted, str) and not is_whole(wanted):
        raise InputTypeError(f"from_tflite {argument} got {wanted!r}, expected a tensor's name or index.")
    if isinstance(wanted, str):
        found = [tensor.place for tensor in graph.tensors if tensor.name == wanted]
    else:
        found = [wanted] if 0 <= wanted < len(graph.tensors) else []
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"from_tflite {argument} names {wanted!r}, the name of {len(found)} tensors: {found[:8]}.")
    computed = ", ".join(graph.tensors[place].title for place in list(graph.producers)[:12] if place >= 0)
    raise InputError(f"from_tflite {argument} names {wanted!r}, which does not exist; expected one of {computed}.")
