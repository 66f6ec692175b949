"""What flows through an ONNX graph, number by number: each is told by its layer, its sample and its place there.

Exporters move axes about between layers, and cut, join and reshape. None of that is interpreted here: it is done, by
NumPy, to an array of codes, each of which says where its number comes from. A layer then looks at the codes that reach
it. Either they are whole outputs of other layers, sample by sample, and the layer is read; or they are mixed otherwise
than a stream can mix them, and the node is refused.

A graph with open axes is traced with some length for each, twice (see :mod:`edge_rnn_export.onnx_walk`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn_export.onnx_drafts import Draft, Kind
from edge_rnn_export.onnx_file import Budget
from edge_rnn_export.onnx_graph import Graph, Port

__all__ = ["Node", "Signal", "Source", "Trace", "Value"]

Array = NDArray[Any]
Codes = NDArray[np.int64]

_SOURCE, _ROW = 48, 24  # bits below: a code is source, row (which sample of which sequence), feature
_MAX_SOURCES = 2**14
_MAX_FEATURES = 2**16
_LOW = np.int64(2**_ROW - 1)
_REST = np.int64(2**_SOURCE - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """A value that is computed out of samples or states.

    Parameters
    ----------
    codes
        One for each of its numbers.
    whole
        Whether they are whole numbers: those of symbols, which a table alone may read.
    """

    codes: Codes
    whole: bool = False


Value = Signal | Array | None
"""What a name in the graph stands for: traced, known numbers, or left out."""


@dataclass(slots=True, eq=False)
class Source:
    """Where numbers come from.

    Parameters
    ----------
    kind
        ``"port"``: an input of the graph; ``"y"``: what a layer puts out; ``"h"``, ``"c"``: its last states.
    draft
        The layer. For an input None until it is read: then the samples, or the layer whose state it is.
    axis
        Of an input of samples, the axis that holds the features; None if it has none.
    states
        Of an input of states: layers, ``"h"`` or ``"c"``, and where in it that state is, ``(batch, H)``.
    """

    kind: Literal["port", "y", "h", "c"]
    draft: Draft | None = None
    port: Port | None = None
    shape: tuple[int, ...] = ()
    axis: int | None = None
    states: list[tuple[Draft, str, Codes]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Trace:
    """A graph under way.

    Parameters
    ----------
    sizes
        Length of each open axis, by its name.
    budget, work
        What codes may take; and how many may be looked at, by all nodes together.

    Attributes
    ----------
    grid
        ``(time, batch)``: the row of each sample, once a recurrent operator has told; None before.
    samples
        The input that samples come from, once known.
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
        """Let an input of the graph begin to flow."""
        shape = tuple(
            length if isinstance(length, int) else self.sizes[length or f"{port.name} {place}"]
            for place, length in enumerate(port.shape)
        )
        count = 1
        for length in shape:
            count *= length
        self.budget.take(f"the graph's input {port.name[:80]!r} of shape {shape}", 8 * count)
        codes = np.arange(count, dtype=np.int64).reshape(shape) | self._source(Source("port", port=port, shape=shape))
        self.values[port.name] = Signal(codes, port.integers)

    def _source(self, source: Source) -> np.int64:
        if len(self.sources) >= _MAX_SOURCES:
            raise UnsupportedError(f"from_onnx got a graph of more than {_MAX_SOURCES} layers.")
        self.sources.append(source)
        return np.int64((len(self.sources) - 1) << _SOURCE)

    def draft(self, node: Node, kind: Kind, size: int, reads: Sequence[Draft], **fields: Any) -> Draft:
        """A new layer for a node."""
        made = Draft(kind, node.title, node.name, size, tuple(reads), fields)
        self.drafts.append(made)
        return made

    def put_out(self, draft: Draft, rows: Codes, kind: Literal["y", "h", "c"] = "y") -> Signal:
        """What a layer gives for the samples in ``rows``, its features along a new last axis."""
        self.budget.take(f"the {draft.title}", 8 * rows.size * draft.size)
        base = self._source(Source(kind, draft))
        return Signal((base | (rows[..., None] << _ROW)) | np.arange(draft.size, dtype=np.int64))

    def decode(self, codes: Codes) -> tuple[Codes, Codes, Codes]:
        """Sources, rows and features."""
        source, rest = codes >> _SOURCE, codes & _REST
        row, feature = rest >> _ROW, rest & _LOW
        if self.samples is not None:
            here = source == self.sources.index(self.samples)
            own_row, own_feature = self._of_samples(rest[here])
            row[here], feature[here] = own_row, own_feature
        return source, row, feature

    def _of_samples(self, flat: Codes) -> tuple[Codes, Codes]:
        assert self.samples is not None
        shape, axis = self.samples.shape, self.samples.axis
        if axis is None:
            return flat, np.zeros_like(flat)
        places = list(np.unravel_index(flat, shape))
        feature = places.pop(axis)
        others = [length for place, length in enumerate(shape) if place != axis]
        return (np.ravel_multi_index(places, others) if others else np.zeros_like(flat)), feature

    @property
    def rows(self) -> int:
        """Number of samples that the graph takes at once."""
        assert self.samples is not None
        shape, axis = self.samples.shape, self.samples.axis
        return int(np.prod(shape)) // (1 if axis is None else shape[axis])

    def features(self, node: Node, signal: Signal, axis: int = -1) -> tuple[tuple[Draft, ...], Codes]:
        """What a node reads along an axis of a signal: layers, one after the other, and which samples.

        Returns
        -------
        reads, rows
            The layers whose outputs, concatenated, are what is read. ``rows`` has the signal's shape without the axis.
        """
        self._check_readable(node, signal)
        codes = np.moveaxis(signal.codes, axis, -1)
        self._settle(node, codes)
        source, row, feature = self.decode(codes)
        count = codes.shape[-1]
        if count > _MAX_FEATURES:
            raise node.refuse(f"it reads {count} values a step, expected {_MAX_FEATURES} at most.")
        first = [part.reshape(-1, count)[0] for part in (source, feature)]
        if (row != row[..., :1]).any() or (source != first[0]).any() or (feature != first[1]).any():
            raise node.refuse(
                f"axis {axis} of what it reads, of shape {signal.codes.shape}, does not hold the values of one step; "
                f"expected steps, batch and features on axes of their own, each sample on its own."
            )
        pattern = [(self._draft_of(node, int(one)), int(place)) for one, place in zip(*first, strict=True)]
        return self._reads(node, pattern), row[..., 0]

    @staticmethod
    def _check_readable(node: Node, signal: Signal) -> None:
        if not signal.codes.ndim or not signal.codes.size:
            raise node.refuse(f"it reads a value of shape {signal.codes.shape}.")
        if signal.whole and node.kind != "Gather":
            raise node.refuse("it reads whole numbers, expected the table of an Embedding to read these.")

    def settle_grid(self, node: Node, rows: Codes) -> None:
        """Learn, or hold against what is known, which samples a recurrent operator takes as steps and as batch."""
        if self.grid is not None:
            if not np.array_equal(rows, self.grid):
                raise node.refuse("it takes other samples, or in another order, than the recurrent node before it.")
            return
        steps = np.diff(rows, axis=0)
        if rows.size != self.rows or (np.sort(rows, axis=None) != np.arange(self.rows)).any():
            raise node.refuse(f"it takes {rows.size} of {self.rows} samples that go in; a stream takes each one.")
        if steps.size and ((steps != steps[0, 0]).any() or (steps < 0).any()):
            raise node.refuse("it takes the samples in another order than they come in.")
        self.grid = rows

    def take_state(self, node: Node, draft: Draft, key: str, codes: Codes) -> None:
        """Note that a layer's initial state, ``(batch, H)``, is part of an input of the graph."""
        source = self.sources[int(codes.flat[0] >> _SOURCE)]
        places = codes & _REST
        if source.kind != "port" or source is self.samples or (codes >> _SOURCE != codes.flat[0] >> _SOURCE).any():
            raise node.refuse(f"its initial_{key} is computed from samples; expected an input of its own, or numbers.")
        earlier = [each for _, _, each in source.states]
        if (np.diff(places, axis=1) != 1).any() or any(np.isin(places, each).any() for each in earlier):
            raise node.refuse(f"its initial_{key} mixes the units of a state, or is another layer's too.")
        source.states.append((draft, key, places))

    def places(self, codes: Codes) -> list[int]:
        """Places in ``sources`` that codes are of."""
        return np.flatnonzero(np.bincount((codes >> _SOURCE).reshape(-1))).tolist()

    def only_port(self, signal: Signal) -> Port | None:
        """The graph's input that a signal is part of, if it is of one and nothing else."""
        places = self.places(signal.codes)
        return self.sources[places[0]].port if len(places) == 1 else None

    def kinds(self, signal: Signal) -> set[str]:
        """Kinds of the sources of a signal's numbers."""
        return {self.sources[place].kind for place in self.places(signal.codes)}

    def is_last(self, signal: Signal) -> bool:
        """Whether no layer reads those whose outputs or states a signal holds."""
        drafts = [self.sources[place].draft for place in self.places(signal.codes)]
        read = {each for draft in self.drafts for each in draft.reads}
        return not any(draft in read for draft in drafts)

    @property
    def open(self) -> bool:
        """Whether an axis of the graph's inputs is open."""
        return bool(self.sizes)

    def _settle(self, node: Node, codes: Codes) -> None:
        """Take the input that a node reads from as the samples, and tell which of its axes holds the features."""
        line = codes.reshape(-1, codes.shape[-1])[0]
        for place, source in self._new_ports(codes):
            flat = line[line >> _SOURCE == place] & _REST
            places = np.unravel_index(flat, source.shape)
            varying = [axis for axis, each in enumerate(places) if (each != each[0]).any()]
            if len(varying) > 1:
                raise node.refuse(f"the values that it reads lie along axes {varying} of the input, expected one.")
            ones = source.shape[-1:] == (1,)
            self._take_samples(node, source, varying[0] if varying else len(source.shape) - 1 if ones else None)

    def _new_ports(self, codes: Codes) -> list[tuple[int, Source]]:
        """Inputs of the graph, with their places, that codes are of and that are not known to be the samples."""
        found = [(place, self.sources[place]) for place in self.places(codes)]
        return [(place, source) for place, source in found if source.kind == "port" and source is not self.samples]

    def _take_samples(self, node: Node, source: Source, axis: int | None) -> None:
        assert source.port is not None
        if source.states or self.samples is not None:
            other = "" if self.samples is None or not self.samples.port else f" beside {self.samples.port.name!r}"
            raise node.refuse(
                f"it reads the graph's input {source.port.name[:80]!r} as samples{other}; expected one input of "
                f"samples, and states where they are states."
            )
        source.axis, self.samples = axis, source
        size = 1 if axis is None else source.shape[axis]
        source.draft = Draft("input", f"input {source.port.name[:80]!r}", "", size)
        self.drafts.append(source.draft)

    def _draft_of(self, node: Node, place: int) -> Draft:
        source = self.sources[place]
        if source.kind == "c":
            raise node.refuse("it reads a cell state, which no layer of edge_rnn puts out.")
        assert source.draft is not None
        return source.draft

    def _reads(self, node: Node, pattern: Sequence[tuple[Draft, int]]) -> tuple[Draft, ...]:
        """Layers that put out a pattern of features; where it takes them in parts, a Dense that picks them."""
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
        self.graph.budget.take(f"the {node.title}", 4 * len(pattern) * columns)
        weight = np.zeros((len(pattern), columns), np.float32)
        weight[range(len(pattern)), [starts[draft] + each for draft, each in pattern]] = 1
        return (self.draft(node, "Dense", len(pattern), parts, weight=weight),)

    def place(self, node: Node, signal: Signal) -> int:
        """The axis of a signal along which features lie, for operators that work on each number alone.

        Where such a one comes first, features are taken to lie along the input's last axis.
        """
        codes = signal.codes
        self._check_readable(node, signal)
        for _, source in self._new_ports(codes):
            self._take_samples(node, source, len(source.shape) - 1)
        _, row, _ = self.decode(codes)
        axes = [axis for axis in reversed(range(codes.ndim)) if codes.shape[axis] > 1]
        for axis in axes:
            if (np.moveaxis(row, axis, -1) == np.moveaxis(row, axis, -1)[..., :1]).all():
                return axis
        return codes.ndim - 1


