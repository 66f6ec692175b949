"""Choose the output of a graph, and check that nothing else is left out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn_export.readers.tracing.codes import Codes, Signal
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.execution import Output
from edge_rnn_export.readers.tracing.features import feature_axis, features, is_along
from edge_rnn_export.readers.tracing.layering import Finished
from edge_rnn_export.readers.tracing.node import Node
from edge_rnn_export.readers.tracing.part import listed, names_read
from edge_rnn_export.readers.tracing.rolling import is_alike
from edge_rnn_export.readers.tracing.states import Pair, is_state
from edge_rnn_export.readers.tracing.trace import Trace
from edge_rnn_export.readers.tracing.units import joined

__all__ = ["SeveralOutputsError", "check_all_used", "end_of", "output_of"]


class SeveralOutputsError(UnsupportedError):
    """One of several outputs has to be named."""


def output_of(trace: Trace, pairs: Mapping[str, Pair]) -> str:
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
        raise SeveralOutputsError(
            f"{trace.graph.reader} found the outputs {listed(outputs or list(kinds))}, expected one besides final "
            f"states; name one by upto=, or several in a tuple, which are joined."
        )
    return outputs[0]


def end_of(trace: Trace, output: str) -> tuple[Draft, int]:
    """Layer that produces the output, of all steps or of the last; and the feature axis."""
    end = Output("output", "output", (output,), (), {}, reader=trace.graph.reader)
    signal = Node(end, (trace.values[output],), {}, trace).signal(0)
    axis = feature_axis(trace, end, signal)
    if not is_along(trace.decode(signal.codes)[1], axis):  # a single output, whose axis was removed
        signal, axis = Signal(signal.codes[..., None]), signal.codes.ndim
    reads, rows = features(trace, end, signal, axis)
    got = rows.reshape(-1)
    if got.size != trace.rows:
        for each in reads:
            trace.rolls.roll_back(end, each, trace.rows)
        if trace.grid is None and trace.rolls.same and trace.rows % got.size == 0:
            trace.grid = trace.grid_of(np.sort(got))
    if not _is_in_order(trace, rows):
        raise end.refuse(
            f"it holds {got.size} of {trace.rows} steps of the batch, expected all, or the last of each, in order."
        )
    return joined(Node(end, (), {}, trace), reads), axis


def _is_in_order(trace: Trace, rows: Codes) -> bool:
    """True if an output holds all samples in the input's or a recurrence's order, or the last of each sequence."""
    held = np.squeeze(rows)
    every = np.arange(trace.rows)
    if trace.grid is not None:
        orders = [trace.grid, trace.grid.T, trace.grid[-1]]
    elif trace.samples is not None:
        shape = [length for axis, length in enumerate(trace.samples.shape) if axis != trace.samples.axis]
        each = np.squeeze(every.reshape(shape))
        orders = [np.transpose(each, axes) for axes in permutations(range(each.ndim))]
    else:
        orders = []
    return any(np.array_equal(held, np.squeeze(order)) or np.array_equal(held, order.reshape(-1)) for order in orders)


def check_all_used(trace: Trace, layers: Finished) -> None:
    """Check that no part of the graph was left out."""
    used = {*layers.names, *layers.used}
    for draft in trace.drafts:
        if draft.first_row < 0 or trace.rolls.same.get(draft, draft) in used or draft in trace.rolls.simplified:
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
