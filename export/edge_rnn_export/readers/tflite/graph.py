"""Make the graph that readers trace of the contents of a ``.tflite`` file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from edge_rnn.errors import FileError, InputError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn_export.readers.tflite.causes import check_kinds
from edge_rnn_export.readers.tflite.cells import CELLS
from edge_rnn_export.readers.tflite.constants import is_real
from edge_rnn_export.readers.tflite.contents import Contents, Subgraph, Tensor, TfliteOperator
from edge_rnn_export.readers.tflite.loops import LISTS, LOOPS
from edge_rnn_export.readers.tflite.moves import MOVES
from edge_rnn_export.readers.tflite.operators import OPERATORS
from edge_rnn_export.readers.tflite.variables import VARIABLES, Variables
from edge_rnn_export.readers.tflite.writer import Given, Shared, Writer
from edge_rnn_export.readers.tracing.graph import Graph, Port

__all__ = ["Network", "graph_of"]

_WRITE = {**OPERATORS, **MOVES, **CELLS, **LOOPS}
_KNOWN = frozenset((*_WRITE, *VARIABLES))
_END = TfliteOperator("", (), (), {}, "", "end of the network")


class Network(NamedTuple):
    """Network of a file.

    Parameters
    ----------
    graph
        Graph with the open axes of the file's signature.
    fixed
        Graph with the lengths of axes in the file; the same if none is open.
    states
        Inputs that are variables, with their new values.
    read
        Constant tensors that it reads.
    heads
        Names of several values up to which it is read; None if its outputs are these.
    """

    graph: Graph
    fixed: Graph
    states: Mapping[str, str]
    read: tuple[Tensor, ...]
    heads: Sequence[str] | None


def graph_of(contents: Contents, begin: int | None, upto: Sequence[int] | None) -> Network:
    """Return the graph of a file's network.

    Parameters
    ----------
    begin, upto
        Index of the tensor from which the network is read, and indices of those up to which it is; or None for its
        inputs and outputs.

    Raises
    ------
    FileError
        The file contradicts itself.
    UnsupportedError
        An operator, an option or a type has no counterpart.
    InputError
        There is no way from ``begin`` to ``upto``.
    """
    main = contents.subgraphs[0]
    begins = main.inputs if begin is None else (begin,)
    ends = main.outputs if upto is None else upto
    if min((*begins, *ends), default=-1) < 0:
        raise FileError("from_tflite got a graph with an input or output that is no tensor.")
    operators = main.operators
    if begin is not None or upto is not None:
        operators = _between(main, begins, ends)
    check_kinds(contents, operators, begins, _KNOWN)
    variables = Variables.of(contents, operators)
    budget = Budget.of_file(contents.file_bytes, error=UnsupportedError)

    def write(writer: Writer, operator: TfliteOperator) -> Sequence[Given]:
        if operator.kind in VARIABLES:
            return variables.write(writer, operator)
        if operator.kind == "CUSTOM":
            return LISTS[operator.custom.removeprefix("Flex")](writer, operator)
        return _WRITE[operator.kind](writer, operator)

    writer, ports = Writer(Shared(contents, budget, write), main, current=_END), list[Port]()
    lengths: dict[str, tuple[int, ...]] = {}
    for place in begins:
        tensor, skipped = _entered(main, operators, main.tensors[place], ends)
        operators = tuple(operator for operator in operators if operator not in skipped)
        ports.append(_port(tensor, writer.shared.unique(tensor.label)))
        writer.names[tensor.place] = ports[-1].name
        lengths[ports[-1].name] = tensor.shape
    writer.write(operators)
    writer.current = _END
    outputs = list(dict.fromkeys(writer.value(_END, main.tensors[place]) for place in ends))
    states = variables.states(writer, outputs)
    graph = writer.graph((*ports, *states), [*outputs, *states.values()])
    is_open = any(length is None for port in ports for length in port.shape)
    inputs = tuple(replace(port, shape=lengths.get(port.name, port.shape)) for port in graph.inputs)
    fixed = replace(graph, inputs=inputs) if is_open else graph
    named = {port.name: name for port, name in states.items()}
    return Network(graph, fixed, named, tuple(writer.shared.read), outputs if len(upto or ()) > 1 else None)


def _between(main: Subgraph, begins: Sequence[int], ends: Sequence[int]) -> tuple[TfliteOperator, ...]:
    """Operators on the way from some tensors to others, in order."""
    needed, found = set(ends) - set(begins), []
    met = set(ends) & set(begins)
    for operator in reversed(main.operators):
        if needed.intersection(operator.outputs):
            found.append(operator)
            met |= set(begins).intersection(operator.inputs)
            needed.update(place for place in operator.inputs if place not in begins)
    for tensor in (main.tensors[place] for place in sorted(needed)):
        computed = tensor.place in main.producers or tensor.data is not None or tensor.variable
        if not computed and (prod(tensor.shape) > 0 or tensor.place in main.inputs):
            wanted = ", ".join(main.tensors[place].title for place in begins[:8])
            raise InputError(
                f"from_tflite traced the output back to {tensor.title}, which no operator produces, and not only to "
                f"{wanted}."
            )
    if not met:
        raise InputError(f"from_tflite found no way from {main.tensors[begins[0]].title} to the output.")
    return tuple(found[::-1])


def _entered(
    main: Subgraph, operators: Sequence[TfliteOperator], tensor: Tensor, ends: Sequence[int]
) -> tuple[Tensor, list[TfliteOperator]]:
    """Tensor that stands for an input, and the operators that are left out.

    A network that reshapes its whole input to one row first, or one row to steps, takes what comes out as samples.
    """
    found, skipped = tensor, list[TfliteOperator]()
    for _ in operators:
        readers = [operator for operator in operators if found.place in operator.inputs]
        if len(readers) != 1 or readers[0].kind != "RESHAPE" or found.place in ends or len(readers[0].outputs) != 1:
            break
        found = main.tensors[readers[0].outputs[0]]
        skipped += readers
    lengths = [[length for length in each.shape if length != 1] for each in (tensor, found)]
    moves = lengths[0] == lengths[1] or min(map(len, lengths)) > 1 or prod(tensor.shape) != prod(found.shape)
    return (tensor, []) if moves else (found, skipped)


def _port(tensor: Tensor, name: str) -> Port:
    if len(tensor.shape) > 8:
        raise UnsupportedError(
            f"from_tflite: the input {tensor.title} has {len(tensor.shape)} axes, expected 8 at most."
        )
    for length in tensor.signature:
        if length == 0:
            raise UnsupportedError(f"from_tflite: the input {tensor.title} has an axis of length 0.")
    shape = tuple(None if length < 0 else length for length in tensor.signature)
    return Port(name, shape, not is_real(tensor))
