"""Majority: vote over the most recent outputs."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from edge_rnn.checks import real, whole
from edge_rnn.frontend.front_end import PerSample
from edge_rnn.frontend.options import MOST_CHANNELS, MOST_SAMPLES
from edge_rnn.typing import F32, AnyArray

__all__ = ["Majority"]

_NOBODY = -1


class Majority(PerSample):
    """Share of the last N output vectors in which each output was the largest.

    A vector that contains a NaN, or whose largest value is below ``threshold``, casts no vote, and neither do missing
    vectors at the start. Ties go to the lowest index.

    Parameters
    ----------
    last
        Number of vectors that vote.
    size
        Number of outputs.
    threshold
        Minimum of the largest value for a vote. With one output, this alone decides whether it gets a vote.

    Attributes
    ----------
    winner
        Output with the most votes, the lowest index in case of a tie; -1 if there are no votes.

    Examples
    --------
    >>> from edge_rnn.backend import Majority
    >>> majority = Majority(last=4, size=2)
    >>> [majority.push(y).tolist() for y in ([0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3])][-1]
    [0.75, 0.25]
    >>> majority.winner
    0
    """

    kind = "majority"
    _numbers = ("_place",)
    _arrays = ("_votes", "_counts")

    def __init__(self, last: int, size: int = 1, threshold: float | None = None) -> None:
        last = whole("Majority", "last", last, most=MOST_SAMPLES)
        size = whole("Majority", "size", size, most=MOST_CHANNELS)
        options: dict[str, Any] = {"last": last, "size": size}
        if threshold is not None:
            options["threshold"] = threshold = real("Majority", "threshold", threshold, -1e30)
        super().__init__(size, size, 1, options)
        self._last = last
        self._least = -np.inf if threshold is None else threshold
        self._votes = np.full(last, _NOBODY, np.int32)
        self._counts, self._shares = np.zeros(size), np.zeros(size)
        self._place = 0

    @property
    def winner(self) -> int:
        best = int(self._counts.argmax())
        return best if self._counts[best] else _NOBODY

    @property
    def delay(self) -> Fraction:
        """Delay from the middle of the voting window to its end, in samples."""
        return Fraction(self._last - 1, 2)

    def _can_be(self, numbers: Sequence[int], arrays: Sequence[AnyArray]) -> bool:
        votes, counts = arrays
        if not 0 <= numbers[0] < self._last or votes.min() < _NOBODY or votes.max() >= self.input_size:
            return False
        return np.array_equal(counts, np.bincount(votes[votes != _NOBODY], minlength=self.input_size))

    def reset(self) -> None:
        super().reset()
        self._votes[:] = _NOBODY
        self._place = 0

    def _step(self, x: F32, y: F32) -> F32:
        best = int(x.argmax())  # the index of a NaN, if there is one
        vote = best if x[best] >= self._least else _NOBODY
        old = self._votes[self._place]
        if old != _NOBODY:
            self._counts[old] -= 1
        if vote != _NOBODY:
            self._counts[vote] += 1
        self._votes[self._place] = vote
        self._place = (self._place + 1) % self._last
        np.divide(self._counts, self._last, out=self._shares)
        y[:] = self._shares
        return y
