"""Representative excerpts of a recording, for use where the whole recording would take too long.

Half of the weight is time, so that every part of the recording is covered; half is the deviation of the samples from
their channel's mean, so that rare loud events are not missed among hours of quiet.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from edge_rnn.typing import F32, F64, AnyArray

__all__ = ["LENGTH", "evenly", "spread", "stretches"]


LENGTH = 1000
"""Minimum samples per excerpt."""


def spread(xs: F32, steps: int) -> F32:
    """Concatenate excerpts of a recording, in order.

    Parameters
    ----------
    xs
        ``(time, channels)``, finite.
    steps
        Number of samples wanted.

    Returns
    -------
    ``(n, channels)``: ``xs`` itself if it is no longer than ``steps``; otherwise at least ``steps`` samples, possibly
    somewhat more, because excerpts are taken whole.
    """
    places = list(stretches(xs, steps))
    return xs if places == [(0, len(xs))] else np.concatenate([xs[start:end] for start, end in places])


def evenly(xs: AnyArray, count: int) -> AnyArray:
    """Return at most ``count`` evenly spaced samples of a recording: for timing, not as a sequence."""
    return xs if len(xs) <= count else np.ascontiguousarray(xs[np.linspace(0, len(xs) - 1, count).astype(np.intp)])


def stretches(xs: F32, steps: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each excerpt that :func:`spread` takes."""
    count = len(xs) // LENGTH
    wanted = max(1, -(-steps // LENGTH))
    if len(xs) <= steps or wanted >= count:
        yield 0, len(xs)
        return
    bounds = [*((len(xs) * place) // count for place in range(count + 1))]
    loudness = _loudness(xs, bounds)
    total = float(loudness.sum())
    weights = np.full(count, 1 / count) if total == 0 else 0.5 / count + 0.5 * loudness / total
    # One excerpt per equal share of the weight; if one covers several shares, the loudest others are added instead.
    places = np.searchsorted(weights.cumsum(), (np.arange(wanted) + 0.5) / wanted).clip(max=count - 1)
    chosen = dict.fromkeys(places.tolist())
    for place in np.argsort(-loudness, kind="stable").tolist():
        if len(chosen) == wanted:
            break
        chosen.setdefault(place)
    for place in sorted(chosen):
        yield bounds[place], bounds[place + 1]


def _loudness(xs: F32, bounds: list[int]) -> F64:
    """Return per excerpt the sum of squared deviations from the mean, each channel scaled by its own deviation."""
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
