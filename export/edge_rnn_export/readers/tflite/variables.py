"""Write variables, which a network keeps from one invocation to the next, as inputs and outputs of the graph.

A variable that is never assigned is the constant with which it is initialized.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_rnn.errors import FileError
from edge_rnn_export.readers.tflite.constants import numbers_of
from edge_rnn_export.readers.tflite.contents import Contents, Tensor, TfliteOperator
from edge_rnn_export.readers.tflite.writer import Given, Key, Writer
from edge_rnn_export.readers.tracing.graph import Port

__all__ = ["VARIABLES", "Variables"]

VARIABLES = ("ASSIGN_VARIABLE", "CALL_ONCE", "READ_VARIABLE", "VAR_HANDLE")
"""Kinds of operators on variables."""


@dataclass(slots=True, eq=False)
class Variables:
    """Variables of a file.

    Parameters
    ----------
    starts
        Tensors with the initial values.
    assigned
        Variables that the network changes.
    values
        Names of the current values of those that it changes.
    ports
        Inputs of the graph for those that it reads before it changes them, and the operators that read them.
    """

    starts: Mapping[Key, Tensor]
    assigned: frozenset[Key]
    values: dict[Key, str] = field(default_factory=dict)
    ports: dict[Key, tuple[Port, TfliteOperator]] = field(default_factory=dict)

    @classmethod
    def of(cls, contents: Contents, operators: Sequence[TfliteOperator]) -> Variables:
        """Variables of a file, from those operators of the first subgraph that are read.

        Raises
        ------
        UnsupportedError
            The file does not hold the initial values of a variable that is read.
        """
        starts: dict[Key, Tensor] = {}
        for operator in contents.subgraphs[0].operators:
            if operator.kind == "CALL_ONCE":
                starts |= _starts(contents, operator)
        keys = _keys(operators)
        missing = {place for place, key in keys.items() if key not in starts}
        readers = [each for each in operators if each.kind != "ASSIGN_VARIABLE" and missing.intersection(each.inputs)]
        if readers:
            first = next((each for each in readers if each.kind == "WHILE"), readers[0])
            name = next(keys[place][1] for place in first.inputs if place in missing)
            raise first.refuse(
                f"the file does not hold the numbers of the variable {name[:80]!r}, and LiteRT cannot run it either; "
                f"convert the network with its weights (TFLiteConverter.from_keras_model), or read the Keras file by "
                f"from_keras."
            )
        changed = (keys.get(each.inputs[0]) for each in operators if each.kind == "ASSIGN_VARIABLE" and each.has(0))
        return cls(starts, frozenset(key for key in changed if key is not None))

    def write(self, writer: Writer, operator: TfliteOperator) -> list[Given]:
        """Write an operator on variables; return what its outputs stand for."""
        if operator.kind == "CALL_ONCE":
            return []
        if operator.kind == "VAR_HANDLE":
            return [_key(operator)]
        key = writer.given(operator, 0)
        if isinstance(key, str):
            raise operator.damaged("has an input 0 that is no variable.")
        if operator.kind == "READ_VARIABLE":
            return [self._read(writer, operator, key)]
        if writer.depth or key not in self.assigned:
            raise operator.refuse("it changes a variable in a loop or a branch, which no layer does.")
        self.values[key] = writer.input(operator, 1)
        return []

    def _read(self, writer: Writer, operator: TfliteOperator, key: Key) -> str:
        """Name of a variable's current value."""
        if key not in self.assigned:
            if key not in self.starts:
                raise operator.refuse("it reads a variable that the file does not initialize.")
            return writer.number(numbers_of(self.starts[key], writer.shared.budget))
        if writer.depth:
            raise operator.refuse("it reads a variable in a loop or a branch that the network changes outside.")
        if key not in self.values:
            tensor = writer.subgraph.tensors[operator.outputs[0]]
            shape = tuple(None if length < 0 else length for length in tensor.signature)
            port = Port(writer.shared.unique(key[1] or tensor.label), shape)
            self.values[key], self.ports[key] = port.name, (port, operator)
        return self.values[key]

    def states(self, writer: Writer, outputs: Sequence[str]) -> dict[Port, str]:
        """Variables that outputs depend on: their inputs of the graph, and the names of their new values.

        All others, such as the seeds of dropout, are left out.
        """
        found: dict[Port, str] = {}
        left = dict(self.ports)
        while True:
            needed = writer.needed([*outputs, *found.values()])
            met = [key for key, (port, _) in left.items() if port.name in needed]
            if not met:
                return found
            for key in met:
                port, operator = left.pop(key)
                if numbers_of(self.starts[key], writer.shared.budget).any():
                    raise operator.refuse(
                        "it reads a state that begins with other numbers than zero; reset the states of the network "
                        "before it is converted, such as by reset_state() of its stateful layers."
                    )
                found[port] = writer.one("Identity", self.values[key])


def _key(operator: TfliteOperator) -> Key:
    return str(operator.options["Container"]), str(operator.options["SharedName"])


def _keys(operators: Sequence[TfliteOperator]) -> dict[int, Key]:
    """Variables by the tensors that stand for them."""
    return {each.outputs[0]: _key(each) for each in operators if each.kind == "VAR_HANDLE" and each.outputs}


def _starts(contents: Contents, operator: TfliteOperator) -> dict[Key, Tensor]:
    """Tensors that a subgraph assigns to variables, which it does before the first invocation."""
    index = operator.options["InitSubgraphIndex"]
    if not 0 < index < len(contents.subgraphs):
        raise operator.damaged(f"has the graph {index}, expected 1 to {len(contents.subgraphs) - 1}.")
    graph, found = contents.subgraphs[index], {}
    keys = _keys(graph.operators)
    for each in graph.operators:
        if each.kind == "VAR_HANDLE":
            continue
        if each.kind != "ASSIGN_VARIABLE" or not each.has(1):
            raise each.refuse("it initializes the network, which only ASSIGN_VARIABLE of constants may do.")
        tensor = graph.tensors[each.inputs[1]]
        if tensor.place in graph.producers or each.inputs[0] not in keys:
            raise FileError(f"from_tflite: the {each.label} assigns what is computed, or to no variable.")
        found[keys[each.inputs[0]]] = tensor
    return found
