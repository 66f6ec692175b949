"""Base class of front ends that compute features from a window every few samples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.frontend.front_end import FrontEnd
from edge_rnn.frontend.sliding_window import SlidingWindow
from edge_rnn.typing import F32, F64, AnyArray

__all__ = ["Windowed"]


class Windowed(FrontEnd):
    """Front end with one feature vector per window: the first after ``first`` samples, then one every ``hop`` samples.

    Parameters
    ----------
    length
        Samples that ``_compute`` receives.
    hop
        Samples from one window to the next; may exceed ``length``.
    first
        Samples until the first feature vector; the signal before the first sample counts as zero.
    """

    _numbers = ("_until",)

    def __init__(
        self, input_size: int, output_size: int, length: int, hop: int, first: int, options: Mapping[str, Any]
    ) -> None:
        super().__init__(input_size, output_size, Fraction(1, hop), options)
        self._window = SlidingWindow(length, input_size)
        self._hop = hop
        self._first = self._until = first

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._window.data.nbytes

    def push(self, x: ArrayLike) -> F32 | None:
        self._window.put(self._sample(x))
        self._until -= 1
        return None if self._until else self._feature(self.y)

    def due(self, samples: int) -> int:
        return 0 if samples < self._until else 1 + (samples - self._until) // self._hop

    def reset(self) -> None:
        super().reset()
        self._window.clear()
        self._until = self._first

    def _run(self, xs: F32, ys: F32) -> None:
        row = 0
        while len(xs):
            count = min(self._until, len(xs))
            self._window.put_block(xs[:count])
            xs = xs[count:]
            self._until -= count
            if not self._until:
                self._feature(ys[row])
                row += 1

    def _feature(self, y: F32) -> F32:
        self._until = self._hop
        with np.errstate(all="ignore"):  # non-finite values propagate to the feature
            self._compute(self._window.view(), y)
        return y

    def _can_be(self, numbers: Sequence[int], arrays: Sequence[AnyArray]) -> bool:
        return 1 <= numbers[0] <= max(self._first, self._hop)

    def _memory(self) -> Sequence[AnyArray]:
        return [*super()._memory(), self._window.view()]

    @abstractmethod
    def _compute(self, window: F64, y: F32) -> None:
        """Write the feature vector of ``window`` ``(channels, length)`` to ``y``; do not modify ``window``."""
