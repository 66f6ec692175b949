"""Standardize: scaling per channel, before the network instead of in it."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.arrays import float32_array
from edge_rnn.errors import InputError
from edge_rnn.frontend.front_end import PerSample
from edge_rnn.typing import F32

__all__ = ["Standardize"]


class Standardize(PerSample):
    """Compute ``y = (x - mean) / scale`` in float32, as the layer of the same name does within a model.

    Parameters
    ----------
    mean, scale
        ``(channels,)`` in the units of the input; every scale is nonzero.

    Raises
    ------
    InputError
        The shapes differ, a value is not finite, or a scale is zero or subnormal in float32.

    Examples
    --------
    >>> from edge_rnn.frontend import Standardize
    >>> standardize = Standardize.of([[1.0, 5.0], [3.0, 5.0]])
    >>> standardize.spec
    'standardize:mean=2/5,scale=1/1'
    >>> standardize.push([3.0, 6.0]).tolist()
    [1.0, 1.0]
    """

    kind = "standardize"

    def __init__(self, mean: ArrayLike, scale: ArrayLike) -> None:
        self.mean = float32_array("Standardize", "mean", mean).copy()
        self.scale = float32_array("Standardize", "scale", scale).copy()
        if self.mean.ndim != 1 or not self.mean.size or self.scale.shape != self.mean.shape:
            raise InputError(
                f"Standardize got mean {self.mean.shape} and scale {self.scale.shape}, expected (channels,) for both."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scale).all()):
            raise InputError("Standardize got a mean or scale that is not finite.")
        if not np.all(np.abs(self.scale) >= np.finfo(np.float32).tiny):
            raise InputError("Standardize got a scale of zero; use 1 for a constant channel.")
        channels = self.mean.size
        super().__init__(channels, channels, 1, {"mean": self.mean, "scale": self.scale})

    @classmethod
    def of(cls, recording: ArrayLike) -> Self:
        """Fit mean and standard deviation to a recording; a constant channel gets scale 1.

        Parameters
        ----------
        recording
            ``(time, channels)``. Rows with non-finite values are ignored.

        Raises
        ------
        InputError
            The shape is wrong, or no row is finite.
        """
        xs = float32_array("Standardize.of", "recording", recording)
        if xs.ndim != 2:
            raise InputError(f"Standardize.of got shape {xs.shape}, expected (time, channels).")
        rows = xs[np.isfinite(xs).all(axis=1)].astype(np.float64)
        if not len(rows):
            raise InputError("Standardize.of got no sample with only finite values.")
        scale = np.where(rows.min(axis=0) == rows.max(axis=0), 1.0, rows.std(axis=0)).astype(np.float32)
        return cls(rows.mean(axis=0), np.where(scale < np.finfo(np.float32).tiny, np.float32(1), scale))

    def _run(self, xs: F32, ys: F32) -> None:
        self._step(xs, ys)

    def _step(self, x: F32, y: F32) -> F32:
        with np.errstate(all="ignore"):  # overflow gives infinity
            np.subtract(x, self.mean, out=y)
            np.divide(y, self.scale, out=y)
        return y
