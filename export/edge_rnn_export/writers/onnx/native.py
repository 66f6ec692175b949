"""Cells whose equation is that of an Elman, GRU or LSTM, found and made such layers, for which ONNX has operators.

Only what an equation computes counts: names of parameters, the order of gates and of terms, one matrix for all gates or
one for each, and ``(1 - z) * n + z * h`` or ``n + z * (h - n)`` are all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from edge_rnn.equations.graph import Node
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.layers import GRU, LSTM, Cell, Elman, Layer
from edge_rnn.model import Model
from edge_rnn.typing import F32, F64

__all__ = ["native_layer", "with_native_cells"]

_MOST_TERMS = 16
_ZERO, _ONE = Node("number", number=0.0), Node("number", number=1.0)


class _Value(NamedTuple):
    """Units of a node: from which on, and how many; 0 of a single number."""

    place: int
    start: int
    size: int


class _Other(Exception):  # noqa: N818 - the answer of a search
    """The equation is another one."""


def with_native_cells(model: Model) -> Model:
    """Return the model with each cell that computes what an Elman, GRU or LSTM does as that layer."""
    layers = tuple((isinstance(layer, Cell) and native_layer(layer)) or layer for layer in model.layers)
    return model if layers == model.layers else replace(model, layers=layers)


def native_layer(cell: Cell) -> Layer | None:
    """Return the Elman, GRU or LSTM that computes the same, with states of the same names; None if there is none."""
    arrays = all(isinstance(value, (np.ndarray, float)) for value in cell.parameters.values())
    names = [name for name, _ in cell.graph.sizes]
    if not arrays or cell.graph.emitted != "h" or sorted(names) not in (["h"], ["c", "h"]):
        return None
    for make in (_lstm,) if "c" in names else (_elman, _gru):
        try:
            layer = make(_Reader(cell))
        except _Other:
            continue
        starts = {f"{name}0": start for name, start in cell.starts.items() if start.any()}
        return layer.replaced(name=cell.name, inputs=cell.inputs, **starts)
    return None


@dataclass(frozen=True, slots=True)
class _Sum:
    """Products of the input and of one other vector, and biases, added up."""

    x: F64
    h: F64
    bias: F64
    other: _Value | None


class _Reader:
    """An equation read from its results to what they are made of."""

    def __init__(self, cell: Cell) -> None:
        self.cell, self.graph = cell, cell.graph
        self.units = dict(self.graph.sizes)["h"]
        self.h = self.state("h")

    def state(self, name: str) -> _Value:
        """The old value of a state."""
        size = dict(self.graph.sizes)[name]
        for place, node in enumerate(self.graph.nodes):
            if node.op == "state" and node.name == name:
                return _Value(place, 0, size)
        raise _Other

    def new(self, name: str) -> _Value:
        """The new value of a state."""
        return self.value(self.graph.new_states[name])

    def value(self, place: int, start: int = 0, size: int = -1) -> _Value:
        """Units of a node, found in what parts are taken of."""
        nodes = self.graph.nodes
        size = (nodes[place].shape[0] if nodes[place].shape else 0) if size < 0 else size
        while nodes[place].op == "part":
            start += nodes[place].start
            place = nodes[place].args[0]
        return _Value(place, start, size) if nodes[place].shape else _Value(place, 0, 0)

    def node(self, value: _Value) -> Node:
        """The node that a value is of."""
        return self.graph.nodes[value.place]

    def args(self, value: _Value, op: str) -> tuple[_Value, ...]:
        """The arguments of an operation unit by unit."""
        node = self.node(value)
        if node.op != op or OPERATIONS[op].rule != "units":
            raise _Other
        return tuple(self.value(arg, value.start, value.size) for arg in node.args)

    def either(self, value: _Value, op: str, fits: Callable[[_Value, _Value], Any]) -> Any:
        """Return what ``fits`` finds in the arguments of a commutative operation, in one order or the other."""
        a, b = self.args(value, op)
        try:
            return fits(a, b)
        except _Other:
            return fits(b, a)

    def is_one_minus(self, value: _Value, z: _Value) -> bool:
        """True if a value is ``1 - z``."""
        try:
            one, rest = self.args(value, "sub")
        except _Other:
            return False
        return self.node(one) == _ONE and rest == z

    def mixed(self, value: _Value) -> tuple[_Value, _Value, _Value]:
        """``z, a, b`` of ``(1 - z) * a + z * b`` or ``a + z * (b - a)``."""

        def of_two(left: _Value, right: _Value) -> tuple[_Value, _Value, _Value]:
            for rest, a in (self.args(left, "mul"), self.args(left, "mul")[::-1]):
                for z, b in (self.args(right, "mul"), self.args(right, "mul")[::-1]):
                    if self.is_one_minus(rest, z):
                        return z, a, b
            raise _Other

        def of_gap(a: _Value, product: _Value) -> tuple[_Value, _Value, _Value]:
            for z, gap in (self.args(product, "mul"), self.args(product, "mul")[::-1]):
                if self.node(gap).op == "sub" and self.args(gap, "sub")[1] == a:
                    return z, a, self.args(gap, "sub")[0]
            raise _Other

        try:
            return tuple(self.either(value, "add", of_two))
        except _Other:
            return tuple(self.either(value, "add", of_gap))

    def terms(self, value: _Value) -> list[_Value]:
        """The terms of a sum, itself if it is none."""
        found, waiting = list[_Value](), [value]
        while waiting:
            each = waiting.pop()
            if self.node(each).op == "add":
                waiting += self.args(each, "add")
            else:
                found.append(each)
            if len(found) + len(waiting) > _MOST_TERMS:
                raise _Other
        return found

    def sum(self, terms: list[_Value]) -> _Sum:
        """Products and biases that are added up."""
        x, h = np.zeros((self.units, self.graph.input_size)), np.zeros((self.units, self.units))
        bias = np.zeros(self.units)
        others: set[_Value] = set()
        for term in terms:
            node, rows = self.node(term), slice(term.start, term.start + self.units)
            if term.size not in (0, self.units):
                raise _Other
            if node.op == "number":
                bias += node.number
            elif node.op == "parameter":
                value = np.asarray(self.cell.parameters[node.name], np.float64)
                bias += value[rows] if value.ndim else value
            elif node.op == "product":
                matrix = np.asarray(self.cell.parameters[node.name], np.float64)[rows]
                vector = self.value(node.args[0])
                if self.node(vector).op == "input" and matrix.shape == x.shape:
                    x += matrix
                elif matrix.shape == h.shape:
                    h += matrix
                    others.add(vector)
                else:
                    raise _Other
            else:
                raise _Other
        if len(others) > 1:
            raise _Other
        return _Sum(x, h, bias, next(iter(others), None))

    def gate(self, value: _Value, op: str) -> _Sum:
        """The sum of the input's and the old state's products that an activation is computed of."""
        (inner,) = self.args(value, op)
        return self.whole(inner)

    def whole(self, value: _Value) -> _Sum:
        """A sum of products of the input and of the old state."""
        found = self.sum(self.terms(value))
        if found.other != self.h or not found.x.any() or not found.h.any():
            raise _Other
        return found


def _elman(read: _Reader) -> Layer:
    new = read.new("h")
    if read.node(new).op == "maximum":
        found = read.either(new, "maximum", lambda a, zero: read.whole(_if(read.node(zero) == _ZERO, a)))
        return _made(Elman, [found], activation="relu")
    return _made(Elman, [read.gate(new, "tanh")])


def _gru(read: _Reader) -> Layer:
    z, a, b = read.mixed(read.new("h"))
    if b == read.h:
        update, candidate, sign = read.gate(z, "sigmoid"), a, 1.0
    elif a == read.h:  # h' = (1 - z) h + z n: a gate that is 1 minus theirs is the sigmoid of minus the sum
        update, candidate, sign = read.gate(z, "sigmoid"), b, -1.0
    else:
        raise _Other
    update = _Sum(sign * update.x, sign * update.h, sign * update.bias, update.other)
    (inner,) = read.args(candidate, "tanh")
    terms = read.terms(inner)
    gated = [term for term in terms if read.node(term).op == "mul"]
    if not gated:
        return _gru_before(read, z, update, read.sum(terms))
    if len(gated) > 1:
        raise _Other
    reads_x = read.sum([term for term in terms if term not in gated])

    def fits(r: _Value, inside: _Value) -> tuple[_Sum, _Sum]:
        return read.gate(r, "sigmoid"), read.sum(read.terms(inside))

    reset, reads_h = read.either(gated[0], "mul", fits)
    if reads_x.h.any() or reads_h.x.any() or reads_h.other != read.h or not reads_x.x.any():
        raise _Other
    new = _Sum(reads_x.x, reads_h.h, reads_x.bias, read.h)
    return _made(GRU, [reset, update, new], hidden_bias=reads_h.bias, reset_after=True)


def _gru_before(read: _Reader, z: _Value, update: _Sum, new: _Sum) -> Layer:
    if new.other is None or not new.x.any():
        raise _Other
    reset = read.either(new.other, "mul", lambda r, h: read.gate(_if(h == read.h and r != z, r), "sigmoid"))
    return _made(GRU, [reset, update, new], reset_after=False)


def _lstm(read: _Reader) -> Layer:
    c, new = read.state("c"), read.new("c")
    if c.size != read.units:
        raise _Other

    def opened(o: _Value, shown: _Value) -> _Sum:
        if read.args(shown, "tanh") != (new,):
            raise _Other
        return read.gate(o, "sigmoid")

    def kept(left: _Value, right: _Value) -> tuple[_Sum, _Sum, _Sum]:
        forget = read.either(left, "mul", lambda f, old: read.gate(_if(old == c, f), "sigmoid"))
        both = read.either(right, "mul", lambda i, g: (read.gate(i, "sigmoid"), read.gate(g, "tanh")))
        return both[0], forget, both[1]

    i, f, g = read.either(new, "add", kept)
    return _made(LSTM, [i, f, g, read.either(read.new("h"), "mul", opened)])


def _if(fits: bool, value: _Value) -> _Value:
    if not fits:
        raise _Other
    return value


def _made(kind: Callable[..., Layer], gates: list[_Sum], hidden_bias: F64 | None = None, **options: Any) -> Layer:
    def joined(parts: list[F64]) -> F32:
        return np.concatenate(parts).astype(np.float32)

    biases: Mapping[str, F32] = {"bias_ih": joined([gate.bias for gate in gates])}
    if hidden_bias is not None:
        zeros = [np.zeros_like(gate.bias) for gate in gates[:-1]]
        biases = {**biases, "bias_hh": joined([*zeros, hidden_bias])}
    biases = {name: bias for name, bias in biases.items() if bias.any()}
    return kind(joined([gate.x for gate in gates]), joined([gate.h for gate in gates]), **biases, **options)
