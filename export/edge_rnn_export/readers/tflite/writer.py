"""Write the operators of a subgraph as ONNX operators, which the tracing engine reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from edge_rnn.errors import EdgeRnnError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tflite.constants import is_real, numbers_of
from edge_rnn_export.readers.tflite.contents import Contents, Subgraph, Tensor, TfliteOperator, shape_text
from edge_rnn_export.readers.tracing.damage import DAMAGED, reason_of
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator, Port

__all__ = ["READER", "Given", "Key", "Shared", "Writer"]

READER = "from_tflite"

_MAX_OPERATORS = 2**14  # of all graphs together, written
_MAX_DEPTH = 8  # of loops in loops

Key = tuple[str, str]
"""Container and name of a variable."""

Given = str | Key
"""What a tensor stands for: a value by its name in the graph, or a variable."""

# Parts of names that Keras adds below that of a layer.
_INNER = re.compile(r"(while|(simple_rnn|gru|lstm)_cell|BiasAdd)(_\d+)?|Tensordot")


@dataclass(slots=True)
class Shared:
    """State that the writers of all subgraphs of a file share.

    Parameters
    ----------
    write
        Function that writes an operator, and returns the names of its outputs.
    left
        Number of operators that may still be written.
    used
        Names of values that are taken.
    read
        Constant tensors that have been read.
    """

    contents: Contents
    budget: Budget
    write: Callable[[Writer, TfliteOperator], Sequence[Given]]
    left: int = _MAX_OPERATORS
    used: set[str] = field(default_factory=set)
    read: list[Tensor] = field(default_factory=list)

    def unique(self, wanted: str) -> str:
        """Return a name that is not taken: the wanted one, or that with a number."""
        name, count = wanted, len(self.used)
        while name in self.used or not name:
            name, count = f"{wanted}#{count}", count + 1
        self.used.add(name)
        return name


@dataclass(slots=True, eq=False)
class Writer:
    """Graph under construction.

    Parameters
    ----------
    names, variables
        Names of values, and variables, by tensor of the subgraph.
    operators, constants
        Contents of the graph. Writers of subgraphs that are written in line have these in common.
    depth
        Number of subgraphs around this one.
    """

    shared: Shared
    subgraph: Subgraph
    depth: int = 0
    names: dict[int, str] = field(default_factory=dict)
    variables: dict[int, Key] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    current: TfliteOperator | None = None

    def __post_init__(self) -> None:
        if self.depth > _MAX_DEPTH:
            raise UnsupportedError(f"{READER} got loops in loops, more than {_MAX_DEPTH} deep; expected fewer.")

    def write(self, operators: Iterable[TfliteOperator]) -> None:
        """Write operators of the subgraph in order."""
        for operator in operators:
            self.current, start = operator, len(self.operators)
            try:
                found = self.shared.write(self, operator)
            except EdgeRnnError:
                raise
            except DAMAGED as error:
                raise operator.damaged(f"does not fit what it reads: {reason_of(error)}.") from None
            if len(found) != len(operator.outputs):
                raise operator.damaged(f"has {len(operator.outputs)} outputs, expected {len(found)}.")
            for place, given in zip(operator.outputs, found, strict=True):
                if isinstance(given, str) and place >= 0:
                    given = self._renamed(start, given, self.subgraph.tensors[place].label)
                self._give(place, given)

    def _give(self, place: int, given: Given) -> None:
        if isinstance(given, str):
            self.names[place] = given
        else:
            self.variables[place] = given

    def _renamed(self, start: int, name: str, wanted: str) -> str:
        """Call a value that has been written since ``start`` after its tensor."""
        if not any(name in operator.outputs for operator in self.operators[start:]):
            return name  # that of an input or a constant
        given = self.shared.unique(wanted)

        def new(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(given if each == name else each for each in names)

        for place in range(start, len(self.operators)):
            one = self.operators[place]
            self.operators[place] = replace(one, inputs=new(one.inputs), outputs=new(one.outputs))
        return given

    def add(
        self,
        kind: str,
        *inputs: str,
        outputs: int = 1,
        bodies: dict[str, Graph] | None = None,
        beyond: dict[str, Any] | None = None,
        **attributes: Any,
    ) -> list[str]:
        """Add an ONNX operator, and return the names of its outputs."""
        operator = self.current
        assert operator is not None
        self.shared.left -= 1
        if self.shared.left < 0:
            raise UnsupportedError(f"{READER} got a file of more than {_MAX_OPERATORS} operators; expected fewer.")
        made = [self.shared.unique(f"{operator.label} {kind}") for _ in range(outputs)]
        about: dict[str, Any] = {"reader": READER, "label": operator.label, "beyond": beyond or {}}
        if not self.depth:
            about["advice"] = self.subgraph.advice(operator, skips=False)
        name = _layer_name(self.subgraph, operator)
        self.operators.append(Operator(kind, name, inputs, tuple(made), attributes, bodies or {}, **about))
        return made

    def one(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an ONNX operator with one output."""
        return self.add(kind, *inputs, **attributes)[0]

    def number(self, value: Any, dtype: Any = None) -> str:
        """Add a constant."""
        name = self.shared.unique("constant")
        self.constants[name] = Constant.of(np.asarray(value, dtype))
        return name

    def tensor(self, operator: TfliteOperator, position: int, what: str = "") -> Tensor:
        """Tensor that an operator reads."""
        if not operator.has(position):
            raise operator.damaged(f"has no {what}{', which is its ' if what else ''}input {position}.")
        return self.subgraph.tensors[operator.inputs[position]]

    def input(self, operator: TfliteOperator, position: int, what: str = "") -> str:
        """Name of the value that an operator reads."""
        return self.value(operator, self.tensor(operator, position, what))

    def given(self, operator: TfliteOperator, position: int) -> Given:
        """Value or variable that an operator reads."""
        tensor = self.tensor(operator, position)
        return self.variables.get(tensor.place) or self.value(operator, tensor)

    def value(self, operator: TfliteOperator, tensor: Tensor) -> str:
        """Name of a tensor's value; a constant is added once it is read."""
        if tensor.place not in self.names:
            if not self._is_stored(tensor):
                raise operator.damaged(f"reads {tensor.title}, which no operator before it produces.")
            name = self.names[tensor.place] = self.shared.unique(tensor.label)
            self.shared.read.append(tensor)
            self.constants[name] = Constant(is_real(tensor), partial(numbers_of, tensor, self.shared.budget))
        return self.names[tensor.place]

    def constant(self, operator: TfliteOperator, position: int, what: str) -> AnyArray:
        """Return the numbers of an input that has to be constant.

        Raises
        ------
        FileError
            The input is missing, or its data do not fit.
        UnsupportedError
            It is computed.
        """
        tensor = self.tensor(operator, position, what)
        name = self.names.get(tensor.place, "")
        if name in self.constants:
            return self.constants[name].load()
        if name or not self._is_stored(tensor):
            raise operator.refuse(f"its {what}, {tensor.title}, is not stored in the file but computed.")
        self.shared.read.append(tensor)
        return numbers_of(tensor, self.shared.budget)

    def stored(self, operator: TfliteOperator, position: int) -> AnyArray | None:
        """Numbers of an input, or None if it is computed."""
        tensor = self.tensor(operator, position)
        is_stored = self.names.get(tensor.place, "") in self.constants or self._is_stored(tensor)
        return self.constant(operator, position, "") if is_stored else None

    def _is_stored(self, tensor: Tensor) -> bool:
        computed = tensor.place in self.subgraph.producers or tensor.variable
        return not computed and (tensor.data is not None or prod(tensor.shape) == 0)

    def array(self, operator: TfliteOperator, position: int, what: str, shape: Sequence[int]) -> AnyArray:
        """Return real numbers of an input that has to be constant, after checking its shape."""
        found = self.constant(operator, position, what)
        if found.dtype.kind != "f":
            raise operator.damaged(f"has {what} of {found.dtype}, expected real numbers.")
        if found.shape != tuple(shape):
            raise operator.damaged(f"{what} got shape {shape_text(found.shape)}, expected {shape_text(shape)}.")
        return found

    def inlined(self, operator: TfliteOperator, index: int, inputs: Sequence[Given]) -> list[Given]:
        """Write a subgraph among the operators of this one, and return the names of its outputs."""
        inner = Writer(
            self.shared,
            self._subgraph(operator, index, len(inputs)),
            self.depth + 1,
            operators=self.operators,
            constants=self.constants,
        )
        for place, given in zip(inner.subgraph.inputs, inputs, strict=True):
            inner._give(place, given)
        inner.write(inner.subgraph.operators)
        tensors = (inner.subgraph.tensors[place] for place in inner.subgraph.outputs)
        return [inner.variables.get(tensor.place) or inner.value(operator, tensor) for tensor in tensors]

    def _subgraph(self, operator: TfliteOperator, index: int, inputs: int) -> Subgraph:
        graphs = self.shared.contents.subgraphs
        if not 0 < index < len(graphs):
            raise operator.damaged(f"has the graph {index}, expected 1 to {len(graphs) - 1}.")
        if len(graphs[index].inputs) != inputs or min((*graphs[index].inputs, *graphs[index].outputs), default=0) < 0:
            raise operator.damaged(f"has a graph of {len(graphs[index].inputs)} inputs, expected {inputs}.")
        return graphs[index]

    def body(
        self,
        operator: TfliteOperator,
        inputs: Sequence[str],
        write: Callable[[Writer], Sequence[str]],
    ) -> Graph:
        """Return the graph of a loop or a branch, whose operators a function writes; it returns the outputs."""
        inner = Writer(self.shared, self.subgraph, self.depth, current=operator)
        given = write(inner)
        made = {name for each in inner.operators for name in each.outputs}
        own = [name in made and given.count(name) == 1 for name in given]  # others are inputs, constants or there twice
        outputs = [name if is_own else inner.one("Identity", name) for name, is_own in zip(given, own, strict=True)]
        ports = tuple(Port(name, ()) for name in inputs)
        return inner.graph(ports, outputs)

    def graph(self, inputs: tuple[Port, ...], outputs: Sequence[str]) -> Graph:
        """Return the graph of the operators, and of the constants, that the outputs depend on."""
        needed = self.needed(outputs)
        operators = tuple(each for each in self.operators if needed.intersection(each.outputs))
        constants = {name: constant for name, constant in self.constants.items() if name in needed}
        return Graph(operators, inputs, tuple(outputs), constants, self.shared.budget, reader=READER)

    def needed(self, outputs: Iterable[str]) -> set[str]:
        """Names of values that outputs depend on, with the outputs."""
        found = set(outputs)
        for operator in reversed(self.operators):
            if found.intersection(operator.outputs):
                found.update(_read([operator]))
        return found


def _read(operators: Iterable[Operator]) -> Iterator[str]:
    """Names of values that operators read, also in their bodies."""
    for operator in operators:
        yield from operator.inputs
        for body in operator.bodies.values():
            yield from _read(body.operators)


def _layer_name(subgraph: Subgraph, operator: TfliteOperator) -> str:
    """Name for layers, before a slash: of ``a/rnn_1/while/gru_cell/MatMul;…`` the part ``rnn_1``.

    It is found in the name of an output, else in that of a constant that the operator reads.
    """
    constants = (place for place in operator.inputs if place >= 0 and subgraph.tensors[place].data is not None)
    for place in (*operator.outputs, *constants):
        parts = subgraph.tensors[place].name.split(";")[0].split("/") if place >= 0 else []
        ends = [at for at, part in enumerate(parts) if _INNER.fullmatch(part)]
        kept = parts[: ends[0]] if ends else parts[:-1]
        if kept and kept[-1]:
            return f"{kept[-1]}/{operator.kind}"
    return ""
