"""The graph of an equation: nodes in a row, each made of earlier ones, so that no graph has a circle."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_rnn.equations.operations import OPERATIONS, shape_of
from edge_rnn.errors import ModelError
from edge_rnn.spelling import counted

__all__ = ["MOST_NODES", "MOST_STATES", "Builder", "Graph", "Node", "Shape", "SizeFound"]

MOST_NODES = 512
"""Nodes of an equation; a cell of the usual kind has 10 to 60."""
MOST_STATES = 16
"""States of an equation."""

Shape = tuple[int, ...]
"""``()`` of a single number, ``(units,)`` of a vector, ``(rows, columns)`` of a parameter that is a matrix."""

_MOST_UNITS = 1 << 20


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    Parameters
    ----------
    op
        Its name in :data:`edge_rnn.equations.operations.OPERATIONS`.
    args
        Places of the nodes that it is made of.
    shape
        Of its value.
    name
        Of the parameter or the state; of the matrix in a product.
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


@dataclass(frozen=True, slots=True)
class Graph:
    """What an equation says: the output and each new state, out of parameters, the input and the old states.

    Parameters
    ----------
    nodes
        Each after those that it is made of, in the order of the equation.
    input_size
        Values of the input.
    output
        Place of the node that is put out.
    sizes
        States and their lengths.
    states
        Places of the nodes that are the new states, in the order of ``sizes``.
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
        """Places of all that has to be computed, each once, in the order of the equation."""
        return tuple(sorted({self.output, *self.states}))

    @property
    def emitted(self) -> str:
        """The state whose new value is the output; empty where it is none."""
        return next((name for name, place in self.new_states.items() if place == self.output), "")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters that count, in the order of their first use."""
        named = (node.name for node in self.nodes if node.op in ("parameter", "product"))
        return tuple(dict.fromkeys(named))

    @property
    def products(self) -> Iterator[tuple[str, Node]]:
        """Each matrix, and the node that it is multiplied with."""
        return ((node.name, self.nodes[node.args[0]]) for node in self.nodes if node.op == "product")

    def depends_on(self, *leaves: str) -> list[bool]:
        """For each node whether it is made of one of these: ``"input"``, ``"state"``."""
        found: list[bool] = []
        for node in self.nodes:
            found.append(node.op in leaves or any(found[arg] for arg in node.args))
        return found

    def gates(self, matrix: str) -> int:
        """How many parts of equal length the product of a matrix is taken apart into; 1 if it is not."""
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
        """The same without nodes that nothing depends on."""
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


class SizeFound(Exception):  # noqa: N818 - it is none
    """A length that was not known: what stands for it, and what it turns out to be."""

    def __init__(self, unknown: int, size: int) -> None:
        super().__init__(unknown, size)
        self.unknown, self.size = unknown, size


@dataclass(slots=True)
class Builder:
    """Nodes as they are recorded: the same operation of the same arguments is the same node.

    Parameters
    ----------
    input_size, sizes
        Lengths of the input and of the states. A number below zero stands for one that is not known: the first
        operation that tells it raises :class:`SizeFound`.
    shapes
        Of the parameters.
    most
        Nodes that there may be.
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
        """Place of a node that is known to be right."""
        place = self._known.get(node)
        if place is None:
            if len(self.nodes) >= self.most:
                raise ModelError(f"An equation has more than {counted(self.most, 'operation')}; split it into layers.")
            place = self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return place

    def input(self) -> int:
        """Place of the input."""
        return self.put(Node("input", shape=(self.input_size,)))

    def state(self, name: str) -> int:
        """Place of a state's old value."""
        if name not in self.sizes:
            raise ModelError(f"An equation has no state {name!r}, expected {_listed(self.sizes)}.")
        return self.put(Node("state", shape=(self.sizes[name],), name=name))

    def parameter(self, name: str) -> int:
        """Place of a parameter that is a vector or a single number."""
        shape = self._shape(name)
        if len(shape) > 1:
            raise ModelError(
                f"{name} is a matrix of {shape[0]} by {shape[1]}; it can only be multiplied, by {name} @ …."
            )
        return self.put(Node("parameter", shape=shape, name=name))

    def number(self, value: float) -> int:
        """Place of a number that the equation spells."""
        if not math.isfinite(value):
            raise ModelError(f"An equation got the number {value}, expected a finite one.")
        return self.put(Node("number", number=float(value)))

    def product(self, name: str, vector: int) -> int:
        """Place of matrix times vector."""
        shape, given = self._shape(name), self.nodes[vector].shape
        if len(shape) != 2:
            raise ModelError(f"{name} got the shape {shape}; a matrix has to stand left of @.")
        _unify(given, shape[1:])
        if given != shape[1:]:
            raise ModelError(f"{name} of {shape[0]} by {shape[1]} was multiplied with {_values(given)}.")
        return self.put(Node("product", (vector,), shape[:1], name))

    def part(self, vector: int, start: int, size: int) -> int:
        """Place of the ``size`` units of a vector from ``start`` on."""
        shape = self.nodes[vector].shape
        if shape and shape[0] < 0:
            raise ModelError("A part was taken of a vector whose length nothing tells; give it, as in h=20.")
        if len(shape) != 1 or start < 0 or size < 1 or start + size > shape[0]:
            raise ModelError(f"Values {start} to {start + size} were taken of {_values(shape)}.")
        return vector if (size,) == shape else self.put(Node("part", (vector,), (size,), start=start))

    def concat(self, *vectors: int) -> int:
        """Place of vectors one behind the other."""
        shapes = [self.nodes[place].shape for place in vectors]
        if not all(len(shape) == 1 for shape in shapes) or not shapes:
            raise ModelError(
                f"Vectors can be put one behind the other, not {', '.join(map(_values, shapes)) or 'none'}."
            )
        if any(shape[0] < 0 for shape in shapes):
            raise ModelError("A vector whose length nothing tells was put beside others; give it, as in h=20.")
        size = sum(shape[0] for shape in shapes)
        if size > _MOST_UNITS:
            raise ModelError(f"An equation got a vector of {size:,} values, expected at most {_MOST_UNITS:,}.")
        return vectors[0] if len(vectors) == 1 else self.put(Node("concat", tuple(vectors), (size,)))

    def apply(self, op: str, *args: int) -> int:
        """Place of an operation unit by unit, or of a reduction to one number."""
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
            raise ModelError(f"{op} got {' and '.join(map(_values, shapes))}; expected as many of each, or one number.")
        return self.put(Node(op, args, shape))

    def graph(self, output: int, states: Mapping[str, int]) -> Graph:
        """What has been recorded, given the places of the output and of each new state."""
        for name, size in self.sizes.items():
            if name not in states:
                raise ModelError(f"nobody writes the state {name!r}; return it among the new states.")
            shape = self.nodes[states[name]].shape
            _unify(shape, (size,))
            if shape != (size,):
                raise ModelError(f"the state {name!r} has {counted(size, 'value')} and was given {_values(shape)}.")
        if unknown := set(states) - set(self.sizes):
            raise ModelError(f"there is no state {min(unknown)!r}, expected {_listed(self.sizes)}.")
        if not self.nodes[output].shape:
            raise ModelError("the output is a single number; expected a vector.")
        for name, size in {"the input": self.input_size, **self.sizes}.items():
            if size < 0:
                raise ModelError(f"nothing tells how long {name} is; give it, as in h=20 or input_size=3.")
        sizes = tuple(self.sizes.items())
        places = tuple(states[name] for name in self.sizes)
        return Graph(tuple(self.nodes), self.input_size, output, sizes, places).pruned()

    def _shape(self, name: str) -> Shape:
        if name not in self.shapes:
            raise ModelError(f"An equation has no parameter {name!r}, expected {_listed(self.shapes)}.")
        return self.shapes[name]


def _unify(a: Shape, b: Shape) -> None:
    """Two lengths that have to be the same, of which one may be unknown."""
    for one, other in ((a, b), (b, a)):
        if len(one) == len(other) == 1 and one[0] < 0 < other[0]:
            raise SizeFound(one[0], other[0])


def _values(shape: Shape) -> str:
    return counted(shape[0], "value") if shape else "one number"


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names)) or "none"
