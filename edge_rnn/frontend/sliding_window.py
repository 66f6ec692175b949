"""Sliding window over the most recent samples, in one allocation."""

from __future__ import annotations

import numpy as np

from edge_rnn.typing import F64, AnyArray

__all__ = ["SlidingWindow"]


class SlidingWindow:
    """Window over a stream, backed by twice its length so that samples move only once per ``length`` samples.

    Before the first sample, the window holds zeros.

    Parameters
    ----------
    length
        Samples in the window.
    channels
        Number of rows.

    Attributes
    ----------
    data
        ``(channels, 2 * length)`` float64.
    end
        Index of the next sample.
    """

    __slots__ = ("_halves", "data", "end", "length")

    def __init__(self, length: int, channels: int) -> None:
        self.length = length
        self.data = np.zeros((channels, 2 * length))
        self._halves = [(row[:length], row[length:]) for row in self.data]
        self.end = length

    def put(self, x: AnyArray) -> None:
        """Append one sample, ``(channels,)``."""
        if self.end == 2 * self.length:
            self._move()
        self.data[:, self.end] = x
        self.end += 1

    def put_block(self, xs: AnyArray) -> None:
        """Append several samples, ``(time, channels)``; equivalent to appending each one."""
        xs = xs[-self.length :]
        while len(xs):
            if self.end == 2 * self.length:
                self._move()
            count = min(2 * self.length - self.end, len(xs))
            self.data[:, self.end : self.end + count] = xs[:count].T
            self.end += count
            xs = xs[count:]

    def view(self) -> F64:
        """View of the last ``length`` samples, ``(channels, length)``, oldest first; valid until the next sample."""
        return self.data[:, self.end - self.length : self.end]

    def clear(self) -> None:
        """Fill the window with zeros."""
        self.data[:] = 0
        self.end = self.length

    def _move(self) -> None:
        """Move the newer half over the older half; they do not overlap."""
        for old, new in self._halves:  # row by row: for the whole array NumPy would make a copy
            old[:] = new
        self.end = self.length
