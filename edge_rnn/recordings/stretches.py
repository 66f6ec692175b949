"""Stretches of a recording that stand for all of it, where taking all of it would take too long.

Half of what decides is time, so that every part of the recording is seen, and half is how far samples are from their
channel's mean, so that what is rare and loud is not missed among hours of quiet.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from edge_rnn.typing import F32, F64, AnyArray

__all__ = ["LENGTH", "evenly", "spread", "stretches"]


LENGTH = 1000
"""Samples in a stretch, at least."""


def spread(xs: F32, steps: int) -> F32:
    """Stretches of a recording one behind the other, in their order.

    Parameters
    ----------
    xs
        ``(time, channels)``, finite.
    steps
        How many samples are wanted.

    Returns
    -------
    ``(n, channels)``: ``xs`` itself where it is no longer than ``steps``; otherwise ``steps`` samples or, as stretches
    are taken whole, somewhat more.
    """
    places = list(stretches(xs, steps))
    return xs if places == [(0, len(xs))] else np.concatenate([xs[start:end] for start, end in places])


def evenly(xs: AnyArray, count: int) -> AnyArray:
    """Samples from all of a recording at even distances, ``count`` at most: to time steps, not to run a sequence."""
    return xs if len(xs) <= count else np.ascontiguousarray(xs[np.linspace(0, len(xs) - 1, count).astype(np.intp)])


def stretches(xs: F32, steps: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each stretch that :func:`spread` takes."""
    count = len(xs) // LENGTH
    wanted = max(1, -(-steps // LENGTH))
    if len(xs) <= steps or wanted >= count:
        yield 0, len(xs)
        return
    bounds = [*((len(xs) * place) // count for place in range(count + 1))]
    loudness = _loudness(xs, bounds)
    total = float(loudness.sum())
    weights = np.full(count, 1 / count) if total == 0 else 0.5 / count + 0.5 * loudness / total
    # One stretch for each equal share of the weight; where one holds several shares, the loudest others make up for it.
    places = np.searchsorted(weights.cumsum(), (np.arange(wanted) + 0.5) / wanted).clip(max=count - 1)
    chosen = dict.fromkeys(places.tolist())
    for place in np.argsort(-loudness, kind="stable").tolist():
        if len(chosen) == wanted:
            break
        chosen.setdefault(place)
    for place in sorted(chosen):
        yield bounds[place], bounds[place + 1]


def _loudness(xs: F32, bounds: list[int]) -> F64:
    """For each stretch the sum of squares of how far samples are from the mean, each channel by its own deviation."""
    origin = xs[0].astype(np.float64)
    sums, squares = (np.zeros((len(bounds) - 1, xs.shape[1])) for _ in range(2))
    for place, (start, end) in enumerate(pairwise(bounds)):
        part = xs[start:end] - origin
        sums[place], squares[place] = part.sum(axis=0), np.square(part).sum(axis=0)
    lengths = np.diff(bounds)[:, None]
    mean = sums.sum(axis=0) / len(xs)
    off = np.maximum(squares - 2 * mean * sums + lengths * mean**2, 0.0)
    whole = off.sum(axis=0)
    return np.asarray((off / np.where(whole > 0, whole, np.inf)).sum(axis=1))
