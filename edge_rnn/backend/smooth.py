"""Smooth: exponential smoothing of outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from edge_rnn.checks import real, whole
from edge_rnn.frontend.front_end import PerSample
from edge_rnn.frontend.options import MOST_CHANNELS
from edge_rnn.typing import F32, F64, AnyArray

__all__ = ["Smooth"]


class Smooth(PerSample):
    """Exponentially weighted mean of each output: ``s += (1 - exp(-1 / samples)) * (y - s)``; s starts at the first y.

    A non-finite value is skipped: the mean keeps its value, which is 0 before the first finite one.

    Parameters
    ----------
    samples
        Time constant in vectors, after which the step response reaches 63 %.
    size
        Number of outputs.

    Examples
    --------
    >>> from edge_rnn.backend import Smooth
    >>> smooth = Smooth(samples=1)
    >>> [round(float(smooth.push(y)[0]), 3) for y in (0.0, 1.0, 1.0)]
    [0.0, 0.632, 0.865]
    """

    kind = "smooth"
    _numbers = ("_all_begun",)
    _arrays = ("_mean", "_begun")

    def __init__(self, samples: float, size: int = 1) -> None:
        samples = real("Smooth", "samples", samples, 0, above=True)
        size = whole("Smooth", "size", size, most=MOST_CHANNELS)
        super().__init__(size, size, 1, {"samples": samples, "size": size})
        self._share = -math.expm1(-1 / samples)
        self._mean, self._change = np.full(size, np.nan), np.zeros(size)  # no value before the first finite input
        self._begun = np.zeros(size, np.bool_)
        self._all_begun = 0

    @property
    def delay(self) -> Fraction:
        """Delay for a ramp, in samples: 1 / share - 1."""
        return Fraction(1 / self._share - 1)

    def _can_be(self, numbers: Sequence[int], arrays: Sequence[AnyArray]) -> bool:
        mean, begun = arrays
        known, unknown = np.abs(mean) <= np.finfo(np.float32).max, np.isnan(mean) | (mean == 0)
        return numbers[0] == bool(begun.all()) and bool(np.where(begun, known, unknown).all())

    def reset(self) -> None:
        super().reset()
        self._mean[:] = np.nan
        self._all_begun = 0

    def _step(self, x: F32, y: F32) -> F32:
        change, mean = self._change, self._mean
        change[:] = x
        if not self._all_begun or not math.isfinite(np.dot(change, change)):
            self._fill_in(change)
        change -= mean
        change *= self._share
        mean += change
        y[:] = mean
        return y

    def _fill_in(self, x: F64) -> None:
        """Replace non-finite inputs with the current mean, and start each mean at its first finite input."""
        finite = np.isfinite(x)
        first = finite & ~self._begun
        self._mean[first] = x[first]
        x[~finite] = self._mean[~finite]
        self._begun |= finite
        self._all_begun = int(self._begun.all())
