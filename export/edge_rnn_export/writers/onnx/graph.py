"""Build an ONNX graph of one step or of whole sequences, with every state as a named input and output.

A float32 graph uses only ONNX's own operators. All of them are in opset 17 and IR version 8, so that the runtime on a
device may be a few years old; any other of ``OPSETS`` gives the same nodes, with the IR version that came with it.
Smaller formats use onnxruntime's own operators, unless only standard operators are allowed; 4-bit weights in standard
operators need opset 21 or later. Between layers a value has the shape ``(time, batch, size)`` of the recurrent
operators' input. For one step the final state has this shape and feeds the next layer directly; for a sequence the
output of all steps needs a Squeeze.

Source: ONNX operators RNN-14, GRU-14, LSTM-14, https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, checker, helper

import edge_rnn
from edge_rnn.activation import parse
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import LAYER_TYPES, Cell
from edge_rnn_export.writers.onnx.equation import equation
from edge_rnn_export.writers.onnx.greedy import best_symbol, read_symbols
from edge_rnn_export.writers.onnx.metadata import metadata
from edge_rnn_export.writers.onnx.native import with_native_cells
from edge_rnn_export.writers.onnx.nodes import Nodes, Stage, activation_stages
from edge_rnn_export.writers.onnx.products import MICROSOFT, product
from edge_rnn_export.writers.onnx.recurrent import activations, recurrent
from edge_rnn_export.writers.onnx.spec import OPSETS, ResolvedExport

__all__ = ["build_graph"]

_INT4_OPSET = 21


def build_graph(export: ResolvedExport) -> ModelProto:
    """Return a model as an ONNX graph.

    Returns
    -------
    onnx.ModelProto
        Inputs: ``x`` float32 ``(time, batch, I)``, time 1 for a step, and each state under its name in
        ``model.initial_state`` (``gru1.h``), float32 ``(1, batch, H)`` = (direction, batch, unit). Outputs: ``y``
        float32 ``(time, batch, O)``, and each state's last value as ``gru1.h_out``. Feed a state's output back as its
        input in the next call; in the first call feed the initial state, repeated over the batch.

        ``metadata_props``: see :func:`edge_rnn_export.writers.onnx.metadata.metadata`.

    Raises
    ------
    UnsupportedError
        The model has a kind of layer, or an option, that has no ONNX form.
    InputError
        The graph cannot be written in this opset.
    """
    spec, model = export.spec, with_native_cells(export.weights)
    graph = Nodes(spec.form, spec.operators == "standard", spec.precision == "int8-weights")
    time = 1 if spec.form == "step" else "time"
    if spec.head == "greedy":
        read_symbols(graph, model, time)
    else:
        graph.inputs.append(_value("x", time, model.input_size))
    outputs = ["x"]  # of the input and of each layer, by index + 1
    states: dict[str, str] = {}
    for layer, sources in zip(model.layers, model.sources, strict=True):
        if layer.kind not in _WRITERS or _CLASSES.get(layer.kind) is not type(layer):  # not a class of that name
            raise UnsupportedError(
                f"to_onnx has no ONNX form for {layer.title}; expected one of {', '.join(_WRITERS)}."
            )
        for key, value in layer.initial_state.items():
            graph.inputs.append(_value(f"{layer.name}.{key}", 1, len(value)))
            states[f"{layer.name}.{key}_out"] = f"{layer.name}.{key}"
        wanted = "y" if layer is model.layers[-1] else f"{layer.name}.y"
        outputs.append(_WRITERS[layer.kind](graph, layer, [outputs[i + 1] for i in sources], wanted))
    if outputs[-1] != "y":  # a graph cannot give one value two names
        graph.node("Identity", outputs[-1:], "y", name=f"{model.layers[-1].name}.y")
    results = [_value("y", time, model.output_size)]
    results += [_value(out, 1, len(model.initial_state[name])) for out, name in states.items()]
    if spec.head == "greedy":
        results.insert(0, best_symbol(graph, time))
    tensors = graph.tensors()
    int4 = any(tensor.data_type == TensorProto.INT4 for tensor in tensors)
    opset = _opset(spec.opset, _INT4_OPSET if int4 else OPSETS[0])
    opsets = [helper.make_opsetid("", opset)]
    if graph.has_domain(MICROSOFT):
        opsets.append(helper.make_opsetid(MICROSOFT, 1))
    proto = helper.make_model(
        helper.make_graph(graph.nodes, model.name or "edge_rnn", graph.inputs, results, tensors),
        producer_name="edge_rnn",
        producer_version=edge_rnn.__version__,
        opset_imports=opsets,
        ir_version=helper.OP_SET_ID_VERSION_MAP["ai.onnx", opset],
    )
    written = export.computed if model is export.weights else model
    helper.set_model_props(proto, metadata(export.computed, spec.form, spec.precision, spec.head, written))
    checker.check_model(proto, full_check=True)
    return proto


def _opset(wanted: int | None, least: int) -> int:
    """Return the requested operator set, or ``least``, the first one with all of the graph's operators."""
    if wanted is not None and wanted < least:
        raise InputError(
            f"to_onnx opset got {wanted}, expected {least} to {OPSETS[-1]}: earlier ones have no 4-bit weights; "
            f"leave opset out, or take operators='onnxruntime'."
        )
    return least if wanted is None else int(wanted)


