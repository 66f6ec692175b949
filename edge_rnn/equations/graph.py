"""Graph of an equation: a list of nodes, each computed from earlier ones, so that it has no cycles."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_rnn.equations.operations import OPERATIONS, shape_of
from edge_rnn.errors import ModelError
from edge_rnn.spelling import counted

__all__ = ["MOST_NODES", "MOST_STATES", "NAME", "Builder", "Graph", "Node", "Shape", "SizeFound", "mixed", "spelled"]

MOST_NODES = 512
"""Most nodes of an equation; common cells have 10 to 60."""
MOST_STATES = 16
"""Most states of an equation."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""Names of parameters, states and functions."""

Shape = tuple[int, ...]
"""``()`` for a single number, ``(units,)`` for a vector, ``(rows, columns)`` for a parameter that is a matrix."""

_MOST_UNITS = 1 << 20


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph.

    Parameters
    ----------
    op
        Name of the operation in :data:`edge_rnn.equations.operations.OPERATIONS`.
    args
        Places (indices) of its arguments among the nodes.
    shape
        Shape of its value.
    name
        Name of the parameter or state; for a product, name of the matrix.
    number
        Value of a number.
    start
        First unit of a part.
    """

    op: str
    args: tuple[int, ...] = ()
    shape: Shape = ()
    name: str = ""
    number: float = 0.0
    start: int = 0


_ONE = Node("number", number=1.0)


@dataclass(frozen=True, slots=True)
class Graph:
    """Graph of one step: the output and each new state as functions of parameters, input and old states.

    Parameters
    ----------
    nodes
        Nodes in the order of the equation, each after its arguments.
    input_size
        Length of the input.
    output
        Place of the output's node.
    sizes
        Names and lengths of the states.
    states
        Places of the nodes of the new states, in the order of ``sizes``.
    """

    nodes: tuple[Node, ...]
    input_size: int
    output: int
    sizes: tuple[tuple[str, int], ...]
    states: tuple[int, ...]

    @property
    def output_size(self) -> int:
        """Length of the output."""
        return self.nodes[self.output].shape[0]

    @property
    def new_states(self) -> dict[str, int]:
        """Places of the new states by name."""
        return dict(zip(dict(self.sizes), self.states, strict=True))

    @property
    def roots(self) -> tuple[int, ...]:
        """Places of the output and of all new states, without duplicates, in the order of the equation."""
        return tuple(sorted({self.output, *self.states}))

    @property
    def emitted(self) -> str:
        """Name of the state whose new value is the output; empty if there is no such state."""
        return next((name for name, place in self.new_states.items() if place == self.output), "")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters that the graph reads, in the order of first use."""
        named = (node.name for node in self.nodes if node.op in ("parameter", "product"))
        return tuple(dict.fromkeys(named))

    @property
    def products(self) -> Iterator[tuple[str, Node]]:
        """Name of each product's matrix, and the node that it multiplies."""
        return ((node.name, self.nodes[node.args[0]]) for node in self.nodes if node.op == "product")

    def depends_on(self, *leaves: str) -> list[bool]:
        """For each node whether it is made of one of these: ``"input"``, ``"state"``."""
        found: list[bool] = []
        for node in self.nodes:
            found.append(node.op in leaves or any(found[arg] for arg in node.args))
        return found

    def bias_of(self, matrix: str) -> str | None:
        """Name of the parameter that is added only to the products of a matrix, and to each; None if there is none."""
        products = {place for place, node in enumerate(self.nodes) if node.op == "product" and node.name == matrix}
        sums = [node for node in self.nodes if products.intersection(node.args)]
        if products.intersection(self.roots) or any(node.op != "add" for node in sums):
            return None
        parameters = (place for place, node in enumerate(self.nodes) if node.op == "parameter")
        alone = (place for place in parameters if [node for node in self.nodes if place in node.args] == sums)
        return next((self.nodes[place].name for place in alone), None)

    def gates(self, matrix: str) -> int:
        """Number of equal parts that the products of a matrix are split into; 1 if they are not split."""
        reached: set[int] = set()
        rows, least = 1, 0
        for place, node in enumerate(self.nodes):
            if node.op == "product" and node.name == matrix:
                reached.add(place)
                rows = node.shape[0]
            elif node.op == "part" and node.args[0] in reached and rows % node.shape[0] == 0:
                least = min(least or rows, node.shape[0])
            elif OPERATIONS[node.op].rule == "units" and reached.intersection(node.args):
                reached.add(place)
        return rows // least if least else 1

    def pruned(self) -> Graph:
        """Copy without nodes that neither the output nor a state depends on."""
        kept: set[int] = set()
        waiting = list(self.roots)
        while waiting:
            place = waiting.pop()
            if place not in kept:
                kept.add(place)
                waiting += self.nodes[place].args
        moved: dict[int, int] = {old: new for new, old in enumerate(sorted(kept))}
        nodes = tuple(
            Node(node.op, tuple(moved[a] for a in node.args), node.shape, node.name, node.number, node.start)
            for place, node in enumerate(self.nodes)
            if place in kept
        )
        states = tuple(moved[place] for place in self.states)
        return Graph(nodes, self.input_size, moved[self.output], self.sizes, states)


