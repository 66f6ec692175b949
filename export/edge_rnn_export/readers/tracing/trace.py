"""Trace the values in an ONNX graph: each has a code of its layer, its sample and its feature.

Exporters move axes between layers, and slice, join and reshape. None of that is interpreted here: NumPy applies it to
an array of codes, each with the provenance of its value. A layer then inspects the codes that reach it. Either they are
whole outputs of other layers, sample by sample, and the layer is read; or they are mixed in a way that a stream cannot
compute, and the node is refused.

A graph with open axes is traced twice, with two lengths for each (see :mod:`edge_rnn_export.readers.tracing.walk`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edge_rnn.errors import UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn.storage.model_file import MAX_LAYERS
from edge_rnn_export.readers.tracing.codes import (
    MAX_SOURCES,
    Codes,
    Signal,
    Source,
    Value,
    coded,
    of_samples,
    parts,
    source_places,
)
from edge_rnn_export.readers.tracing.drafts import Draft, Kind
from edge_rnn_export.readers.tracing.graph import Graph, Operator, Port

__all__ = ["Trace"]

_MAX_FEATURES = 2**16


@dataclass(slots=True, eq=False)
class Trace:
    """State of tracing a graph.

    Parameters
    ----------
    sizes
        Length of each open axis, by its name.
    budget, work
        Memory budget for codes, and a budget of codes inspected by all nodes together.

    Attributes
    ----------
    grid
        ``(time, batch)``: the row of each sample, once a recurrent operator has determined it; None before.
    samples
        The input with the samples, once known.
    """

    graph: Graph
    sizes: Mapping[str, int]
    budget: Budget
    work: Budget
    values: dict[str, Value] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    grid: Codes | None = None
    samples: Source | None = None

    def enter(self, port: Port) -> None:
        """Start tracing an input of the graph."""
        shape = tuple(
            length if isinstance(length, int) else self.sizes[length or f"{port.name} {place}"]
            for place, length in enumerate(port.shape)
        )
        count = 1
        for length in shape:
            count *= length
        self.budget.take(f"the graph's input {port.name[:80]!r} of shape {shape}", 8 * count)
        place = self._source(Source("port", port=port, shape=shape))
        self.values[port.name] = Signal(coded(place, 0, np.arange(count, dtype=np.int64).reshape(shape)), port.integers)

    def _source(self, source: Source) -> int:
        if len(self.sources) >= MAX_SOURCES:
            raise UnsupportedError(f"{self.graph.reader} got a graph of more than {MAX_SOURCES} layers.")
        self.sources.append(source)
        return len(self.sources) - 1

    def draft(self, operator: Operator, kind: Kind, size: int, reads: Sequence[Draft], **fields: Any) -> Draft:
        """Add a layer for an operator."""
        if len(self.drafts) >= MAX_LAYERS:
            raise operator.refuse(f"the graph has more than {MAX_LAYERS} layers.")
        made = Draft(kind, operator.title, operator.name, size, tuple(reads), fields)
        self.drafts.append(made)
        return made

    def put_out(self, draft: Draft, rows: Codes, kind: Literal["y", "h", "c"] = "y", size: int | None = None) -> Signal:
        """Output or state of a layer for the samples in ``rows``, features along a new last axis."""
        size = draft.size if size is None else size
        self.budget.take(f"the {draft.title}", 8 * rows.size * size)
        place = self._source(Source(kind, draft))
        return Signal(coded(place, rows[..., None], np.arange(size, dtype=np.int64)))

    def fixed(self, shape: tuple[int, ...]) -> Codes:
        """Codes of constants that an operator joins to a signal: a loop's outputs before the loop replaces them."""
        place = self._source(Source("fixed", shape=shape))
        return coded(place, 0, np.zeros(shape, np.int64))

    def decode(self, codes: Codes) -> tuple[Codes, Codes, Codes]:
        """Sources, rows and features of codes."""
        source, row, feature, rest = parts(codes)
        if self.samples is not None:
            here = source == self.sources.index(self.samples)
            row[here], feature[here] = of_samples(self.samples, rest[here])
        return source, row, feature

    @property
    def rows(self) -> int:
        """Number of samples that the graph takes at once."""
        assert self.samples is not None
        shape, axis = self.samples.shape, self.samples.axis
        return int(np.prod(shape)) // (1 if axis is None else shape[axis])

    def features(self, operator: Operator, signal: Signal, axis: int = -1) -> tuple[tuple[Draft, ...], Codes]:
        """Resolve what a node reads along an axis of a signal: a concatenation of layers, and the samples.

        Returns
        -------
        reads, rows
            Layers whose concatenated outputs are read. ``rows`` has the signal's shape without the axis.
        """
        self._check_readable(operator, signal)
        codes = np.moveaxis(signal.codes, axis, -1)
        self._settle(operator, codes)
        source, row, feature = self.decode(codes)
        count = codes.shape[-1]
        if count > _MAX_FEATURES:
            raise operator.refuse(f"it reads {count} values per step, expected at most {_MAX_FEATURES}.")
        first = [part.reshape(-1, count)[0] for part in (source, feature)]
        if (row != row[..., :1]).any() or (source != first[0]).any() or (feature != first[1]).any():
            raise operator.refuse(
                f"axis {axis} of what it reads, of shape {signal.codes.shape}, does not hold the values of one step; "
                f"expected steps, batch and features on separate axes, and samples not mixed."
            )
        pattern = [(self._draft_of(operator, int(one)), int(place)) for one, place in zip(*first, strict=True)]
        return self._reads(operator, pattern), row[..., 0]

    def _check_readable(self, operator: Operator, signal: Signal) -> None:
        if not signal.codes.ndim or not signal.codes.size:
            raise operator.refuse(f"it reads a value of shape {signal.codes.shape}.")
        if signal.whole and operator.kind != "Gather":
            raise operator.refuse("it reads integers, which only the table of an Embedding may read.")
        if any(self.sources[place].kind == "fixed" for place in source_places(signal.codes)):
            raise operator.refuse("it reads constants that are concatenated with the outputs of layers.")

    def settle_grid(self, operator: Operator, rows: Codes) -> None:
        """Determine the samples' order in steps and batch from a recurrent operator, or check it."""
        if self.grid is not None:
            if not np.array_equal(rows, self.grid):
                raise operator.refuse(
                    "it takes other samples than the recurrent node before it, or takes them in another order."
                )
            return
        steps = np.diff(rows, axis=0)
        if rows.size != self.rows or (np.sort(rows, axis=None) != np.arange(self.rows)).any():
            raise operator.refuse(f"it takes {rows.size} of {self.rows} input samples; a stream takes each one.")
        if steps.size and ((steps != steps[0, 0]).any() or (steps < 0).any()):
            raise operator.refuse("it takes the samples in another order than that of the input.")
        self.grid = rows

    def take_state(self, operator: Operator, draft: Draft, key: str, codes: Codes) -> None:
        """Record that an initial state of a layer, ``(batch, H)``, is part of an input of the graph."""
        found = source_places(codes)
        source, (_, _, _, places) = self.sources[found[0]], parts(codes)
        if source.kind != "port" or source is self.samples or len(found) > 1:
            raise operator.refuse(
                f"its initial_{key} is computed from samples; expected an input of its own, or numbers."
            )
        earlier = [each for _, _, each in source.states]
        if (np.diff(places, axis=1) != 1).any() or any(np.isin(places, each).any() for each in earlier):
            raise operator.refuse(f"its initial_{key} mixes the units of a state, or is shared with another layer.")
        source.states.append((draft, key, places))

    def only_port(self, signal: Signal) -> Port | None:
        """Input of the graph that a signal belongs to, if to a single one and nothing else."""
        places = source_places(signal.codes)
        return self.sources[places[0]].port if len(places) == 1 else None

    def kinds(self, signal: Signal) -> set[str]:
        """Kinds of the sources of a signal's values."""
        return {self.sources[place].kind for place in source_places(signal.codes)}

    def is_last(self, signal: Signal) -> bool:
        """True if no other layer reads the layers whose outputs or states a signal holds."""
        drafts = [self.sources[place].draft for place in source_places(signal.codes)]
        read = {each for draft in self.drafts for each in draft.reads}
        return not any(draft in read for draft in drafts)

    @property
    def open(self) -> bool:
        """True if an axis of the graph's inputs is open."""
        return bool(self.sizes)

    def _settle(self, operator: Operator, codes: Codes) -> None:
        """Take the input that a node reads as the samples, and determine its feature axis."""
        line = codes.reshape(-1, codes.shape[-1])[0]
        for place, source in self._new_ports(codes):
            of_line, _, _, rest = parts(line)
            places = np.unravel_index(rest[of_line == place], source.shape)
            varying = [axis for axis, each in enumerate(places) if (each != each[0]).any()]
            if len(varying) > 1:
                raise operator.refuse(f"the values that it reads are along axes {varying} of the input, expected one.")
            ones = source.shape[-1:] == (1,)
            self._take_samples(operator, source, varying[0] if varying else len(source.shape) - 1 if ones else None)

    def _new_ports(self, codes: Codes) -> list[tuple[int, Source]]:
        """Inputs of the graph, with their indices, that occur in codes and are not known as the samples."""
        found = [(place, self.sources[place]) for place in source_places(codes)]
        return [(place, source) for place, source in found if source.kind == "port" and source is not self.samples]

    def _take_samples(self, operator: Operator, source: Source, axis: int | None) -> None:
        assert source.port is not None
        if source.states or self.samples is not None:
            other = (
                "" if self.samples is None or not self.samples.port else f" in addition to {self.samples.port.name!r}"
            )
            raise operator.refuse(
                f"it reads the graph's input {source.port.name[:80]!r} as samples{other}; expected one input of "
                f"samples, and states where they are states."
            )
        source.axis, self.samples = axis, source
        size = 1 if axis is None else source.shape[axis]
        source.draft = Draft("input", f"input {source.port.name[:80]!r}", "", size)
        self.drafts.append(source.draft)

    def _draft_of(self, operator: Operator, place: int) -> Draft:
        source = self.sources[place]
        if source.kind == "c":
            raise operator.refuse("it reads a cell state, which no layer of edge_rnn outputs.")
        assert source.draft is not None
        return source.draft

    def _reads(self, operator: Operator, pattern: Sequence[tuple[Draft, int]]) -> tuple[Draft, ...]:
        """Layers that output a pattern of features; a Dense selects them if only parts are taken."""
        whole: list[Draft] = []
        place = 0
        while place < len(pattern) and pattern[place][1] == 0:
            draft = pattern[place][0]
            if list(pattern[place : place + draft.size]) != [(draft, each) for each in range(draft.size)]:
                break
            whole.append(draft)
            place += draft.size
        if place == len(pattern):
            return tuple(whole)
        parts = list(dict.fromkeys(draft for draft, _ in pattern))
        starts = dict(zip(parts, np.cumsum([0, *(draft.size for draft in parts)]), strict=False))
        columns = sum(draft.size for draft in parts)
        self.graph.budget.take(f"the {operator.title}", 4 * len(pattern) * columns)
        weight = np.zeros((len(pattern), columns), np.float32)
        weight[range(len(pattern)), [starts[draft] + each for draft, each in pattern]] = 1
        return (self.draft(operator, "Dense", len(pattern), parts, weight=weight),)

    def place(self, operator: Operator, signal: Signal) -> int:
        """Feature axis of a signal, for elementwise operators.

        If such an operator comes first, the input's last axis is assumed.
        """
        codes = signal.codes
        self._check_readable(operator, signal)
        for _, source in self._new_ports(codes):
            self._take_samples(operator, source, len(source.shape) - 1)
        _, row, _ = self.decode(codes)
        axes = [axis for axis in reversed(range(codes.ndim)) if codes.shape[axis] > 1]
        for axis in axes:
            if (np.moveaxis(row, axis, -1) == np.moveaxis(row, axis, -1)[..., :1]).all():
                return axis
        return codes.ndim - 1
