"""How much an output hangs on a sample so many steps back: finite differences of the float64 reference.

A sample is moved, the run goes on with what followed in the recording, and outputs are held against those of the run
with the sample as it was. One moved sample tells of all the steps that follow it.

Numbers are moved by a ten-thousandth of their channel's deviation either way: central differences, whose error is that
squared; rounding leaves some 1e-12 of an output, and what is less than that becomes 0. Symbols cannot be moved a
little: others are put in their place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn import reference
from edge_rnn.arrays import float32_array
from edge_rnn.errors import InputError
from edge_rnn.layers import Dense, Embedding
from edge_rnn.model import Model
from edge_rnn.streams.stream import Stream

__all__ = ["LAGS", "Sensitivity", "sensitivity"]

Array = NDArray[Any]

LAGS = 1024
_MOVED = 1e-4
_FORGOTTEN = 1e-15
_MOST_MOVES = 8
_FELT = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """How far a sample moves the outputs of the steps from its own on.

    Parameters
    ----------
    values
        ``(lags + 1,)`` float64: root mean square over some places in the recording of how far all outputs together
        move, by steps back from 0. Of numbers, per deviation of a channel, all channels together; of symbols, where
        another one stands in place of one.
    places
        How many samples were moved.
    of_symbols
        Whether symbols were exchanged; else numbers were moved.
    of_scores
        Whether the outputs are what goes into a softmax, which itself hides much where it is sure.
    """

    values: Array
    places: int
    of_symbols: bool
    of_scores: bool

    @property
    def peak_lag(self) -> int:
        """At how many steps back outputs move most."""
        return int(self.values.argmax())

    @property
    def felt_steps(self) -> int:
        """How far back a sample still moves outputs by a hundredth of the most; ``lags`` where it does to the end."""
        return int(np.flatnonzero(self.values >= _FELT * self.values.max())[-1])

    @property
    def half_life_steps(self) -> float | None:
        """Steps in which the effect halves, on average from its peak to :attr:`felt_steps`; None where it stays."""
        start, end = self.peak_lag, self.felt_steps
        fall = self.values[start] / self.values[end] if self.values[end] > 0 else 1.0
        return float((end - start) * math.log(2) / math.log(fall)) if fall > 1.01 else None


def sensitivity(model: Model, xs: ArrayLike, *, lags: int = LAGS, places: int = 4, seed: int = 0) -> Sensitivity:
    """How much outputs hang on samples up to ``lags`` steps back.

    Parameters
    ----------
    xs
        ``(time, input_size)``, finite: a recording, repeated where it is shorter.
    lags
        0 or more.
    places
        How many samples are moved, evenly over the recording; the state there is that of a second pass.
    seed
        Of the directions, where there are more than 8 channels, and of the symbols.

    Raises
    ------
    InputError
        The recording is empty, not finite, or does not fit.
    UnsupportedError
        The model has a kind of layer that has no reference.
    """
    rows = float32_array("sensitivity", "xs", xs)
    if rows.ndim != 2 or rows.shape[1] != model.input_size or not len(rows) or not np.isfinite(rows).all():
        raise InputError(
            f"sensitivity got samples of shape {rows.shape}, expected (time, {model.input_size}), finite, one or more."
        )
    scored = _with_scores(model)
    rng = np.random.default_rng(seed)
    symbols = bool(model.vocabulary) or any(
        isinstance(layer, Embedding) and -1 in reads for layer, reads in zip(model.layers, model.sources, strict=True)
    )
    stream = Stream(model)
    stream.run(rows)
    total, at = np.zeros(lags + 1), 0
    for place in range(places):
        start = int((place + 0.5) / places * len(rows))
        stream.run(rows[at:start])
        at = start
        state = {name: value.astype(np.float64) for name, value in stream.state.items()}
        follow = rows[(start + np.arange(lags + 1)) % len(rows)].astype(np.float64)
        moves = _exchanged(model, follow[0], rng) if symbols else _moved(rows, follow[0], rng)
        total += _squares(scored, state, follow, list(moves))
    return Sensitivity(np.sqrt(total / places), places, symbols, scored is not model)


def _with_scores(model: Model) -> Model:
    last = model.layers[-1]
    if not isinstance(last, Dense) or last.activation != "softmax":
        return model
    return replace(model, layers=(*model.layers[:-1], replace(last, activation="none")))


def _moved(rows: Array, x: Array, rng: np.random.Generator) -> Iterator[tuple[Array, Array, float]]:
    """Two samples to compare, and what their outputs' squared difference counts."""
    deviation = rows.std(axis=0, dtype=np.float64)
    deviation[deviation == 0] = 1.0
    count = len(x)
    directions = np.eye(count)
    if count > _MOST_MOVES:  # on average these tell the same as all
        directions = np.linalg.qr(rng.standard_normal((count, _MOST_MOVES)))[0].T * math.sqrt(count / _MOST_MOVES)
    for direction in directions:
        yield x + _MOVED * deviation * direction, x - _MOVED * deviation * direction, 1 / (2 * _MOVED) ** 2


def _exchanged(model: Model, x: Array, rng: np.random.Generator) -> Iterator[tuple[Array, Array, float]]:
    one_hot = model.input_size == model.vocabulary_size
    own = int(x.argmax()) if one_hot else int(np.clip(np.rint(x[0]), 0, model.vocabulary_size - 1))
    others = [symbol for symbol in rng.permutation(model.vocabulary_size).tolist() if symbol != own][:_MOST_MOVES]
    for symbol in others:
        yield (np.eye(model.vocabulary_size)[symbol] if one_hot else np.array([float(symbol)])), x, 1 / len(others)


def _squares(model: Model, state: dict[str, Array], follow: Array, moves: list[tuple[Array, Array, float]]) -> Array:
    """Squared differences of the outputs, ``(lags + 1,)``, summed over the moves."""
    found = np.zeros(len(follow))
    for one, other, counts in moves:
        mine = theirs = state
        for lag, sample in enumerate(follow):
            xs = (one, other) if lag == 0 else (sample, sample)
            y, mine = reference.step(model, xs[0], mine)
            z, theirs = reference.step(model, xs[1], theirs)
            found[lag] += counts * float(np.square(y - z).sum())
            if all(np.abs(mine[name] - theirs[name]).max() <= _FORGOTTEN for name in state):
                break
    return found