Writer = Callable[[Nodes, Any, Sequence[str], str], str]
"""``writer(graph, layer, reads, wanted)`` adds a layer that reads the named values and returns its output's name.

``wanted`` is the name to give the output, unless the layer's output has a name already.
"""


def _elman(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    return recurrent(graph, layer, reads, wanted, "RNN", **activations(layer.activation))


def _lstm(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    used = (layer.gate_activation, layer.cell_activation, layer.output_activation)
    attributes = {} if used == ("sigmoid", "tanh", "tanh") else activations(*used)
    if layer.coupled == "forget":
        attributes["input_forget"] = 1
    extra = []
    if layer.peephole is not None:
        i, f, o = np.split(layer.peephole, 3)
        extra = [graph.constant(f"{layer.name}.P", np.concatenate([i, o, f])[None])]
    return recurrent(graph, layer, reads, wanted, "LSTM", extra, **attributes)


def _gru(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    used = (layer.gate_activation, layer.candidate_activation)
    attributes = {} if used == ("sigmoid", "tanh") else activations(*used)
    attributes["linear_before_reset"] = int(layer.reset_after)
    return recurrent(graph, layer, reads, wanted, "GRU", **attributes)


def _dense(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    name = layer.name
    bias = "" if layer.bias is None else graph.constant(f"{name}.bias", layer.bias)
    multiply = product(graph, layer.weight, f"{name}.weight", bias)
    if layer.activation == "softmax":
        stages: list[Stage] = [("Softmax", [], {"axis": 2})]
    else:
        stages = activation_stages(graph, name, parse(layer.activation))
    value = multiply(graph, graph.joined(layer, reads), f"{name}.sum" if stages else wanted)
    for place, (operator, constants, attributes) in enumerate(stages, start=1):
        label = f"{name}.{operator.lower()}{place}"
        out = wanted if place == len(stages) else label
        graph.node(operator, [value, *constants], out, name=label, **attributes)
        value = out
    return value


def _embedding(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    """Select the nearest row of the table: ONNX rounds integers like edge_rnn, half to even; NaN gives a row of NaN."""
    name, value = layer.name, graph.joined(layer, reads)
    numbers = {
        key: graph.constant(f"{name}.{key}", np.array(number, np.float32))
        for key, number in (("first", 0), ("last", len(layer.weight) - 1), ("unknown", np.nan))
    }
    axis = graph.constant(f"{name}.axis", np.array([2], np.int64))
    unknown = f"{name}.isnan"
    graph.node("IsNaN", [value], unknown, name=unknown)
    stages: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Where", [unknown, numbers["first"], value], {}),
        ("Round", [f"{name}.where"], {}),
        ("Clip", [f"{name}.round", numbers["first"], numbers["last"]], {}),
        ("Cast", [f"{name}.clip"], {"to": TensorProto.INT64}),
        ("Squeeze", [f"{name}.cast", axis], {}),
        ("Gather", [graph.constant(f"{name}.weight", layer.weight), f"{name}.squeeze"], {}),
    ]
    for operator, inputs, attributes in stages:
        out = f"{name}.{operator.lower()}"
        graph.node(operator, inputs, out, name=out, **attributes)
    graph.node("Where", [unknown, numbers["unknown"], f"{name}.gather"], wanted, name=f"{name}.row")
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
    "Cell": equation,
}
_CLASSES = {**LAYER_TYPES, "Cell": Cell}


def _value(name: str, first: int | str, size: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, (first, "batch", size))
