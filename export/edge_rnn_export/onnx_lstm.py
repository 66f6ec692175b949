"""LSTMs with options that ONNX's operator has not: projection, cell clip, an input gate that follows the forget gate.

They are put together from elementary operators: of one step as they are, of a sequence as the body of a Scan.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from edge_rnn.activation import parse
from edge_rnn_export.onnx_nodes import Nodes, activation_stages

__all__ = ["idle_gate", "is_operator", "lstm_of_operators"]


def is_operator(layer: Any) -> bool:
    """Whether ONNX's LSTM operator can do all that the layer does."""
    return layer.weight_hr is None and layer.cell_clip is None and layer.coupled != "input"


def idle_gate(layer: Any) -> str:
    """The gate whose peepholes have no place in what is put together, for it follows another gate; or nothing."""
    if getattr(layer, "peephole", None) is None or is_operator(layer):
        return ""
    return {"input": "i", "forget": "f"}.get(layer.coupled, "")


def lstm_of_operators(graph: Nodes, layer: Any, x: str, wanted: str) -> str:
    """Add the layer; the name of what it puts out, ``(time, batch, size)``."""
    h, c = (f"{layer.name}.{key}" for key in ("h", "c"))
    if graph.form == "step":
        _cell(graph, layer, x, h, c, f"{h}_out", f"{c}_out")
        return f"{h}_out"
    body = Nodes(graph.form, constants=graph.constants)
    name = f"{layer.name}.step"
    first = graph.constant(f"{name}.first", np.array([0], np.int64))
    now = body.apply("Unsqueeze", [f"{name}.x", first], f"{name}.now")
    _cell(body, layer, now, f"{name}.h", f"{name}.c", f"{name}.h_out", f"{name}.c_out")
    body.apply("Squeeze", [f"{name}.h_out", first], f"{name}.y")
    sizes = {"h": layer.weight_hh.shape[1], "c": layer.hidden_size}

    def value(key: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(f"{name}.{key}", TensorProto.FLOAT, shape)

    inputs = [*(value(key, 1, None, size) for key, size in sizes.items()), value("x", None, layer.input_size)]
    outputs = [*(value(f"{key}_out", 1, None, size) for key, size in sizes.items()), value("y", None, sizes["h"])]
    graph.node(
        "Scan",
        [h, c, x],
        f"{h}_out",
        f"{c}_out",
        wanted,
        name=layer.name,
        body=helper.make_graph(body.nodes, name, inputs, outputs),
        num_scan_inputs=1,
    )
    return wanted


def _cell(graph: Nodes, layer: Any, x: str, h: str, c: str, h_out: str, c_out: str) -> None:
    """One step, every value ``(1, batch, size)``; as :mod:`edge_rnn.reference` has it, line by line."""
    name, hidden = layer.name, layer.hidden_size
    label = f"{name}.cell"

    def constant(key: str, array: Any) -> str:
        return graph.constant(f"{label}.{key}", np.asarray(array, np.float32))

    def activated(text: str, value: str, key: str) -> str:
        return graph.chain(value, activation_stages(graph, f"{label}.{key}", parse(text)), f"{label}.{key}")

    def clipped(value: str, limit: float | None, key: str) -> str:
        if limit is None:
            return value
        bounds = [constant(f"{key}.low", -limit), constant(f"{key}.high", limit)]
        return graph.apply("Clip", [value, *bounds], f"{label}.{key}.clip")

    def op(operator: str, inputs: list[str], key: str) -> str:
        return graph.apply(operator, inputs, f"{label}.{key}")

    biases = [bias for bias in (layer.bias_ih, layer.bias_hh) if bias is not None]
    total = op("MatMul", [x, constant("weight_ih", np.asarray(layer.weight_ih).T)], "input")
    recurrent = op("MatMul", [h, constant("weight_hh", np.asarray(layer.weight_hh).T)], "recurrent")
    total = op("Add", [total, recurrent], "sum")
    for place, bias in enumerate(biases):
        total = op("Add", [total, constant(f"bias{place}", bias)], f"biased{place}")
    parts = [f"{label}.{key}" for key in "ifgo"]
    sizes = graph.constant(f"{label}.sizes", np.array([hidden] * 4, np.int64))
    graph.node("Split", [total, sizes], *parts, name=f"{label}.split", axis=2)
    i, f, g, o = parts

    def gate(value: str, key: str, cell: str) -> str:
        if layer.peephole is not None:
            peephole = np.split(layer.peephole, 3)["ifo".index(key)]
            seen = op("Mul", [cell, constant(f"peephole_{key}", peephole)], f"{key}.seen")
            value = op("Add", [value, seen], f"{key}.peeped")
        return activated(layer.gate_activation, clipped(value, layer.gate_clip, f"{key}.gate"), f"{key}.gate")

    one = constant("one", 1.0)
    if layer.coupled != "input":
        i = gate(i, "i", c)
    f = op("Sub", [one, i], "f.coupled") if layer.coupled == "forget" else gate(f, "f", c)
    if layer.coupled == "input":
        i = op("Sub", [one, f], "i.coupled")
    g = activated(layer.cell_activation, clipped(g, layer.gate_clip, "g.cell"), "g.cell")
    kept, added = op("Mul", [f, c], "kept"), op("Mul", [i, g], "added")
    new = clipped(op("Add", [kept, added], "new"), layer.cell_clip, "new.c")
    graph.apply("Identity", [new], c_out)
    o = gate(o, "o", new)
    put = op("Mul", [o, activated(layer.output_activation, new, "output")], "put")
    if layer.weight_hr is not None:
        put = op("MatMul", [put, constant("weight_hr", layer.weight_hr.T)], "projected")
        put = clipped(put, layer.projection_clip, "put.h")
    graph.apply("Identity", [put], h_out)
