"""Execute the operators of a graph on constants and traced signals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from edge_rnn.errors import EdgeRnnError, UnsupportedError
from edge_rnn_export.readers.tracing.cells import CELLS
from edge_rnn_export.readers.tracing.codes import Signal, Value
from edge_rnn_export.readers.tracing.control import CONTROL
from edge_rnn_export.readers.tracing.damage import DAMAGED, reason_of
from edge_rnn_export.readers.tracing.functions import UNARY
from edge_rnn_export.readers.tracing.glue import FOLDS, GLUE, is_whole
from edge_rnn_export.readers.tracing.graph import Graph, Operator
from edge_rnn_export.readers.tracing.lengths import REMEDY, TooLongError
from edge_rnn_export.readers.tracing.node import Node
from edge_rnn_export.readers.tracing.operators import OPERATORS
from edge_rnn_export.readers.tracing.trace import Trace

__all__ = ["Output", "run"]

_MOST_OPERATIONS = 2**13  # on signals; operations on constants cost an eighth
_COST = 8
_DEEPEST = 16  # loops and branches inside each other


class Output(Operator):
    """End of a graph, which reads the output like an operator."""

    __slots__ = ()

    @property
    def title(self) -> str:
        return f"value {self.inputs[0][:80]!r}"


def run(trace: Trace, operator: Operator, graphs: tuple[Graph, ...]) -> None:
    """Read an operator, and store its outputs; ``graphs`` are those around it, the innermost first."""
    inputs = [None if not name else _value(trace, operator, name, graphs) for name in operator.inputs]
    attributes = dict(operator.attributes)
    node = Node(operator, inputs, attributes, trace)
    if operator.refusal:
        raise node.refuse(operator.refusal)
    if operator.bodies and operator.kind not in CONTROL:
        raise node.damaged(f"has {min(operator.bodies)[:80]}, a graph, expected another type.")
    trace.operations += _COST if any(isinstance(value, Signal) for value in inputs) else 1
    if trace.operations > _COST * _MOST_OPERATIONS:
        raise TooLongError(
            str(node.refuse(f"the loops of the graph take more than {_MOST_OPERATIONS} operations; {REMEDY}."))
        )
    trace.work.take(f"the {node.title}", sum(value.codes.size for value in inputs if isinstance(value, Signal)))
    try:
        if operator.kind in CONTROL:
            found: Sequence[Value] = CONTROL[operator.kind](node, partial(_run_body, trace, graphs))
        else:
            found = _read(node)
    except EdgeRnnError:
        raise
    except DAMAGED as error:
        raise node.damaged(f"does not fit what it reads: {reason_of(error)}.") from None
    if attributes:
        raise node.refuse(f"it has {', '.join(attributes)[:80]}, which is unknown for such a node.")
    trace.values.update({name: value for name, value in zip(operator.outputs, found, strict=False) if name})


def _run_body(trace: Trace, graphs: tuple[Graph, ...], body: Graph, values: Sequence[Value]) -> list[Value]:
    """Execute the body of a Loop, Scan or If, whose names hide those around it, and return its outputs."""
    if len(graphs) > _DEEPEST:
        raise UnsupportedError(f"{trace.graph.reader} got loops and branches inside each other, more than {_DEEPEST}.")
    outside = trace.values
    trace.values = outside.new_child({port.name: value for port, value in zip(body.inputs, values, strict=True)})
    try:
        for operator in body.operators:
            run(trace, operator, (body, *graphs))
        end = Output("output", "output", body.outputs, (), {}, reader=trace.graph.reader)
        return [_value(trace, end, name, (body, *graphs)) for name in body.outputs]
    finally:
        trace.values = outside


def _value(trace: Trace, operator: Operator, name: str, graphs: Sequence[Graph]) -> Value:
    if name in trace.values:
        return trace.values[name]
    for graph in graphs:
        if name in graph.constants:
            return graph.constant(name)
    raise operator.damaged(f"reads {name[:80]!r}, which no node before it produces.")


def _read(node: Node) -> Sequence[Value]:
    signals = [isinstance(value, Signal) for value in node.inputs]
    if node.kind in CELLS:
        return CELLS[node.kind](node)
    if node.kind in ("MatMul", "Gemm") and not any(signals):
        node = _with_state(node)
        signals = [isinstance(value, Signal) for value in node.inputs]
    if node.kind in OPERATORS and any(signals) and not (node.kind == "Gather" and signals[0]):
        return [OPERATORS[node.kind](node)]
    computed = node.kind not in ("Shape", "Size") and any(signals)
    table = GLUE if computed else FOLDS
    if not computed and node.kind not in table and node.kind in UNARY:
        array = node.numbers(0)
        return [np.asarray(UNARY[node.kind](node).call(array.astype(np.float64)), array.dtype)]
    if node.kind not in table:
        known = ", ".join(sorted({*CELLS, *CONTROL, *OPERATORS, *GLUE}))
        raise node.refuse(f"it is not one of {known}." if computed else "it computes numbers in an unknown way.")
    whole = computed and is_whole(node)
    found = [np.asarray(array) for array in table[node.kind](node)]
    for array in found:
        if not any(np.may_share_memory(array, _array(value)) for value in node.inputs if value is not None):
            node.budget.take(f"the {node.title}", array.nbytes)
    return [Signal(array, whole) for array in found] if computed else found


def _with_state(node: Node) -> Node:
    """Take constants that a matrix multiplies as a state before the first step, if they are the same in all rows."""
    array = node.numbers(0)
    rows = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array[None]
    if array.dtype.kind != "f" or node.numbers(1).ndim != 2 or not rows.size or (rows != rows[:1]).any():
        return node
    return Node(node.operator, [node.trace.constants(array), *node.inputs[1:]], node.attributes, node.trace)


def _array(value: Signal | np.ndarray) -> np.ndarray:
    return value.codes if isinstance(value, Signal) else value
