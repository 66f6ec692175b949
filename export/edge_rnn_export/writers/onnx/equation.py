"""Cells that are their equations, as elementary operators: one node of a graph after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from edge_rnn.equations.graph import Graph, Node
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.errors import UnsupportedError
from edge_rnn_export.writers.onnx.nodes import Nodes
from edge_rnn_export.writers.onnx.products import product, rows_of
from edge_rnn_export.writers.onnx.row_ranges import row_ranges

__all__ = ["equation"]


def equation(graph: Nodes, layer: Any, reads: Sequence[str], wanted: str) -> str:
    """Add the layer, a step as it is, a sequence with states as a Scan; return the name of its output.

    What no state is needed for stands in front of the loop and is done for all steps at once.
    """
    own = wanted if wanted == "y" else f"{layer.name}:y"  # a parameter may be called y
    return _Writer(graph, layer, graph.joined(layer, reads)).add(own)


class _Writer:
    """Units are the last axis; one number is an axis of length 1, or none.

    What has a colon in its name is no parameter and no state.
    """

    def __init__(self, graph: Nodes, layer: Any, x: str) -> None:
        self.graph, self.layer, self.x, self.sample = graph, layer, x, x
        self.equation: Graph = layer.graph
        self.varies = self.equation.depends_on("input", "state")
        self.waits = self.equation.depends_on("state")
        self.ranges = row_ranges(self.equation)
        self.biased = self._biased()
        self.names: dict[int, str] = {}
        self.uses: dict[str, int] = {}
        self.ends: dict[int, str] = {}

    def _biased(self) -> dict[int, tuple[int, int]]:
        """Sums of a product that nothing else reads and a parameter, by place: the product, the parameter."""
        nodes, found = self.equation.nodes, dict[int, tuple[int, int]]()
        uses = Counter(arg for each in nodes for arg in each.args)
        uses.update(self.equation.roots)
        for place, node in enumerate(nodes):
            for a, b in (node.args, node.args[::-1]) if node.op == "add" else ():
                if nodes[a].op == "product" and nodes[b].op == "parameter" and nodes[b].shape and uses[a] == 1:
                    found[place] = a, b
        return found

    def add(self, wanted: str) -> str:
        layer, graph = self.layer, self.equation
        states = {name: f"{layer.name}.{name}" for name, _ in graph.sizes}
        for name in states:
            if f"{name}_out" in {*states, *graph.parameters}:
                raise UnsupportedError(
                    f"{layer.title} has the state {name} and {name}_out, and a graph calls the new state so; call one "
                    f"of them otherwise."
                )
        if states and self.graph.form != "step":
            self.nodes(self.graph, waiting=False)
            return self.loop(states, wanted)
        ends = {place: f"{states[name]}_out" for name, place in reversed(graph.new_states.items())}
        self.name_ends({graph.output: wanted} | ends)
        self.nodes(self.graph, waiting=False)
        self.inside(self.graph, states)
        for name, place in graph.new_states.items():
            self.end(self.graph, place, f"{states[name]}_out")
        return f"{states[graph.emitted]}_out" if graph.emitted else self.end(self.graph, graph.output, wanted)

    def name_ends(self, ends: dict[int, str]) -> None:
        """Have these nodes called so, where a node of the graph computes them."""
        leaves = ("input", "state", "parameter", "number")
        self.ends = {k: name for k, name in ends.items() if self.varies[k] and self.equation.nodes[k].op not in leaves}

    def end(self, nodes: Nodes, place: int, name: str) -> str:
        """A node under this name."""
        if self.names[place] == name:
            return name
        return nodes.apply("Identity", [self.rows(nodes, place, f"{name}.rows")], name)

    def nodes(self, nodes: Nodes, *, waiting: bool) -> None:
        """Add the nodes that wait for a state, or those that do not."""
        inner = {product for product, _ in self.biased.values()}
        for place, node in enumerate(self.equation.nodes):
            if self.waits[place] == waiting and place not in self.names and place not in inner and not self.cuts(place):
                self.names[place] = self.node(nodes, place, node)

    def cuts(self, place: int) -> bool:
        """True for a parameter that only sums read that are computed in part: each reads a part of it."""
        node, nodes = self.equation.nodes[place], self.equation.nodes
        if node.op != "parameter" or place in self.equation.roots or not node.shape:
            return False
        readers = (k for k, each in enumerate(nodes) if place in each.args)
        return all(OPERATIONS[nodes[k].op].rule == "units" and self.length(k) < node.shape[0] for k in readers)

    def inside(self, nodes: Nodes, states: dict[str, str]) -> None:
        """Add the nodes that wait for a state."""
        for place, node in enumerate(self.equation.nodes):
            if node.op == "state":
                self.names[place] = states[node.name]
        self.nodes(nodes, waiting=True)

    def loop(self, states: dict[str, str], wanted: str) -> str:
        """A Scan over time whose body has no axis of directions."""
        layer, name, roots = self.layer, f"{self.layer.name}:step", self.equation.roots
        crossing = {arg for place, node in enumerate(self.equation.nodes) if self.waits[place] for arg in node.args}
        crossing |= {root for root in roots if not self.waits[root]}
        crossing = {place for place in crossing if self.varies[place] and not self.waits[place]}
        # A body has one sample at least, so that it is run as often, and that its output has as many rows.
        scanned = {place: self.names[place] for place in sorted(crossing)}
        if not scanned:
            scanned[-1] = self.x
        outside, self.names = self.names, dict(self.names)
        for place in scanned:
            self.names[place] = f"{name}:at{place}" if place >= 0 else f"{name}:x"
        body = self.graph.body()
        within = {state: f"{name}.{state}" for state in states}
        self.sample = self.names[next(iter(scanned))]
        new = self.equation.new_states
        self.name_ends({place: f"{within[state]}_out" for state, place in reversed(new.items()) if self.waits[place]})
        self.inside(body, within)
        ends = [self.end(body, place, f"{within[state]}_out") for state, place in new.items()]
        ends.append(self.end(body, self.equation.output, f"{name}:y"))
        sizes = [size for _, size in self.equation.sizes]
        lengths = [self.equation.input_size if place < 0 else self.length(place) for place in scanned]
        inputs = [_value(*each) for each in zip(within.values(), sizes, strict=True)]
        inputs += [_value(self.names[place], length) for place, length in zip(scanned, lengths, strict=True)]
        outputs = [_value(*each) for each in zip(ends, [*sizes, self.equation.output_size], strict=True)]
        axis = self.graph.constant(f"{name}:axis", np.array([0], np.int64))
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

    def length(self, place: int) -> int:
        """Number of values of a node that are computed."""
        start, end = self.ranges[place]
        return end - start

    def argument(self, nodes: Nodes, place: int, rows: tuple[int, int], label: str) -> str:
        """Some rows of a node."""
        node, (start, end) = self.equation.nodes[place], rows
        first, last = self.ranges[place]
        if not node.shape or (first, last) == rows:
            return self.names[place]
        if node.op == "parameter":
            values = np.asarray(self.layer.fields[node.name], np.float32)[start:end]
            return self.graph.constant(f"{self.layer.name}.{node.name}.rows{start}", values)
        return self.cut(nodes, self.names[place], start - first, end - first, label)

    def cut(self, nodes: Nodes, value: str, start: int, end: int, out: str) -> str:
        ends = {"start": start, "stop": end}
        bounds = [self.graph.constant(f"{out}.{key}", np.array([each], np.int64)) for key, each in ends.items()]
        return nodes.apply("Slice", [value, *bounds, self.last_axis()], out)

    def node(self, nodes: Nodes, place: int, node: Node) -> str:
        """Add one node; return its value's name."""
        name, out = self.layer.name, self.ends.get(place, f"{self.layer.name}:{place}")
        if node.op == "input":
            return self.x
        if node.op == "number":
            return self.number(f"number{place}", node.number)
        if node.op == "parameter":
            return self.graph.constant(f"{name}.{node.name}", np.asarray(self.layer.fields[node.name], np.float32))
        if node.op == "product":
            return self.multiplied(nodes, place, out)
        if node.op == "part":
            return self.part(nodes, place, node, out)
        if place in self.biased:
            product_, bias = self.biased[place]
            return self.multiplied(nodes, product_, out, self.argument(nodes, bias, self.ranges[place], out))
        is_units = OPERATIONS[node.op].rule == "units"
        wanted = [self.ranges[place] if is_units else (0, (*self.equation.nodes[arg].shape, 1)[0]) for arg in node.args]
        args = [
            self.argument(nodes, a, rows, f"{out}.{k}")
            for k, (a, rows) in enumerate(zip(node.args, wanted, strict=True))
        ]
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

    def part(self, nodes: Nodes, place: int, node: Node, out: str) -> str:
        """A part of a vector; all parts at once, where they are all that there is of it."""
        (whole,) = node.args
        first, last = self.ranges[whole]
        found = [k for k, each in enumerate(self.equation.nodes) if each.op == "part" and each.args == (whole,)]
        found.sort(key=lambda k: self.equation.nodes[k].start)
        begins = [self.equation.nodes[k].start + self.ranges[k][0] for k in found]
        lengths = [self.length(k) for k in found]
        tiles = [first, *np.cumsum(lengths) + first]
        if len(found) > 1 and [*begins, last] == tiles:
            parts = [self.ends.get(k, f"{self.layer.name}:{k}") for k in found]
            sizes = self.graph.constant(f"{self.layer.name}:{whole}.sizes", np.array(lengths, np.int64))
            nodes.node("Split", [self.names[whole], sizes], *parts, name=f"{self.layer.name}:{whole}.split", axis=-1)
            self.names |= zip(found, parts, strict=True)
            return self.names[place]
        rows = node.start + self.ranges[place][0], node.start + self.ranges[place][1]
        return self.argument(nodes, whole, rows, out)

    def rows(self, nodes: Nodes, place: int, label: str) -> str:
        """A node for each of a batch, as one that varies has it."""
        if self.varies[place]:
            return self.names[place]
        zero = nodes.apply("Mul", [self.sample, self.number("zero", 0.0)], f"{label}.zeros")
        one = nodes.apply("ReduceSum", [zero, self.last_axis()], f"{label}.zero", keepdims=1)
        return nodes.apply("Add", [one, self.names[place]], f"{label}.rows")

    def multiplied(self, nodes: Nodes, place: int, out: str, bias: str = "") -> str:
        """A product; a matrix that multiplies several vectors is stored for each, or the rows that each needs."""
        node, rows = self.equation.nodes[place], self.ranges[place]
        matrix, key = self.layer.fields[node.name], f"{self.layer.name}.{node.name}"
        if rows != (0, node.shape[0]):
            matrix, key = rows_of(matrix, slice(*rows)), f"{key}.rows{rows[0]}"
        elif count := self.uses.get(node.name, 0):
            key += f".{count + 1}"
        self.uses[node.name] = self.uses.get(node.name, 0) + 1
        return product(self.graph, matrix, key, bias)(nodes, self.names[node.args[0]], out)


def _value(name: str, size: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, (None, size))
