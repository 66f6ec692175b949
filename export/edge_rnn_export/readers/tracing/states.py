"""States that are inputs and outputs of a graph: pair them, and connect old values with new ones."""

from __future__ import annotations

import re

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.tracing.codes import Signal, Source
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.graph import Operator
from edge_rnn_export.readers.tracing.node import Node
from edge_rnn_export.readers.tracing.operators import joined
from edge_rnn_export.readers.tracing.trace import Trace

__all__ = ["bind_states", "is_state"]

_DIRECTIONS = r"(^|[_.:/-])(in|out|input|output|old|new|prev|previous|next|n|0|1|initial|final)(?=$|[_.:/-])"


def is_state(trace: Trace, name: str) -> bool:
    """True if an output is the new value of a state that is an input, or the final state of a recurrence."""
    if name in _pairs(trace).values():
        return True
    signal = trace.values[name]
    assert isinstance(signal, Signal)
    source, row, _ = trace.decode(signal.codes)
    drafts = [trace.sources[place].draft for place in set(source.reshape(-1).tolist())]
    if trace.rows and len(set(row.reshape(-1).tolist())) == trace.rows:
        return False
    return all(draft in trace.rolls.delays for draft in drafts if draft is not None)


def _pairs(trace: Trace) -> dict[str, str]:
    """Name of the output with the new value of each state that is an input and read as vectors.

    Names tell where they can, as in ``h_in`` and ``h_out``; else inputs and outputs of a shape have the same order.
    """
    read = {place for place, _ in trace.leaves} - set(map(trace.sources.index, ()))
    ports = [trace.sources[place] for place in sorted(read)]
    found: dict[str, str] = {}
    for shape in {port.shape for port in ports}:
        names = [port.port.name for port in ports if port.port and port.shape == shape]
        outputs = [name for name in trace.graph.outputs if _has_shape(trace, name, shape)]
        by_name = {name: [each for each in outputs if _stem(each) == _stem(name)] for name in names}
        if all(len(each) == 1 for each in by_name.values()):
            found.update({name: each[0] for name, each in by_name.items()})
        elif len(names) == len(outputs):
            found.update(zip(names, outputs, strict=True))
        elif len(names) + 1 == len(outputs):
            found.update(zip(names, outputs[1:], strict=True))
    return found


def _stem(name: str) -> str:
    """Name without what tells old from new: ``"h"`` of ``"h_in"``."""
    return re.sub(_DIRECTIONS, "", name.lower().removesuffix(":0"))


def _has_shape(trace: Trace, name: str, shape: tuple[int, ...]) -> bool:
    value = trace.values.get(name)
    return isinstance(value, Signal) and value.codes.shape == shape


def bind_states(trace: Trace, output: str) -> None:
    """Connect the old values of states, parts of inputs, with the new values, the same parts of outputs.

    Raises
    ------
    UnsupportedError
        An input is neither samples nor a state with a new value.
    """
    pairs = _pairs(trace)
    for (place, _), leaf in list(trace.leaves.items()):
        if leaf in trace.rolls.begun or leaf.args:
            continue
        source = trace.sources[place]
        assert source.port is not None
        if source.port.name not in pairs:
            raise _unpaired(trace, source)
        name = pairs[source.port.name]
        operator = Operator("output", "output", (name,), (), reader=trace.graph.reader, label=f"output {name[:80]!r}")
        leaf.args = (_new_value(trace, operator, name, leaf),)


def _new_value(trace: Trace, operator: Operator, name: str, leaf: Draft) -> Draft:
    signal = trace.values[name]
    assert isinstance(signal, Signal)
    codes = signal.codes.reshape(-1)[leaf.fields["places"]]
    reads, _ = trace.features(operator, Signal(codes))
    return joined(Node(operator, (), {}, trace), reads)


def _unpaired(trace: Trace, source: Source) -> UnsupportedError:
    assert source.port is not None
    return UnsupportedError(
        f"{trace.graph.reader}: the graph's input {source.port.name[:80]!r} is neither the samples nor a state: no "
        f"output of the shape {source.shape} holds its new value. Export the states as outputs too, or name a value "
        f"behind that input by upto= or after=."
    )
