"""Write variables, which a network keeps from one invocation to the next, as inputs and outputs of the graph.

A variable that is never assigned is the constant with which it is initialized.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_rnn.errors import FileError
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tflite.contents import Contents, Subgraph, Tensor, TfliteOperator
from edge_rnn_export.readers.tflite.writer import Writer
from edge_rnn_export.readers.tracing.graph import Port

__all__ = ["Variables"]

_Key = tuple[str, str]  # container, name


@dataclass(slots=True, eq=False)
class Variables:
    """Variables of the first subgraph of a file.

    Parameters
    ----------
    starts
        Tensors with the initial values.
    assigned
        Variables that the network changes.
    values
        Names of the current values of those that it reads or has assigned.
    ports
        Inputs of the graph for those that it reads before it assigns them, with their names.
    """

    starts: Mapping[_Key, Tensor]
    assigned: frozenset[_Key]
    values: dict[_Key, str] = field(default_factory=dict)
    ports: dict[_Key, Port] = field(default_factory=dict)

    @classmethod
    def of(cls, contents: Contents, operators: Sequence[TfliteOperator]) -> Variables:
        """Variables of a file, from those operators of the first subgraph that are read."""
        main = contents.subgraphs[0]
        starts: dict[_Key, Tensor] = {}
        for operator in main.operators:
            if operator.kind == "CALL_ONCE":
                starts |= _starts(contents, operator)
        changed = (_key(main, each) for each in operators if each.kind == "ASSIGN_VARIABLE")
        return cls(starts, frozenset(changed))

    def read(self, writer: Writer, operator: TfliteOperator, numbers: AnyArray) -> str:
        """Name of a variable's current value; ``numbers`` are its initial ones."""
        key = _key(writer.subgraph, operator)
        if key not in self.values and key not in self.assigned:
            self.values[key] = writer.number(numbers)
        elif key not in self.values:
            if numbers.any():
                raise operator.refuse(
                    "it reads a state that begins with other numbers than zero; reset the states of the network "
                    "before it is converted, such as by reset_states() of its stateful layers."
                )
            tensor = writer.subgraph.tensors[operator.outputs[0]]
            shape = tuple(None if length < 0 else length for length in tensor.signature)
            self.ports[key] = Port(writer.shared.unique(key[1] or tensor.label), shape)
            self.values[key] = self.ports[key].name
        return self.values[key]

    def start(self, subgraph: Subgraph, operator: TfliteOperator) -> Tensor:
        """Tensor with the initial value of the variable that an operator reads."""
        key = _key(subgraph, operator)
        if key not in self.starts:
            raise operator.refuse("it reads a variable that the file does not initialize.")
        return self.starts[key]

    def assign(self, writer: Writer, operator: TfliteOperator) -> None:
        """Change the current value."""
        self.values[_key(writer.subgraph, operator)] = writer.input(operator, 1)


def _key(subgraph: Subgraph, operator: TfliteOperator) -> _Key:
    """Container and name of the variable that an operator reads or assigns."""
    handle = subgraph.producers.get(operator.inputs[0]) if operator.has(0) else None
    if handle is None or handle.kind != "VAR_HANDLE":
        raise operator.refuse("its variable is not that of a VAR_HANDLE of the same graph, such as one in a loop.")
    return str(handle.options["Container"]), str(handle.options["SharedName"])


def _starts(contents: Contents, operator: TfliteOperator) -> dict[_Key, Tensor]:
    """Tensors that a subgraph assigns to variables, which it does before the first invocation."""
    index = operator.options["InitSubgraphIndex"]
    if not 0 < index < len(contents.subgraphs):
        raise operator.damaged(f"has the graph {index}, expected 1 to {len(contents.subgraphs) - 1}.")
    graph, found = contents.subgraphs[index], {}
    for each in graph.operators:
        if each.kind == "VAR_HANDLE":
            continue
        if each.kind != "ASSIGN_VARIABLE" or not each.has(1):
            raise each.refuse("it initializes the network, which only ASSIGN_VARIABLE of constants may do.")
        tensor = graph.tensors[each.inputs[1]]
        if tensor.place in graph.producers:
            raise FileError(f"from_tflite: the {each.label} assigns {tensor.title}, which is computed, not constant.")
        found[_key(graph, each)] = tensor
    return found
