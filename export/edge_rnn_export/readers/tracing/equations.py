"""Make a layer by equation of terms that are no layer of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_rnn.equations.graph import Builder
from edge_rnn.equations.symbols import Symbol
from edge_rnn.layers import Cell
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.functions import shortest
from edge_rnn_export.readers.tracing.terms import Leaf, Sum, Term

__all__ = ["layer_of"]


def layer_of(
    reads: Sequence[Draft], states: Mapping[Draft, Term], outputs: Sequence[Term], function: str, **more: Any
) -> tuple[Cell, dict[Draft, str]]:
    """Layer that computes terms by its own equation.

    Parameters
    ----------
    reads
        Vectors whose concatenation the layer reads.
    states
        New values of the states, by their delays.
    outputs
        Terms whose concatenation the layer puts out.
    function
        Name of the equation.
    more
        Name and inputs of the layer.

    Returns
    -------
    layer, names
        The layer, and the names of its states by their delays.

    Raises
    ------
    ModelError
        The equation has too many operations or states.
    """
    names = {delay: f"s{place}" if len(states) > 1 else "h" for place, delay in enumerate(states, start=1)}
    writer = _Writer(reads, names)
    new = {names[delay]: writer.vector(term, delay.size) for delay, term in states.items()}
    output = writer.builder.concat(*(writer.vector(term, term.size) for term in outputs))
    graph = writer.builder.graph(output, new)
    starts = {names[delay]: np.asarray(delay.fields["value"], np.float32) for delay in states}
    used = {name: value for name, value in writer.parameters.items() if name in graph.parameters}
    return Cell(graph, used, starts, function, **more), names


class _Writer:
    """Builder of a graph, with the parameters that it has met."""

    def __init__(self, reads: Sequence[Draft], states: Mapping[Draft, str]) -> None:
        self.parameters: dict[str, AnyArray] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        size = sum(draft.size for draft in reads)
        self.builder = Builder(size, {name: delay.size for delay, name in states.items()}, self._shapes)
        self._states, self._starts = states, {}
        place = 0
        for draft in reads:
            self._starts[draft] = place
            place += draft.size
        self._known: dict[int, int] = {}
        self._arrays: dict[int, str] = {}
        self._kept: list[Any] = []

    def vector(self, term: Term, size: int) -> int:
        """Place of a term as a vector; a single number is broadcast."""
        place = self.place(term)
        if self.builder.nodes[place].shape:
            return place
        zeros = np.zeros(size)
        return self.builder.apply("add", self._parameter(zeros, "zeros"), place)

    def place(self, term: Term) -> int:
        """Place of a term among the nodes."""
        waiting: list[Term] = [term]
        while waiting:
            each = waiting[-1]
            missing = [arg for arg in _vectors(each) if id(arg) not in self._known]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            if id(each) not in self._known:
                self._known[id(each)] = self._made(each)
                self._kept.append(each)
        return self._known[id(term)]

    def _made(self, term: Term) -> int:
        builder = self.builder
        if isinstance(term, Leaf):
            if term.draft in self._states:
                return builder.state(self._states[term.draft])
            return builder.part(builder.input(), self._starts[term.draft], term.size)
        if isinstance(term, Sum):
            return self._sum(term)
        args = [
            self._constants(arg) if isinstance(arg, np.ndarray) else self._fitting(self._known[id(arg)], term, arg.size)
            for arg in term.args
        ]
        made = term.function(*args)
        return made.place if isinstance(made, Symbol) else builder.number(float(made))

    def _fitting(self, place: int, term: Any, size: int) -> Symbol:
        """Symbol of an argument; a vector of one unit next to longer ones becomes a single number."""
        if size == 1 and term.size > 1 and term.operation != "concat" and self.builder.nodes[place].shape:
            place = self.builder.apply("total", place)
        return Symbol(self.builder, place)

    def _constants(self, array: AnyArray) -> Any:
        """Number if all are equal, and a parameter else."""
        if (array == array.reshape(-1)[:1]).all():
            return shortest(float(array.reshape(-1)[0]))
        return Symbol(self.builder, self._parameter(array, "p"))

    def _parameter(self, array: AnyArray, stem: str) -> int:
        return self.builder.parameter(self._named(array, stem))

    def _named(self, array: AnyArray, stem: str) -> str:
        if id(array) not in self._arrays:
            name = f"{stem}_{sum(each.startswith(stem + '_') for each in self._shapes) + 1}"
            self._arrays[id(array)], self.parameters[name], self._shapes[name] = name, array, array.shape
            self._kept.append(array)
        return self._arrays[id(array)]

    def _sum(self, term: Sum) -> int:
        total: Any = None
        constant = None if term.bias is None else np.asarray(term.bias)
        if constant is not None and term.products and all(each.negative for each in term.products):
            total, constant = self._constants(np.broadcast_to(constant, (term.size,))), None
        for each in term.products:
            value: Any = Symbol(self.builder, self._known[id(each.vector)])
            if each.matrix is not None:
                place = value.place
                if not self.builder.nodes[place].shape:
                    place = self.vector(each.vector, each.matrix.shape[1])
                value = Symbol(self.builder, self.builder.product(self._named(each.matrix, "w"), place))
            if total is None:
                total = 0.0 - value if each.negative else value
            else:
                total = total - value if each.negative else total + value
        if constant is not None:
            numbers = self._constants(np.broadcast_to(constant, (term.size,)))
            total = numbers if total is None else total + numbers
        if not isinstance(total, Symbol):
            return self._parameter(np.full(term.size, float(total), np.float32), "p")
        return total.place


def _vectors(term: Term) -> list[Term]:
    if isinstance(term, Leaf):
        return []
    if isinstance(term, Sum):
        return [each.vector for each in term.products]
    return [arg for arg in term.args if not isinstance(arg, np.ndarray)]
