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

from edge_rnn.errors import UnsupportedError
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
from edge_rnn_export.readers.tracing.rolling import Rolls

__all__ = ["Trace"]

_MAX_FEATURES = 2**16
_MAX_RUNS = 16  # beyond, parts of vectors are picked by a matrix
_NO_STEP = (
    "does not hold the values of one step; expected steps, batch and features on separate axes, and samples not mixed."
)


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
    _parts: dict[tuple[Draft, int, int], Draft] = field(default_factory=dict)
    _reads: dict[tuple[Draft, int], Draft] = field(default_factory=dict)

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
            raise UnsupportedError(f"{self.graph.reader} got a graph of more than {MAX_SOURCES} operations.")
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

    def features(self, operator: Operator, signal: Signal, axis: int = -1) -> tuple[tuple[Draft, ...], Codes]:
        """Resolve what an operator reads along an axis of a signal: a concatenation of vectors, and the samples.

        Returns
        -------
        reads, rows
            Vectors whose concatenation is read. ``rows`` has the signal's shape without the axis: the latest sample of
            each, -1 if all are from before the first step.
        """
        self._check_readable(operator, signal)
        codes = np.moveaxis(signal.codes, axis, -1)
        self._settle(operator, codes)
        count = codes.shape[-1]
        if count > _MAX_FEATURES:
            raise operator.refuse(f"it reads {count} values per step, expected at most {_MAX_FEATURES}.")
        flat = codes.reshape(-1, count)
        source, row, feature = self.decode(flat)
        if (source != source[0]).any():
            self._roll(operator, flat)
            source, row, feature = self.decode(flat)
        edges = np.flatnonzero((source[0, 1:] != source[0, :-1]) | self._jumps(source[0], feature[0])) + 1
        starts, ends = [0, *edges.tolist()], [*edges.tolist(), count]
        rows = row.max(axis=1)
        constant = [self.sources[place].kind == "start" for place in source[:, starts].reshape(-1).tolist()]
        if any(constant) and not all(constant) and rows.size == self.rows:
            raise operator.refuse("it reads constants that are concatenated with the outputs of layers.")
        if (source != source[0]).any() or not self._is_steady(source[0], row, feature, starts):
            raise operator.refuse(f"axis {axis} of what it reads, of shape {signal.codes.shape}, {_NO_STEP}")
        self._check_lags(operator, row[:, starts], rows)
        runs = [(int(source[0, begin]), feature[:, begin:end]) for begin, end in zip(starts, ends, strict=True)]
        reads = self._vectors(operator, runs)
        if rows.size != self.rows:
            reads = tuple(self._at(each, row[:, start]) for each, start in zip(reads, starts, strict=False))
        return reads, rows.reshape(codes.shape[:-1])

    def _at(self, draft: Draft, rows: Codes) -> Draft:
        """Value at one step of a vector that is computed for all steps."""
        if draft.kind in ("start", "delay") or not (draft.whole or draft.rows is None or draft.rows.size == self.rows):
            return draft
        key = (draft, int(rows[0]))
        if key not in self._reads:
            self._reads[key] = Draft(
                "op", draft.title, draft.name, draft.size, (draft,), operation="at", function=lambda x: x, rows=rows
            )
        return self._reads[key]

    def _jumps(self, source: Codes, feature: Codes) -> Codes:
        """True where a feature does not follow the one before it; the indices of states and constants need not."""
        loose = np.array([self.sources[place].kind in ("port", "start") for place in source[1:].tolist()], bool)
        loose &= source[1:] != (-1 if self.samples is None else self.sources.index(self.samples))
        jumps: Codes = (feature[1:] != feature[:-1] + 1) & ~loose
        return jumps

    def _is_steady(self, source: Codes, row: Codes, feature: Codes, starts: list[int]) -> bool:
        """True if all lines read the same features, each run of them of a single sample."""
        each = np.searchsorted(starts, np.arange(len(source)), side="right") - 1
        if (row != row[:, starts][:, each]).any():
            return False
        for place in set(source.tolist()):
            one, here = self.sources[place], source == place
            lines = feature[:, here]
            if (row[0, here] != row[0, here][0]).any():
                return False
            if one.kind == "start" and one.numbers is not None:
                lines = one.numbers[lines]
            elif one.kind == "port" and one is not self.samples:
                lines = lines - lines[:, :1]
            if (lines != lines[:1]).any():
                return False
        return True

    def _check_lags(self, operator: Operator, row: Codes, rows: Codes) -> None:
        """Check that parts of what is read are equally far apart at each sample, and together if all are read."""
        lags = np.where(row < 0, 0, rows[:, None] - row)
        if (lags != lags[:1]).any() or (lags.any() and rows.size == self.rows):
            raise operator.refuse("it combines different steps of a sequence, or of different sequences.")

    def _vectors(self, operator: Operator, runs: Sequence[tuple[int, Codes]]) -> tuple[Draft, ...]:
        if len(runs) > _MAX_RUNS and all(self.sources[place].kind not in ("port", "start") for place, _ in runs):
            return (self._picked(operator, runs),)
        return tuple(self._vector(operator, place, feature) for place, feature in runs)

    def _vector(self, operator: Operator, place: int, feature: Codes) -> Draft:
        one, count = self.sources[place], feature.shape[1]
        if one.kind == "start":
            assert one.numbers is not None
            return Draft("start", operator.title, operator.name, count, fields={"value": one.numbers[feature[0]]})
        if one.kind == "port" and one is not self.samples:
            return self._leaf(operator, place, feature)
        draft, start = self._draft_of(operator, place), int(feature[0, 0])
        return draft if count == draft.size else self.part(operator, draft, start, count)

    def part(self, operator: Operator, draft: Draft, start: int, size: int) -> Draft:
        """Part of a vector; the same one for the same units."""
        key = (draft, start, size)
        if key not in self._parts:
            made = self.draft(
                operator, "op", size, [draft], operation=f"part:{start}:{size}",
                function=lambda x: x[start : start + size],
            )  # fmt: skip
            made.rows = draft.rows
            self._parts[key] = made
        return self._parts[key]

    def _leaf(self, operator: Operator, place: int, feature: Codes) -> Draft:
        """Old value of a state that is part of an input of the graph."""
        key = (place, tuple(feature[0].tolist()))
        if key not in self.leaves:
            size = feature.shape[1]
            fields = {"value": np.zeros(size, np.float32), "places": feature}
            self.leaves[key] = Draft("delay", operator.title, operator.name, size, fields=fields)
        return self.leaves[key]

    def _picked(self, operator: Operator, runs: Sequence[tuple[int, Codes]]) -> Draft:
        """Dense that picks units of several vectors."""
        pattern = [(self._draft_of(operator, place), unit) for place, feature in runs for unit in feature[0].tolist()]
        read = list(dict.fromkeys(draft for draft, _ in pattern))
        starts = dict(zip(read, np.cumsum([0, *(draft.size for draft in read)]), strict=False))
        columns = sum(draft.size for draft in read)
        self.graph.budget.take(f"the {operator.title}", 4 * len(pattern) * columns)
        weight = np.zeros((len(pattern), columns), np.float32)
        weight[range(len(pattern)), [starts[draft] + unit for draft, unit in pattern]] = 1
        made = self.draft(operator, "Dense", len(pattern), read, weight=weight)
        made.rows = max((draft.rows for draft in read if draft.rows is not None), key=lambda r: r[0], default=None)
        return made

    def _roll(self, operator: Operator, codes: Codes) -> None:
        """Merge vectors that operators compute step by step into one vector of all steps."""
        source, row, _ = self.decode(codes)
        while (columns := np.flatnonzero((source != source[0]).any(axis=0))).size:
            column = int(columns[0])
            _, first = np.unique(source[:, column], return_index=True)
            order = first[np.argsort(row[first, column], kind="stable")]
            found = [self.sources[place] for place in source[order, column].tolist()]
            if any(one.kind == "start" for one in found):
                return  # features() tells
            if any(one.kind != "y" or one.draft is None or one.draft.whole for one in found):
                raise operator.refuse(f"axis -1 of what it reads, of shape {codes.shape}, {_NO_STEP}")
            steps = [one.draft for one in found if one.draft is not None]
            self.rolls.roll(operator, steps)
            rows = [step.rows for step in steps if step.rows is not None]
            if sum(each.size for each in rows) == self.rows and len({each.size for each in rows}) == 1:
                self.settle_grid(operator, np.stack(rows))
            source, row, _ = self.decode(codes)

    @staticmethod
    def _check_readable(operator: Operator, signal: Signal) -> None:
        if not signal.codes.ndim or not signal.codes.size:
            raise operator.refuse(f"it reads a value of shape {signal.codes.shape}.")
        if signal.whole and operator.kind != "Gather":
            raise operator.refuse("it reads integers, which only the table of an Embedding may read.")

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

    def _settle(self, operator: Operator, codes: Codes) -> None:
        """Take the input that an operator reads as the samples, and determine its feature axis."""
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
        """Inputs of the graph, with their indices, that occur in codes and are to become the samples."""
        found = [(place, self.sources[place]) for place in source_places(codes)]
        return [(place, source) for place, source in found if source.kind == "port" and self._may_be_samples(source)]

    def _may_be_samples(self, source: Source) -> bool:
        if source is self.samples or source.states or source.port is None:
            return False
        return self.wanted is None or source.port.name == self.wanted

    def _take_samples(self, operator: Operator, source: Source, axis: int | None) -> None:
        assert source.port is not None
        if self.samples is not None:
            other = "" if not self.samples.port else f" in addition to {self.samples.port.name!r}"
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

    def place(self, operator: Operator, signal: Signal, first: int = -1) -> int:
        """Feature axis of a signal, for elementwise operators.

        If such an operator is the first to read the samples, the axis ``first`` is assumed.
        """
        codes = signal.codes
        self._check_readable(operator, signal)
        self._settle(operator, np.moveaxis(codes, first, -1))
        _, row, _ = self.decode(codes)
        for axis in sorted(range(codes.ndim), key=lambda axis: (codes.shape[axis] > 1, axis), reverse=True):
            if (np.moveaxis(row, axis, -1) == np.moveaxis(row, axis, -1)[..., :1]).all():
                return axis
        return codes.ndim - 1
