"""The last so many samples, in one piece of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SlidingWindow"]


class SlidingWindow:
    """A window over a stream: room for twice as many samples as it shows, so that it moves once in ``length`` samples.

    What lies before the first sample is zeros.

    Parameters
    ----------
    length
        Samples that it shows.
    channels
        Rows.

    Attributes
    ----------
    data
        ``(channels, 2 * length)`` float64.
    end
        Where the next sample goes.
    """

    __slots__ = ("_halves", "data", "end", "length")

    def __init__(self, length: int, channels: int) -> None:
        self.length = length
        self.data = np.zeros((channels, 2 * length))
        self._halves = [(row[:length], row[length:]) for row in self.data]
        self.end = length

    def put(self, x: NDArray[Any]) -> None:
        """Take one sample, ``(channels,)``."""
        if self.end == 2 * self.length:
            self._move()
        self.data[:, self.end] = x
        self.end += 1

    def put_block(self, xs: NDArray[Any]) -> None:
        """Take many, ``(time, channels)``: the same as each one by one."""
        xs = xs[-self.length :]
        while len(xs):
            if self.end == 2 * self.length:
                self._move()
            count = min(2 * self.length - self.end, len(xs))
            self.data[:, self.end : self.end + count] = xs[:count].T
            self.end += count
            xs = xs[count:]

    def view(self) -> NDArray[np.float64]:
        """The last ``length`` samples, ``(channels, length)``, oldest first: a view, good until the next sample."""
        return self.data[:, self.end - self.length : self.end]

    def clear(self) -> None:
        """Forget all samples."""
        self.data[:] = 0
        self.end = self.length

    def _move(self) -> None:
        """The newest half takes the place of the other one; they do not overlap."""
        for old, new in self._halves:  # one by one: of all at once NumPy would make a copy first
            old[:] = new
        self.end = self.length
