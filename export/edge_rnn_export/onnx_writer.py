"""A model as an ONNX graph of one step or of whole sequences: every state is a named input and a named output.

The graph keeps to ONNX's own operators. Opset 17 and IR version 8 hold all of them, so that a runtime on a device may
be some years old. Between layers a value is ``(time, batch, size)``, as the recurrent operators take it. Of one step
the last state has that shape and is ready for the next layer; of a sequence what each step puts out takes a Squeeze.

Source: ONNX operators RNN-14, GRU-14, LSTM-14, https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

import edge_rnn
from edge_rnn.activation import parse
from edge_rnn.errors import UnsupportedError
from edge_rnn.layers import LAYER_TYPES
from edge_rnn.model import Model
from edge_rnn_export.onnx_greedy import best_symbol, read_symbols
from edge_rnn_export.onnx_lstm import is_operator, lstm_of_operators
from edge_rnn_export.onnx_metadata import metadata
from edge_rnn_export.onnx_nodes import ACTIVATIONS, GATES, Form, Nodes, Stage, activation_stages
from edge_rnn_export.onnx_output import Head, with_head

__all__ = ["OPSET", "build_graph"]

Array = NDArray[np.float32]

OPSET = 17
_IR_VERSION = 8


def build_graph(model: Model, form: Form = "step", head: Head = "model") -> ModelProto:
    """A model as an ONNX graph.

    Parameters
    ----------
    form
        ``"step"``: one step. ``"sequence"``: as many as the samples are.
    head
        What ``y`` is, see :func:`~edge_rnn_export.onnx_output.with_head`. ``"greedy"``: ``y`` is as the model has it;
        in place of ``x`` the graph reads ``symbol`` int64 ``(time, batch)``, numbers from 0, and it gives
        ``next_symbol`` int64 ``(time, batch)`` too, the place of the largest output, of equal ones the first.

    Returns
    -------
    onnx.ModelProto
        Inputs: ``x`` float32 ``(time, batch, I)``, time 1 for a step, and each state under its name in
        ``model.initial_state`` (``gru1.h``), float32 ``(1, batch, H)`` = (direction, batch, unit). Outputs: ``y``
        float32 ``(time, batch, O)``, and each state's last value as ``gru1.h_out``. Feed a state's output back as its
        input in the next call; in the first one feed the initial state, once for each of a batch.

        ``metadata_props``: see :func:`edge_rnn_export.onnx_metadata.metadata`.

    Raises
    ------
    UnsupportedError
        The model has a kind of layer, or an option, that has no ONNX form; or no such head.
    """
    model = with_head(model, head)
    graph = Nodes(form)
    time = 1 if form == "step" else "time"
    if head == "greedy":
        read_symbols(graph, model, time)
    else:
        graph.inputs.append(_value("x", time, model.input_size))
    outputs = ["x"]  # of the input and of each layer, by place + 1
    states: dict[str, str] = {}
    for layer, sources in zip(model.layers, model.sources, strict=True):
        if layer.kind not in _WRITERS or LAYER_TYPES.get(layer.kind) is not type(layer):  # not a class of that name
            raise UnsupportedError(
                f"to_onnx has no ONNX form for {layer.title}; expected one of {', '.join(_WRITERS)}."
            )
        for key, value in layer.initial_state.items():
            graph.inputs.append(_value(f"{layer.name}.{key}", 1, len(value)))
            states[f"{layer.name}.{key}_out"] = f"{layer.name}.{key}"
        wanted = "y" if layer is model.layers[-1] else f"{layer.name}.y"
        outputs.append(_WRITERS[layer.kind](graph, layer, [outputs[i + 1] for i in sources], wanted))
    if outputs[-1] != "y":  # a graph cannot give one value under two names
        graph.node("Identity", outputs[-1:], "y", name=f"{model.layers[-1].name}.y")
    results = [_value("y", time, model.output_size)]
    results += [_value(out, 1, len(model.initial_state[name])) for out, name in states.items()]
    if head == "greedy":
        results.insert(0, best_symbol(graph, time))
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            model.name or "edge_rnn",
            graph.inputs,
            results,
            [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        ),
        producer_name="edge_rnn",
        producer_version=edge_rnn.__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    helper.set_model_props(proto, metadata(model, form, head))
    checker.check_model(proto, full_check=True)
    return proto


Writer = Callable[[Nodes, Any, Sequence[str], str], str]
"""``writer(graph, layer, reads, wanted)`` adds a layer that reads the named values and returns its output's name.

