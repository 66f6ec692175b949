"""Walk a graph from its inputs to its output, operator by operator, and check that nothing is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.errors import EdgeRnnError, FileError, InputTypeError, UnsupportedError
from edge_rnn.model import Description, Model
from edge_rnn.storage.budget import Budget
from edge_rnn_export.readers.tracing.causes import check_causes
from edge_rnn_export.readers.tracing.codes import Signal
from edge_rnn_export.readers.tracing.damage import DAMAGED, reason_of
from edge_rnn_export.readers.tracing.execution import run
from edge_rnn_export.readers.tracing.graph import Graph, Port
from edge_rnn_export.readers.tracing.heads import joined
from edge_rnn_export.readers.tracing.layering import Finished, finished
from edge_rnn_export.readers.tracing.lengths import (
    LENGTHS,
    REMEDY,
    TooLongError,
    far_length,
    lengths_told,
    open_axes,
)
from edge_rnn_export.readers.tracing.outputs import SeveralOutputsError, check_all_used, end_of, output_of
from edge_rnn_export.readers.tracing.part import part_of
from edge_rnn_export.readers.tracing.states import (
    MayBeStateError,
    bind_states,
    check_crossed,
    check_states,
    new_values,
    pairs_of,
    stem_of,
)
from edge_rnn_export.readers.tracing.trace import Trace

__all__ = ["Reading", "read_graph"]

_TRACED_BYTES, _TRACED_NUMBERS = 2**26, 2**28
_MOST_AXES = 4  # of open length, that are tried with others
_MOST_PORTS = 8  # inputs that are tried as the samples


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
    assumed
        What was taken for granted; empty if there is nothing.
    heads
        Names of the values that ``output`` joins; empty if it is one value of the graph.
    """

    model: Model
    output: str
    axis: int = 2
    trace: Trace | None = None
    layers: Finished | None = None
    after: str | None = None
    given: Mapping[str, ArrayLike] = field(default_factory=dict)
    assumed: str = ""
    heads: tuple[str, ...] = ()

    @property
    def feature_axis(self) -> tuple[int, int]:
        """Feature axis of the output, and its number of axes."""
        assert self.trace is not None
        value = self.trace.values[self.output]
        assert isinstance(value, Signal)
        return self.axis, value.codes.ndim


def read_graph(
    graph: Graph,
    upto: str | Sequence[str] | None,
    about: Description,
    *,
    after: str | None = None,
    given: Mapping[str, ArrayLike] | None = None,
    states: Mapping[str, str] | None = None,
    ordered: bool = False,
) -> Reading:
    """Read a graph.

    Parameters
    ----------
    upto
        Name of the value that is the model's output, or several names, whose values are joined along the features; None
        for the graph's only output besides states.
    about
        Description of the model.
    after
        Name of a value that is taken as the samples: what it is computed from is not read.
    given
        Values of inputs that are constant from now on.
    states
        Names of inputs that are states, and of the outputs with their new values.
    ordered
        True if states and their new values have the same order for sure, or the caller compares the model with the
        network. Otherwise several states of a shape are paired by names, or if they become those of an LSTM.

    Raises
    ------
    FileError
        The graph contradicts itself; the message names the operator.
    UnsupportedError
        A stream cannot compute it, or an operator is unknown.
    InputError, InputTypeError
        An argument does not name a value.
    """
    names: list[Any] = list(upto) if isinstance(upto, list | tuple) and upto else [upto]
    for argument, value in (*(("upto", each) for each in names if upto is not None), ("after", after or "")):
        if not isinstance(value, str):
            raise InputTypeError(f"{graph.reader} {argument} got {value!r}, expected the name of a value.")

    def read(graph: Graph, name: str | None) -> Reading:
        part = part_of(graph, name, after, given or {}, () if ordered else new_values(graph, states or {}))
        check_causes(part)
        found = _read_part(part, _Request(name, about, states or {}, ordered), after)
        return replace(found, after=after, given=given or {})

    try:
        if len(names) == 1:
            return read(graph, names[0])
        alone = {name: read(graph, name) for name in names}
        whole, title = joined(graph, {name: each.feature_axis for name, each in alone.items()})
        return replace(read(whole, title), heads=tuple(alone))
    except EdgeRnnError:
        raise
    except DAMAGED as error:
        raise FileError(f"{graph.reader} got a damaged graph: {reason_of(error)}.") from None


@dataclass(frozen=True, slots=True)
class _Request:
    """Arguments of :func:`read_graph` that hold for all lengths."""

    upto: str | None
    about: Description
    states: Mapping[str, str]
    ordered: bool


