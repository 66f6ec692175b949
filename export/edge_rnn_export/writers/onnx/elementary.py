"""Build cells from elementary operators, in the order of operations of :mod:`edge_rnn.reference`.

Used for features that ONNX's own operators lack: an LSTM's projection, its cell clip, an input gate coupled to the
forget gate; and matrices that are not multiplied in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_rnn.activation import parse
from edge_rnn_export.writers.onnx.loop import Cell, looped
from edge_rnn_export.writers.onnx.nodes import Nodes, activation_stages
from edge_rnn_export.writers.onnx.products import Multiply, product, rows_of, stored

__all__ = ["cell_of_operators", "idle_gate", "is_operator"]


def is_operator(layer: Any) -> bool:
    """True if ONNX's operator for the cell supports all of the layer's options, in float32."""
    if layer.kind != "LSTM":
        return True
    return layer.weight_hr is None and layer.cell_clip is None and layer.coupled != "input"


def idle_gate(layer: Any) -> str:
    """The gate whose peepholes are unused because it is coupled to another gate; empty if none."""
    if getattr(layer, "peephole", None) is None:
        return ""
    return {"input": "i", "forget": "f"}.get(layer.coupled, "")


def cell_of_operators(graph: Nodes, layer: Any, x: str, wanted: str) -> str:
    """Add the layer; return the name of its output, ``(time, batch, size)``."""
    name = layer.name
    make: Any = {"Elman": _elman, "GRU": _gru, "LSTM": _lstm}[layer.kind]
    cell = make(_Operators(graph, layer))
    multiply = product(graph, layer.weight_ih, f"{name}.weight_ih", layer.bias_ih)
    rows = int(layer.weight_ih.shape[0])
    return looped(graph, layer, multiply(graph, x, f"{name}.input"), rows, cell, wanted)


class _Operators:
    """Building blocks of cells; constants are stored in the graph outside of a loop."""

    def __init__(self, graph: Nodes, layer: Any) -> None:
        self.graph, self.layer, self.label = graph, layer, f"{layer.name}.cell"

    def constant(self, key: str, array: Any) -> str:
        return self.graph.constant(f"{self.label}.{key}", np.asarray(array, np.float32))

    def recurrent(self, rows: slice | None = None, key: str = "weight_hh") -> Multiply:
        """Product of the recurrent matrix, or some of its rows, with the state, plus bias."""
        matrix, bias = self.layer.weight_hh, self.layer.bias_hh
        if rows is not None:
            matrix, bias = rows_of(matrix, rows), None if bias is None else bias[rows]
        return product(self.graph, matrix, f"{self.layer.name}.{key}", bias)

    def op(self, nodes: Nodes, operator: str, inputs: list[str], key: str, **attributes: Any) -> str:
        return nodes.apply(operator, inputs, f"{self.label}.{key}", **attributes)

    def split(self, nodes: Nodes, value: str, sizes: Sequence[int], keys: Sequence[str]) -> list[str]:
        counts = self.graph.constant(f"{self.label}.sizes_{'_'.join(keys)}", np.array(sizes, np.int64))
        parts = [f"{self.label}.{key}" for key in keys]
        nodes.node("Split", [value, counts], *parts, name=f"{self.label}.split_{'_'.join(keys)}", axis=-1)
        return parts

    def activated(self, nodes: Nodes, text: str, value: str, key: str, out: str | None = None) -> str:
        """Apply the layer's gate clip, if any."""
        label, limit = f"{self.label}.{key}", self.layer.gate_clip
        value = self.clipped(nodes, value, limit, key)
        stages = activation_stages(self.graph, label, parse(text))
        value = nodes.chain(value, stages, label)
        return value if out is None else nodes.apply("Identity", [value], out)

    def clipped(self, nodes: Nodes, value: str, limit: float | None, key: str) -> str:
        if limit is None:
            return value
        bounds = [self.constant(f"{key}.low", -limit), self.constant(f"{key}.high", limit)]
        return self.op(nodes, "Clip", [value, *bounds], f"{key}.clip")


def _elman(parts: _Operators) -> Cell:
    multiply = parts.recurrent()

    def cell(nodes: Nodes, given: str, states: list[str], new: list[str]) -> None:
        recurrent = multiply(nodes, states[0], f"{parts.label}.recurrent")
        total = parts.op(nodes, "Add", [given, recurrent], "sum")
        parts.activated(nodes, parts.layer.activation, total, "h", new[0])

    return cell


