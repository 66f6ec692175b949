"""Sensitivity of outputs to earlier samples: finite differences of the float64 reference.

One sample is perturbed, the run continues with the samples that follow in the recording, and the outputs are compared
with those of the unperturbed run. One perturbed sample therefore gives the sensitivity at all lags.

Numeric inputs are perturbed by a ten-thousandth of their channel's standard deviation in both directions: central
differences, with an error of the second order in that step; rounding contributes about 1e-12 of an output, and smaller
effects become 0. Symbols cannot be perturbed by a small amount, so they are replaced with other symbols.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn import reference
from edge_rnn.arrays import float32_array
from edge_rnn.errors import InputError
from edge_rnn.layers import Dense, Embedding
from edge_rnn.model import Model
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import AnyArray

__all__ = ["LAGS", "Sensitivity", "sensitivity"]


LAGS = 1024
_MOVED = 1e-4
_FORGOTTEN = 1e-15
_MOST_MOVES = 8
_FELT = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """Effect of a sample on the outputs at its own step and at later ones.

    Parameters
    ----------
    values
        ``(lags + 1,)`` float64, by lag from 0: root mean square, over several places in the recording, of the change in
        the output vector. For numeric inputs, per standard deviation of a channel, over all channels; for symbols, per
        replaced symbol.
    places
        Number of perturbed samples.
    of_symbols
        True if symbols were replaced, False if numbers were perturbed.
    of_scores
        True if the outputs are the inputs of a final softmax, which would hide changes where it is saturated.
    """

    values: AnyArray
    places: int
    of_symbols: bool
    of_scores: bool

    @property
    def peak_lag(self) -> int:
        """Lag at which the effect is largest."""
        return int(self.values.argmax())

    @property
    def felt_steps(self) -> int:
        """Largest lag with an effect of at least a hundredth of the maximum; ``lags`` if it never falls below."""
        return int(np.flatnonzero(self.values >= _FELT * self.values.max())[-1])

    @property
    def half_life_steps(self) -> float | None:
        """Half-life of the effect in steps, averaged from its peak to :attr:`felt_steps`; None if it does not decay."""
        start, end = self.peak_lag, self.felt_steps
        fall = self.values[start] / self.values[end] if self.values[end] > 0 else 1.0
        return float((end - start) * math.log(2) / math.log(fall)) if fall > 1.01 else None


def sensitivity(model: Model, xs: ArrayLike, *, lags: int = LAGS, places: int = 4, seed: int = 0) -> Sensitivity:
    """Measure how outputs depend on samples up to ``lags`` steps back.

    Parameters
    ----------
    xs
        ``(time, input_size)``, finite: a recording, repeated if it is too short.
    lags
        Largest lag, 0 or more.
    places
        Number of samples to perturb, evenly spaced over the recording, with the state of a second pass.
    seed
        Seed of the random directions, used with more than 8 channels, and of the symbols.

    Raises
    ------
    InputError
        The recording is empty, not finite, or has the wrong shape.
    UnsupportedError
        The model has a layer without a reference implementation.
    """
    rows = float32_array("sensitivity", "xs", xs)
    if rows.ndim != 2 or rows.shape[1] != model.input_size or not len(rows) or not np.isfinite(rows).all():
        raise InputError(
            f"sensitivity got samples of shape {rows.shape}, expected (time, {model.input_size}) with at least one "
            "row, all finite."
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


def _moved(rows: AnyArray, x: AnyArray, rng: np.random.Generator) -> Iterator[tuple[AnyArray, AnyArray, float]]:
    """Yield pairs of samples to compare, with the weight of the squared difference of their outputs."""
    deviation = rows.std(axis=0, dtype=np.float64)
    deviation[deviation == 0] = 1.0
    count = len(x)
    directions = np.eye(count)
    if count > _MOST_MOVES:  # an unbiased estimate of the sum over all directions
        directions = np.linalg.qr(rng.standard_normal((count, _MOST_MOVES)))[0].T * math.sqrt(count / _MOST_MOVES)
    for direction in directions:
        yield x + _MOVED * deviation * direction, x - _MOVED * deviation * direction, 1 / (2 * _MOVED) ** 2


def _exchanged(model: Model, x: AnyArray, rng: np.random.Generator) -> Iterator[tuple[AnyArray, AnyArray, float]]:
    one_hot = model.input_size == model.vocabulary_size
    own = int(x.argmax()) if one_hot else int(np.clip(np.rint(x[0]), 0, model.vocabulary_size - 1))
    others = [symbol for symbol in rng.permutation(model.vocabulary_size).tolist() if symbol != own][:_MOST_MOVES]
    for symbol in others:
        yield (np.eye(model.vocabulary_size)[symbol] if one_hot else np.array([float(symbol)])), x, 1 / len(others)


def _squares(
    model: Model, state: dict[str, AnyArray], follow: AnyArray, moves: list[tuple[AnyArray, AnyArray, float]]
) -> AnyArray:
    """Squared output differences by lag, ``(lags + 1,)``, summed over the perturbations."""
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