``wanted`` is the name to give the output, but for a layer whose output has a name already.
"""


def _elman(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    return _recurrent(graph, layer, reads, wanted, "RNN", **_activations(layer.activation))


def _lstm(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    if not is_operator(layer):
        return lstm_of_operators(graph, layer, graph.joined(layer, reads), wanted)
    used = (layer.gate_activation, layer.cell_activation, layer.output_activation)
    attributes = {} if used == ("sigmoid", "tanh", "tanh") else _activations(*used)
    if layer.coupled == "forget":
        attributes["input_forget"] = 1
    extra = []
    if layer.peephole is not None:
        i, f, o = np.split(layer.peephole, 3)
        extra = [graph.constant(f"{layer.name}.P", np.concatenate([i, o, f])[None])]
    return _recurrent(graph, layer, reads, wanted, "LSTM", extra, **attributes)


def _gru(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    used = (layer.gate_activation, layer.candidate_activation)
    attributes = {} if used == ("sigmoid", "tanh") else _activations(*used)
    attributes["linear_before_reset"] = int(layer.reset_after)
    return _recurrent(graph, layer, reads, wanted, "GRU", **attributes)


def _activations(*texts: str) -> dict[str, Any]:
    """Attributes of a recurrent operator; alpha and beta are listed for those activations alone that have them."""
    parsed = [parse(text) for text in texts]
    alphas: list[float] = []
    betas: list[float] = []
    for each in parsed:
        parameters = (1.0, 0.0) if each.name == "none" else each.parameters
        alphas += parameters[:1]
        betas += parameters[1:]
    attributes: dict[str, Any] = {"activations": [ACTIVATIONS[each.name] for each in parsed]}
    return attributes | ({"activation_alpha": alphas} if alphas else {}) | ({"activation_beta": betas} if betas else {})


def _recurrent(
    graph: Nodes,
    layer: Any,
    reads: Sequence[str],
    wanted: str,
    operator: str,
    extra: Sequence[str] = (),
    **attributes: Any,
) -> str:
    """One of ONNX's recurrent operators, given its order of gates; returns the name of what it puts out."""
    name = layer.name
    order = [layer.gates.index(gate) for gate in GATES[layer.kind]]

    def rearranged(array: Array) -> Array:
        return np.concatenate([np.split(array, len(order))[gate] for gate in order])

    inputs = [
        graph.joined(layer, reads),
        graph.constant(f"{name}.W", rearranged(np.asarray(layer.weight_ih))[None]),
        graph.constant(f"{name}.R", rearranged(np.asarray(layer.weight_hh))[None]),
    ]
    zeros = np.zeros(len(order) * layer.hidden_size, np.float32)
    if layer.bias_ih is None and layer.bias_hh is None:
        inputs.append("")
    else:
        both = [zeros if bias is None else rearranged(bias) for bias in (layer.bias_ih, layer.bias_hh)]
        inputs.append(graph.constant(f"{name}.B", np.concatenate(both)[None]))
    inputs.append("")  # sequence_lens: the whole sequence, of one step
    states = [f"{name}.{key}" for key in layer.initial_state]
    inputs += [*states, *extra]
    if layer.gate_clip is not None:
        attributes["clip"] = layer.gate_clip
    last = [f"{state}_out" for state in states]
    # What every step puts out is left out of one step: it is the last state, in another shape.
    every = "" if graph.form == "step" else f"{name}.every"
    graph.node(operator, inputs, every, *last, name=name, hidden_size=layer.hidden_size, **attributes)
    if not every:
        return last[0]
    axis = graph.constant(f"{name}.direction", np.array([1], np.int64))
    graph.node("Squeeze", [every, axis], wanted, name=f"{name}.squeeze")
    return wanted


def _dense(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    name = layer.name
    stages: list[Stage] = [
        ("MatMul", [graph.constant(f"{name}.weight", np.asarray(layer.weight).T)], {}),
    ]
    if layer.bias is not None:
        stages.append(("Add", [graph.constant(f"{name}.bias", layer.bias)], {}))
    if layer.activation == "softmax":
        stages.append(("Softmax", [], {"axis": 2}))
    else:
        stages += activation_stages(graph, name, parse(layer.activation))
    value = graph.joined(layer, reads)
    for place, (operator, constants, attributes) in enumerate(stages, start=1):
        label = f"{name}.{operator.lower()}" + (f"{place}" if place > 3 else "")
        out = wanted if place == len(stages) else label
        graph.node(operator, [value, *constants], out, name=label, **attributes)
        value = out
    return value


def _embedding(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    """The nearest row of the table: a whole number of ONNX rounds as ours do, half to even."""
    name, value = layer.name, graph.joined(layer, reads)
    bounds = [
        graph.constant(f"{name}.{k}", np.array(v, np.float32))
        for k, v in (("first", 0), ("last", len(layer.weight) - 1))
    ]
    axis = graph.constant(f"{name}.axis", np.array([2], np.int64))
    stages: list[Stage] = [
        ("Round", [], {}),
        ("Clip", bounds, {}),
        ("Cast", [], {"to": TensorProto.INT64}),
        ("Squeeze", [axis], {}),
    ]
    for operator, constants, attributes in stages:
        out = f"{name}.{operator.lower()}"
        graph.node(operator, [value, *constants], out, name=out, **attributes)
        value = out
    graph.node("Gather", [graph.constant(f"{name}.weight", layer.weight), value], wanted, name=f"{name}.gather")
    return wanted


def _standardize(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    name, x = layer.name, graph.joined(layer, reads)
    graph.node("Sub", [x, graph.constant(f"{name}.mean", layer.mean)], f"{name}.sub", name=f"{name}.sub")
    graph.node("Div", [f"{name}.sub", graph.constant(f"{name}.scale", layer.scale)], wanted, name=f"{name}.div")
    return wanted


def _add(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    graph.node("Sum", reads, wanted, name=layer.name)
    return wanted


_WRITERS: Mapping[str, Writer] = {
    "Elman": _elman,
    "LSTM": _lstm,
    "GRU": _gru,
    "Dense": _dense,
    "Standardize": _standardize,
    "Add": _add,
    "Embedding": _embedding,
}


def _value(name: str, first: int | str, size: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, (first, "batch", size))