class SizeFound(Exception):  # noqa: N818 - a signal to the tracer, not an error
    """Signal that an unknown length has been found: its placeholder and its value."""

    def __init__(self, unknown: int, size: int) -> None:
        super().__init__(unknown, size)
        self.unknown, self.size = unknown, size


@dataclass(slots=True)
class Builder:
    """Builder of a graph: checks each operation, and merges equal operations of equal arguments into one node.

    Parameters
    ----------
    input_size, sizes
        Lengths of the input and of the states. A negative number stands for an unknown length: the first operation that
        determines it raises :class:`SizeFound`.
    shapes
        Shapes of the parameters.
    most
        Most nodes.
    """

    input_size: int
    sizes: Mapping[str, int]
    shapes: Mapping[str, Shape]
    most: int = MOST_NODES
    nodes: list[Node] = field(default_factory=list)
    _known: dict[Node, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.sizes) > MOST_STATES:
            raise ModelError(f"An equation got {len(self.sizes)} states, expected at most {MOST_STATES}.")
        for name, size in {"the input": self.input_size, **self.sizes}.items():
            if type(size) is not int or size == 0 or size > _MOST_UNITS:
                raise ModelError(f"An equation got {name} of {size!r} values, expected 1 to {_MOST_UNITS:,}.")

    def put(self, node: Node) -> int:
        """Add a node that has been checked; return its place. An equal node is not added again."""
        place = self._known.get(node)
        if place is None:
            if len(self.nodes) >= self.most:
                raise ModelError(f"An equation has more than {counted(self.most, 'operation')}; split it into layers.")
            place = self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return place

    def input(self) -> int:
        """Add the input; return its place, as do the methods below."""
        return self.put(Node("input", shape=(self.input_size,)))

    def state(self, name: str) -> int:
        """Add the old value of a state."""
        if name not in self.sizes:
            raise ModelError(f"An equation has no state {name!r}, expected {_listed(self.sizes)}.")
        return self.put(Node("state", shape=(self.sizes[name],), name=name))

    def parameter(self, name: str) -> int:
        """Add a parameter that is a vector or a single number."""
        shape = self._shape(name)
        if len(shape) > 1:
            raise ModelError(
                f"{name} is a matrix of {shape[0]} by {shape[1]}; it can only be multiplied: {name} @ vector."
            )
        return self.put(Node("parameter", shape=shape, name=name))

    def number(self, value: float) -> int:
        """Add a constant."""
        if not math.isfinite(value):
            raise ModelError(f"An equation got the number {value}, expected a finite number.")
        return self.put(Node("number", number=float(value)))

    def product(self, name: str, vector: int) -> int:
        """Add a matrix-vector product."""
        shape, given = self._shape(name), self.nodes[vector].shape
        if len(shape) != 2:
            raise ModelError(f"{name} has the shape {shape}, expected a matrix left of @.")
        _unify(given, shape[1:])
        if given != shape[1:]:
            raise ModelError(f"{name} of {shape[0]} by {shape[1]} was multiplied with {spelled(given)}.")
        return self.put(Node("product", (vector,), shape[:1], name))

    def part(self, vector: int, start: int, size: int) -> int:
        """Add the slice of ``size`` units of a vector from ``start`` on."""
        shape = self.nodes[vector].shape
        if shape and shape[0] < 0:
            raise ModelError(
                "A slice was taken of a vector of unknown length; give the length, as in h=20 or input_size=3."
            )
        if len(shape) != 1 or start < 0 or size < 1 or start + size > shape[0]:
            raise ModelError(f"The slice {start}:{start + size} was taken of {spelled(shape)}.")
        return vector if (size,) == shape else self.put(Node("part", (vector,), (size,), start=start))

    def concat(self, *vectors: int) -> int:
        """Add the concatenation of vectors."""
        shapes = [self.nodes[place].shape for place in vectors]
        if not all(len(shape) == 1 for shape in shapes) or not shapes:
            raise ModelError(f"concat got {', '.join(map(spelled, shapes)) or 'no values'}, expected vectors.")
        if any(shape[0] < 0 for shape in shapes):
            raise ModelError("concat got a vector of unknown length; give the length, as in h=20 or input_size=3.")
        size = sum(shape[0] for shape in shapes)
        if size > _MOST_UNITS:
            raise ModelError(f"An equation got a vector of {size:,} values, expected at most {_MOST_UNITS:,}.")
        return vectors[0] if len(vectors) == 1 else self.put(Node("concat", tuple(vectors), (size,)))

    def apply(self, op: str, *args: int) -> int:
        """Add an elementwise operation, or a reduction to a single number."""
        operation = OPERATIONS.get(op)
        if operation is None or operation.rule not in ("units", "reduction"):
            raise ModelError(f"An equation got the operation {op!r}, which does not exist.")
        if len(args) != operation.arity:
            raise ModelError(f"{op} got {counted(len(args), 'argument')}, expected {operation.arity}.")
        shapes = [self.nodes[place].shape for place in args]
        if operation.arity == 2:
            _unify(*shapes)
        shape = shape_of(op, shapes)
        if shape is None:
            raise ModelError(
                f"{op} got {' and '.join(map(spelled, shapes))}, expected vectors of the same length or single numbers."
            )
        return self.put(Node(op, args, shape))

    def graph(self, output: int, states: Mapping[str, int]) -> Graph:
        """Return the graph, given the places of the output and of each new state."""
        for name, size in self.sizes.items():
            if name not in states:
                raise ModelError(f"the state {name!r} has no new value; return it among the new states.")
            shape = self.nodes[states[name]].shape
            _unify(shape, (size,))
            if shape != (size,):
                raise ModelError(f"the new state {name!r} got {spelled(shape)}, expected {counted(size, 'value')}.")
        if unknown := set(states) - set(self.sizes):
            raise ModelError(f"there is no state {min(unknown)!r}, expected {_listed(self.sizes)}.")
        if not self.nodes[output].shape:
            raise ModelError("the output is a single number; expected a vector.")
        for name, size in {"the input": self.input_size, **self.sizes}.items():
            if size < 0:
                raise ModelError(f"the length of {name} is unknown; give it, as in h=20 or input_size=3.")
        sizes = tuple(self.sizes.items())
        places = tuple(states[name] for name in self.sizes)
        return Graph(tuple(self.nodes), self.input_size, output, sizes, places).pruned()

    def _shape(self, name: str) -> Shape:
        if name not in self.shapes:
            raise ModelError(f"An equation has no parameter {name!r}, expected {_listed(self.shapes)}.")
        return self.shapes[name]


def _unify(a: Shape, b: Shape) -> None:
    """Raise SizeFound if only one of two lengths that have to be equal is known."""
    for one, other in ((a, b), (b, a)):
        if len(one) == len(other) == 1 and one[0] < 0 < other[0]:
            raise SizeFound(one[0], other[0])


def spelled(shape: Shape) -> str:
    """Spell the shape of a vector or of a single number: ``"3 values"``, ``"one number"``."""
    return counted(shape[0], "value") if shape else "one number"


def mixed(nodes: Sequence[Node], args: Sequence[int]) -> tuple[int, int, int] | None:
    """Places of z, a and b if the sum of two nodes is ``(1 - z) * a + z * b``; None if it is not."""
    left, right = (nodes[place] for place in args)
    if left.op != "mul" or right.op != "mul":
        return None
    for one, other in ((left, right), (right, left)):
        for rest, a in (one.args, one.args[::-1]):
            if nodes[rest].op == "sub" and nodes[nodes[rest].args[0]] == _ONE:
                for z, b in (other.args, other.args[::-1]):
                    if z == nodes[rest].args[1]:
                        return z, a, b
    return None


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names)) or "none"