def _read_part(graph: Graph, request: _Request, after: str | None) -> Reading:
    """Read a graph; a value inside it whose axes are open may also be a single step of one sequence."""
    try:
        with np.errstate(all="ignore"):  # numbers that are not finite are refused where they become weights
            return _read_graph(graph, request)
    except (FileError, UnsupportedError) as refusal:
        if after is None or all(isinstance(length, int) for length in graph.inputs[0].shape):
            raise
        ports = tuple(
            Port(port.name, tuple(length if isinstance(length, int) else 1 for length in port.shape), port.integers)
            for port in graph.inputs
        )
        try:
            found = _read_graph(replace(graph, inputs=ports), request)
        except (FileError, UnsupportedError):
            raise refusal from None
        what = f"{after[:80]!r} is a single step of one sequence, and a mean over steps behind it a mean over one"
        return replace(found, assumed=f"{what}; of more it cannot be read")


def _read_graph(graph: Graph, request: _Request) -> Reading:
    """Read the graph with two sets of lengths for open axes: both must give the same model, and so must longer ones."""
    names = open_axes(graph)
    sizes = [{name: each[place % len(each)] for place, name in enumerate(names)} for each in LENGTHS]
    try:
        found = [_with_any_samples(graph, each, request) for each in (sizes if names else sizes[:1])]
    except (FileError, UnsupportedError) as error:
        reading = _with_steps_spelled(graph, sizes[0], request)
        if reading is None:
            raise error from None
        return reading
    far = far_length(graph) if names else 0
    assumed = ""
    for name in names[:_MOST_AXES] if far else ():
        try:
            found.insert(0, _with_any_samples(graph, {**sizes[0], name: far}, request))
        except TooLongError:
            assumed = f"longer sequences compute the same as those of {max(sizes[1].values())} steps"
        except (FileError, UnsupportedError) as error:
            raise UnsupportedError(
                f"{error} This holds for sequences or batches of {far}, not of shorter ones."
            ) from None
    if len({each.model.fingerprint for each in found}) > 1:
        raise UnsupportedError(
            f"{graph.reader} got a graph that computes something else for longer sequences, which a stream cannot; "
            "export it with the length of its sequences fixed."
        )
    return replace(found[-1], assumed=assumed)


def _with_steps_spelled(graph: Graph, sizes: Mapping[str, int], request: _Request) -> Reading | None:
    """Read a graph that declares open sequences but spells the steps of one length; None if there is no such length.

    An exporter that unrolls a loop fixes its length, and declares the axis as open nevertheless.
    """
    counts = lengths_told(graph)
    for axis in list(sizes)[:_MOST_AXES]:
        for count in counts:
            try:
                return _with_any_samples(graph, {**sizes, axis: count}, request)
            except (MayBeStateError, SeveralOutputsError):
                raise
            except (FileError, UnsupportedError):
                continue
    return None


def _with_any_samples(graph: Graph, sizes: Mapping[str, int], request: _Request) -> Reading:
    """Read the graph with the input that is read first as samples, or if that fails with another, others as states."""
    ports = [port.name for port in graph.inputs if port.name not in request.states][:_MOST_PORTS]
    stems = {stem_of(name) for name in graph.outputs} - {""}
    ports.sort(key=lambda name: stem_of(name) in stems)  # an input called as an output is a state
    wanted: list[str | None] = [None] if len(graph.outputs) < 2 and not request.states else []
    wanted += ports if len(graph.inputs) > 1 else []
    refusal: UnsupportedError | None = None
    for name in wanted or [None]:
        try:
            return _traced(graph, dict(sizes), request, name)
        except MayBeStateError:
            raise
        except UnsupportedError as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _traced(graph: Graph, sizes: dict[str, int], request: _Request, wanted: str | None) -> Reading:
    """Read the graph with these lengths of open axes; ``wanted`` is the input that has the samples."""
    codes, work = (Budget(count, remedy=REMEDY, error=TooLongError) for count in (_TRACED_BYTES, _TRACED_NUMBERS))
    trace = Trace(graph, sizes, codes, work, wanted)
    for port in graph.inputs:
        trace.enter(port)
    for operator in graph.operators:
        run(trace, operator, (graph,))
    pairs = pairs_of(trace, request.states, ordered=request.ordered)
    output = output_of(trace, pairs) if request.upto is None else request.upto
    end, axis = end_of(trace, output)
    bind_states(trace, pairs)
    layers = finished(end, trace.rolls.same, graph.budget)
    if not request.ordered:
        check_crossed(trace, request.states)
    check_states(trace, pairs, layers.states, {layer.name: layer for layer in layers.layers})
    if request.upto is None:
        check_all_used(trace, layers)
    if trace.samples is None or not layers.layers:
        raise UnsupportedError(f"{graph.reader} found no layer between input and output.")
    assert trace.samples.draft is not None
    trace.name_states(layers.states)
    model = Model(layers.layers, input_size=trace.samples.draft.size, **request.about)
    return Reading(model, output, axis, trace, layers)