@dataclass(slots=True, eq=False)
class Node:
    """An operator while it is read: the values of its inputs, and its attributes, which its reader takes one by one."""

    kind: str
    title: str
    name: str
    names: Sequence[str]
    inputs: Sequence[Value]
    outputs: Sequence[str]
    attributes: dict[str, Any]
    trace: Trace

    @property
    def budget(self) -> Budget:
        """What pays for what it gives: codes by the steps that are traced, numbers by the size of the file."""
        traced = any(isinstance(value, Signal) for value in self.inputs)
        return self.trace.budget if traced else self.trace.graph.budget

    def refuse(self, reason: str) -> UnsupportedError:
        """The error that says why the node is not read."""
        return UnsupportedError(f"from_onnx cannot read the {self.title}: {reason}")

    def take(self, name: str, default: Any, *kinds: type) -> Any:
        """An attribute: of the type of ``default``, or of one of ``kinds``."""
        value = self.attributes.pop(name, default)
        if value is not default and not isinstance(value, kinds or type(default)):
            raise FileError(f"from_onnx: the {self.title} has {name}={str(value)[:80]}, expected another type.")
        return value

    def input(self, place: int) -> Value:
        """A value; None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def signal(self, place: int) -> Signal:
        """An input that must be computed out of samples."""
        value = self.input(place)
        if not isinstance(value, Signal):
            raise self.refuse(f"its input {place} is known numbers, expected samples or the output of a layer.")
        return value

    def numbers(self, place: int) -> Array:
        """An input that must be known numbers."""
        value = self.input(place)
        if not isinstance(value, np.ndarray):
            what = repr(self.names[place][:80]) if place < len(self.names) and self.names[place] else "left out"
            raise self.refuse(
                f"its input {place}, {what}, is not in the file but computed or handed in; expected an initializer."
            )
        return value

    def whole(self, place: int, name: str) -> list[int] | None:
        """Whole numbers that newer operator sets have as an input and older ones as an attribute; None for absent."""
        attribute = self.take(name, None, list)
        if self.input(place) is None:
            return None if attribute is None else [int(value) for value in attribute]
        given = self.numbers(place)
        if given.dtype.kind not in "iu" or given.size > 64:
            raise FileError(f"from_onnx: the {self.title} has {name} of {given.dtype}, expected a few whole numbers.")
        return [int(value) for value in given.reshape(-1)]
