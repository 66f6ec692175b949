"""Meaning of the axes of a traced network's inputs and outputs: steps, batch, features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rnn.model import Model
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.codes import Signal
from edge_rnn_export.readers.tracing.trace import Trace
from edge_rnn_export.readers.tracing.walk import Reading

__all__ = ["Axes", "axes_of", "final_states", "is_read", "old_states", "start_states"]


@dataclass(frozen=True, slots=True)
class Axes:
    """Axes of samples and of outputs: for each ``"t"``, ``"b"``, ``"f"``, both as ``"tb"`` or ``"bt"``, or empty.

    Parameters
    ----------
    steps, batch
        Numbers of steps and of sequences in the traced network.
    stepwise
        True if the network takes one step of each sequence.
    """

    samples: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: int
    batch: int
    stepwise: bool

    def lengths(self, shape: Sequence[int]) -> tuple[int, int]:
        """Numbers of steps and of sequences in samples of this shape; zeros if it does not tell."""
        if any(len(axis) > 1 for axis in self.samples):
            return 0, 0
        found = dict(zip(self.samples, shape, strict=True))
        return found.get("t", 1), found.get("b", 1)

    def laid_out(self, xs: AnyArray) -> AnyArray:
        """Arrange ``(time, batch, I)`` in the layout of the samples."""
        return _arranged(xs, self.samples)

    def output(self, ys: AnyArray) -> AnyArray:
        """Arrange ``(time, batch, O)`` in the layout of the outputs: all steps, or the last one."""
        return _arranged(ys if any("t" in axis for axis in self.outputs) else ys[-1:], self.outputs)


def _arranged(values: AnyArray, axes: Sequence[str]) -> AnyArray:
    order = "".join(axes)
    kept = [axis for axis, name in enumerate("tbf") if name in order]
    moved = values.reshape([values.shape[axis] for axis in kept])
    names = [name for name in "tbf" if name in order]
    moved = np.transpose(moved, [names.index(name) for name in order])
    lengths = dict(zip("tbf", values.shape, strict=True))
    return moved.reshape([int(np.prod([lengths[name] for name in axis], dtype=np.int64)) for axis in axes])


def axes_of(reading: Reading) -> Axes:
    """Axes of the samples and of the output of a reading."""
    trace = reading.trace
    assert trace is not None
    assert trace.samples is not None
    assert trace.samples.port is not None
    grid = _grid(trace, reading.model)
    given, out = (trace.values[name] for name in (trace.samples.port.name, reading.output))
    assert isinstance(given, Signal)
    assert isinstance(out, Signal)
    feature = trace.samples.axis if trace.samples.axis is not None else given.codes.ndim
    return Axes(
        _roles(trace.decode(given.codes)[1], grid, feature),
        _roles(trace.decode(out.codes)[1], grid, reading.axis),
        grid.shape[0],
        grid.shape[1],
        stepwise=grid.shape[0] == 1,
    )


def _grid(trace: Trace, model: Model) -> AnyArray:
    """Rows of samples by step and sequence. Without a recurrence, the first axis is taken as that of steps."""
    rows = np.arange(trace.rows)
    if trace.grid is not None:
        return trace.grid
    if model.initial_state:
        return rows[None]
    assert trace.samples is not None
    lengths = [length for axis, length in enumerate(trace.samples.shape) if axis != trace.samples.axis]
    return rows.reshape(lengths[0] if lengths else 1, -1)


def _roles(rows: AnyArray, grid: AnyArray, feature: int) -> tuple[str, ...]:
    step, sequence = np.zeros(grid.size, np.int64), np.zeros(grid.size, np.int64)
    step[grid] = np.arange(grid.shape[0])[:, None]
    sequence[grid] = np.arange(grid.shape[1])
    found = []
    for axis in range(rows.ndim):
        if axis == feature:
            found.append("f")
            continue
        lines = [np.diff(values[rows], axis=axis) for values in (step, sequence)]
        moves = [bool(line.any()) for line in lines]
        role = "".join(name for name, moved in zip("tb", moves, strict=True) if moved)
        if role == "tb" and lines[0].take([0], axis).any():
            role = "bt"
        found.append(role)
    return tuple(found)


def start_states(reading: Reading, names: Mapping[str, AnyArray], batch: int) -> list[dict[str, AnyArray]]:
    """States of the model for each sequence, from arrays for the inputs of the graph by name."""
    trace, layers = reading.trace, reading.layers
    assert trace is not None
    assert layers is not None
    found: list[dict[str, AnyArray]] = [dict(reading.model.initial_state) for _ in range(batch)]
    for source in trace.sources:
        if source.kind != "port" or source.port is None or source.port.name not in names:
            continue
        flat = np.asarray(names[source.port.name]).reshape(-1)
        for draft, key, places in source.states:
            for state, values in zip(found, flat[places], strict=True):
                state[f"{layers.names[draft]}.{key}"] = values
    return found


def is_read(reading: Reading, name: str) -> bool:
    """True if the network that was read has an input of this name."""
    assert reading.trace is not None
    return any(each.port is not None and each.port.name == name for each in reading.trace.sources)


def old_states(reading: Reading, name: str, states: Sequence[Mapping[str, Any]] | None) -> AnyArray:
    """Array for an input of the graph that holds states, from those of the model; zeros without them."""
    trace, layers = reading.trace, reading.layers
    assert trace is not None
    assert layers is not None
    (one,) = [each for each in trace.sources if each.port is not None and each.port.name == name]
    array = np.zeros(int(np.prod(one.shape)))
    for draft, key, places in one.states if states else ():
        array[places] = [state[f"{layers.names[draft]}.{key}"] for state in states or ()]
    return array.reshape(one.shape)


def final_states(reading: Reading, name: str, states: Sequence[Mapping[str, Any]]) -> AnyArray | None:
    """Values of an output that holds final states; None if it holds others."""
    trace, layers = reading.trace, reading.layers
    assert trace is not None
    assert layers is not None
    signal = trace.values.get(name)
    if not isinstance(signal, Signal) or not trace.kinds(signal) <= {"h", "c"}:
        return None
    grid = _grid(trace, reading.model)
    sequence = np.zeros(grid.size, np.int64)
    sequence[grid] = np.arange(grid.shape[1])
    source, row, unit = trace.decode(signal.codes)
    found = np.empty(signal.codes.shape)
    for place in np.unique(source):
        one, here = trace.sources[int(place)], source == place
        if one.draft is None or one.draft not in layers.names:
            return None
        values = np.array([state[f"{layers.names[one.draft]}.{one.kind}"] for state in states])
        found[here] = values[sequence[row[here]], unit[here]]
    return found
