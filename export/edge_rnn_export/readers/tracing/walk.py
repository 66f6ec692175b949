"""Walk a graph from its inputs to its output, operator by operator, and check that nothing is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.errors import EdgeRnnError, FileError, InputTypeError, UnsupportedError
from edge_rnn.model import Description, Model
from edge_rnn.storage.budget import Budget
from edge_rnn_export.readers.tracing.cells import CELLS
from edge_rnn_export.readers.tracing.codes import Signal, Value
from edge_rnn_export.readers.tracing.control import CONTROL
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.functions import UNARY
from edge_rnn_export.readers.tracing.glue import FOLDS, GLUE, is_whole
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator, Port
from edge_rnn_export.readers.tracing.layering import Finished, finished
from edge_rnn_export.readers.tracing.node import Node
from edge_rnn_export.readers.tracing.operators import OPERATORS, joined
from edge_rnn_export.readers.tracing.part import listed, names_read, part_of
from edge_rnn_export.readers.tracing.rolling import is_alike
from edge_rnn_export.readers.tracing.states import MayBeStateError, Pair, bind_states, check_states, is_state, pairs_of
from edge_rnn_export.readers.tracing.trace import Trace

__all__ = ["DAMAGED", "Reading", "read_graph", "reason_of"]

_TRACED_BYTES, _TRACED_NUMBERS = 2**26, 2**28
# Lengths of open axes, in turn. An operation with a fixed number on an open axis gives different results for the two.
_LENGTHS = ((3, 5, 2, 7, 4, 6), (13, 11, 17, 8, 19, 9))
_MOST_AXES, _LONGEST = 4, 512  # where steps of a fixed number are spelled
_MOST_PORTS = 8  # inputs that are tried as the samples
_MOST_OPERATIONS = 2**15
_DEEPEST = 16  # loops and branches inside each other
_OPEN = "expected sequences of a few thousand steps or of open length"
DAMAGED: tuple[type[Exception], ...] = (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError)
DAMAGED += (RecursionError, MemoryError)
"""Exceptions that a graph which contradicts itself may cause anywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Imported network with the layout of its graph.

    Parameters
    ----------
    output, axis
        Name of the value that is the model's output, and its feature axis; beyond its last axis if it has none.
    trace, layers
        State of the trace; None for a graph that edge_rnn wrote.
    after, given
        Value that was taken as the samples, and constant values of inputs.
    """

    model: Model
    output: str
    axis: int = 2
    trace: Trace | None = None
    layers: Finished | None = None
    after: str | None = None
    given: Mapping[str, ArrayLike] = field(default_factory=dict)


class _Output(Operator):
    """End of a graph, which reads the output like an operator."""

    __slots__ = ()

    @property
    def title(self) -> str:
        return f"value {self.inputs[0][:80]!r}"


def read_graph(
    graph: Graph,
    upto: str | None,
    about: Description,
    *,
    after: str | None = None,
    given: Mapping[str, ArrayLike] | None = None,
    states: Mapping[str, str] | None = None,
) -> Reading:
    """Read a graph.

    Parameters
    ----------
    upto
        Name of the value that is the model's output; None for the graph's only output besides states.
    about
        Description of the model.
    after
        Name of a value that is taken as the samples: what it is computed from is not read.
    given
        Values of inputs that are constant from now on.
    states
        Names of inputs that are states, and of the outputs with their new values.

    Raises
    ------
    FileError
        The graph contradicts itself; the message names the operator.
    UnsupportedError
        A stream cannot compute it, or an operator is unknown.
    InputError, InputTypeError
        An argument does not name a value.
    """
    for name, value in (("upto", upto), ("after", after)):
        if value is not None and not isinstance(value, str):
            raise InputTypeError(f"{graph.reader} {name} got {value!r}, expected the name of a value.")
    try:
        part = part_of(graph, upto, after, given or {})
        return replace(_read_part(part, upto, about, states or {}, after), after=after, given=given or {})
    except EdgeRnnError:
        raise
    except DAMAGED as error:
        raise FileError(f"{graph.reader} got a damaged graph: {reason_of(error)}.") from None


def _read_part(
    graph: Graph, upto: str | None, about: Description, states: Mapping[str, str], after: str | None
) -> Reading:
    """Read a graph; a value inside it whose axes are open may also be a single step of one sequence."""
    try:
        return _read_graph(graph, upto, about, states)
    except (FileError, UnsupportedError):
        if after is None or all(isinstance(length, int) for length in graph.inputs[0].shape):
            raise
        ports = tuple(
            Port(port.name, tuple(length if isinstance(length, int) else 1 for length in port.shape), port.integers)
            for port in graph.inputs
        )
        try:
            return _read_graph(replace(graph, inputs=ports), upto, about, states)
        except (FileError, UnsupportedError):
            pass
        raise


def _read_graph(graph: Graph, upto: str | None, about: Description, states: Mapping[str, str]) -> Reading:
    """Read the graph with two sets of lengths for open axes: both must give the same model."""
    axes = [(port.name, place, length) for port in graph.inputs for place, length in enumerate(port.shape)]
    names = dict.fromkeys(
        length or f"{port} {place}" for port, place, length in axes if length is None or isinstance(length, str)
    )
    sizes = [{name: each[place % len(each)] for place, name in enumerate(names)} for each in _LENGTHS]
    try:
        found = [_with_any_samples(graph, each, upto, about, states) for each in (sizes if names else sizes[:1])]
    except (FileError, UnsupportedError) as error:
        reading = _with_steps_spelled(graph, sizes[0], upto, about, states)
        if reading is None:
            raise error from None
        return reading
    if len({each.model.fingerprint for each in found}) > 1:
        raise UnsupportedError(
            f"{graph.reader} got a graph that computes something else for longer sequences, which a stream cannot; "
            "export it with the length of its sequences fixed."
        )
    return found[-1]


def _with_steps_spelled(
    graph: Graph, sizes: Mapping[str, int], upto: str | None, about: Description, states: Mapping[str, str]
) -> Reading | None:
    """Read a graph that declares open sequences but spells the steps of one length; None if there is no such length.

    An exporter that unrolls a loop fixes its length, and declares the axis as open nevertheless.
    """
    counts = sorted({len(each.outputs) for each in graph.operators if each.kind == "Split" and len(each.outputs) > 2})
    numbers: dict[str, Any] = {**graph.constants}
    numbers |= {each.outputs[0]: each.attributes.get("value") for each in graph.operators if each.kind == "Constant"}
    read = [numbers.get(each.inputs[1]) for each in graph.operators if each.kind == "Gather" and len(each.inputs) > 1]
    places = [each.load() for each in read if isinstance(each, Constant) and not each.floating]
    counts += [max((int(each.reshape(())) + 1 for each in places if each.size == 1), default=0)]
    for axis in list(sizes)[:_MOST_AXES]:
        for count in dict.fromkeys(reversed(counts)):
            if not 2 < count <= _LONGEST:
                continue
            try:
                return _with_any_samples(graph, {**sizes, axis: count}, upto, about, states)
            except (FileError, UnsupportedError):
                continue
    return None


def _with_any_samples(
    graph: Graph, sizes: Mapping[str, int], upto: str | None, about: Description, states: Mapping[str, str]
) -> Reading:
    """Read the graph with the input that is read first as samples, or if that fails with another, others as states."""
    ports = [port.name for port in graph.inputs if port.name not in states][:_MOST_PORTS]
    wanted: list[str | None] = [None] if len(graph.outputs) < 2 and not states else []
    wanted += ports if len(graph.inputs) > 1 else []
    refusal: UnsupportedError | None = None
    for name in wanted or [None]:
        try:
            return _traced(graph, dict(sizes), upto, about, name, states)
        except MayBeStateError:
            raise
        except UnsupportedError as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _traced(
    graph: Graph,
    sizes: dict[str, int],
    upto: str | None,
    about: Description,
    wanted: str | None,
    states: Mapping[str, str],
) -> Reading:
    """Read the graph with these lengths of open axes; ``wanted`` is the input that has the samples."""
    codes, work = (Budget(count, remedy=_OPEN, error=UnsupportedError) for count in (_TRACED_BYTES, _TRACED_NUMBERS))
    trace = Trace(graph, sizes, codes, work, wanted)
    for port in graph.inputs:
        trace.enter(port)
    for operator in graph.operators:
        _run(trace, operator, (graph,))
    pairs = pairs_of(trace, states)
    output = _output(trace, pairs) if upto is None else upto
    end, axis = _end(trace, output)
    bind_states(trace, pairs)
    layers = finished(end, trace.rolls.same, graph.budget)
    check_states(trace, pairs, layers.states, {layer.name: layer for layer in layers.layers})
    if upto is None:
        _check_all_used(trace, layers)
    if trace.samples is None or not layers.layers:
        raise UnsupportedError(f"{graph.reader} found no layer between input and output.")
    assert trace.samples.draft is not None
    trace.name_states(layers.states)
    model = Model(layers.layers, input_size=trace.samples.draft.size, **about)
    return Reading(model, output, axis, trace, layers)


def _run(trace: Trace, operator: Operator, graphs: tuple[Graph, ...]) -> None:
    """Read an operator, and store its outputs; ``graphs`` are those around it, the innermost first."""
    inputs = [None if not name else _value(trace, operator, name, graphs) for name in operator.inputs]
    attributes = dict(operator.attributes)
    node = Node(operator, inputs, attributes, trace)
    if operator.refusal:
        raise node.refuse(operator.refusal)
    if operator.bodies and operator.kind not in CONTROL:
        raise node.damaged(f"has {min(operator.bodies)[:80]}, a graph, expected another type.")
    trace.operations += 1
    if trace.operations > _MOST_OPERATIONS:
        raise node.refuse(f"the loops of the graph take more than {_MOST_OPERATIONS} operations; {_OPEN}.")
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
            _run(trace, operator, (body, *graphs))
        end = _Output("output", "output", body.outputs, (), {}, reader=trace.graph.reader)
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


def _output(trace: Trace, pairs: Mapping[str, Pair]) -> str:
    """Name of the output, the only one that is not a final state; if all are, that of the last layer."""
    kinds: dict[str, set[str]] = {}
    signals: dict[str, Signal] = {}
    for name in trace.graph.outputs:
        value = trace.values.get(name)
        if not isinstance(value, Signal):
            raise FileError(
                f"{trace.graph.reader}: no operator produces the graph's output {name[:80]!r}, or it is constant."
            )
        trace.work.take(f"output {name[:80]!r}", value.codes.size)
        kinds[name], signals[name] = trace.kinds(value), value
    outputs = [name for name, found in kinds.items() if not found <= {"h", "c"}]
    if len(outputs) > 1:
        outputs = [name for name in outputs if not is_state(trace, name, pairs)] or outputs
    if not outputs:
        outputs = [name for name, found in kinds.items() if found == {"h"} and trace.is_last(signals[name])]
    # One value under two names, such as the final state and the output of the same layer, is not a choice.
    if not outputs or any(not np.array_equal(signals[outputs[0]].codes, signals[name].codes) for name in outputs):
        raise UnsupportedError(
            f"{trace.graph.reader} found the outputs {listed(list(kinds))}, expected one besides final states; name "
            f"one by upto=."
        )
    return outputs[0]


def _end(trace: Trace, output: str) -> tuple[Draft, int]:
    """Layer that produces the output, of all steps or of the last; and the feature axis."""
    end = _Output("output", "output", (output,), (), {}, reader=trace.graph.reader)
    signal = Node(end, (trace.values[output],), {}, trace).signal(0)
    axis = trace.place(end, signal)
    rows = np.moveaxis(trace.decode(signal.codes)[1], axis, -1)
    if (rows != rows[..., :1]).any():  # a single output, whose axis was removed
        signal, axis = Signal(signal.codes[..., None]), signal.codes.ndim
    reads, rows = trace.features(end, signal, axis)
    every = np.arange(trace.rows)
    got = np.sort(rows, axis=None)
    if not np.array_equal(got, every):
        for each in reads:
            trace.rolls.roll_back(end, each, trace.rows)
        if trace.grid is None and trace.rolls.same:
            trace.grid = trace.grid_of(got)
        last = every if trace.grid is None else np.sort(trace.grid[-1])
        if not np.array_equal(got, last):
            raise end.refuse(
                f"it holds {got.size} of {every.size} steps of the batch, expected all, or the last of each."
            )
    return joined(Node(end, (), {}, trace), reads), axis


def _check_all_used(trace: Trace, layers: Finished) -> None:
    """Check that no part of the graph was left out."""
    used = {*layers.names, *layers.used}
    for draft in trace.drafts:
        if draft.first_row < 0 or trace.rolls.same.get(draft, draft) in used:
            continue
        if not any(is_alike(draft, each) for each in used if each.title == draft.title or each.kind == draft.kind):
            raise UnsupportedError(
                f"{trace.graph.reader}: the {draft.title} does not contribute to the output; choose one by upto=."
            )
    read = names_read(trace.graph)
    for port in trace.graph.inputs:
        if port.name not in read:
            raise UnsupportedError(
                f"{trace.graph.reader}: nothing reads the input {port.name[:80]!r}; remove it, or name the output by "
                f"upto=."
            )
    for name in trace.graph.constants:
        if name not in read and trace.graph.holds_weights(name):
            raise UnsupportedError(
                f"{trace.graph.reader}: nothing reads the constant {name[:80]!r}; remove it, or name the output by "
                f"upto=."
            )


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
