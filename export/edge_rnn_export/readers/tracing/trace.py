"""Trace the values in a graph: each has a code of its source, its sample and its feature.

Exporters move axes between layers, and slice, join and reshape. None of that is interpreted here: NumPy applies it to
an array of codes, each with the provenance of its value. An operator that computes then inspects the codes that reach
it. Either they are whole vectors, sample by sample, and become a draft; or they are mixed in a way that a stream cannot
compute, and the operator is refused.

A graph with open axes is traced twice, with two lengths for each (see :mod:`edge_rnn_export.readers.tracing.walk`).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.codes import (
    MAX_SOURCES,
    Codes,
    Signal,
    Source,
    Value,
    coded,
    indexed,
    of_samples,
    parts,
    source_places,
)
from edge_rnn_export.readers.tracing.drafts import Draft, Kind, Vector
from edge_rnn_export.readers.tracing.graph import Graph, Operator, Port
from edge_rnn_export.readers.tracing.lengths import TooLongError
from edge_rnn_export.readers.tracing.rolling import Rolls

__all__ = ["Trace"]


@dataclass(slots=True, eq=False)
class Trace:
    """State of tracing a graph.

    Parameters
    ----------
    sizes
        Length of each open axis, by its name.
    budget, work
        Memory budget for codes, and a budget of codes inspected by all operators together.
    wanted
        Name of the input that has the samples, all others being states; None for the first one that is read.

    Attributes
    ----------
    grid
        ``(time, batch)``: the row of each sample, once a recurrent operator has determined it; None before.
    samples
        The input with the samples, once known.
    leaves
        Parts of inputs that are not samples, as the old values of states.
    """

    graph: Graph
    sizes: Mapping[str, int]
    budget: Budget
    work: Budget
    wanted: str | None = None
    values: ChainMap[str, Value] = field(default_factory=ChainMap)
    operations: int = 0
    sources: list[Source] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    grid: Codes | None = None
    samples: Source | None = None
    leaves: dict[tuple[int, tuple[int, ...]], Draft] = field(default_factory=dict)
    rolls: Rolls = field(default_factory=Rolls)
    parts: dict[tuple[Draft, int, int], Draft] = field(default_factory=dict)
    reads: dict[tuple[Draft, int], Draft] = field(default_factory=dict)

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
        self.values[port.name] = Signal(indexed(place, np.arange(count, dtype=np.int64).reshape(shape)), port.integers)

    def constants(self, array: AnyArray) -> Signal:
        """Constants in the place of a signal, such as the state before the first step of a loop."""
        self.budget.take("a constant", 8 * array.size)
        place = self._source(Source("start", shape=array.shape, numbers=array.reshape(-1)))
        return Signal(indexed(place, np.arange(array.size, dtype=np.int64).reshape(array.shape)))

    def _source(self, source: Source) -> int:
        if len(self.sources) >= MAX_SOURCES:
            raise TooLongError(f"{self.graph.reader} got a graph of more than {MAX_SOURCES} operations.")
        self.sources.append(source)
        return len(self.sources) - 1

    def draft(self, operator: Operator, kind: Kind, size: int, args: Sequence[Vector], **more: Any) -> Draft:
        """Add a draft for an operator; ``operation`` and ``function`` are its own, the others are fields of a layer."""
        own = {key: more.pop(key) for key in ("operation", "function") if key in more}
        made = Draft(kind, operator.title, operator.name, size, tuple(args), more, **own)
        self.drafts.append(made)
        return made

    def put_out(self, draft: Draft, rows: Codes, kind: Literal["y", "h", "c"] = "y", size: int | None = None) -> Signal:
        """Output or state of a layer for the samples in ``rows``, features along a new last axis."""
        size = draft.size if size is None else size
        self.budget.take(f"the {draft.title}", 8 * rows.size * size)
        place = self._source(Source(kind, draft))
        if kind == "y":
            draft.source, draft.rows = place, rows.reshape(-1)
        return Signal(coded(place, rows[..., None], np.arange(size, dtype=np.int64)))

    def decode(self, codes: Codes) -> tuple[Codes, Codes, Codes]:
        """Sources, rows and features of codes; indices in place of features for constants and states."""
        source, row, feature, rest = parts(codes)
        for place in source_places(codes):
            one = self.sources[place]
            here = source == place
            if one is self.samples:
                row[here], feature[here] = of_samples(one, rest[here])
            elif one.kind in ("port", "start"):
                row[here], feature[here] = -1, rest[here]
            if one.draft in self.rolls.same and one.kind == "y":
                source[here] = self.rolls.same[one.draft].source
        return source, row, feature

    @property
    def rows(self) -> int:
        """Number of samples that the graph takes at once."""
        if self.samples is None:
            return 0
        shape, axis = self.samples.shape, self.samples.axis
        return int(np.prod(shape)) // (1 if axis is None else shape[axis])

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

    def grid_of(self, last: Codes) -> Codes:
        """``(time, batch)``: rows of all samples, given those of the last step of each sequence."""
        steps, batch = self.rows // last.size, last.size
        every = np.arange(self.rows)
        by_time, by_batch = every.reshape(steps, batch), every.reshape(batch, steps).T
        return by_time if np.array_equal(np.sort(last), by_time[-1]) else by_batch

    def name_states(self, states: Mapping[Draft, tuple[str, str]]) -> None:
        """Record the layers and states that parts of inputs became."""
        for (place, _), leaf in self.leaves.items():
            delay = self.rolls.begun.get(leaf, leaf)
            if delay in states:
                self.sources[place].states.append((delay, states[delay][1], leaf.fields["places"]))

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
