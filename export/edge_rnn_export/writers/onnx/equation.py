"""Cells that are their equations, as elementary operators: one node of a graph after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from edge_rnn.equations.graph import Graph, Node
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.errors import UnsupportedError
from edge_rnn_export.writers.onnx.nodes import Nodes
from edge_rnn_export.writers.onnx.products import product

__all__ = ["equation"]


def equation(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    """Add the layer, a step as it is, a sequence as a Scan; the name of what it puts out.

    What no state is needed for stands in front of the loop and is done for all steps at once.
    """
    return _Writer(graph, layer, graph.joined(layer, reads)).add(wanted)


class _Writer:
    """Units are the last axis; one number is an axis of length 1, or none.

    What has a colon in its name is no parameter and no state.
    """

    def __init__(self, graph: Nodes, layer: Any, x: str) -> None:
        self.graph, self.layer, self.x, self.sample = graph, layer, x, x
        self.equation: Graph = layer.graph
        self.varies = self.equation.depends_on("input", "state")
        self.waits = self.equation.depends_on("state")
        self.names: dict[int, str] = {}
        self.uses: dict[str, int] = {}

    def add(self, wanted: str) -> str:
        layer, nodes = self.layer, self.equation.nodes
        states = {name: f"{layer.name}.{name}" for name, _ in self.equation.sizes}
        for name in states:
            if f"{name}_out" in {*states, *self.equation.parameters}:
                raise UnsupportedError(
                    f"{layer.title} has the state {name} and {name}_out, and a graph calls the new state so; call one "
                    f"of them otherwise."
                )
        for place, node in enumerate(nodes):
            if not self.waits[place]:
                self.names[place] = self.node(self.graph, place, node)
        if self.graph.form == "step":
            self.inside(self.graph, states)
            for name, place in self.equation.new_states.items():
                self.graph.apply(
                    "Identity", [self.rows(self.graph, place, f"{states[name]}.new")], f"{states[name]}_out"
                )
            return self.graph.apply(
                "Identity", [self.rows(self.graph, self.equation.output, f"{layer.name}:out")], wanted
            )
        return self.loop(states, wanted)

    def inside(self, nodes: Nodes, states: dict[str, str]) -> None:
        """The nodes that wait for a state."""
        for place, node in enumerate(self.equation.nodes):
            if self.waits[place]:
                self.names[place] = states[node.name] if node.op == "state" else self.node(nodes, place, node)

    def loop(self, states: dict[str, str], wanted: str) -> str:
        """A Scan over time whose body has no axis of directions."""
        layer, name, roots = self.layer, f"{self.layer.name}:step", self.equation.roots
        crossing = {arg for place, node in enumerate(self.equation.nodes) if self.waits[place] for arg in node.args}
        crossing |= {root for root in roots if not self.waits[root]}
        crossing = {place for place in crossing if self.varies[place] and not self.waits[place]}
        # A body has one sample at least, that it be run so often, and that what is put out has as many rows.
        scanned = {place: self.names[place] for place in sorted(crossing)}
        if not scanned:
            scanned[-1] = self.x
        outside, self.names = self.names, dict(self.names)
        for place in scanned:
            self.names[place] = f"{name}.at{place}" if place >= 0 else f"{name}.x"
        body = self.graph.body()
        within = {state: f"{name}.{state}" for state in states}
        self.sample = self.names[next(iter(scanned))]
        self.inside(body, within)
        ends = [
            body.apply("Identity", [self.rows(body, place, f"{within[state]}.new")], f"{within[state]}_out")
            for state, place in self.equation.new_states.items()
        ]
        ends.append(body.apply("Identity", [self.rows(body, self.equation.output, f"{name}.out")], f"{name}.y"))
        sizes = [size for _, size in self.equation.sizes]
        lengths = [
            self.equation.input_size if place < 0 else (*self.equation.nodes[place].shape, 1)[0] for place in scanned
        ]
        inputs = [_value(*each) for each in zip(within.values(), sizes, strict=True)]
        inputs += [_value(self.names[place], length) for place, length in zip(scanned, lengths, strict=True)]
        outputs = [_value(*each) for each in zip(ends, [*sizes, self.equation.output_size], strict=True)]
        axis = self.graph.constant(f"{name}.axis", np.array([0], np.int64))
        begin = [self.graph.apply("Squeeze", [state, axis], f"{state}.first") for state in states.values()]
        last = [f"{state}.last" for state in states.values()]
        self.graph.node(
            "Scan",
            [*begin, *scanned.values()],
            *last,
            wanted,
            name=layer.name,
            body=helper.make_graph(body.nodes, name, inputs, outputs),
            num_scan_inputs=len(scanned),
        )
        for found, state in zip(last, states.values(), strict=True):
            self.graph.apply("Unsqueeze", [found, axis], f"{state}_out")
        self.names = outside
        return wanted

    def number(self, key: str, value: float) -> str:
        return self.graph.constant(f"{self.layer.name}:{key}", np.array(value, np.float32))

    def last_axis(self) -> str:
        return self.graph.constant(f"{self.layer.name}:units", np.array([-1], np.int64))

    def node(self, nodes: Nodes, place: int, node: Node) -> str:
        """Add one node; its value's name."""
        name, out = self.layer.name, f"{self.layer.name}:{place}"
        args = [self.names[arg] for arg in node.args]
        if node.op == "input":
            return self.x
        if node.op == "number":
            return self.number(f"number{place}", node.number)
        if node.op == "parameter":
            return self.graph.constant(f"{name}.{node.name}", np.asarray(getattr(self.layer, node.name), np.float32))
        if node.op == "product":
            return self.multiplied(nodes, node, args[0], out)
        if node.op == "part":
            ends = {"start": node.start, "stop": node.start + node.shape[0]}
            cut = [self.graph.constant(f"{out}.{key}", np.array([end], np.int64)) for key, end in ends.items()]
            return nodes.apply("Slice", [*args, *cut, self.last_axis()], out)
        if node.op == "concat":
            if self.varies[place]:
                args = [self.rows(nodes, arg, f"{out}.{k}") for k, arg in enumerate(node.args)]
            return nodes.apply("Concat", args, out, axis=-1)
        if node.op == "total":
            return nodes.apply("ReduceSum", [*args, self.last_axis()], out, keepdims=1)
        if node.op == "largest":  # ReduceMax takes its axes in another way from opset 18 on
            one = self.graph.constant(f"{name}:first", np.array([1], np.int64))
            nodes.node("TopK", [*args, one], out, f"{out}.place", name=out, axis=-1)
            return out
        if node.op == "above":
            is_above = nodes.apply("Greater", args, f"{out}.above")
            return nodes.apply("Where", [is_above, args[0], self.number("zero", 0.0)], out)
        if node.op == "expm1":
            power = nodes.apply("Exp", args, f"{out}.exp")
            return nodes.apply("Sub", [power, self.number("one", 1.0)], out)
        return nodes.apply(OPERATIONS[node.op].onnx, args, out)

    def rows(self, nodes: Nodes, place: int, label: str) -> str:
        """A node for each of a batch, as one that varies has it."""
        if self.varies[place]:
            return self.names[place]
        zero = nodes.apply("Mul", [self.sample, self.number("zero", 0.0)], f"{label}.zeros")
        one = nodes.apply("ReduceSum", [zero, self.last_axis()], f"{label}.zero", keepdims=1)
        return nodes.apply("Add", [one, self.names[place]], f"{label}.rows")

    def multiplied(self, nodes: Nodes, node: Node, vector: str, out: str) -> str:
        """A product; a matrix that multiplies several things is stored for each."""
        count = self.uses[node.name] = self.uses.get(node.name, 0) + 1
        key = f"{self.layer.name}.{node.name}{f'.{count}' if count > 1 else ''}"
        return product(self.graph, getattr(self.layer, node.name), key)(nodes, vector, out)


def _value(name: str, size: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, (None, size))
