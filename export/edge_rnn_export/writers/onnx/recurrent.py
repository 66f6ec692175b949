"""Write recurrent layers as operators of ONNX and onnxruntime that compute the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_rnn.activation import parse
from edge_rnn_export.writers.onnx.equation import equation
from edge_rnn_export.writers.onnx.nodes import ACTIVATIONS, GATES, Nodes
from edge_rnn_export.writers.onnx.products import MICROSOFT, ZERO, is_dense, is_rounding, rows_of, stored, unsigned

__all__ = ["activations", "recurrent"]


def activations(*texts: str) -> dict[str, Any]:
    """Attributes of a recurrent operator; alpha and beta are listed only for activations that take them."""
    parsed = [parse(text) for text in texts]
    alphas: list[float] = []
    betas: list[float] = []
    for each in parsed:
        parameters = (1.0, 0.0) if each.name == "none" else each.parameters
        alphas += parameters[:1]
        betas += parameters[1:]
    attributes: dict[str, Any] = {"activations": [ACTIVATIONS[each.name] for each in parsed]}
    return attributes | ({"activation_alpha": alphas} if alphas else {}) | ({"activation_beta": betas} if betas else {})


def recurrent(
    graph: Nodes,
    layer: Any,
    reads: Sequence[str],
    wanted: str,
    operator: str,
    extra: Sequence[str] = (),
    **attributes: Any,
) -> str:
    """Add one of ONNX's recurrent operators, given its gate order; return the name of its output.

    If none supports the layer's options and the formats of its matrices, the layer's equation is written.
    """
    name, matrices = layer.name, {"W": layer.weight_ih, "R": layer.weight_hh}
    order = [layer.gates.index(gate) for gate in GATES[layer.kind]]
    places = np.concatenate([np.split(np.arange(len(order) * layer.hidden_size), len(order))[gate] for gate in order])
    rounding = operator == "LSTM" and not graph.standard and all(is_rounding(graph, m) for m in matrices.values())
    if not _is_operator(layer) or not (rounding or all(is_dense(graph, m) for m in matrices.values())):
        return equation(graph, layer, reads, wanted)
    x = graph.joined(layer, reads)
    rearranged = {f"{name}.{key}": rows_of(matrix, places) for key, matrix in matrices.items()}
    scales: list[str] = []
    if rounding:
        operator, attributes["domain"] = "DynamicQuantizeLSTM", MICROSOFT
        inputs = [x, *(graph.constant(key, unsigned(matrix.values.T[None])) for key, matrix in rearranged.items())]  # type: ignore[union-attr]
        for key, matrix in rearranged.items():
            scales.append(graph.constant(f"{key}.scale", matrix.scale[None]))  # type: ignore[union-attr]
            scales.append(graph.constant(f"{key}.zero", np.full((1, len(places)), ZERO, np.uint8)))
        extra = extra or [""]
    else:
        inputs = [x, *(stored(graph, matrix, key, directed=True) for key, matrix in rearranged.items())]
    zeros = np.zeros(len(places), np.float32)
    if layer.bias_ih is None and layer.bias_hh is None:
        inputs.append("")
    else:
        both = [zeros if bias is None else bias[places] for bias in (layer.bias_ih, layer.bias_hh)]
        inputs.append(graph.constant(f"{name}.B", np.concatenate(both)[None]))
    inputs.append("")  # sequence_lens omitted: all steps
    states = [f"{name}.{key}" for key in layer.initial_state]
    inputs += [*states, *extra, *scales]
    if layer.gate_clip is not None:
        attributes["clip"] = layer.gate_clip
    last = [f"{state}_out" for state in states]
    # For one step the output of all steps is omitted: it is the final state, in another shape.
    every = "" if graph.form == "step" else f"{name}.every"
    graph.node(operator, inputs, every, *last, name=name, hidden_size=layer.hidden_size, **attributes)
    if not every:
        return last[0]
    axis = graph.constant(f"{name}.direction", np.array([1], np.int64))
    graph.node("Squeeze", [every, axis], wanted, name=f"{name}.squeeze")
    return wanted


def _is_operator(layer: Any) -> bool:
    """True if ONNX's operator for the cell supports all of the layer's options, in float32."""
    if layer.kind != "LSTM":
        return True
    return layer.weight_hr is None and layer.cell_clip is None and layer.coupled != "input"