def _gru(parts: _Operators) -> Cell:
    layer = parts.layer
    hidden, after = layer.hidden_size, layer.reset_after
    gates, candidate = slice(0, 2 * hidden), slice(2 * hidden, 3 * hidden)
    if after:
        multiply = parts.recurrent()
    else:
        multiply = parts.recurrent(gates, "weight_hh.gates")
        multiply_candidate = parts.recurrent(candidate, "weight_hh.candidate")

    def cell(nodes: Nodes, given: str, states: list[str], new: list[str]) -> None:
        h = states[0]
        recurrent = multiply(nodes, h, f"{parts.label}.recurrent")
        x_gates, x_n = parts.split(nodes, given, [2 * hidden, hidden], ["x_gates", "x_n"])
        if after:
            recurrent, h_n = parts.split(nodes, recurrent, [2 * hidden, hidden], ["h_gates", "h_n"])
        total = parts.op(nodes, "Add", [x_gates, recurrent], "gates")
        both = parts.activated(nodes, layer.gate_activation, total, "gate")
        r, z = parts.split(nodes, both, [hidden, hidden], ["r", "z"])
        if after:
            seen = parts.op(nodes, "Mul", [r, h_n], "reset")
        else:
            kept = parts.op(nodes, "Mul", [r, h], "reset")
            seen = multiply_candidate(nodes, kept, f"{parts.label}.candidate")
        total = parts.op(nodes, "Add", [x_n, seen], "n.sum")
        n = parts.activated(nodes, layer.candidate_activation, total, "n")
        # (1 - z) n + z h with one operator less.
        away = parts.op(nodes, "Mul", [z, parts.op(nodes, "Sub", [h, n], "away")], "part")
        nodes.apply("Add", [n, away], new[0])

    return cell


def _lstm(parts: _Operators) -> Cell:
    layer = parts.layer
    multiply = parts.recurrent()
    peepholes = {}
    if layer.peephole is not None:
        peepholes = {
            key: parts.constant(f"peephole_{key}", part)
            for key, part in zip("ifo", np.split(layer.peephole, 3), strict=True)
            if key != idle_gate(layer)
        }
    one = parts.constant("one", 1.0) if layer.coupled != "none" else ""
    projection = layer.weight_hr
    if projection is not None:
        projection = stored(parts.graph, projection, f"{parts.label}.weight_hr", transposed=True)

    def gate(nodes: Nodes, value: str, key: str, cell: str) -> str:
        if peepholes:
            seen = parts.op(nodes, "Mul", [cell, peepholes[key]], f"{key}.seen")
            value = parts.op(nodes, "Add", [value, seen], f"{key}.peeped")
        return parts.activated(nodes, layer.gate_activation, value, f"{key}.gate")

    def cell(nodes: Nodes, given: str, states: list[str], new: list[str]) -> None:
        h, c = states
        recurrent = multiply(nodes, h, f"{parts.label}.recurrent")
        total = parts.op(nodes, "Add", [given, recurrent], "sum")
        i, f, g, o = parts.split(nodes, total, [layer.hidden_size] * 4, list("ifgo"))
        if layer.coupled != "input":
            i = gate(nodes, i, "i", c)
        f = parts.op(nodes, "Sub", [one, i], "f.coupled") if layer.coupled == "forget" else gate(nodes, f, "f", c)
        if layer.coupled == "input":
            i = parts.op(nodes, "Sub", [one, f], "i.coupled")
        g = parts.activated(nodes, layer.cell_activation, g, "g.cell")
        kept, added = parts.op(nodes, "Mul", [f, c], "kept"), parts.op(nodes, "Mul", [i, g], "added")
        total = parts.op(nodes, "Add", [kept, added], "new")
        total = parts.clipped(nodes, total, layer.cell_clip, "new.c")
        nodes.apply("Identity", [total], new[1])
        o = gate(nodes, o, "o", total)
        stages = activation_stages(parts.graph, f"{parts.label}.output", parse(layer.output_activation))
        put_out = nodes.chain(total, stages, f"{parts.label}.output")
        put = parts.op(nodes, "Mul", [o, put_out], "put")
        if projection is not None:
            put = parts.op(nodes, "MatMul", [put, projection], "projected")
            put = parts.clipped(nodes, put, layer.projection_clip, "put.h")
        nodes.apply("Identity", [put], new[0])

    return cell
