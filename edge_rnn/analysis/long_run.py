"""Stability of a network's state over a long run: growth, decay, and stuck units.

The recording is repeated as often as needed, with the state carried over, and the state is examined after every step.
Memory does not grow with the number of steps, except for one bucket per factor of four.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.arrays import float32_array
from edge_rnn.checks import whole
from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import AnyArray

__all__ = ["DEAD_SHARE", "SATURATED", "STUCK_SHARE", "Bucket", "LongRun", "StateRun", "long_run"]


SATURATED = 0.99
"""Share of its bound from which a unit counts as saturated."""

STUCK_SHARE = 0.95
"""Share of the steps in which a unit has to be saturated to count as stuck."""

DEAD_SHARE = 1e-3
"""A unit is dead if its range is below this share of the largest range of any unit of its state."""

_BUCKET = 4  # growth factor of the bucket length
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Bucket:
    """Euclidean norm of a state over the steps ``first`` to ``last``, counted from 1."""

    first: int
    last: int
    least: float
    mean: float
    most: float


@dataclass(frozen=True, slots=True, eq=False)
class StateRun:
    """Behavior of one state.

    Parameters
    ----------
    name
        Name of the state, such as ``"gru1.h"``.
    buckets
        Norms, in buckets whose length grows by a factor of four.
    growth
        Ratio of the mean norm in the last complete pass through the recording to that in the second pass; None with
        fewer than three passes.
    saturated
        ``(units,)``: share of the steps after the first pass in which each unit was saturated. None for a state without
        a bound.
    low, high
        ``(units,)``: range of each unit after the first pass, or within it if the run ended there.
    """

    name: str
    buckets: tuple[Bucket, ...]
    growth: float | None
    saturated: AnyArray | None
    low: AnyArray
    high: AnyArray

    @property
    def stuck(self) -> tuple[int, ...]:
        """Units that are saturated nearly always; see :data:`STUCK_SHARE`."""
        return () if self.saturated is None else tuple(np.flatnonzero(self.saturated >= STUCK_SHARE).tolist())

    @property
    def dead(self) -> tuple[int, ...]:
        """Units that hardly move for any input; see :data:`DEAD_SHARE`. All units if none of them moves."""
        moved = self.high - self.low
        return tuple(np.flatnonzero(moved <= DEAD_SHARE * max(float(moved.max()), 1e-3)).tolist())


@dataclass(frozen=True, slots=True)
class LongRun:
    """Result of a long run.

    Parameters
    ----------
    steps
        Number of steps taken.
    samples
        Length of the recording, which was repeated.
    states
        Behavior of each state of the model.
    broke_at
        Number of the step, from 1, at which a value overflowed float32 and the run ended; None if none did.
    """

    steps: int
    samples: int
    states: tuple[StateRun, ...]
    broke_at: int | None


def long_run(model: Model, xs: ArrayLike, steps: int = 1_000_000) -> LongRun:
    """Run a repeated recording, and examine the state after every step.

    Parameters
    ----------
    xs
        ``(time, input_size)``, finite, at least one sample.
    steps
        Number of steps.

    Raises
    ------
    InputError
        The recording is empty, not finite, or has the wrong shape; or ``steps`` is less than 1.
    """
    rows = float32_array("long_run", "xs", xs)
    if rows.ndim != 2 or rows.shape[1] != model.input_size or not len(rows):
        raise InputError(
            f"long_run got samples of shape {rows.shape}, expected (time, {model.input_size}) with at least one row."
        )
    if not np.isfinite(rows).all():
        raise InputError("long_run got samples that are not finite; remove them.")
    steps = whole("long_run", "steps", steps)
    watches = [
        _Watch(name, len(value), _limit(model, name), len(rows), steps) for name, value in model.initial_state.items()
    ]
    done = 0
    for values in _states(Stream(model), rows, int(steps)):
        count = len(next(iter(values.values()))) if values else 0
        for watch in watches:
            watch.see(values[watch.name], done)
        done += count
    broke = done < steps and bool(watches)
    return LongRun(done, len(rows), tuple(watch.found(done) for watch in watches if done), done + 1 if broke else None)


def _states(stream: Stream, rows: AnyArray, steps: int) -> Iterator[dict[str, AnyArray]]:
    """Yield the states after each step in blocks, ``(steps, units)`` for each state."""
    sizes = {name: len(value) for name, value in stream.state.items()}
    if not sizes:
        return
    length = max(16, min(steps, _BLOCK_BYTES // (4 * sum(sizes.values()))))
    blocks = {name: np.empty((length, size), np.float32) for name, size in sizes.items()}
    step, filled = stream.step, 0
    for place in range(steps):
        try:
            step(rows[place % len(rows)])
        except InputError:  # samples are finite, so the network's own values overflowed
            break
        for name, value in stream.state.items():
            blocks[name][filled] = value
        filled += 1
        if filled == length:
            yield blocks
            filled = 0
    if filled:
        yield {name: block[:filled] for name, block in blocks.items()}


def _limit(model: Model, name: str) -> float | None:
    """Absolute value from which a unit of a state counts as saturated, or None if the state has no bound."""
    owner, _, key = name.rpartition(".")
    layer: Any = next(layer for layer in model.layers if layer.name == owner)
    if key == "c":  # the cell state is unbounded, but its tanh is not
        return math.atanh(SATURATED) if layer.output_activation == "tanh" else None
    return None if layer.output_bound is None else SATURATED * float(layer.output_bound)


@dataclass(slots=True, eq=False)
class _Watch:
    """Statistics of one state, of fixed size except for one bucket per factor of four in steps."""

    name: str
    units: int
    limit: float | None
    samples: int
    steps: int
    buckets: dict[int, list[float]] = field(default_factory=dict)
    passes: AnyArray = field(init=False)
    saturated: AnyArray = field(init=False)
    low: AnyArray = field(init=False)
    high: AnyArray = field(init=False)
    early: tuple[AnyArray, AnyArray] = field(init=False)
    settled: int = field(init=False)

    def __post_init__(self) -> None:
        self.passes, self.saturated = np.zeros(2), np.zeros(self.units, np.int64)
        self.low, self.high = np.full(self.units, np.inf), np.full(self.units, -np.inf)
        self.early = (self.low, self.high)
        self.settled = self.samples if self.steps >= 2 * self.samples else 0

    def see(self, values: AnyArray, done: int) -> None:
        """Add the states ``(steps, units)`` after the steps from ``done`` on, counted from 0."""
        norms = np.sqrt(np.square(values, dtype=np.float64).sum(axis=1))
        places = done + np.arange(len(values))
        which = np.floor(np.log2(places + 1) / math.log2(_BUCKET) + 1e-12).astype(np.int64)
        for bucket in range(int(which[0]), int(which[-1]) + 1):
            own = norms[which == bucket]
            kept = self.buckets.setdefault(bucket, [math.inf, 0.0, 0.0, 0])
            kept[:] = [min(kept[0], own.min()), kept[1] + own.sum(), max(kept[2], own.max()), kept[3] + len(own)]
        turns, last = places // self.samples, self.steps // self.samples - 1
        self.passes += norms[turns == 1].sum(), norms[turns == last].sum()
        late, early = values[places >= self.settled], values[places < self.settled]
        if len(early):
            self.early = np.minimum(self.early[0], early.min(axis=0)), np.maximum(self.early[1], early.max(axis=0))
        if len(late):
            self.low, self.high = np.minimum(self.low, late.min(axis=0)), np.maximum(self.high, late.max(axis=0))
        if self.limit is not None:
            self.saturated += (np.abs(late) >= self.limit).sum(axis=0)

    def found(self, done: int) -> StateRun:
        buckets = [
            Bucket(
                _BUCKET**place, min(_BUCKET ** (place + 1) - 1, done), float(least), float(total / count), float(most)
            )
            for place, (least, total, most, count) in self.buckets.items()
        ]
        whole = done == self.steps and self.steps >= 3 * self.samples
        growth = float(self.passes[1] / self.passes[0]) if whole and self.passes[0] > 0 else None
        if done <= self.settled:  # the run ended within the first pass
            self.low, self.high = self.early
        shares = None if self.limit is None else self.saturated / max(done - self.settled, 1)
        return StateRun(self.name, tuple(buckets), growth, shares, self.low, self.high)
